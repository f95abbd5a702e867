"""The rendezvous server's shell: WebSockets and plain HTTP around the machine.

What it does: listens, feeds frames to :class:`signal_server.mailbox.RendezvousMachine`,
carries out what it returns, and keeps its one timer.
What it does not: decide anything about mailboxes.

Logging: never bodies, nameplates or tokens; source addresses at DEBUG only.
"""

import asyncio
import logging
import secrets
import weakref
from collections import deque
from types import TracebackType
from typing import Any, Self

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response
from websockets.protocol import State

from signal_server.admission import Admission
from signal_server.config import ServerConfig
from signal_server.exposition import CONTENT_TYPE, Exposition
from signal_server.limits import source_of
from signal_server.listeners import open_listeners
from signal_server.messages import MAX_FRAME, serialize
from signal_server.outputs import CLOSE_TRY_LATER, Close, Output, Send
from signal_server.reception import Reception
from signal_server.store.base import Store, StoreUnavailable
from signal_server.store.opening import open_store

WEBSOCKET_PATH = "/v1"
OPEN_TIMEOUT = 10.0  # seconds for the HTTP request; more is a client that only holds a socket
PING_INTERVAL = 20.0  # seconds; below the 30 s after which the strictest NATs drop a mapping
PING_TIMEOUT = 20.0  # seconds; then the socket is dead, and its side away
CLOSE_TIMEOUT = 2.0  # seconds for the closing handshake; the peer may be gone
FLUSH_TIMEOUT = 5.0  # seconds to take the last frames and the close; then the socket is dropped
LARGEST_READ = 2 * MAX_FRAME  # bytes; a frame somewhat too large gets an answer, above it a close

_log = logging.getLogger("rtcsend.rendezvous.server")

# The library logs whole frames at DEBUG, tokens and TURN credentials among them, and every
# port scan as an error with a traceback.
_library_log = logging.getLogger("rtcsend.rendezvous.server.websockets")
_library_log.setLevel(logging.CRITICAL)


class _Client:
    """One WebSocket with what waits to be sent on it.

    Frames are queued, so that one slow reader holds up nobody else; ``pump`` alone sends.
    """

    def __init__(self, websocket: ServerConnection, *, max_queued_bytes: int) -> None:
        self._websocket = websocket
        self._max_queued_bytes = max_queued_bytes
        self._frames: deque[str] = deque()
        self._queued_bytes = 0
        self._close: tuple[int, str] | None = None
        self._wake = asyncio.Event()
        self._abort_timer: asyncio.TimerHandle | None = None

    def send(self, frame: str) -> None:
        """Queue a frame; with too much in the queue, drop the socket (its side can resume)."""
        if self._close is not None:
            return
        self._frames.append(frame)
        self._queued_bytes += len(frame)
        if self._queued_bytes > self._max_queued_bytes:
            self._frames.clear()
            self._close = (CLOSE_TRY_LATER, "reading too slowly")
            self._websocket.transport.abort()  # a closing handshake would wait behind the rest
        self._wake.set()

    def close(self, code: int, reason: str) -> None:
        """Close the socket when everything queued before is sent, but soon in any case."""
        if self._close is not None:
            return
        self._close = (code, reason)
        self._abort_timer = asyncio.get_running_loop().call_later(
            FLUSH_TIMEOUT, self._websocket.transport.abort
        )
        self._wake.set()

    def end(self) -> None:
        """Give up the timer; the socket is gone."""
        if self._abort_timer is not None:
            self._abort_timer.cancel()

    async def pump(self) -> None:
        """Send what is queued until the socket is to be closed, and close it."""
        while True:
            self._wake.clear()
            while self._frames:
                frame = self._frames.popleft()
                await self._websocket.send(frame)
                self._queued_bytes -= len(frame)
            if self._close is not None:
                await self._websocket.close(*self._close)
                return
            await self._wake.wait()


