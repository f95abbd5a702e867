"""Every WebSocket of a server, from its welcome to its end.

What it does: feeds frames to :class:`signal_server.reception.Reception`, carries out what that
says. What the two sides need to reach each other by a relay is added
here, in the moment when both are there.
What it does not: listen; that is :mod:`signal_server.server`.

Shell.
"""

import asyncio
import contextlib
import logging
import re
import secrets
from collections import deque
from collections.abc import Coroutine
from dataclasses import replace
from itertools import islice
from typing import Any

from websockets.http11 import Response

from signal_server.admission import Admission
from signal_server.config import ServerConfig
from signal_server.due_timer import DueTimer
from signal_server.keys import ServerKeys, unix_time
from signal_server.logs import log
from signal_server.messages import IceServer, Peer, ServerMessage, serialize
from signal_server.metrics import Counters
from signal_server.outputs import (
    CLOSE_INTERNAL,
    CLOSE_POLICY,
    CLOSE_RESTART,
    CLOSE_TRY_LATER,
    Close,
    Output,
    RequestRefused,
    Send,
)
from signal_server.plain_http import PlainHttp
from signal_server.plain_upgrade import Asked
from signal_server.reception import Reception
from signal_server.sources import client_address_untrusted, source_of
from signal_server.store.base import Store, StoreUnavailable
from signal_server.turn import ID_BYTES, turn_server
from signal_server.websocket import CLOSE_TIMEOUT, MAX_WAITING_FRAMES, WebSocketConnection

WEBSOCKET_PATH = "/v1"
OTHER_VERSIONS = re.compile(r"/v[0-9]{1,4}", re.ASCII)  # of the protocol, which are told ours
PING_INTERVAL = 20.0  # seconds; below the 30 s after which the strictest NATs drop a mapping
PING_TIMEOUT = 20.0  # seconds; then the socket is dead, and its side away
LOOK_AROUND = 1.0  # seconds between two looks at who has been silent
SMALL_QUEUE = 65_536  # bytes; who has less waiting is not the one who fills the memory
MOVE_BATCH = 200  # sockets that are asked to go elsewhere at once; whoever takes them has others


