"""Every WebSocket of a server, from its welcome to its end.

What it does: feeds frames to :class:`signal_server.reception.Reception`, carries out what that
says, and keeps its one timer. What the two sides need to reach each other by a relay is added
here, in the moment when both are there.
What it does not: listen; that is :mod:`signal_server.server`.

Shell.
"""

import asyncio
import datetime
import logging
import secrets
from dataclasses import replace

from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request

from signal_server.admission import Admission
from signal_server.config import ServerConfig
from signal_server.keys import ServerKeys
from signal_server.logs import log
from signal_server.messages import IceServer, Peer, ServerMessage, serialize
from signal_server.metrics import Counters
from signal_server.outgoing import Outgoing
from signal_server.outputs import (
    CLOSE_POLICY,
    CLOSE_RESTART,
    CLOSE_TRY_LATER,
    Close,
    Output,
    RequestRefused,
    Send,
)
from signal_server.reception import Reception
from signal_server.sources import client_address_untrusted, source_of
from signal_server.store.base import Store, StoreUnavailable
from signal_server.turn import ID_BYTES, turn_server

WEBSOCKET_PATH = "/v1"
MOVE_BATCH = 200  # sockets that are asked to go elsewhere at once; whoever takes them has others


class Sockets:
    """The WebSockets of one server.

    Args:
        config: Of the server.
        keys: What it has read from files.
        admission: Who may come.
        store: Entered.
        counters: Of the server.
    """

    def __init__(
        self,
        config: ServerConfig,
        *,
        keys: ServerKeys,
        admission: Admission,
        store: Store,
        counters: Counters,
    ) -> None:
        self._config = config
        self._keys = keys
        self._admission = admission
        self._store = store
        self._counters = counters
        self._welcome = config.welcome
        self._reception = Reception(
            welcome=lambda: self._welcome,
            limits=config.limits,
            store=store,
            admission=admission,
            entropy=secrets.token_bytes,
            output=self._carry_out,
            counters=counters,
            nameplate_bounds=config.nameplate_bounds,
        )
        self._clients: dict[int, Outgoing] = {}
        self._last_number = 0
        self._timer: asyncio.TimerHandle | None = None
        self._timer_task: asyncio.Task[None] | None = None

    def __len__(self) -> int:
        """Return how many sockets are served."""
        return len(self._clients)

    def census(self) -> dict[str, int]:
        """Return how many mailboxes there are in this process, by state."""
        return self._reception.census()

    def move_on(self) -> None:
        """Ask some of those who wait alone to go elsewhere."""
        for number in self._reception.movable()[:MOVE_BATCH]:
            self._clients[number].close(CLOSE_RESTART, "the server restarts")

    async def aclose(self) -> None:
        """End the timer; all sockets are closed."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._timer_task is not None:
            self._timer_task.cancel()
            await asyncio.gather(self._timer_task, return_exceptions=True)

    async def handle(self, websocket: ServerConnection) -> None:
        """Own one WebSocket, from its welcome to its end."""
        address = self._address_of(websocket)
        source = source_of(address)
        request = websocket.request
        if request is not None and path_of(request) != WEBSOCKET_PATH:
            # The welcome says which version this is; no client of another one goes on.
            await _say_and_close(websocket, self._welcome, CLOSE_POLICY, "version")
            return
        try:
            self._admission.open_socket(source, now=self._store.now())
        except RequestRefused as refusal:
            self._counters.refused(refusal.code)
            log(logging.DEBUG, "socket refused", code=refusal.code, address=address)
            await _say_and_close(websocket, refusal.message, CLOSE_TRY_LATER, refusal.code)
            return
        self._counters.sockets += 1
        try:
            await self._serve(websocket, source, address)
        finally:
            self._counters.sockets -= 1
            self._admission.close_socket(source)

    async def _serve(self, websocket: ServerConnection, source: str, address: str) -> None:
        self._last_number += 1
        number = self._last_number
        client = Outgoing(
            websocket,
            counters=self._counters,
            max_bytes=self._config.max_queued_bytes,
            max_total_bytes=self._config.limits.max_total_queued_bytes,
        )
        self._clients[number] = client
        log(logging.DEBUG, "socket opened", number=number, address=address)
        pump = asyncio.get_running_loop().create_task(client.pump())
        try:
            self._reception.connect(number, source)
            self._arm_timer()
            while True:
                frame = await websocket.recv()
                await self._reception.receive(number, frame)
                self._arm_timer()
        except ConnectionClosed as exc:
            how = "closed" if exc.rcvd else "lost"
            log(logging.DEBUG, "socket ended", number=number, how=how)
        except StoreUnavailable:
            log(logging.DEBUG, "socket ended", number=number, how="the store does not answer")
            client.close(CLOSE_TRY_LATER, "try again")
            await asyncio.gather(pump, return_exceptions=True)
        except Exception:
            # The owner of this task: a bug must end one socket, not go unseen.
            log(logging.ERROR, "socket failed", number=number, exc_info=True)
        finally:
            del self._clients[number]
            await self._reception.disconnect(number)
            self._arm_timer()
            client.end()
            pump.cancel()
            await asyncio.gather(pump, return_exceptions=True)

    def _address_of(self, websocket: ServerConnection) -> str:
        """Return where a client comes from, as far as that can be believed."""
        peer = str((websocket.remote_address or ("unknown",))[0])
        if not self._config.trusted_proxies or websocket.request is None:
            return peer
        headers = websocket.request.headers
        return client_address_untrusted(
            peer,
            forwarded=headers.get_all("Forwarded"),
            x_forwarded_for=headers.get_all("X-Forwarded-For"),
            trusted=self._config.trusted_proxies,
        )

    def _carry_out(self, output: Output) -> None:
        client = self._clients.get(output.connection)
        if client is None:
            return
        match output:
            case Send(message=Peer(state="joined" | "back") as peer):
                client.send(serialize(replace(peer, ice_servers=self._relays())))
            case Send(message=message):
                client.send(serialize(message))
            case Close(code=code, reason=reason):
                client.close(code, reason)

    def _relays(self) -> tuple[IceServer, ...]:
        """Return the TURN servers for one client, now that the other side has come."""
        relays = self._config.relays
        if self._keys.turn_secret is None:
            return relays
        own = turn_server(
            self._config.turn_urls,
            secret=self._keys.turn_secret,
            now=datetime.datetime.now(datetime.UTC).timestamp(),
            lifetime=self._config.turn_lifetime,
            entropy=secrets.token_bytes(ID_BYTES),
        )
        return (*relays, own)

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


async def _say_and_close(
    websocket: ServerConnection, message: ServerMessage, code: int, reason: str
) -> None:
    """Say one thing to a socket that is not served."""
    try:
        await websocket.send(serialize(message))
        await websocket.close(code, reason)
    except ConnectionClosed:
        return  # it did not wait for it


def path_of(request: Request) -> str:
    """Return the path of a request, without its query."""
    return request.path.partition("?")[0]
