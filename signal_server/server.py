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
import re
import weakref
from contextlib import AsyncExitStack
from importlib.metadata import version
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.http11 import Request, Response
from websockets.protocol import State

from rtcsend.errors import UsageError
from signal_server.accepting import GuardedListener
from signal_server.admission import Admission
from signal_server.config import ServerConfig
from signal_server.keys import ServerKeys
from signal_server.listeners import open_listeners
from signal_server.logs import log
from signal_server.messages import MAX_FRAME
from signal_server.metrics import Counters
from signal_server.outputs import CLOSE_GOING_AWAY, CLOSE_RESTART
from signal_server.plain_http import PlainHttp
from signal_server.sockets import WEBSOCKET_PATH, Sockets, path_of
from signal_server.store.opening import open_store

if TYPE_CHECKING:
    from signal_server.exposition import Exposition
    from signal_server.store.base import Store

OTHER_VERSIONS = re.compile(r"/v[0-9]{1,4}", re.ASCII)  # of the protocol, which are told ours
PING_INTERVAL = 20.0  # seconds; below the 30 s after which the strictest NATs drop a mapping
PING_TIMEOUT = 20.0  # seconds; then the socket is dead, and its side away
CLOSE_TIMEOUT = 2.0  # seconds for the closing handshake; the peer may be gone
LARGEST_READ = 2 * MAX_FRAME  # bytes; a frame somewhat too large gets an answer, above it a close
LAG_INTERVAL = 0.5  # seconds between two looks at how late the event loop is
MOVE_INTERVAL = 0.05  # seconds between two batches of sockets that are asked to go elsewhere

# The library logs whole frames at DEBUG, tokens and TURN credentials among them, and every
# port scan as an error with a traceback.
_library_log = logging.getLogger("rtcsend.rendezvous.server.websockets")
_library_log.setLevel(logging.CRITICAL)


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
        self._http: PlainHttp
        self._exposition: Exposition | None = None
        # What is to be closed.
        self._connections: weakref.WeakSet[ServerConnection] = weakref.WeakSet()
        self._servers: list[Server] = []
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
            config.limits, auth_tokens=self._keys.auth_tokens, counters=self.counters
        )
        self._store = await self._open.enter_async_context(open_store(config.store))
        self._sockets = Sockets(
            config,
            keys=self._keys,
            admission=self._admission,
            store=self._store,
            counters=self.counters,
        )
        self._open.push_async_callback(self._sockets.aclose)
        await self._listen()
        if not config.embedded:
            self._watch_lag(asyncio.get_running_loop().time())
        log(logging.INFO, "listening", port=self.port, tls=config.has_tls)

    async def _listen(self) -> None:
        config = self._config
        metrics = None if config.embedded else self._metrics
        here = metrics if config.metrics_listen is None else None
        self._http = PlainHttp(unready=self._unready, metrics=here)
        listeners = [
            GuardedListener.guard(
                listener, admission=self._admission, trusted=config.trusted_proxies
            )
            for listener in await open_listeners(config.host, config.port)
        ]
        names = [listener.getsockname() for listener in listeners]
        self.ports = tuple(name[1] for name in names)
        self.addresses = tuple(
            f"[{name[0]}]:{name[1]}" if ":" in name[0] else f"{name[0]}:{name[1]}" for name in names
        )
        tls: dict[str, Any] = {}
        if self._keys.tls is not None:
            tls["ssl"] = self._keys.tls.context
            tls["ssl_handshake_timeout"] = config.limits.handshake_seconds
        for listener in listeners:
            server = await serve(
                self._sockets.handle,
                sock=listener,
                process_request=self._process_request,
                compression=None,
                open_timeout=config.limits.handshake_seconds,
                ping_interval=PING_INTERVAL,
                ping_timeout=PING_TIMEOUT,
                close_timeout=CLOSE_TIMEOUT,
                max_size=LARGEST_READ,
                logger=_library_log,
                server_header=None,
                create_connection=self._create_connection,  # type: ignore[arg-type] # any factory
                **tls,
            )
            self._servers.append(server)
        if config.metrics_listen is not None:
            await self._listen_for_metrics(PlainHttp(unready=self._unready, metrics=metrics))

    async def _listen_for_metrics(self, http: PlainHttp) -> None:
        assert self._config.metrics_listen is not None, "asked for"
        host, port = self._config.metrics_listen
        for listener in await open_listeners(host, port):
            server = await serve(
                _hang_up,
                sock=listener,
                process_request=lambda connection, request: http.respond(
                    connection, path_of(request)
                ),
                open_timeout=self._config.limits.handshake_seconds,
                logger=_library_log,
                server_header=None,
                create_connection=self._create_connection,  # type: ignore[arg-type] # any factory
            )
            self._servers.append(server)

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
            server.close(code=CLOSE_RESTART if self._drained else CLOSE_GOING_AWAY)
        for connection in list(self._connections):
            # A client that holds a socket and asks for nothing would hold up the end.
            transport = getattr(connection, "transport", None)
            if transport is not None and connection.state is State.CONNECTING:
                transport.abort()
        for server in self._servers:
            await server.wait_closed()
        self._servers.clear()
        await self._open.aclose()

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

    def _create_connection(self, *args: Any, **kwargs: Any) -> ServerConnection:
        connection = ServerConnection(*args, **kwargs)
        self._connections.add(connection)
        return connection

    def _process_request(self, websocket: ServerConnection, request: Request) -> Response | None:
        """Answer plain HTTP; None lets the WebSocket handshake go on."""
        path = path_of(request)
        if path == WEBSOCKET_PATH or OTHER_VERSIONS.fullmatch(path):
            return self._http.not_ready(websocket)
        return self._http.respond(websocket, path)

    def _watch_lag(self, due: float) -> None:
        loop = asyncio.get_running_loop()
        now = loop.time()
        self.counters.loop_lag.observe(max(now - due, 0.0))
        self._lag_timer = loop.call_at(now + LAG_INTERVAL, self._watch_lag, now + LAG_INTERVAL)


async def _hang_up(websocket: ServerConnection) -> None:
    raise AssertionError("every request is answered before it is a WebSocket")
