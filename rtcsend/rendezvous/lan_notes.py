"""Notes of known machines in the LAN: who waits here for something, and where.

    service  _rtcsend._tcp.local.      TXT  v=1, k=NOTE

Unlike :func:`~rtcsend.rendezvous.lan.browse_lan` this listens for as long as it is entered:
whoever receives from known machines may do so for months. Whether a note means anything is the
caller's matter; anybody may announce anything.

Shell. Source: RFC 6762, RFC 6763; docs/rendezvous-protocol.md, "Finding a server".
"""

import asyncio
import logging
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Self

from rtcsend.rendezvous.lan import (
    MAX_SERVICES,
    RESOLVE_TIMEOUT,
    SERVICE_TYPE,
    close_zeroconf,
    load_zeroconf,
    urls_of_untrusted,
)
from rtcsend.rendezvous.messages import NOTE_LENGTH

if TYPE_CHECKING:
    from zeroconf import ServiceInfo
    from zeroconf.asyncio import AsyncServiceBrowser, AsyncZeroconf

RETRY = 10.0  # seconds until the LAN is tried again, when it cannot be searched
Found = Callable[[str, tuple[str, ...]], None]

_log = logging.getLogger("rtcsend.rendezvous.lan")


class LanNotes:
    """Tells of each note in the LAN, once for each answer; never fails.

    Args:
        found: Told the note and the server's URLs; must not block.
    """

    def __init__(self, found: Found) -> None:
        self._found = found
        self._zeroconf: AsyncZeroconf | None = None
        self._browser: AsyncServiceBrowser | None = None
        self._starting: asyncio.Task[None] | None = None
        self._resolving: dict[str, asyncio.Task[None]] = {}

    async def __aenter__(self) -> Self:
        """Start to listen, in the background."""
        self._starting = asyncio.get_running_loop().create_task(self._start())
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Stop listening."""
        tasks = [task for task in (self._starting, *self._resolving.values()) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._browser is not None:
            await self._browser.async_cancel()
        if self._zeroconf is not None:
            await close_zeroconf(self._zeroconf)

    async def _start(self) -> None:
        await load_zeroconf()
        from zeroconf.asyncio import (  # noqa: PLC0415 - loaded just before
            AsyncServiceBrowser,
            AsyncZeroconf,
        )

        while self._zeroconf is None:
            try:
                self._zeroconf = AsyncZeroconf()
            except (OSError, RuntimeError) as exc:  # no network; no adapter with an address
                _log.info("! the LAN cannot be searched: %s", type(exc).__name__)
                await asyncio.sleep(RETRY)
        self._browser = AsyncServiceBrowser(
            self._zeroconf.zeroconf, SERVICE_TYPE, handlers=[self._on_change]
        )

    def _on_change(self, *, name: str, state_change: object, **_: object) -> None:
        """Take note of an instance; called by zeroconf on the event loop."""
        from zeroconf import ServiceStateChange  # noqa: PLC0415 - loaded before

        if state_change is ServiceStateChange.Removed:
            return
        if name not in self._resolving and len(self._resolving) < MAX_SERVICES:
            task = asyncio.get_running_loop().create_task(self._resolve(name))
            self._resolving[name] = task
            task.add_done_callback(lambda _: self._resolving.pop(name, None))

    async def _resolve(self, name: str) -> None:
        from zeroconf.asyncio import AsyncServiceInfo  # noqa: PLC0415 - loaded before

        assert self._zeroconf is not None, "it has told of the name"
        try:
            info = AsyncServiceInfo(SERVICE_TYPE, name)
            if not await info.async_request(self._zeroconf.zeroconf, RESOLVE_TIMEOUT * 1000):
                return
            note, urls = note_of_untrusted(info)
        except Exception as exc:
            # The owner of a task in which a library parses strangers' packets.
            _log.debug("! an instance cannot be resolved: %s", type(exc).__name__)
            return
        if note and urls:
            self._found(note, urls)


def note_of_untrusted(info: "ServiceInfo") -> tuple[str, tuple[str, ...]]:
    """Return the note of an answer and where its server is; nothing, if it has none."""
    note = (info.properties.get(b"k") or b"").decode("ascii", "replace")
    return (note, urls_of_untrusted(info)) if len(note) == NOTE_LENGTH else ("", ())
