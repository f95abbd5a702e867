"""The sockets of one server process: what they ask for, and where each of them is.

What it does: takes frames, has them decided on in the right room, and hands out what sockets
are told; closes those that ask for nothing; lets what is due happen.
What it does not: I/O, sockets and clock apart; :mod:`signal_server.server` does that. It waits
for nothing but its store, and not at all with the one in memory.

Pure. Source: docs/rendezvous-protocol.md.
"""

from collections.abc import Callable
from functools import partial

from signal_server import decisions
from signal_server.admission import Admission
from signal_server.commands import Command, Enter, Request, Say
from signal_server.deadlines import Deadlines
from signal_server.decisions import Superseded
from signal_server.entrance import FULL_RETRY, Entrance
from signal_server.limits import Limits
from signal_server.mailbox import Ending, Facts, Room, Told
from signal_server.messages import (
    Allocate,
    Claim,
    ClientMessage,
    Meet,
    Message,
    Release,
    Report,
    Resume,
    ServerMessage,
    Welcome,
)
from signal_server.metrics import Counters
from signal_server.open_socket import OpenSocket
from signal_server.outputs import (
    CLOSE_DONE,
    CLOSE_POLICY,
    CLOSE_REPLACED,
    CLOSE_TRY_LATER,
    Close,
    Output,
    RequestRefused,
    Send,
    parse_frame_untrusted,
)
from signal_server.storage import Connection, Name
from signal_server.store.base import Decide, Store, StoreUnavailable

MAX_REFUSALS = 16  # of one socket: people mistype, and programs that go on and on take our time
RETRY_SECONDS = 1.0  # until the store is asked again, when it did not answer
_UNTOLD = 0  # among the deadlines; sockets are numbered from 1