class Sockets:
    """The WebSockets of one server.

    Args:
        config: Of the server.
        keys: What it has read from files.
        admission: Who may come.
        store: Entered.
        counters: Of the server.
        http: Answers what is no WebSocket.
    """

    def __init__(
        self,
        config: ServerConfig,
        *,
        keys: ServerKeys,
        admission: Admission,
        store: Store,
        counters: Counters,
        http: PlainHttp,
    ) -> None:
        self._config = config
        self._keys = keys
        self._admission = admission
        self._store = store
        self._counters = counters
        self._http = http
        self._welcome = config.welcome
        self._welcome_frame = serialize(self._welcome)
        self._reception = Reception(
            welcome=lambda: self._welcome,
            limits=config.limits,
            store=store,
            admission=admission,
            entropy=secrets.token_bytes,
            output=self._carry_out,
            on_nearer=self._on_nearer,
            counters=counters,
            nameplate_bounds=config.nameplate_bounds,
        )
        # Everything that is connected, and of it the WebSockets that are served.
        self._connections: set[WebSocketConnection] = set()
        self._clients: dict[int, WebSocketConnection] = {}
        self._last_number = 0
        self._empty = asyncio.Event()
        self._closing = False
        # What waits for a store that is elsewhere.
        self._waiting: dict[WebSocketConnection, deque[str | bytes | None]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._loop = asyncio.get_running_loop()
        self._timer = DueTimer(
            next_due=self._reception.get_timer,
            now=store.now,
            handle=self._reception.handle_timer,
            start=self._start,
        )
        self._round = self._loop.call_later(LOOK_AROUND, self._look_around)

    def __len__(self) -> int:
        """Return how many sockets are served."""
        return len(self._clients)

    def census(self) -> dict[str, int]:
        """Return how many mailboxes there are in this process, by state."""
        return self._reception.census()

    def move_on(self) -> None:
        """Ask some of those who wait alone to go elsewhere."""
        there = (self._clients.get(number) for number in self._reception.movable())
        staying = (client for client in there if client is not None and client.is_open)
        for client in islice(staying, MOVE_BATCH):
            client.close(CLOSE_RESTART, "the server restarts")

    async def aclose(self, *, code: int) -> None:
        """Close all connections, in CLOSE_TIMEOUT seconds or so, and end all that is under way."""
        self._closing = True
        self._round.cancel()
        for connection in list(self._connections):
            # A client that holds a connection and asks for nothing would hold up the end.
            connection.close(code, "")
        self._empty.clear()
        if self._connections:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(CLOSE_TIMEOUT):
                    await self._empty.wait()
        for connection in list(self._connections):
            connection.abort()
        if self._connections:
            await self._empty.wait()
        self._timer.close()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    # Connections: what they tell

    def connected(self, connection: WebSocketConnection) -> None:
        """Take note of a connection."""
        self._connections.add(connection)
        if self._closing:
            connection.abort()

    def respond(self, asked: Asked) -> Response | None:
        """Answer plain HTTP; None lets the WebSocket handshake go on."""
        if asked.path == WEBSOCKET_PATH or OTHER_VERSIONS.fullmatch(asked.path):
            return self._http.not_ready()
        return self._http.respond(asked.path)

    def opened(self, connection: WebSocketConnection) -> None:
        """Welcome a WebSocket, if it may stay."""
        address = self._address_of(connection)
        source = connection.source = source_of(address)
        if connection.asked is not None and connection.asked.path != WEBSOCKET_PATH:
            # The welcome says which version this is; no client of another one goes on.
            _say_and_close(connection, self._welcome, CLOSE_POLICY, "version")
            return
        try:
            self._admission.open_socket(source, now=self._store.now())
        except RequestRefused as refusal:
            self._counters.refused(refusal.code)
            log(logging.DEBUG, "socket refused", code=refusal.code, address=address)
            _say_and_close(connection, refusal.message, CLOSE_TRY_LATER, refusal.code)
            return
        self._counters.sockets += 1
        self._last_number += 1
        connection.number = self._last_number
        self._clients[connection.number] = connection
        log(logging.DEBUG, "socket opened", number=connection.number, address=address)
        self._reception.connect(connection.number, source)

    def received(self, connection: WebSocketConnection, message: str | bytes) -> None:
        """Take a message: at once if the store does not wait, else after those before it."""
        if not connection.number:
            return  # it is being refused
        self._do(connection, message)

    def pace(self, connection: WebSocketConnection, units: int) -> float:
        """Count what a source says, and return for how long it is not read."""
        if connection.source is None:
            return 0.0  # an HTTP request is bounded in itself
        return self._admission.pace(connection.source, units, now=self._store.now())

    def queued(self, connection: WebSocketConnection, change: int) -> None:
        """Bound what waits for slow readers: one of them, and all together."""
        self._counters.queued_bytes += change
        size = connection.queued_bytes
        crowded = (
            self._counters.queued_bytes > self._config.limits.max_total_queued_bytes
            and size > SMALL_QUEUE
        )
        if change > 0 and (size > self._config.limits.max_queued_bytes or crowded):
            self._counters.limited("slow_reader")
            connection.abort()  # a closing handshake would wait behind the rest

    def lost(self, connection: WebSocketConnection) -> None:
        """Take note that a connection is gone."""
        self._connections.discard(connection)
        if connection.was_late:
            self._counters.limited("handshake_seconds")
        if connection.number:
            how = "closed" if connection.close_received else "lost"
            log(logging.DEBUG, "socket ended", number=connection.number, how=how)
            del self._clients[connection.number]
            self._counters.sockets -= 1
            if connection.source is not None:
                self._admission.close_socket(connection.source)
            self._reception.gone(connection.number)
            self._do(connection, None)
        if not self._connections:
            self._empty.set()

    # Work

    def _do(self, connection: WebSocketConnection, message: str | bytes | None) -> None:
        """Have the reception take a message; None: the connection is gone."""
        if self._store.immediate:
            _finish(self._take(connection, message))
            return
        waiting = self._waiting.get(connection)
        if waiting is None:
            waiting = self._waiting[connection] = deque()
            self._start(self._work(connection, waiting))
        waiting.append(message)
        if len(waiting) == MAX_WAITING_FRAMES and message is not None:
            connection.pause()

    async def _work(
        self, connection: WebSocketConnection, waiting: deque[str | bytes | None]
    ) -> None:
        """Take what waits of one connection, in order."""
        while waiting:
            await self._take(connection, waiting[0])
            waiting.popleft()
            if len(waiting) == MAX_WAITING_FRAMES // 2:
                connection.resume()
        del self._waiting[connection]

    async def _take(self, connection: WebSocketConnection, message: str | bytes | None) -> None:
        number = connection.number
        try:
            if message is None:
                await self._reception.disconnect(number)
            else:
                await self._reception.receive(number, message)
        except StoreUnavailable:
            log(logging.DEBUG, "socket ended", number=number, how="the store does not answer")
            connection.close(CLOSE_TRY_LATER, "try again")
        except Exception:
            # A bug must end one socket, not go unseen.
            log(logging.ERROR, "socket failed", number=number, exc_info=True)
            connection.close(CLOSE_INTERNAL, "a failure of the server")

    def _on_nearer(self) -> None:
        self._timer.arm()

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _look_around(self) -> None:
        """Ask those who have been silent whether they are there, and drop who does not answer."""
        now = self._loop.time()
        for connection in list(self._clients.values()):
            if connection.pinged_at is not None:
                if now - connection.pinged_at >= PING_TIMEOUT:
                    connection.abort()
            elif now - connection.heard_at >= PING_INTERVAL:
                connection.ping(now)
        self._timer.arm_anew()
        self._round = self._loop.call_later(LOOK_AROUND, self._look_around)

    def _address_of(self, connection: WebSocketConnection) -> str:
        """Return where a client comes from, as far as that can be believed."""
        peer = connection.remote_address or "unknown"
        asked = connection.asked
        if not self._config.trusted_proxies or asked is None:
            return peer
        return client_address_untrusted(
            peer,
            forwarded=asked.forwarded,
            x_forwarded_for=asked.x_forwarded_for,
            trusted=self._config.trusted_proxies,
        )

    def _carry_out(self, output: Output) -> None:
        client = self._clients.get(output.connection)
        if client is None:
            return
        match output:
            case Send(message=message):
                client.send(self._frame_of(message))
            case Close(code=code, reason=reason):
                client.close(code, reason)

    def _frame_of(self, message: ServerMessage) -> str:
        """Return what is sent; with what it takes to reach each other, when both are there."""
        if message is self._welcome:
            return self._welcome_frame
        if isinstance(message, Peer) and message.state in ("joined", "back"):
            relays, permit = self._relays(), self._admission.permit()
            if relays or permit is not None:
                message = replace(message, ice_servers=relays, permit=permit)
        return serialize(message)

    def _relays(self) -> tuple[IceServer, ...]:
        """Return the TURN servers for one client, now that the other side has come."""
        relays = self._config.relays
        if self._keys.turn_secret is None:
            return relays
        own = turn_server(
            self._config.turn_urls,
            secret=self._keys.turn_secret,
            now=unix_time(),
            lifetime=self._config.turn_lifetime,
            entropy=secrets.token_bytes(ID_BYTES),
        )
        return (*relays, own)


def _finish(call: Coroutine[Any, Any, None]) -> None:
    """Run a coroutine that waits for nothing."""
    try:
        call.send(None)
    except StopIteration:
        return
    raise AssertionError("a store that is immediate waits for nothing")


def _say_and_close(
    connection: WebSocketConnection, message: ServerMessage, code: int, reason: str
) -> None:
    """Say one thing to a socket that is not served."""
    connection.send(serialize(message))
    connection.close(code, reason)
