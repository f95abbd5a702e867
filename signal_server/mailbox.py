"""The rendezvous server as a machine: sockets come, ask, speak and go; here is what follows.

What it does: everything the protocol says of the server. Each call returns what to do, in
order: frames to send and sockets to close.
What it does not: any I/O; :mod:`signal_server.server` does that, and calls
:meth:`RendezvousMachine.handle_timer` at :meth:`RendezvousMachine.get_timer`.

Pure. Source: docs/rendezvous-protocol.md.
"""

from collections.abc import Callable
from dataclasses import dataclass

from signal_server.deadlines import Deadlines
from signal_server.directory import Directory
from signal_server.limits import Limits, TokenBuckets
from signal_server.messages import (
    SIDE_BYTES,
    Allocate,
    Allocated,
    Claim,
    Claimed,
    ClientMessage,
    ErrorCode,
    Meet,
    Message,
    Peer,
    PeerState,
    Release,
    Resume,
    Resumed,
    ServerMessage,
    Welcome,
    encode_base64url,
)
from signal_server.metrics import Counters
from signal_server.nameplates import draw_nameplate
from signal_server.outputs import (
    CLOSE_DONE,
    CLOSE_POLICY,
    CLOSE_REPLACED,
    CLOSE_TRY_LATER,
    Close,
    Output,
    RequestRefused,
    Send,
    error_message,
    parse_frame_untrusted,
)
from signal_server.storage import SIDES, Mailbox, Name, Side


@dataclass(slots=True, eq=False)
class _Socket:
    """One open socket, attached to a side or not yet."""

    number: int
    source: str
    mailbox: Mailbox | None = None
    side: Side | None = None


