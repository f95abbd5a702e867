"""The sending side of a transfer, over one connection. Sans-I/O.

::

    PROPOSED ──accept──▶ SENDING ──end()──▶ ENDED ──complete──▶ COMPLETE ──bye()──▶ CLOSED
        └──accept of nothing (skipped)──────────────────────────────▲

The walk through the file begins where the receiver says. Blocks that an earlier run has left
there, and whose digest is the same here, are kept: passed over, not sent.
An ``abort`` from the other side is raised as the error that it stands for, in any state.
Source: docs/transfer-protocol.md.
"""

import enum
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from rtcsend.blocks import DIGEST_BYTES, Data, block_count, block_digest, block_size_for
from rtcsend.errors import DigestMismatch, InternalError, PeerProtocolError
from rtcsend.transfer.frames import serialize_frame
from rtcsend.transfer.machine import Move, TransferMachine
from rtcsend.transfer.messages import (
    AbortMessage,
    AcceptMessage,
    ByeMessage,
    CheckingMessage,
    CompleteMessage,
    EndMessage,
    HaveMessage,
    PingMessage,
    ProposalMessage,
    WrittenMessage,
    parse_control_untrusted,
)
from rtcsend.transfer.movement import BLOCK_COUNTS, CRAWL_TIME, SYNC_LIMIT, Movement, Waiting

CHECKING_INTERVAL: Final = 0.5  # seconds between two reports of blocks that are kept


class SenderState(enum.Enum):
    """Where the sending side stands."""

    PROPOSED = "proposed"
    SENDING = "sending"
    ENDED = "ended"
    COMPLETE = "complete"
    CLOSED = "closed"


class SenderMove(Move):
    """What a sender says and hears."""

    ACCEPTED = "◂ accept [0]"
    SKIPPED = "◂ accept []"
    HAVE = "◂ have"
    FRAME = "frame ▸"
    CHECKING = "checking ▸"
    WRITTEN = "◂ written"
    END = "end ▸"
    COMPLETE = "◂ complete"
    BYE = "bye ▸"


