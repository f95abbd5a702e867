"""Everything under one name, as a machine: commands go in, frames and closed sockets come out.

What it does: carries out commands, one after the other. The same commands at the same times
give the same state and the same outputs in every process, which is what
:mod:`signal_server.store` builds on.
What it does not: refuse anything (:mod:`signal_server.decisions` comes before), know
sockets that are in no mailbox (:mod:`signal_server.reception`), or do I/O.

Pure. Source: docs/rendezvous-protocol.md, "Mailboxes", "Presence", "Coming back".
"""

from collections.abc import Iterator
from typing import Literal, NamedTuple

from signal_server.commands import Away, Command, Enter, Expire, Gone, Leave, Request, Say
from signal_server.limits import Limits
from signal_server.messages import (
    Allocate,
    Allocated,
    Claim,
    Claimed,
    Meet,
    Message,
    Peer,
    PeerState,
    Resume,
    Resumed,
    ServerMessage,
)
from signal_server.outputs import (
    CLOSE_DONE,
    CLOSE_POLICY,
    CLOSE_REPLACED,
    CLOSE_TRY_LATER,
    error_message,
)
from signal_server.storage import Connection, Mailbox, Name, Side, SideKey

Place = tuple[Mailbox, Side]
Outcome = Literal["released", "away", "unclaimed", "replaced"]


class Ending(NamedTuple):
    """A socket is closed, and is in no mailbox any more."""

    code: int
    reason: str


Told = tuple[Connection, ServerMessage | Ending]
"""What a socket, of whatever process, is told."""


class Facts(NamedTuple):
    """What a command has changed, for those who count."""

    opened: bool = False
    waited: float | None = None
    """Seconds from the first side to the second, which has just come."""
    ended: Outcome | None = None


NOTHING = Facts()


