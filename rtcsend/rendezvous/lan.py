"""Rendezvous servers of the LAN, announced and found by mDNS (DNS-SD).

    service  _rtcsend._tcp.local.      instance  rtcsend-RANDOM      TXT  v=1, n=NAMEPLATE
                                                                   or  v=1, k=NOTE

The nameplate is no secret: the password words are never announced. A note means something to one
known machine, and to nobody else (:mod:`rtcsend.rendezvous.lan_notes`). Whatever answers on the
LAN is hostile until checked, and a false answer only leads to a pairing that fails.

Shell. zeroconf is imported when it is first used: it takes a tenth of a second, and most
receivers find their sender without it. Source: RFC 6762, RFC 6763;
docs/rendezvous-protocol.md, "Finding a server".
"""

import asyncio
import contextlib
import importlib
import ipaddress
import logging
import os
import secrets
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Self

from rtcsend.options import DISCOVERY_VARIABLE
from rtcsend.rendezvous.messages import is_nameplate

if TYPE_CHECKING:
    from collections.abc import Iterable

    from zeroconf import IPVersion, ServiceInfo
    from zeroconf.asyncio import AsyncZeroconf

SERVICE_TYPE = "_rtcsend._tcp.local."
TXT_VERSION = b"1"
GRACE = 0.3  # seconds after a match, to notice a second one: answers are delayed by up to 0.12 s
RESOLVE_TIMEOUT = 2.0  # seconds for the address of one instance
STOP_TIMEOUT = 1.5  # seconds for the goodbye (three packets, 125 ms apart)
FOLLOW_INTERVAL = 2.0  # seconds between two looks at this machine's own addresses
MAX_SERVICES = 64  # looked at in one search; more is a flood
MAX_ADDRESSES = 16  # of one instance: interfaces times families
MAX_PORT = 65_535

_log = logging.getLogger("rtcsend.rendezvous.lan")


def lan_allowed() -> bool:
    """Return whether the LAN may be asked and told: not with ``RTCSEND_DISCOVERY=local``.

    Nor with what may have been meant for that; whoever begins a transfer refuses it.
    """
    return not os.environ.get(DISCOVERY_VARIABLE)


@dataclass(frozen=True, slots=True)
class LanService:
    """One rendezvous server that answered, checked."""

    instance: str
    nameplate: str
    urls: tuple[str, ...]
    """One for each address, the likeliest to work first."""


class LanAnnouncement:
    """Announces a nameplate while it is entered.

    Entering never waits and nothing fails: without a network, or with the mDNS port taken,
    receivers need ``--server``.

    Args:
        name: The nameplate that is allocated, or a note.
        port: Of the server, on all interfaces.
    """

    def __init__(self, name: str, port: int) -> None:
        self._name = name
        self._port = port
        self._zeroconf: AsyncZeroconf | None = None
        self._addresses: list[bytes] = []
        self._task: asyncio.Task[None] | None = None
        self._following: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        """Start to announce, in the background."""
        loop = asyncio.get_running_loop()
        self._task = loop.create_task(self._announce())
        self._following = loop.create_task(self._follow(self._task))
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Say goodbye, so that no receiver comes to a server that is gone."""
        tasks = [task for task in (self._task, self._following) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._zeroconf is not None:
            await close_zeroconf(self._zeroconf)

    async def _announce(self) -> None:
        try:
            await load_zeroconf()
            from zeroconf.asyncio import AsyncZeroconf  # noqa: PLC0415 - loaded just before

            self._addresses = _own_addresses()
            self._zeroconf = AsyncZeroconf()
            info = _service_info(self._name, self._port, self._addresses)
            await (await self._zeroconf.async_register_service(info))
            _log.debug("= announced on the LAN")
        except Exception as exc:
            # The owner of a task that nobody waits for, and that may fail in any way.
            _log.info("! not announced on the LAN: %s", type(exc).__name__)

    async def _follow(self, announcing: "asyncio.Task[None]") -> None:
        """Announce anew when this machine's addresses have changed: nobody else says where."""
        await asyncio.wait([announcing])
        while True:
            await asyncio.sleep(FOLLOW_INTERVAL)
            if _own_addresses() == self._addresses:
                continue
            old, self._zeroconf = self._zeroconf, None
            if old is not None:
                await close_zeroconf(old)
            await self._announce()


async def browse_lan(
    nameplate: str | None = None,
    *,
    timeout: float = 3.0,  # noqa: ASYNC109 - a search's length
) -> list[LanService]:
    """Return the rendezvous servers that answer within ``timeout`` seconds.

    Args:
        nameplate: Return soon after a server with this nameplate was found; the others
            found until then are returned as well.
        timeout: Seconds to listen at most.
    """
    try:
        await load_zeroconf()
        from zeroconf.asyncio import AsyncZeroconf  # noqa: PLC0415 - loaded just before

        zeroconf = AsyncZeroconf()
    except (OSError, RuntimeError) as exc:  # no network, no socket; no adapter with an address
        _log.info("! the LAN cannot be searched: %s", type(exc).__name__)
        return []
    search = _Search(zeroconf, nameplate)
    try:
        await search.run(timeout)
    finally:
        await close_zeroconf(zeroconf)
    return search.found


async def find_on_lan(
    nameplate: str,
    *,
    timeout: float = 3.0,  # noqa: ASYNC109 - a search's length
) -> list[str]:
    """Return the URLs of the servers with ``nameplate``, all addresses of each.

    Returns soon after the first was found, or empty after ``timeout`` seconds.
    """
    services = await browse_lan(nameplate, timeout=timeout)
    return [url for service in services if service.nameplate == nameplate for url in service.urls]