class RendezvousMachine:
    """The whole server, sockets and clock apart. Sans-I/O.

    Contract: numbers of sockets are the caller's and rise in the order they were opened. Do
    what each call returns, in order, then arm one timer at :meth:`get_timer`.

    Args:
        welcome: The first frame for everybody.
        limits: What clients may take.
        entropy: Returns that many unforeseeable bytes.
        nameplate_bounds: Smallest and largest nameplate to draw first, see
            :func:`signal_server.nameplates.draw_nameplate`.
    """

    def __init__(
        self,
        *,
        welcome: Welcome,
        limits: Limits,
        entropy: Callable[[int], bytes],
        nameplate_bounds: tuple[int, int] | None = None,
    ) -> None:
        self._welcome = welcome
        self._limits = limits
        self._entropy = entropy
        self._nameplate_bounds = nameplate_bounds
        # Who is here.
        self._sockets: dict[int, _Socket] = {}
        self._directory = Directory()
        # What runs out.
        self._deadlines: Deadlines[Mailbox | int] = Deadlines()  # mailboxes, and socket numbers
        self._failures = TokenBuckets(
            capacity=limits.failed_claims,
            refill_per_s=limits.failed_claims_per_s,
            max_sources=limits.max_sources,
        )
        self.counters = Counters()
        self._outputs: list[Output] = []

    def connect(self, connection: int, source: str, *, now: float) -> list[Output]:
        """Take a new socket from ``source`` (:func:`signal_server.limits.source_of`)."""
        if len(self._sockets) >= self._limits.max_sockets:
            self._send(connection, error_message("full"))
            self._outputs.append(Close(connection, CLOSE_TRY_LATER, "full"))
            return self._drain()
        self._sockets[connection] = _Socket(connection, source)
        self._deadlines.set(connection, now + self._limits.unattached_seconds)
        self._send(connection, self._welcome)
        return self._drain()

    def receive(self, connection: int, frame: str | bytes, *, now: float) -> list[Output]:
        """Take one frame; bytes stand for a binary frame. Frames of closed sockets are ignored."""
        socket = self._sockets.get(connection)
        if socket is None:
            return []
        try:
            self._dispatch(socket, parse_frame_untrusted(frame), now=now)
        except RequestRefused as refusal:
            self._refuse(socket, refusal, now=now)
        return self._drain()

    def disconnect(self, connection: int, *, now: float) -> list[Output]:
        """Take note that a socket is gone; it may be one that the machine closed."""
        socket = self._sockets.get(connection)
        if socket is not None:
            self._forget_socket(socket, now=now)
        return self._drain()

    def handle_timer(self, *, now: float) -> list[Output]:
        """Do everything that is due."""
        while (key := self._deadlines.pop_due(now=now)) is not None:
            if isinstance(key, Mailbox):
                self._on_mailbox_due(key, now=now)
            else:
                self._close(self._sockets[key], CLOSE_POLICY, "nothing asked for", now=now)
        return self._drain()

    def get_timer(self) -> float | None:
        """Return when :meth:`handle_timer` has something to do, or None."""
        return self._deadlines.next()

    # Requests

    def _dispatch(self, socket: _Socket, message: ClientMessage, *, now: float) -> None:
        match message:
            case Message(body=body):
                self._on_message(socket, body)
            case Release():
                self._on_release(socket, now=now)
            case Allocate() | Claim() | Meet() | Resume():
                if socket.side is not None:
                    raise RequestRefused("bad-message", close=CLOSE_POLICY)
                self._on_request(socket, message, now=now)

    def _on_request(
        self, socket: _Socket, message: Allocate | Claim | Meet | Resume, *, now: float
    ) -> None:
        place = self._directory.place_of(message)
        if place is None and isinstance(message, Resume):
            raise RequestRefused("expired")
        if message.received > (0 if place is None else place[0].sent_to(place[1])):
            raise RequestRefused("bad-message", close=CLOSE_POLICY)
        if place is None:
            assert not isinstance(message, Resume), "refused above"
            mailbox, side = self._enter(socket, message, now=now)
        else:
            mailbox, side = place
            if side.connection is not None and side.connection > socket.number:
                # It came by a detour, after its client had given up this socket for a newer one.
                self._close(socket, CLOSE_REPLACED, "replaced", now=now)
                return
        self._attach(socket, mailbox, side, "joined" if place is None else "back", now=now)
        self._send(socket.number, _answer(message, mailbox, side))
        other = mailbox.other(side)
        if other is not None:
            for body in other.sent[message.received :]:
                self._send(socket.number, Message(body))
            self._send(socket.number, Peer(_snapshot(mailbox, other)))

    def _enter(
        self, socket: _Socket, message: Allocate | Claim | Meet, *, now: float
    ) -> tuple[Mailbox, Side]:
        """Return a new side of the mailbox that was asked for."""
        if isinstance(message, Allocate):
            mailbox = self._allocate(socket, message, now=now)
        elif isinstance(message, Claim):
            mailbox = self._claim(socket, message, now=now)
        else:
            mailbox = self._meet(message, now=now)
        token = encode_base64url(self._entropy(SIDE_BYTES))
        side = self._directory.add_side(mailbox, message, token=token, now=now)
        if mailbox.is_full:
            self.counters.pairings += 1
        return mailbox, side

    def _allocate(self, socket: _Socket, message: Allocate, *, now: float) -> Mailbox:
        if message.nameplate is not None:
            self._check_rate(socket, now=now)
            if self._is_taken(message.nameplate):
                # Tells that the nameplate is in use, as a claim would.
                raise self._failed_claim(socket, "crowded", now=now)
        nameplate = message.nameplate or draw_nameplate(
            self._is_taken, self._entropy, bounds=self._nameplate_bounds
        )
        if nameplate is None:
            raise RequestRefused("full")
        return self._open(Name("nameplate", nameplate), now=now)

    def _claim(self, socket: _Socket, message: Claim, *, now: float) -> Mailbox:
        self._check_rate(socket, now=now)
        mailbox = self._directory.named(Name("nameplate", message.nameplate))
        if mailbox is None:
            raise self._failed_claim(socket, "not-found", now=now)
        if mailbox.is_full:
            raise self._failed_claim(socket, "crowded", now=now)
        return mailbox

    def _meet(self, message: Meet, *, now: float) -> Mailbox:
        """Return the meeting to enter.

        Only the two know its name. So a third is one of them, restarted, or on a new network
        while its old socket has not been missed yet: the old meeting ends, and the other side
        can come to the new one.
        """
        name = Name("mailbox", message.mailbox)
        mailbox = self._directory.named(name)
        if mailbox is not None and mailbox.is_full:
            absent = [side for side in mailbox.sides if side.connection is None]
            # Which of two sockets is the dead one cannot be seen; who lives comes again.
            for side in absent or mailbox.sides[:1]:
                if side.connection is not None:
                    old = self._sockets[side.connection]
                    self._close(old, CLOSE_REPLACED, "replaced", now=now, quietly=True)
                self._leave(mailbox, side, now=now)
            mailbox = None
        return mailbox or self._open(name, now=now)

    def _open(self, name: Name, *, now: float) -> Mailbox:
        # Mailboxes that have ended count as well, so that nobody can pile them up.
        most_sides = SIDES * self._limits.max_mailboxes
        if (
            len(self._directory) >= self._limits.max_mailboxes
            or self._directory.sides >= most_sides
        ):
            raise RequestRefused("full")
        return self._directory.open(name, now=now)

    def _is_taken(self, nameplate: str) -> bool:
        return self._directory.named(Name("nameplate", nameplate)) is not None

    def _check_rate(self, socket: _Socket, *, now: float) -> None:
        if not self._failures.has_token(socket.source, now=now):
            self.counters.rate_limited += 1
            raise RequestRefused("rate-limited")

    def _failed_claim(self, socket: _Socket, code: ErrorCode, *, now: float) -> RequestRefused:
        self._failures.take(socket.source, now=now)
        self.counters.failed_claims += 1
        return RequestRefused(code)

    # Messages and leaving

    def _on_message(self, socket: _Socket, body: bytes) -> None:
        mailbox, side = socket.mailbox, socket.side
        if mailbox is None or side is None:
            raise RequestRefused("bad-message", close=CLOSE_POLICY)
        if mailbox.ended_at is not None:
            return  # nobody is left to read it
        if not self._has_room(side, len(body)):
            # The socket ends with it: a later, smaller message must not overtake this one.
            raise RequestRefused("full", close=CLOSE_POLICY)
        self._directory.store(side, body)
        self.counters.messages += 1
        self._tell_other(mailbox, side, Message(body))

    def _has_room(self, side: Side, size: int) -> bool:
        return (
            len(side.sent) < self._limits.max_messages
            and side.sent_bytes + size <= self._limits.max_bytes
            and self._directory.stored_bytes + size <= self._limits.max_total_bytes
        )

    def _on_release(self, socket: _Socket, *, now: float) -> None:
        mailbox, side = socket.mailbox, socket.side
        self._close(socket, CLOSE_DONE, "released", now=now, quietly=True)
        if mailbox is not None and side is not None:
            self._leave(mailbox, side, now=now)

    def _leave(self, mailbox: Mailbox, side: Side, *, now: float) -> None:
        """Take ``side`` out for good; the name is free, and the other side is told."""
        if mailbox.ended_at is None:
            self._tell_other(mailbox, side, Peer("left"))
        stays = self._directory.remove_side(mailbox, side, now=now)
        self._deadlines.set(mailbox, mailbox.deadline(self._limits) if stays else None)

    # Sockets

    def _attach(
        self, socket: _Socket, mailbox: Mailbox, side: Side, presence: PeerState, *, now: float
    ) -> None:
        """Put ``side`` on ``socket``, and tell the other side of its presence."""
        if side.connection is not None:
            # The same side on a new socket: the old one is dead and does not know it yet.
            old = self._sockets[side.connection]
            self._close(old, CLOSE_REPLACED, "replaced", now=now, quietly=True)
        else:
            self._tell_other(mailbox, side, Peer(presence))
        socket.mailbox, socket.side = mailbox, side
        side.connection, side.away_since = socket.number, None
        self._deadlines.set(socket.number, None)
        self._deadlines.set(mailbox, mailbox.deadline(self._limits))

    def _forget_socket(self, socket: _Socket, *, now: float, quietly: bool = False) -> None:
        """Detach it; ``quietly``: the other side need not know that this one is away."""
        del self._sockets[socket.number]
        self._deadlines.set(socket.number, None)
        mailbox, side = socket.mailbox, socket.side
        if mailbox is None or side is None:
            return
        side.connection, side.away_since = None, now
        if not quietly:
            self._tell_other(mailbox, side, Peer("away"))
        self._deadlines.set(mailbox, mailbox.deadline(self._limits))

    def _close(
        self, socket: _Socket, code: int, reason: str, *, now: float, quietly: bool = False
    ) -> None:
        self._outputs.append(Close(socket.number, code, reason))
        self._forget_socket(socket, now=now, quietly=quietly)

    def _refuse(self, socket: _Socket, refusal: RequestRefused, *, now: float) -> None:
        self._send(socket.number, error_message(refusal.code))
        if refusal.close is not None:
            self._close(socket, refusal.close, refusal.code, now=now)

    # Time

    def _on_mailbox_due(self, mailbox: Mailbox, *, now: float) -> None:
        """End what is due: a mailbox that is over, one nobody claimed, or an absent side."""
        if mailbox.ended_at is not None:
            for side in [side for side in mailbox.sides if not side.left]:
                self._expire(mailbox, side, None, now=now)
            return
        absent = [
            side
            for side in mailbox.sides
            if side.away_since is not None and side.away_since + self._limits.away_seconds <= now
        ]
        for side in absent or mailbox.sides[:1]:
            self._expire(mailbox, side, "expired", now=now)

    def _expire(self, mailbox: Mailbox, side: Side, code: ErrorCode | None, *, now: float) -> None:
        if side.connection is not None:
            socket = self._sockets[side.connection]
            if code is not None:
                self._send(socket.number, error_message(code))
            close = CLOSE_DONE if code is None else CLOSE_POLICY
            self._close(socket, close, code or "over", now=now, quietly=True)
        self._leave(mailbox, side, now=now)

    # Output

    def _tell_other(self, mailbox: Mailbox, side: Side, message: Message | Peer) -> None:
        other = mailbox.other(side)
        if other is not None and other.connection is not None:
            self._send(other.connection, message)

    def _send(self, connection: int, message: ServerMessage) -> None:
        self._outputs.append(Send(connection, message))

    def _drain(self) -> list[Output]:
        self.counters.sockets = len(self._sockets)
        self.counters.mailboxes = len(self._directory)
        self.counters.stored_bytes = self._directory.stored_bytes
        outputs, self._outputs = self._outputs, []
        return outputs


def _answer(
    message: Allocate | Claim | Meet | Resume, mailbox: Mailbox, side: Side
) -> Allocated | Claimed | Resumed:
    received = len(side.sent)
    if isinstance(message, Allocate):
        return Allocated(nameplate=mailbox.name.text, token=side.token, received=received)
    if isinstance(message, Resume):
        return Resumed(received=received)
    return Claimed(token=side.token, received=received)


def _snapshot(mailbox: Mailbox, other: Side) -> PeerState:
    """Return what a side that attaches is told of the other one."""
    if mailbox.ended_at is not None:
        return "left"
    return "joined" if other.connection is not None else "away"
