"""What may happen in a room, in the state that it is in: refusals, or the command to log.

What it does: every check that the protocol asks for before something is granted.
What it does not: change anything; :class:`signal_server.mailbox.Room` does that.

Pure. Source: docs/rendezvous-protocol.md, "Errors", "Limits", "Coming back".
"""

from collections.abc import Callable
from dataclasses import dataclass

from signal_server.commands import Away, Command, Enter, Expire, Gone, Leave, Request, Say
from signal_server.limits import Limits
from signal_server.mailbox import Room
from signal_server.messages import Allocate, Claim, Message, Resume
from signal_server.outputs import CLOSE_POLICY, RequestRefused
from signal_server.storage import SIDES, Connection, Side

SMALL_MAILBOX = 8_192  # bytes of one side; a pairing takes 2,000, and it is not what fills a memory
MAX_GENERATIONS = 32  # mailboxes under one name that somebody is still in; the rest is an attack


class Superseded(Exception):
    """The request comes too late: its side has a newer socket, or its own one is gone."""


class NameTaken(Exception):
    """A nameplate that was drawn is in use: draw another one."""


@dataclass(slots=True, eq=False)
class Arrival:
    """One request for a place, decided on until it is in the log.

    Args:
        connection: The socket that asks.
        request: What it asks for.
        token: For a new side.
        limits: When those who are away have left.
        is_alive: Whether a server process lives.
        admit: Called once before a newcomer is let in; raises RequestRefused.
        guess: Called before a newcomer is told whether it hit anything; raises RequestRefused.
        failed: Called when a newcomer hit nothing, or a taken name.
        opens: Called before a newcomer opens a mailbox; raises RequestRefused.
        is_here: Whether the socket is still open, as far as is known.
        drawn: The nameplate was drawn here, not asked for.
    """

    connection: Connection
    request: Request
    token: str
    limits: Limits
    is_alive: Callable[[str], bool]
    admit: Callable[[], None]
    guess: Callable[[], None]
    failed: Callable[[], None]
    opens: Callable[[], None] = lambda: None
    is_here: Callable[[], bool] = lambda: True
    drawn: bool = False
    admitted: bool = False
    entered: bool = False
    """Whether the last decision lets it in; else something was due before."""

    def decide(self, room: Room, now: float) -> Command:
        """Return what to log: the entrance, or what is due before it.

        Raises:
            RequestRefused: It may not come in.
            NameTaken: It may with another nameplate.
            Superseded: It comes too late.
        """
        self.entered = False
        if not self.is_here():
            # What waited for the store must not take the place of who has come again meanwhile.
            raise Superseded
        overdue = due(room, self.limits, now=now) or lost_process(room, self.is_alive)
        if overdue is not None:
            return overdue
        place = room.place_of(self.request)
        if place is None:
            self._check_newcomer(room)
        elif place[1].connection is not None and place[1].connection.is_newer_than(self.connection):
            raise Superseded
        sent = 0 if place is None else place[0].sent_to(place[1])
        if self.request.received > sent:
            raise RequestRefused("bad-message", close=CLOSE_POLICY)
        self.entered = True
        return Enter(self.connection, self.request, self.token)

    def admit_newcomer(self) -> None:
        """Check what needs no look at the room, for a side that is not known there.

        Raises:
            RequestRefused: It may not come in.
        """
        if isinstance(self.request, Resume):
            raise RequestRefused("expired")
        if self.request.received:
            raise RequestRefused("bad-message", close=CLOSE_POLICY)
        if not self.admitted:  # once, however often the room changes meanwhile
            self.admit()
            self.admitted = True

    def _check_newcomer(self, room: Room) -> None:
        self.admit_newcomer()
        if isinstance(self.request, Claim | Allocate) and not self.drawn:
            self.guess()
        match self.request:
            case Allocate() if room.enterable is not None:
                if self.drawn:
                    raise NameTaken
                # Tells that the nameplate is in use, as a claim would.
                self.failed()
                raise RequestRefused("crowded")
            case Claim() if room.enterable is None:
                self.failed()
                raise RequestRefused("not-found")
            case _:
                if len(room.mailboxes) >= MAX_GENERATIONS:
                    raise RequestRefused("full")
        # A claim finds a mailbox that is there, and so does who comes second to a meeting.
        if room.enterable is None or room.enterable.is_full:
            self.opens()