class _Search:
    """One search: each instance that shows up is resolved by a task of its own."""

    def __init__(self, zeroconf: "AsyncZeroconf", nameplate: str | None) -> None:
        self.found: list[LanService] = []
        self._zeroconf = zeroconf
        self._nameplate = nameplate
        self._matched = asyncio.Event()
        self._tasks: dict[str, asyncio.Task[None]] = {}

    async def run(self, length: float) -> None:
        """Listen for ``length`` seconds, or until shortly after a match."""
        from zeroconf.asyncio import AsyncServiceBrowser  # noqa: PLC0415 - loaded before

        browser = AsyncServiceBrowser(
            self._zeroconf.zeroconf, SERVICE_TYPE, handlers=[self._on_change]
        )
        try:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(length):
                    await self._matched.wait()
                    await asyncio.sleep(GRACE)
        finally:
            await browser.async_cancel()
            for task in self._tasks.values():
                task.cancel()
            await asyncio.gather(*self._tasks.values(), return_exceptions=True)

    def _on_change(self, *, name: str, state_change: object, **_: object) -> None:
        """Take note of an instance; called by zeroconf on the event loop."""
        from zeroconf import ServiceStateChange  # noqa: PLC0415 - loaded before

        if state_change is ServiceStateChange.Removed:
            return
        if name not in self._tasks and len(self._tasks) < MAX_SERVICES:
            self._tasks[name] = asyncio.get_running_loop().create_task(self._resolve(name))

    async def _resolve(self, name: str) -> None:
        from zeroconf.asyncio import AsyncServiceInfo  # noqa: PLC0415 - loaded before

        try:
            info = AsyncServiceInfo(SERVICE_TYPE, name)
            if not await info.async_request(self._zeroconf.zeroconf, RESOLVE_TIMEOUT * 1000):
                return
            service = service_of_untrusted(info)
        except Exception as exc:
            # The owner of a task in which a library parses strangers' packets.
            _log.debug("! an instance cannot be resolved: %s", type(exc).__name__)
            return
        if service is not None:
            self.found.append(service)
            if service.nameplate == self._nameplate:
                self._matched.set()


def service_of_untrusted(info: "ServiceInfo") -> LanService | None:
    """Return what an answer says, or None when it is not one of ours."""
    nameplate = (info.properties.get(b"n") or b"").decode("ascii", "replace")
    urls = urls_of_untrusted(info) if is_nameplate(nameplate) else ()
    return LanService(info.name, nameplate, urls) if urls else None


def urls_of_untrusted(info: "ServiceInfo") -> tuple[str, ...]:
    """Return where an answer says that a server is; nothing, when it is not one of ours."""
    if info.properties.get(b"v") != TXT_VERSION:
        return ()
    port = info.port
    if port is None or not 1 <= port <= MAX_PORT:
        return ()
    return tuple(urls_of(info.addresses_by_version(_all_versions())[:MAX_ADDRESSES], port))


def urls_of(addresses: "Iterable[bytes]", port: int) -> list[str]:
    """Return a URL for each packed address that a server on the LAN can have.

    IPv4 first: it is what home networks route without surprises. Link-local IPv6 needs an
    interface, which a URL cannot name (RFC 6874); loopback would be ourselves.
    """
    usable = set()
    for packed in addresses:
        try:
            address = ipaddress.ip_address(packed)
        except ValueError:
            continue
        if address.is_loopback or address.is_multicast or address.is_unspecified:
            continue
        if isinstance(address, ipaddress.IPv6Address) and (
            address.is_link_local or address.ipv4_mapped is not None
        ):
            continue
        usable.add(address)
    ordered = sorted(
        usable, key=lambda address: (address.version, not address.is_private, address.packed)
    )
    return [f"ws://{_host(address)}:{port}/v1" for address in ordered]


def _host(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> str:
    return f"[{address}]" if isinstance(address, ipaddress.IPv6Address) else str(address)


def _service_info(name: str, port: int, addresses: list[bytes]) -> "ServiceInfo":
    from zeroconf.asyncio import AsyncServiceInfo  # noqa: PLC0415 - loaded before

    # Drawn, so that two senders with one nameplate, or one host name, never collide.
    instance = f"rtcsend-{secrets.token_hex(6)}"
    return AsyncServiceInfo(
        SERVICE_TYPE,
        f"{instance}.{SERVICE_TYPE}",
        port=port,
        properties={"v": TXT_VERSION, "n" if is_nameplate(name) else "k": name},
        server=f"{instance}.local.",
        addresses=addresses,
    )


def _own_addresses() -> list[bytes]:
    """Return the packed addresses of this machine that others can use."""
    import ifaddr  # noqa: PLC0415 - zeroconf's own dependency, loaded with it

    packed = []
    for adapter in ifaddr.get_adapters():
        for ip in adapter.ips:
            text = ip.ip if isinstance(ip.ip, str) else ip.ip[0]
            address = ipaddress.ip_address(text.partition("%")[0])
            if not (address.is_loopback or address.is_unspecified):
                packed.append(address.packed)
    return packed[:MAX_ADDRESSES]


def _all_versions() -> "IPVersion":
    from zeroconf import IPVersion  # noqa: PLC0415 - loaded before

    return IPVersion.All


async def load_zeroconf() -> None:
    """Import the package in a thread: the event loop has other things to do meanwhile."""
    await asyncio.to_thread(importlib.import_module, "zeroconf.asyncio")


async def close_zeroconf(zeroconf: "AsyncZeroconf") -> None:
    """Say goodbye and close, in bounded time."""
    with contextlib.suppress(TimeoutError, OSError):
        async with asyncio.timeout(STOP_TIMEOUT):
            await zeroconf.async_unregister_all_services()
    with contextlib.suppress(TimeoutError, OSError):
        async with asyncio.timeout(STOP_TIMEOUT):
            await zeroconf.async_close()
