"""Accepting connections: floods are cut here, before TLS and HTTP have cost anything.

What it does: asks the admission for each connection, gives those that are let in to the event
loop, and tells the admission when they are gone.
What it does not: open the listening socket (:mod:`signal_server.listeners`), or know what is
said on a connection (:mod:`signal_server.websocket`).

Shell. An event loop's own server would accept everybody, and shake hands before it tells us.
"""

import asyncio
import contextlib
import logging
import socket
import ssl
import time
from collections.abc import Callable, Sequence
from typing import Any

from signal_server.admission import Admission
from signal_server.listeners import BACKLOG
from signal_server.logs import log
from signal_server.sources import Network, is_trusted, source_of

MAX_ACCEPTS = 64  # connections in one turn of the event loop; others want theirs too
REST = 1.0  # seconds after the system had no descriptor, or no memory, for another connection

_INTERNET = frozenset({socket.AF_INET, socket.AF_INET6})
_gone_already = (BlockingIOError, InterruptedError, ConnectionAbortedError)

MakeProtocol = Callable[[Callable[[], None]], asyncio.BaseProtocol]
"""Makes the protocol of a connection, which calls what it is given when it is lost."""


class Acceptor:
    """A listening socket, and whom it lets in.

    Args:
        listener: Listening, and from now on this object's.
        admission: Asked for each connection.
        trusted: Networks of proxies, from which everybody comes.
        protocol: Makes the protocol of each connection that is let in.
        tls: For each connection; None: without TLS.
        handshake_seconds: For TLS.
    """

    def __init__(
        self,
        listener: socket.socket,
        *,
        admission: Admission,
        trusted: Sequence[Network],
        protocol: MakeProtocol,
        tls: ssl.SSLContext | None,
        handshake_seconds: float,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._listener = listener
        self._admission = admission
        self._trusted = trusted
        self._protocol = protocol
        self._tls: dict[str, Any] = {}
        if tls is not None:
            self._tls = {"ssl": tls, "ssl_handshake_timeout": handshake_seconds}
        self._connecting: set[asyncio.Task[None]] = set()
        self._resting: asyncio.TimerHandle | None = None
        self._server: asyncio.Server | None = None
        self._closed = asyncio.Event()

    async def start(self) -> None:
        """Accept from now on."""
        try:
            self._loop.add_reader(self._listener, self._on_readable)
        except NotImplementedError:
            # Windows' event loop accepts in its own way: only the limits on WebSockets hold.
            self._server = await self._loop.create_server(
                lambda: self._protocol(_nothing), sock=self._listener, backlog=BACKLOG, **self._tls
            )

    def close(self) -> None:
        """Accept nobody any more; those that were let in stay, but for handshakes of TLS."""
        if self._server is not None:
            self._server.close()
        elif not self._closed.is_set():
            self._wake()
            self._loop.remove_reader(self._listener)
            self._listener.close()
        for task in self._connecting:
            task.cancel()
        self._closed.set()

    async def wait_closed(self) -> None:
        """Wait until it is closed."""
        await self._closed.wait()

    def _on_readable(self) -> None:
        for _ in range(MAX_ACCEPTS):
            try:
                accepted, address = self._listener.accept()
            except _gone_already:
                return
            except OSError as exc:
                log(logging.ERROR, "cannot accept", reason=exc.strerror)
                self._loop.remove_reader(self._listener)
                self._resting = self._loop.call_later(REST, self._on_rested)
                return
            self._take(accepted, str(address[0]) if isinstance(address, tuple) else "")

    def _take(self, accepted: socket.socket, peer: str) -> None:
        source = source_of(peer)
        exempt = is_trusted(peer, self._trusted)
        if not self._admission.accept(source, now=time.monotonic(), exempt=exempt):
            accepted.close()
            return
        accepted.setblocking(False)
        _send_at_once(accepted)
        task = self._loop.create_task(self._connect(accepted, _Admitted(self._admission, source)))
        self._connecting.add(task)
        task.add_done_callback(self._connecting.discard)

    async def _connect(self, accepted: socket.socket, admitted: "_Admitted") -> None:
        """Have the event loop take a connection; the socket is the loop's then."""
        try:
            await self._loop.connect_accepted_socket(
                lambda: self._protocol(admitted.leave), accepted, **self._tls
            )
        except OSError:  # gone again, no TLS, or too slow with it
            admitted.leave()
        except asyncio.CancelledError:
            admitted.leave()
            raise

    def _on_rested(self) -> None:
        self._resting = None
        self._loop.add_reader(self._listener, self._on_readable)

    def _wake(self) -> None:
        if self._resting is not None:
            self._resting.cancel()
            self._resting = None


class _Admitted:
    """A connection that counts for its source until it leaves, once, whoever says so."""

    __slots__ = ("_admission", "_source")

    def __init__(self, admission: Admission, source: str) -> None:
        self._admission = admission
        self._source: str | None = source

    def leave(self) -> None:
        source, self._source = self._source, None
        if source is not None:
            self._admission.closed(source)


def _send_at_once(accepted: socket.socket) -> None:
    """Do without Nagle's algorithm: each message is small, and the next waits for its answer.

    Event loops do so for sockets whose protocol number is TCP's, which these do not have: who
    sends two messages in a row would wait for an acknowledgement, that is 40 ms on Linux.
    """
    if accepted.family in _INTERNET:
        with contextlib.suppress(OSError):  # gone again
            accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def _nothing() -> None:
    """Be told of a connection that nobody counts."""