def say(
    room: Room, connection: Connection, message: Message, limits: Limits, *, stored: float
) -> Say | None:
    """Decide on a message.

    Args:
        room: As it is.
        connection: The socket that it came on.
        message: To be passed on.
        limits: Of its side, and of everything.
        stored: Bytes of all bodies kept by this process; infinity if its store is nearly full.

    Returns:
        None when nobody is left to read it, or the side has a newer socket.

    Raises:
        RequestRefused: No room. The socket ends with it: a later, smaller message must not
            overtake this one.
    """
    place = room.place_at(connection)
    if place is None or place[0].ended_at is not None:
        return None
    if not _has_room(place[1], message.size, limits, stored=stored):
        raise RequestRefused("full", close=CLOSE_POLICY)
    return Say(connection, message)


def away(room: Room, connection: Connection) -> Away | None:
    """Decide on a socket that is gone; None when its side has another one by now, or none."""
    return None if room.place_at(connection) is None else Away(connection)


def leave(room: Room, connection: Connection) -> Leave | None:
    """Decide on a release; None when the side has another socket by now, or none."""
    return None if room.place_at(connection) is None else Leave(connection)


def due(room: Room, limits: Limits, *, now: float) -> Expire | None:
    """Return what has run out: a mailbox that is over, one nobody claimed, an absent side."""
    for mailbox in room.mailboxes:
        when = mailbox.deadline(limits)
        if when is None or when > now:
            continue
        inside = [side for side in mailbox.sides if not side.left]
        if mailbox.ended_at is not None:
            return Expire(_tokens(inside), None)
        absent = [
            side
            for side in inside
            if side.away_since is not None and side.away_since + limits.away_seconds <= now
        ]
        return Expire(_tokens(absent or inside), "expired")
    return None


def lost_process(room: Room, is_alive: Callable[[str], bool]) -> Gone | None:
    """Return that a process which has sockets in the room has died."""
    dead = sorted(process for process in room.processes() if not is_alive(process))
    return Gone(dead[0]) if dead else None


def is_final(room: Room, command: Command) -> bool:
    """Return whether nobody is left in the room after ``command``."""
    inside = [side for mailbox in room.mailboxes for side in mailbox.sides if not side.left]
    match command:
        case Leave(connection=connection):
            return [side.connection for side in inside] == [connection]
        case Expire(tokens=tokens):
            return all(side.token in tokens for side in inside)
        case _:
            return False


def is_deserted(room: Room, command: Command) -> bool:
    """Return whether ``command`` leaves sides in the room, and none of them has a socket."""
    there = room.connections()
    match command:
        case Away(connection=connection) | Leave(connection=connection):
            return all(each == connection for each in there)
        case Gone(process=process):
            return all(each.process == process for each in there)
        case Expire(tokens=tokens):
            places = (room.place_with(token) for token in tokens)
            gone = [place[1].connection for place in places if place is not None]
            return all(each in gone for each in there)
        case _:
            return False


def is_small(room: Room, command: Command) -> bool:
    """Return whether ``command`` adds next to nothing to what is kept, and nobody new."""
    match command:
        case Enter():
            return False
        case Say(connection=connection, message=message):
            place = room.place_at(connection)
            return place is not None and place[1].sent_bytes + message.size <= SMALL_MAILBOX
        case _:
            return True


def is_possible(room: Room, command: Command) -> bool:
    """Return whether ``command`` can be carried out: what was decided on elsewhere always can."""
    match command:
        case Say(connection=connection) | Away(connection=connection):
            return room.place_at(connection) is not None
        case Leave(connection=connection):
            return room.place_at(connection) is not None
        case Expire(tokens=tokens):
            return all(room.place_with(token) is not None for token in tokens)
        case Enter(request=request):
            if room.place_of(request) is not None:
                return True
            if isinstance(request, Resume):
                return False
            return not isinstance(request, Claim) or room.enterable is not None
        case Gone():
            return True


def has_place(*, live: int, sides: int, limits: Limits) -> bool:
    """Return whether one more mailbox may be opened.

    Mailboxes that have ended count as well, by their sides, so that nobody can pile them up.
    """
    return live < limits.max_mailboxes and sides < SIDES * limits.max_mailboxes


def _tokens(sides: list[Side]) -> tuple[str, ...]:
    return tuple(side.token for side in sides)


def _has_room(side: Side, size: int, limits: Limits, *, stored: float) -> bool:
    said = side.sent_bytes + size
    # Who fills the memory must not end the pairings of all others with it.
    there_is_room = said <= SMALL_MAILBOX or stored + size <= limits.max_total_bytes
    return len(side.sent) < limits.max_messages and said <= limits.max_bytes and there_is_room