class RendezvousServer:
    """A rendezvous server, running while it is entered.

    Example::

        async with RendezvousServer(ServerConfig(port=0)) as server:
            print(server.port)

    Leaving it closes all sockets (code 1001) and ends all tasks.
    """

    def __init__(self, config: ServerConfig | None = None) -> None:
        self._config = config or ServerConfig()
        self._store: Store
        self._reception: Reception
        self._clients: dict[int, _Client] = {}
        self._connections: weakref.WeakSet[ServerConnection] = weakref.WeakSet()
        self._last_number = 0
        self._servers: list[Server] = []
        self._timer: asyncio.TimerHandle | None = None
        self._timer_task: asyncio.Task[None] | None = None
        self.ports: tuple[int, ...] = ()
        """Port of each listening socket; all the same."""
        self.addresses: tuple[str, ...] = ()
        """Address of each listening socket, as ``host:port`` with IPv6 in brackets."""

    @property
    def port(self) -> int:
        """The port that clients connect to."""
        return self.ports[0]

    async def __aenter__(self) -> Self:
        """Listen.

        Raises:
            OSError: The host or the port cannot be had.
        """
        self._store = open_store()
        await self._store.__aenter__()
        self._reception = Reception(
            welcome=lambda: self._config.welcome,
            limits=self._config.limits,
            store=self._store,
            admission=Admission(self._config.limits),
            entropy=secrets.token_bytes,
            output=self._carry_out,
            nameplate_bounds=self._config.nameplate_bounds,
        )
        listeners = await open_listeners(self._config.host, self._config.port)
        names = [listener.getsockname() for listener in listeners]
        self.ports = tuple(name[1] for name in names)
        self.addresses = tuple(
            f"[{name[0]}]:{name[1]}" if ":" in name[0] else f"{name[0]}:{name[1]}" for name in names
        )
        for listener in listeners:
            server = await serve(
                self._handle,
                sock=listener,
                process_request=self._process_request,
                compression=None,
                open_timeout=OPEN_TIMEOUT,
                ping_interval=PING_INTERVAL,
                ping_timeout=PING_TIMEOUT,
                close_timeout=CLOSE_TIMEOUT,
                max_size=LARGEST_READ,
                logger=_library_log,
                server_header=None,
                create_connection=self._create_connection,  # type: ignore[arg-type] # any factory
            )
            self._servers.append(server)
        _log.info("= listening on port %d", self.port)
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close everything."""
        for server in self._servers:
            server.close()
        for connection in list(self._connections):
            # A client that holds a socket and asks for nothing would hold up the end.
            transport = getattr(connection, "transport", None)
            if transport is not None and connection.state is State.CONNECTING:
                transport.abort()
        for server in self._servers:
            await server.wait_closed()
        self._servers.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._timer_task is not None:
            self._timer_task.cancel()
            await asyncio.gather(self._timer_task, return_exceptions=True)
        await self._store.__aexit__(None, None, None)
        _log.info("x closed")

    async def serve_forever(self) -> None:
        """Wait until the server is closed; cancelling it leaves the closing to ``__aexit__``."""
        await asyncio.gather(*(server.wait_closed() for server in self._servers))

    def _create_connection(self, *args: Any, **kwargs: Any) -> ServerConnection:
        connection = ServerConnection(*args, **kwargs)
        self._connections.add(connection)
        return connection

    async def _handle(self, websocket: ServerConnection) -> None:
        """Own one WebSocket, from its welcome to its end."""
        self._last_number += 1
        number = self._last_number
        client = _Client(websocket, max_queued_bytes=self._config.max_queued_bytes)
        self._clients[number] = client
        address = str((websocket.remote_address or ("unknown",))[0])
        _log.debug("= socket %d from %s", number, address)
        loop = asyncio.get_running_loop()
        pump = loop.create_task(client.pump())
        try:
            self._reception.connect(number, source_of(address))
            self._arm_timer()
            while True:
                frame = await websocket.recv()
                await self._reception.receive(number, frame)
                self._arm_timer()
        except ConnectionClosed as exc:
            _log.debug("x socket %d: %s", number, "closed" if exc.rcvd else "lost")
        except StoreUnavailable:
            _log.debug("x socket %d: the store does not answer", number)
            client.close(CLOSE_TRY_LATER, "try again")
            await pump
        except Exception:
            # The owner of this task: a bug must end one socket, not go unseen.
            _log.exception("! socket %d", number)
        finally:
            del self._clients[number]
            await self._reception.disconnect(number)
            self._arm_timer()
            client.end()
            pump.cancel()
            await asyncio.gather(pump, return_exceptions=True)

    def _carry_out(self, output: Output) -> None:
        """Do what the reception says."""
        client = self._clients.get(output.connection)
        if client is None:
            return
        match output:
            case Send(message=message):
                client.send(serialize(message))
            case Close(code=code, reason=reason):
                client.close(code, reason)

    def _arm_timer(self) -> None:
        """Have the timer go off when something is due; too early does no harm."""
        when = self._reception.get_timer()
        loop = asyncio.get_running_loop()
        if when is None or self._timer_task is not None:
            return
        at = loop.time() + when - self._store.now()
        if self._timer is not None:
            if self._timer.when() <= at:
                return
            self._timer.cancel()
        self._timer = loop.call_at(at, self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        self._timer_task = asyncio.get_running_loop().create_task(self._handle_timer())

    async def _handle_timer(self) -> None:
        try:
            await self._reception.handle_timer()
        finally:
            self._timer_task = None
            self._arm_timer()

    def _process_request(self, websocket: ServerConnection, request: Request) -> Response | None:
        """Answer plain HTTP; None lets the WebSocket handshake go on."""
        path = request.path.partition("?")[0]
        if path == WEBSOCKET_PATH:
            return None
        if path == "/healthz":
            return websocket.respond(200, "ok\n")
        if path == "/metrics":
            response = websocket.respond(200, self._metrics())
            del response.headers["Content-Type"]
            response.headers["Content-Type"] = CONTENT_TYPE
            return response
        return websocket.respond(404, "There is nothing here.\n")

    def _metrics(self) -> str:
        exposition = Exposition(
            self._reception.counters,
            census=self._reception.census,
            is_draining=lambda: False,
            is_available=lambda: self._store.available,
            version="",
        )
        return exposition.render().decode()
