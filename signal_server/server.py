"""The rendezvous server: listening sockets, plain HTTP, and what an operator does with it.

What it does: opens what the configuration names, answers health and metrics, reads files again,
drains, and closes everything.
What it does not: serve a WebSocket (:mod:`signal_server.sockets`), or decide anything about
mailboxes (:mod:`signal_server.reception`) and about who may do what
(:mod:`signal_server.admission`).

Logging: never bodies, nameplates or tokens; source addresses as a field of their own.
"""

import asyncio
import logging
import socket
import ssl
from collections.abc import Sequence
from contextlib import AsyncExitStack
from types import TracebackType
from typing import TYPE_CHECKING, Self

from rtcsend.errors import UsageError
from signal_server.accepting import Acceptor
from signal_server.admission import Admission
from signal_server.config import ServerConfig
from signal_server.event_loop import name_of
from signal_server.handler import Handler
from signal_server.keys import ServerKeys, unix_time
from signal_server.limits import Limits
from signal_server.listeners import open_listeners
from signal_server.logs import log
from signal_server.metrics import Counters
from signal_server.outputs import CLOSE_GOING_AWAY, CLOSE_RESTART
from signal_server.plain_http import OnlyHttp, PlainHttp
from signal_server.sockets import Sockets
from signal_server.sources import Network
from signal_server.store.opening import open_store
from signal_server.websocket import WebSocketConnection

if TYPE_CHECKING:
    from signal_server.exposition import Exposition
    from signal_server.store.base import Store

LAG_INTERVAL = 0.5  # seconds between two looks at how late the event loop is
METRICS_LIMITS = Limits(max_sockets=0, sockets_per_source=16)  # 256 connections, 32 of an address
MOVE_INTERVAL = 0.05  # seconds between two batches of sockets that are asked to go elsewhere


