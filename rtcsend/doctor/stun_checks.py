"""What is told of the STUN servers, of the NAT and of the path's MTU.

Shell around :mod:`~rtcsend.doctor.stun_family`. Place in the flow: one of the checks of
:mod:`rtcsend.doctor.run`.
"""

import asyncio
from collections.abc import Callable
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Final, Self

from rtcsend.doctor.codec import Endpoint
from rtcsend.doctor.conclusion import Filtering, Mapping, Udp
from rtcsend.doctor.findings import Area, Check, Status, Value
from rtcsend.doctor.host import maybe_source, resolve
from rtcsend.doctor.nat_sentences import Nat, nat_checks
from rtcsend.doctor.path_mtu import Size
from rtcsend.doctor.servers import Server
from rtcsend.doctor.stun_family import Heard, StunFamily

Emit = Callable[[Check], None]

_BY_TCP: Final = "No answer by UDP, but one by TCP: UDP is blocked on the way."
_SILENT: Final = "No answer by UDP or TCP: the server is dead, or blocked on the way."


class StunChecks:
    """All STUN servers, of both IP versions, while it is entered.

    Args:
        emit: Takes what is found.
    """

    def __init__(self, *, emit: Emit) -> None:
        self._emit = emit
        self._stack = AsyncExitStack()
        self._families: dict[int, StunFamily] = {}
        self._lock = asyncio.Lock()
        self._paths: dict[int, asyncio.Task[None]] = {}
        self._asked = self._answered = self._by_tcp = False

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for task in self._paths.values():
            task.cancel()
        await asyncio.gather(*self._paths.values(), return_exceptions=True)
        await self._stack.aclose()

    async def ask(self, server: Server) -> None:
        """Ask a server by UDP, at one address of each IP version, and tell what it says.

        What a TURN server says is not told, since it need not answer such questions.
        """
        try:
            endpoints = await resolve(server.host, server.port)
        except OSError:
            text = f"The name {server.host} cannot be resolved."
            self._tell(server, "failed", text, reason="name")
            return
        routed = [endpoint for endpoint in endpoints if maybe_source(endpoint) is not None]
        if not routed:
            text = "This machine has no route to it."
            self._tell(server, "failed", text, reason="no-route")
        await asyncio.gather(*(self._ask(server, endpoint) for endpoint in routed))

    async def nat(self) -> None:
        """Tell what kind of NAT there is, once nobody will be asked any more."""
        for family in self._families.values():
            nat = await family.nat()
            for check in nat_checks(nat) if nat is not None else ():
                self._emit(check)
        await asyncio.gather(*self._paths.values())

    def summary(self, *, tcp_works: bool) -> tuple[Udp, Mapping, Filtering]:
        """Return what is known by now.

        Args:
            tcp_works: Some TURN server was reached by TCP or TLS.
        """
        if not self._asked:
            return Udp.NOT_ASKED, Mapping.UNKNOWN, Filtering.UNKNOWN
        if not self._answered:
            blocked = self._by_tcp or tcp_works
            udp = Udp.BLOCKED if blocked else Udp.SILENT
            return udp, Mapping.UNKNOWN, Filtering.UNKNOWN
        known = [nat for one in self._families.values() if (nat := one.nat_by_now()) is not None]
        # What matters is the version that most peers have.
        first = min(known, key=_version, default=None)
        if first is None:
            return Udp.WORKS, Mapping.UNKNOWN, Filtering.UNKNOWN
        return Udp.WORKS, first.mapping, first.filtering

    def on_udp(self, *, answered: bool) -> None:
        """Take note of what a TURN server by UDP has shown."""
        self._asked = True
        self._answered = self._answered or answered

    async def _ask(self, server: Server, endpoint: Endpoint) -> None:
        version = 6 if ":" in endpoint[0] else 4
        family = await self._family(version)
        if family is None:
            self._tell(server, "failed", "This machine has no such IP.", reason="no-route")
            return
        self._asked = True
        heard = await family.ask(endpoint)
        self._answered = self._answered or heard.binding is not None
        self._by_tcp = self._by_tcp or heard.by_tcp
        self._tell_heard(server, heard)
        if heard.binding is not None and version not in self._paths:
            self._paths[version] = asyncio.get_running_loop().create_task(
                self._path(family, endpoint, rtt=heard.binding.rtt, version=version)
            )

    async def _family(self, version: int) -> StunFamily | None:
        async with self._lock:
            if version not in self._families:
                try:
                    family = await self._stack.enter_async_context(StunFamily(version))
                except OSError:
                    return None
                self._families[version] = family
            return self._families[version]

    async def _path(
        self, family: StunFamily, endpoint: Endpoint, *, rtt: float, version: int
    ) -> None:
        size = await family.path_mtu(endpoint, rtt=rtt)
        text, values = _path_text(size)
        self._emit(
            Check(
                area="path",
                check="mtu",
                target=f"ipv{version}",
                status="note" if size is None else "ok",
                ms=None,
                text=text,
                values=values,
            )
        )

    def _tell_heard(self, server: Server, heard: Heard) -> None:
        if heard.binding is None:
            text, reason = _silence(heard)
            self._tell(server, "failed", text, reason=reason)
            return
        address, port = heard.binding.mapped
        host = f"[{address}]" if ":" in address else address
        self._tell(
            server,
            "ok",
            f"sees this machine at {host}:{port}",
            rtt=heard.binding.rtt,
            address=address,
            port=port,
        )

    def _tell(
        self,
        server: Server,
        status: Status,
        text: str,
        *,
        rtt: float | None = None,
        **values: Value,
    ) -> None:
        if server.relay:
            return
        area: Area = "stun"
        ms = None if rtt is None else round(rtt * 1000, 1)
        self._emit(
            Check(
                area=area,
                check="binding",
                target=server.name,
                status=status,
                ms=ms,
                text=text,
                values=values,
            )
        )


def _version(nat: Nat) -> int:
    return nat.version


def _silence(heard: Heard) -> tuple[str, str]:
    """Return what it means that a server does not answer, and the same in a word."""
    if heard.by_tcp:
        return _BY_TCP, "udp-blocked"
    if heard.refused is not None:
        return heard.refused.text, heard.refused.slug
    return _SILENT, "silent"


def _path_text(size: Size | None) -> tuple[str, dict[str, Value]]:
    if size is None:
        return "unknown: large questions are not answered, or cannot be sent whole", {"bytes": None}
    if size.next is None:
        return f"{size.bytes} bytes at least", {"bytes": size.bytes}
    return f"{size.bytes} bytes pass, {size.next} do not", {"bytes": size.bytes}