class Reception:
    """All sockets of a process.

    Contract: numbers of sockets are the caller's, from 1 on, and rise in the order they were
    opened. Frames of one socket come one after the other. Arm one timer at :meth:`get_timer`
    when it may have come nearer, and when it went off. Times are those of the store's clock.

    Args:
        welcome: Returns the first frame for everybody.
        limits: What mailboxes and this process may take.
        store: Where the rooms are; this becomes its listener.
        admission: What sources may do.
        entropy: Returns that many unforeseeable bytes.
        output: Takes each thing to do, in order; must not block.
        on_nearer: Called when :meth:`get_timer` may have come nearer.
        nameplate_bounds: Smallest and largest nameplate to draw first.
    """

    def __init__(
        self,
        *,
        welcome: Callable[[], Welcome],
        limits: Limits,
        store: Store,
        admission: Admission,
        entropy: Callable[[int], bytes],
        output: Callable[[Output], None],
        on_nearer: Callable[[], None] = lambda: None,
        counters: Counters | None = None,
        nameplate_bounds: tuple[int, int] | None = None,
    ) -> None:
        self._welcome = welcome
        self._limits = limits
        self._store = store
        self._output = output
        self._entrance = Entrance(
            limits=limits,
            store=store,
            admission=admission,
            entropy=entropy,
            nameplate_bounds=nameplate_bounds,
        )
        self.counters = counters or Counters()
        # Who is here, and what runs out: rooms, and socket numbers.
        self._sockets: dict[int, OpenSocket] = {}
        self._deadlines: Deadlines[Name | int] = Deadlines(on_nearer)
        # Sockets that are gone, which the store could not be told.
        self._untold: dict[Connection, Name] = {}
        store.listen(self)

    # Sockets

    def connect(self, number: int, source: str) -> None:
        """Take a new socket from ``source`` (:func:`signal_server.sources.source_of`)."""
        if len(self._sockets) >= self._limits.max_sockets:
            refusal = RequestRefused("full", close=CLOSE_TRY_LATER, retry_after=FULL_RETRY)
            self._output(Send(number, refusal.message))
            self._output(Close(number, CLOSE_TRY_LATER, "full"))
            return
        now = self._store.now()
        connection = Connection(now, self._store.process, number)
        self._sockets[number] = OpenSocket(connection, source)
        self._deadlines.set(number, self._unattached_until(connection))
        self._output(Send(number, self._welcome()))

    async def receive(self, number: int, frame: str | bytes) -> None:
        """Take one frame; bytes stand for a binary frame. Frames of closed sockets are ignored.

        Raises:
            StoreUnavailable: The store does not answer; close the socket.
        """
        socket = self._sockets.get(number)
        if socket is None:
            return
        try:
            message = parse_frame_untrusted(frame, max_frame=self._limits.max_frame)
            if isinstance(message, Message) and socket.room is not None:  # nearly all are
                await self._store.commit(socket.room, partial(self._say, socket, message))
            else:
                await self._dispatch(socket, message)
        except RequestRefused as refusal:
            await self._refuse(socket, refusal)
        except Superseded:
            await self._close(socket, CLOSE_REPLACED, "replaced")

    def gone(self, number: int) -> None:
        """Take note at once that a socket is gone; :meth:`disconnect` follows in its turn."""
        socket = self._sockets.get(number)
        if socket is not None:
            socket.is_gone = True

    async def disconnect(self, number: int) -> None:
        """Have a socket that is gone be away; it may be one that was closed here."""
        socket = self._sockets.get(number)
        if socket is not None:
            await self._forget(socket)

    async def handle_timer(self) -> None:
        """Do everything that is due."""
        while (key := self._deadlines.pop_due(now=self._store.now())) is not None:
            try:
                if isinstance(key, Name):
                    await self._on_room_due(key)
                elif key == _UNTOLD:
                    await self._tell_untold()
                else:
                    await self._close(self._sockets[key], CLOSE_POLICY, "nothing asked for")
            except StoreUnavailable:
                self._deadlines.set(key, self._store.now() + RETRY_SECONDS)

    def get_timer(self) -> float | None:
        """Return when :meth:`handle_timer` has something to do, or None."""
        return self._deadlines.next()

    def movable(self) -> list[int]:
        """Return the sockets that lose nothing by going elsewhere: nobody is there with them."""
        return [number for number, socket in self._sockets.items() if not self._is_paired(socket)]

    def census(self) -> dict[str, int]:
        """Return how many of the mailboxes here are waiting, paired and ended."""
        return self._store.directory.census()

    # Frames

    async def _dispatch(self, socket: OpenSocket, message: ClientMessage) -> None:
        match message:
            case Message():
                raise RequestRefused("bad-message", close=CLOSE_POLICY)
            case Release():
                await self._on_release(socket)
            case Report(route=route):
                if socket.room is None:
                    raise RequestRefused("bad-message", close=CLOSE_POLICY)
                if not socket.has_reported:  # a socket is good for one
                    socket.has_reported = True
                    self.counters.report(route)
            case Allocate() | Claim() | Meet() | Resume():
                if socket.room is not None:
                    raise RequestRefused("bad-message", close=CLOSE_POLICY)
                await self._on_request(socket, message)

    async def _on_request(self, socket: OpenSocket, request: Request) -> None:
        """Let it in, and meanwhile not be closed for having asked for nothing."""
        number = socket.connection.number
        self._deadlines.set(number, None)
        try:
            await self._entrance.enter(socket, request)
        finally:
            if socket.room is None and number in self._sockets:
                self._deadlines.set(number, self._unattached_until(socket.connection))

    def _say(self, socket: OpenSocket, message: Message, room: Room, _now: float) -> Say | None:
        stored = self._store.stored_bytes()
        return decisions.say(room, socket.connection, message, self._limits, stored=stored)

    async def _on_release(self, socket: OpenSocket) -> None:
        if socket.room is not None:
            await self._store.commit(socket.room, _leaving(socket.connection))
        if socket.connection.number in self._sockets:  # it was in no mailbox
            await self._close(socket, CLOSE_DONE, "released")

    # What commands have come to: the store's listener

    def carried_out(
        self, room: Room, command: Command, told: list[Told], facts: Facts, *, own: bool
    ) -> None:
        """Take what a command, of whatever process, has come to."""
        if isinstance(command, Enter) and facts.waited is None:
            self._hold(command.connection, room, again=not facts.opened)
        for connection, what in told:
            if connection.process == self._store.process:
                self._tell(connection, what)
        if isinstance(command, Say):
            if own:
                self.counters.message(command.message.size)
            return
        self._deadlines.set(room.name, room.deadline(self._limits))
        if own:
            self._count(facts)

    def let_go(self, room: Room) -> None:
        """Forget what is due in a room where no socket of this process is."""
        self._deadlines.set(room.name, None)

    def lost(self, room: Room) -> None:
        """Close the sockets of a room that the store has lost; they have to ask again."""
        self._deadlines.set(room.name, None)
        for connection in room.connections():
            if connection.process == self._store.process:
                self._tell(connection, Ending(CLOSE_TRY_LATER, "lost"))

    def _hold(self, connection: Connection, room: Room, *, again: bool) -> None:
        """Count a mailbox for the source of a socket here that has opened it, or has come back."""
        place = room.place_at(connection)
        if connection.process == self._store.process and connection.number in self._sockets:
            source = self._sockets[connection.number].source
            if place is not None:
                self._entrance.hold(source, room.name, place[0], again=again)

    def _tell(self, connection: Connection, what: ServerMessage | Ending) -> None:
        number = connection.number
        if number not in self._sockets:
            return
        if isinstance(what, Ending):
            self._drop(number)
            self._output(Close(number, what.code, what.reason))
        else:
            self._output(Send(number, what))

    def _count(self, facts: Facts) -> None:
        if facts.opened:
            self.counters.opened()
        if facts.waited is not None:
            self.counters.paired(facts.waited)
        if facts.ended is not None:
            self.counters.ended(facts.ended)

    # Ends

    async def _refuse(self, socket: OpenSocket, refusal: RequestRefused) -> None:
        self.counters.refused(refusal.code)
        if socket.connection.number not in self._sockets:
            return
        self._output(Send(socket.connection.number, refusal.message))
        socket.refusals += 1
        if refusal.close is not None:
            await self._close(socket, refusal.close, refusal.code)
        elif socket.refusals >= MAX_REFUSALS:
            await self._close(socket, CLOSE_POLICY, refusal.code)

    async def _close(self, socket: OpenSocket, code: int, reason: str) -> None:
        if socket.connection.number in self._sockets:
            self._output(Close(socket.connection.number, code, reason))
            await self._forget(socket)

    async def _forget(self, socket: OpenSocket) -> None:
        """Forget a socket, and have its side be away."""
        self._drop(socket.connection.number)
        if socket.room is None:
            return
        try:
            await self._store.commit(socket.room, _going(socket.connection))
        except StoreUnavailable:
            self._untold[socket.connection] = socket.room
            self._deadlines.set(_UNTOLD, self._store.now() + RETRY_SECONDS)

    def _unattached_until(self, connection: Connection) -> float:
        return connection.opened + self._limits.unattached_seconds

    def _drop(self, number: int) -> None:
        del self._sockets[number]
        self._deadlines.set(number, None)

    async def _on_room_due(self, name: Name) -> None:
        """Have what is due in a room happen."""
        while (room := self._store.directory.get(name)) is not None:
            now = self._store.now()
            if decisions.due(room, self._limits, now=now) is None:
                self._deadlines.set(name, room.deadline(self._limits))
                return
            await self._store.commit(name, self._due)

    async def _tell_untold(self) -> None:
        """Tell the store of sockets that went while it did not answer."""
        for connection, name in list(self._untold.items()):
            await self._store.commit(name, _going(connection))
            del self._untold[connection]

    def _due(self, room: Room, now: float) -> Command | None:
        return decisions.due(room, self._limits, now=now)

    def _is_paired(self, socket: OpenSocket) -> bool:
        room = None if socket.room is None else self._store.directory.get(socket.room)
        place = None if room is None else room.place_at(socket.connection)
        return place is not None and place[0].is_full and place[0].ended_at is None


def _going(connection: Connection) -> Decide:
    return lambda room, _now: decisions.away(room, connection)


def _leaving(connection: Connection) -> Decide:
    return lambda room, _now: decisions.leave(room, connection)