SENDER_TRANSITIONS: Final[Mapping[tuple[SenderState, SenderMove], SenderState]] = {
    (SenderState.PROPOSED, SenderMove.ACCEPTED): SenderState.SENDING,
    (SenderState.PROPOSED, SenderMove.SKIPPED): SenderState.COMPLETE,
    (SenderState.SENDING, SenderMove.HAVE): SenderState.SENDING,
    (SenderState.SENDING, SenderMove.FRAME): SenderState.SENDING,
    (SenderState.SENDING, SenderMove.CHECKING): SenderState.SENDING,
    (SenderState.SENDING, SenderMove.WRITTEN): SenderState.SENDING,
    (SenderState.SENDING, SenderMove.END): SenderState.ENDED,
    (SenderState.ENDED, SenderMove.WRITTEN): SenderState.ENDED,
    (SenderState.ENDED, SenderMove.COMPLETE): SenderState.COMPLETE,
    (SenderState.COMPLETE, SenderMove.BYE): SenderState.CLOSED,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted:
    """The receiver wants it, from ``start`` on; ``limit`` is the lower one of both sides'."""

    start: int
    """In bytes."""
    limit: int
    """In bytes per second; 0 for none."""


@dataclass(frozen=True, slots=True)
class Skipped:
    """The receiver has it already, and wants nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """The receiver has written this many bytes of what this connection brought."""

    bytes: int


@dataclass(frozen=True, slots=True)
class DigestsCame:
    """The digests of some blocks that the receiver has are here."""


@dataclass(frozen=True, slots=True)
class Completed:
    """The receiver has verified, synced and renamed the file."""


SenderEvent = Accepted | Skipped | Written | DigestsCame | Completed


class SenderMachine(TransferMachine[SenderState, SenderMove, SenderEvent]):
    """Sending side of one transfer of one file, over one connection.

    Contract: see :mod:`rtcsend.transfer.machine`. After :class:`Accepted`, take the file in
    order from ``start``, each piece ending at a block boundary: wait while
    :attr:`awaits_digest`; offer it to :meth:`maybe_keep`; what that does not keep goes by
    :meth:`frames`, as :attr:`sendable` allows. After the last one call :meth:`end`.

    Args:
        proposal: What is offered: the same over all connections.
        reached: How far an earlier connection came, in bytes.
        limit: Bytes per second that this side wants at most; 0 for no limit.
        now: Seconds.
    """

    def __init__(self, proposal: ProposalMessage, *, reached: int, limit: int, now: float) -> None:
        super().__init__(SenderState.PROPOSED, SENDER_TRANSITIONS, limit=limit, now=now)
        self._entry = proposal.entries[0]
        self._block_size = block_size_for(self._entry.size)
        self._reached = reached
        self._limit = limit
        self._position = 0
        # In payload bytes of this connection.
        self._window = 0
        self.sent = 0
        """What was made into frames."""
        self._written = 0
        self.kept = 0
        """Bytes that an earlier run has left at the receiver, and that need not be sent."""
        # The digests of offered blocks that have come, and the block of the first of them.
        self._offered = 0
        self._first = 0
        self._digests = bytearray()
        self._checking_at = now
        self._digest = ""
        self._say(proposal, now=now)

    @property
    def position(self) -> int:
        """How far the walk through the file has come, in bytes."""
        return self._position

    @property
    def reached(self) -> int:
        """How far it came at most, over all connections, in bytes."""
        return max(self._reached, self._position)

    @property
    def offered(self) -> int:
        """Bytes, from the first on, that an earlier run has left and the receiver offers."""
        return min(self._offered * self._block_size, self._entry.size)

    @property
    def sendable(self) -> int:
        """Bytes that may be sent now: what the window leaves, within the file."""
        if self._state is not SenderState.SENDING:
            return 0
        return min(self._window - self.in_flight, self._entry.size - self._position)

    @property
    def in_flight(self) -> int:
        """Bytes that are sent, and not yet written at the receiver."""
        return self.sent - self._written

    @property
    def awaits_digest(self) -> bool:
        """Whether the receiver has offered the next block, and not yet said what it is."""
        block, inside = divmod(self._position, self._block_size)
        return not inside and self._known <= block < self._offered

    @property
    def _known(self) -> int:
        """The first block whose digest has not come."""
        return self._first + len(self._digests) // DIGEST_BYTES

    def maybe_keep(self, data: Data, *, now: float) -> bool:
        """Pass over the next block, ``data``, if the receiver has the very same."""
        block, inside = divmod(self._position, self._block_size)
        if inside or block >= self._offered:
            return False
        if self.awaits_digest or self._state is not SenderState.SENDING:
            raise InternalError("A block was compared before its digest was known.")
        at = (block - self._first) * DIGEST_BYTES
        if self._digests[at : at + DIGEST_BYTES] != block_digest(data):
            return False
        self._position += len(data)
        self.kept += len(data)
        if now - self._checking_at >= CHECKING_INTERVAL:
            self._checking_at = now
            self._state = self._next(SenderMove.CHECKING)
            message = CheckingMessage(entry=0, bytes=self._position, sent=self.sent)
            self._say(message, now=now)
        return True

    def frames(self, payload: memoryview, *, size: int, now: float) -> list[bytes]:
        """Return frames of ``size`` bytes of payload for the next bytes of the file.

        ``payload`` is copied; it has at most :attr:`sendable` bytes.
        """
        if len(payload) > self.sendable:
            raise InternalError("A frame was made that the window does not allow.")
        start = self._position
        frames = [
            serialize_frame(entry=0, offset=start + at, payload=payload[at : at + size])
            for at in range(0, len(payload), size)
        ]
        self._position += len(payload)
        self.sent += len(payload)
        self._liveness.said(now=now)
        return frames

    def end(self, digest: str, *, now: float) -> None:
        """Everything is sent or kept; ``digest`` is the BLAKE3 of it, in hexadecimal."""
        following = self._next(SenderMove.END)
        if self._position != self._entry.size:
            raise InternalError("The end was declared before everything was sent.")
        self._state = following
        self._digest = digest
        self._say(EndMessage(entry=0, digest=digest, sent=self.sent), now=now)

    def bye(self, *, now: float) -> None:
        """Tell the receiver that its final acknowledgement has arrived."""
        self._state = self._next(SenderMove.BYE)
        self._say(ByeMessage(), now=now)

    def receive_control_untrusted(self, text: str, *, now: float) -> None:
        """Take a control message.

        Raises:
            PeerProtocolError: It is malformed, or not allowed now.
            RtcsendError: It is an abort: the error with which this side ends.
        """
        message = parse_control_untrusted(text)
        self._liveness.heard(now=now)
        match message:
            case PingMessage():
                pass
            case AbortMessage(error=error):
                raise error
            case AcceptMessage():
                self._on_accept(message)
            case HaveMessage():
                self._on_have(message)
            case WrittenMessage(bytes=written):
                self._on_written(written)
            case CompleteMessage(digest=digest):
                self._on_complete(digest)
            case _:
                raise PeerProtocolError("The receiver sent what only a sender may send.")

    def _on_accept(self, message: AcceptMessage) -> None:
        following = self._next(SenderMove.ACCEPTED if message.entries else SenderMove.SKIPPED)
        if not message.entries:
            self._state = following
            self.events.append(Skipped())
            return
        if message.start > self._reached:
            raise PeerProtocolError("The receiver says that it has what was never sent.")
        if message.blocks > block_count(self._entry.size, self._block_size):
            raise PeerProtocolError("The receiver says that it has more blocks than there are.")
        self._state = following
        self._window = message.window
        self._position = message.start
        self._offered = message.blocks
        self._first = block_count(message.start, self._block_size)
        limit = min((limit for limit in (self._limit, message.limit) if limit), default=0)
        self._movement = Movement(limit=limit, now=self._liveness.heard_at)
        self.events.append(Accepted(start=message.start, limit=limit))

    def _on_have(self, message: HaveMessage) -> None:
        following = self._next(SenderMove.HAVE)
        count = len(message.digests) // DIGEST_BYTES
        if message.first != self._known or message.first + count > self._offered:
            raise PeerProtocolError("The receiver sent digests of other blocks than it offered.")
        self._state = following
        self._digests += message.digests
        self.events.append(DigestsCame())

    def _on_written(self, written: int) -> None:
        following = self._next(SenderMove.WRITTEN)
        if not self._written <= written <= self.sent:
            raise PeerProtocolError("The receiver acknowledged what it cannot have written.")
        self._state = following
        self._written = written
        self.events.append(Written(bytes=written))

    def _on_complete(self, digest: str) -> None:
        following = self._next(SenderMove.COMPLETE)
        if digest != self._digest:
            raise DigestMismatch("The receiver has a file with another digest.")
        self._state = following
        self._written = self.sent
        self.events.append(Completed())

    def _moved(self) -> int:
        blocks = self.kept // self._block_size + len(self._digests) // DIGEST_BYTES
        return self._written + blocks * BLOCK_COUNTS

    def _waiting(self) -> Waiting | None:
        if self._state is SenderState.PROPOSED:
            if not self._reached:
                return None  # a person decides
            return Waiting(reason="The other side does not answer.", patience=CRAWL_TIME)
        if self._state not in (SenderState.SENDING, SenderState.ENDED):
            return None
        if self.sent > self._written:
            return Waiting(reason="The other side writes nothing.", patience=CRAWL_TIME)
        if self._state is SenderState.ENDED:
            return Waiting(reason="The other side is storing the file.", patience=SYNC_LIMIT)
        if self.awaits_digest:
            return Waiting(reason="The other side reads what it has.", patience=CRAWL_TIME)
        return Waiting(reason="The file here is slow to read.")