class RendezvousServer:
    """A rendezvous server, running while it is entered.

    Example::

        async with RendezvousServer(ServerConfig(port=0)) as server:
            print(server.port)

    Leaving it closes all sockets (code 1001, after a drain 1012) and ends all tasks.
    """

    def __init__(self, config: ServerConfig | None = None) -> None:
        self._config = config or ServerConfig()
        self.counters = Counters()
        # Made when it is entered.
        self._keys: ServerKeys
        self._admission: Admission
        self._store: Store
        self._sockets: Sockets
        self._exposition: Exposition | None = None
        # What is to be closed.
        self._servers: list[Acceptor] = []
        self._open = AsyncExitStack()
        self._drained = False
        self._lag_timer: asyncio.TimerHandle | None = None
        self.ports: tuple[int, ...] = ()
        """Port of each listening socket; all the same."""
        self.addresses: tuple[str, ...] = ()
        """Address of each listening socket, as ``host:port`` with IPv6 in brackets."""

    @property
    def port(self) -> int:
        """The port that clients connect to."""
        return self.ports[0]

    @property
    def fingerprint(self) -> str | None:
        """SHA-256 of the certificate that clients have to pin; None: they need not."""
        return None if self._keys.tls is None else self._keys.tls.fingerprint

    async def __aenter__(self) -> Self:
        """Listen.

        Raises:
            OSError: The host or the port cannot be had.
            StoreUnavailable: The store cannot be reached.
            UsageError: A file cannot be used.
        """
        try:
            await self._enter()
        except BaseException:
            await self._leave()
            raise
        return self

    async def _enter(self) -> None:
        config = self._config
        self._keys = ServerKeys(config)
        self._admission = Admission(
            config.limits,
            auth_tokens=self._keys.auth_tokens,
            counters=self.counters,
            unix_time=unix_time,
        )
        self._store = await self._open.enter_async_context(open_store(config.store, config.limits))
        metrics = None if config.embedded else self._metrics
        here = metrics if config.metrics_listen is None else None
        self._sockets = Sockets(
            config,
            keys=self._keys,
            admission=self._admission,
            store=self._store,
            counters=self.counters,
            http=PlainHttp(unready=self._unready, metrics=here),
        )
        self._open.push_async_callback(self._close_sockets)
        await self._listen()
        if not config.embedded:
            self._watch_lag(asyncio.get_running_loop().time())
        loop = name_of(asyncio.get_running_loop())
        log(logging.INFO, "listening", port=self.port, tls=config.has_tls, loop=loop)

    async def _listen(self) -> None:
        config = self._config
        listeners = await open_listeners(config.host, config.port)
        names = [listener.getsockname() for listener in listeners]
        self.ports = tuple(name[1] for name in names)
        self.addresses = tuple(
            f"[{name[0]}]:{name[1]}" if ":" in name[0] else f"{name[0]}:{name[1]}" for name in names
        )
        tls = None if self._keys.tls is None else self._keys.tls.context
        for listener in listeners:
            await self._accept(
                listener, self._sockets, self._admission, trusted=config.trusted_proxies, tls=tls
            )
        if config.metrics_listen is not None:
            await self._listen_for_metrics()

    async def _listen_for_metrics(self) -> None:
        assert self._config.metrics_listen is not None, "asked for"
        only = OnlyHttp(PlainHttp(unready=self._unready, metrics=self._metrics))
        # Counted apart: neither port can lock out the other.
        admission = Admission(METRICS_LIMITS)
        host, port = self._config.metrics_listen
        try:
            listeners = await open_listeners(host, port)
        except OSError as exc:
            raise UsageError(
                f"Cannot listen for metrics on {host}, port {port}: {exc.strerror or exc}.",
                hint="Give another --metrics-listen, or stop the program that uses it.",
            ) from exc
        for listener in listeners:
            await self._accept(listener, only, admission)
        self._open.callback(only.close)

    async def _accept(
        self,
        listener: socket.socket,
        handler: Handler,
        admission: Admission,
        *,
        trusted: Sequence[Network] = (),
        tls: ssl.SSLContext | None = None,
    ) -> None:
        """Accept connections from now on, for a handler, as far as an admission lets them in."""
        seconds = self._config.limits.handshake_seconds
        acceptor = Acceptor(
            listener,
            admission=admission,
            trusted=trusted,
            protocol=lambda on_lost: WebSocketConnection(
                handler, handshake_seconds=seconds, on_lost=on_lost
            ),
            tls=tls,
            handshake_seconds=seconds,
        )
        self._servers.append(acceptor)
        await acceptor.start()

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close everything."""
        await self._leave()
        log(logging.INFO, "closed")

    async def _leave(self) -> None:
        if self._lag_timer is not None:
            self._lag_timer.cancel()
        for server in self._servers:
            server.close()
        self._servers.clear()
        await self._open.aclose()

    async def _close_sockets(self) -> None:
        await self._sockets.aclose(code=CLOSE_RESTART if self._drained else CLOSE_GOING_AWAY)

    async def serve_forever(self) -> None:
        """Wait until the server is closed; cancelling it leaves the closing to ``__aexit__``."""
        await asyncio.gather(*(server.wait_closed() for server in self._servers))

    # What an operator does

    def reload(self) -> None:
        """Read certificate and secrets again; where that fails all stays, and it is logged."""
        try:
            self._keys.reload()
        except UsageError as exc:
            log(logging.ERROR, "reload failed", reason=exc.message)
            return
        self._admission.set_auth_tokens(self._keys.auth_tokens)
        log(logging.INFO, "reloaded")

    async def drain(self) -> None:
        """Take nobody new, and return when nobody is in the middle of something.

        Who waits alone is asked to go elsewhere; two that have met may finish, for as long as
        the configuration allows.
        """
        self._admission.draining = self._drained = True
        log(logging.INFO, "draining", sockets=len(self._sockets))
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._config.drain_seconds
        while self._sockets and loop.time() < deadline:
            self._sockets.move_on()
            await asyncio.sleep(MOVE_INTERVAL)
        log(logging.INFO, "drained", sockets=len(self._sockets))

    @property
    def is_draining(self) -> bool:
        """Whether it takes nobody new."""
        return self._admission.draining

    def _unready(self) -> str | None:
        if self.is_draining:
            return "draining"
        return None if self._store.available else "the store does not answer"

    def _metrics(self) -> tuple[str, bytes]:
        """Return what Prometheus reads, and what it is."""
        from importlib.metadata import version  # noqa: PLC0415 - imports email

        from signal_server.exposition import CONTENT_TYPE, Exposition  # noqa: PLC0415 - 70 ms

        if self._exposition is None:
            self._exposition = Exposition(
                self.counters,
                census=self._sockets.census,
                is_draining=lambda: self.is_draining,
                is_available=lambda: self._store.available,
                version=version("rtcsend"),
            )
        return CONTENT_TYPE, self._exposition.render()

    def _watch_lag(self, due: float) -> None:
        loop = asyncio.get_running_loop()
        now = loop.time()
        self.counters.loop_lag.observe(max(now - due, 0.0))
        self._lag_timer = loop.call_at(now + LAG_INTERVAL, self._watch_lag, now + LAG_INTERVAL)