class Room:
    """The mailboxes under one name: at most one that can be entered, and those before it.

    A nameplate is free as soon as its mailbox is claimed, a meeting's name as soon as a side
    has left; those inside still find their places by token or repeated request.
    """

    __slots__ = ("_facts", "_told", "mailboxes", "name", "sides", "stored_bytes")

    def __init__(self, name: Name) -> None:
        self.name = name
        self.mailboxes: list[Mailbox] = []
        self.sides = 0
        """In all mailboxes, without those that have left one."""
        self.stored_bytes = 0
        """Of the bodies in all mailboxes."""
        self._told: list[Told] = []
        self._facts = NOTHING

    @property
    def enterable(self) -> Mailbox | None:
        """The mailbox that a newcomer would find."""
        if not self.mailboxes:
            return None
        last = self.mailboxes[-1]
        taken = last.is_full and self.name.kind == "nameplate"
        return None if taken or last.ended_at is not None else last

    def place_of(self, request: Request) -> Place | None:
        """Return the place of a side that asks again, or comes back with its token."""
        if isinstance(request, Resume):
            return self.place_with(request.token)
        key = key_of(request)
        places = ((box, side) for box, side in self._places() if side.key == key)
        return None if key is None else next(places, None)

    def place_at(self, connection: Connection) -> Place | None:
        """Return the place that a socket is attached to."""
        for mailbox in self.mailboxes:  # asked for each message: no generators
            for side in mailbox.sides:
                if side.connection == connection:
                    return mailbox, side
        return None

    def place_with(self, token: str) -> Place | None:
        """Return the place of the side that has a token."""
        return next(((box, side) for box, side in self._places() if side.token == token), None)

    def connections(self) -> list[Connection]:
        """Return the sockets in here."""
        return [side.connection for _, side in self._places() if side.connection is not None]

    def processes(self) -> set[str]:
        """Return the processes that have a socket in here."""
        return {connection.process for connection in self.connections()}

    def deadline(self, limits: Limits) -> float | None:
        """Return when something here expires, or None."""
        times = (mailbox.deadline(limits) for mailbox in self.mailboxes)
        return min((when for when in times if when is not None), default=None)

    def apply(self, command: Command, *, now: float) -> tuple[list[Told], Facts]:
        """Carry out a command that was decided on in this very state."""
        match command:
            case Say(connection=connection, message=message):
                self._on_say(connection, message)
            case Enter():
                self._on_enter(command, now=now)
            case Away(connection=connection):
                self._on_away(connection, now=now)
            case Leave(connection=connection):
                self._on_leave(connection, now=now)
            case Expire(tokens=tokens, code=code):
                for token in tokens:
                    self._on_expire(token, code, now=now)
            case Gone(process=process):
                self._on_gone(process, now=now)
        told, self._told = self._told, []
        facts, self._facts = self._facts, NOTHING
        return told, facts

    # Coming

    def _on_enter(self, command: Enter, *, now: float) -> None:
        request = command.request
        place = self.place_of(request)
        if place is None:
            assert not isinstance(request, Resume), "decided on with a place"
            mailbox = self._mailbox_for(request, now=now)
            side = Side(command.token, key_of(request), None, away_since=now)
            mailbox.sides.append(side)
            self.sides += 1
            if mailbox.is_full:
                self._facts = self._facts._replace(waited=now - mailbox.created)
        else:
            mailbox, side = place
        self._attach(command.connection, mailbox, side, "joined" if place is None else "back")
        self._tell(side, _answer(request, self.name, side))
        other = mailbox.other(side)
        if other is not None:
            for message in other.sent[request.received :]:
                self._tell(side, message)
            self._tell(side, Peer(_snapshot(mailbox, other)))

    def _mailbox_for(self, request: Allocate | Claim | Meet, *, now: float) -> Mailbox:
        mailbox = self.enterable
        if mailbox is not None and mailbox.is_full:
            self._end_meeting(mailbox, now=now)
            mailbox = None
        if mailbox is None:
            assert not isinstance(request, Claim), "decided on with a mailbox"
            mailbox = Mailbox(created=now)
            self.mailboxes.append(mailbox)
            self._facts = self._facts._replace(opened=True)
        return mailbox

    def _end_meeting(self, mailbox: Mailbox, *, now: float) -> None:
        """Make room for a third.

        Only the two know the name. So a third is one of them, restarted, or on a new network
        while its old socket has not been missed yet: the old meeting ends, and the other side
        can come to the new one.
        """
        absent = [side for side in mailbox.sides if side.connection is None]
        # Which of two sockets is the dead one cannot be seen; who lives comes again.
        for side in absent or mailbox.sides[:1]:
            self._close(side, CLOSE_REPLACED, "replaced")
            self._leave(mailbox, side, "replaced", now=now)

    def _attach(
        self, connection: Connection, mailbox: Mailbox, side: Side, presence: PeerState
    ) -> None:
        """Put ``side`` on a socket, and tell the other side of its presence."""
        if side.connection is not None:
            # The same side on a new socket: the old one is dead and does not know it yet.
            self._close(side, CLOSE_REPLACED, "replaced")
        else:
            self._tell(mailbox.other(side), Peer(presence))
        side.connection, side.away_since = connection, None

    # Speaking and going

    def _on_say(self, connection: Connection, message: Message) -> None:
        mailbox, side = self._expected(connection)
        size = message.size
        side.sent.append(message)
        side.sent_bytes += size
        self.stored_bytes += size
        self._tell(mailbox.other(side), message)

    def _on_away(self, connection: Connection, *, now: float) -> None:
        self._detach(*self._expected(connection), now=now)

    def _on_gone(self, process: str, *, now: float) -> None:
        for mailbox, side in list(self._places()):
            if side.connection is not None and side.connection.process == process:
                self._tell(side, Ending(CLOSE_TRY_LATER, "given up"))  # it may live after all
                self._detach(mailbox, side, now=now)

    def _detach(self, mailbox: Mailbox, side: Side, *, now: float) -> None:
        side.connection, side.away_since = None, now
        self._tell(mailbox.other(side), Peer("away"))

    def _on_leave(self, connection: Connection, *, now: float) -> None:
        mailbox, side = self._expected(connection)
        self._close(side, CLOSE_DONE, "released")
        self._leave(mailbox, side, "released", now=now)

    def _on_expire(self, token: str, code: str | None, *, now: float) -> None:
        place = self.place_with(token)
        assert place is not None, "decided on with a place"
        mailbox, side = place
        if code is not None:
            self._tell(side, error_message("expired"))
        self._close(side, CLOSE_DONE if code is None else CLOSE_POLICY, code or "over")
        self._leave(mailbox, side, "away" if mailbox.is_full else "unclaimed", now=now)

    def _leave(self, mailbox: Mailbox, side: Side, outcome: Outcome, *, now: float) -> None:
        """Take ``side`` out for good, and tell the other one."""
        if mailbox.ended_at is None:
            mailbox.ended_at = now
            self._facts = self._facts._replace(ended=outcome)
            self._tell(mailbox.other(side), Peer("left"))
        side.left = True
        side.away_since = None
        self.sides -= 1
        if mailbox.is_over:
            self.mailboxes.remove(mailbox)
            self.stored_bytes -= sum(each.sent_bytes for each in mailbox.sides)

    def _close(self, side: Side, code: int, reason: str) -> None:
        self._tell(side, Ending(code, reason))
        side.connection = None

    def _tell(self, side: Side | None, what: ServerMessage | Ending) -> None:
        if side is not None and side.connection is not None:
            self._told.append((side.connection, what))

    # Places

    def _places(self) -> Iterator[Place]:
        for mailbox in self.mailboxes:
            for side in mailbox.sides:
                if not side.left:
                    yield mailbox, side

    def _expected(self, connection: Connection) -> Place:
        place = self.place_at(connection)
        assert place is not None, "decided on with a place"
        return place


def key_of(request: Request) -> SideKey | None:
    """Return what makes a repeated request the same request; None when nothing does."""
    if isinstance(request, Resume) or request.side is None:
        return None
    match request:
        case Allocate(nameplate=nameplate):
            return SideKey("allocate", nameplate or "", request.side)
        case Claim(nameplate=nameplate):
            return SideKey("claim", nameplate, request.side)
        case Meet(mailbox=mailbox):
            return SideKey("meet", mailbox, request.side)


def _answer(request: Request, name: Name, side: Side) -> Allocated | Claimed | Resumed:
    received = len(side.sent)
    if isinstance(request, Allocate):
        return Allocated(nameplate=name.text, token=side.token, received=received)
    if isinstance(request, Resume):
        return Resumed(received=received)
    return Claimed(token=side.token, received=received)


def _snapshot(mailbox: Mailbox, other: Side) -> PeerState:
    """Return what a side that attaches is told of the other one."""
    if mailbox.ended_at is not None:
        return "left"
    return "joined" if other.connection is not None else "away"
