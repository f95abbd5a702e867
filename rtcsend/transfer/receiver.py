"""The receiving side of a transfer, over one connection. Sans-I/O.

::

    AWAITING_PROPOSAL ──proposal──▶ DECIDING ──accept()──▶ RECEIVING ──end, all bytes──▶
        VERIFYING ──complete()──▶ COMPLETE ──bye──▶ CLOSED
    DECIDING ──skip()──▶ COMPLETE

The walk through the file begins where this side says; what the sender may pass over is the
matter of :mod:`rtcsend.transfer.walk`.
An ``abort`` from the other side is raised as the error that it stands for, in any state.
Source: docs/transfer-protocol.md.
"""

import enum
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from rtcsend.blocks import DIGEST_BYTES
from rtcsend.errors import InternalError, PeerProtocolError
from rtcsend.transfer.frames import Frame, parse_frame_untrusted
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
from rtcsend.transfer.movement import BLOCK_COUNTS, CRAWL_TIME, Waiting
from rtcsend.transfer.walk import Walk

RECEIVE_WINDOW: Final = 16 << 20  # bytes unwritten at most: 160 MB/s at 100 ms, and little memory
WRITTEN_STEP: Final = 1 << 20  # bytes; one acknowledgement a block of the disk


class ReceiverState(enum.Enum):
    """Where the receiving side stands."""

    AWAITING_PROPOSAL = "awaiting proposal"
    DECIDING = "deciding"
    RECEIVING = "receiving"
    VERIFYING = "verifying"
    COMPLETE = "complete"
    CLOSED = "closed"


class ReceiverMove(Move):
    """What a receiver says and hears."""

    PROPOSAL = "◂ proposal"
    ACCEPT = "accept [0] ▸"
    SKIP = "accept [] ▸"
    HAVE = "have ▸"
    FRAME = "◂ frame"
    CHECKING = "◂ checking"
    WRITTEN = "written ▸"
    END = "◂ end"
    ALL = "◂ end and the last byte, in any order"
    COMPLETE = "complete ▸"
    BYE = "◂ bye"


RECEIVER_TRANSITIONS: Final[Mapping[tuple[ReceiverState, ReceiverMove], ReceiverState]] = {
    (ReceiverState.AWAITING_PROPOSAL, ReceiverMove.PROPOSAL): ReceiverState.DECIDING,
    (ReceiverState.DECIDING, ReceiverMove.ACCEPT): ReceiverState.RECEIVING,
    (ReceiverState.DECIDING, ReceiverMove.SKIP): ReceiverState.COMPLETE,
    (ReceiverState.RECEIVING, ReceiverMove.HAVE): ReceiverState.RECEIVING,
    (ReceiverState.RECEIVING, ReceiverMove.FRAME): ReceiverState.RECEIVING,
    (ReceiverState.RECEIVING, ReceiverMove.CHECKING): ReceiverState.RECEIVING,
    (ReceiverState.RECEIVING, ReceiverMove.WRITTEN): ReceiverState.RECEIVING,
    (ReceiverState.RECEIVING, ReceiverMove.END): ReceiverState.RECEIVING,
    (ReceiverState.RECEIVING, ReceiverMove.ALL): ReceiverState.VERIFYING,
    (ReceiverState.VERIFYING, ReceiverMove.WRITTEN): ReceiverState.VERIFYING,
    (ReceiverState.VERIFYING, ReceiverMove.COMPLETE): ReceiverState.COMPLETE,
    (ReceiverState.COMPLETE, ReceiverMove.BYE): ReceiverState.CLOSED,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposed:
    """The sender offers this."""

    proposal: ProposalMessage


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """What comes before ``position``, and after the data so far, is kept as it is."""

    position: int


@dataclass(frozen=True, slots=True, kw_only=True)
class AllReceived:
    """Every byte has come or is kept; ``digest`` is what the sender says they add up to."""

    digest: str


@dataclass(frozen=True, slots=True)
class SenderKnows:
    """The sender has seen the final acknowledgement."""


ReceiverEvent = Proposed | Kept | AllReceived | SenderKnows


class ReceiverMachine(TransferMachine[ReceiverState, ReceiverMove, ReceiverEvent]):
    """Receiving side of one transfer of one file, over one connection.

    Contract: see :mod:`rtcsend.transfer.machine`. Write what :meth:`receive_frame_untrusted`
    returns, in order, before what the events of the same call say; report it by
    :meth:`written`. Say the digests of what was offered by :meth:`have`.

    Args:
        proposal: What the sender proposed over an earlier connection; None if there was none.
        digest: What it said at the end of an earlier connection; None if it did not.
        limit: Bytes per second that this side wants at most; 0 for no limit.
        now: Seconds.
    """

    def __init__(
        self, *, proposal: ProposalMessage | None, digest: str | None, limit: int, now: float
    ) -> None:
        super().__init__(
            ReceiverState.AWAITING_PROPOSAL, RECEIVER_TRANSITIONS, limit=limit, now=now
        )
        self._proposal = proposal
        self._limit = limit
        self._walk = Walk(0)
        # In payload bytes of this connection.
        self._written = 0
        self._acknowledged = 0
        self._checked = 0
        self._digest: str | None = None
        self._expected_digest = digest

    @property
    def is_over(self) -> bool:
        """Whether a closed connection is no loss: all is stored, or nothing was wanted."""
        return self._state in (ReceiverState.COMPLETE, ReceiverState.CLOSED)

    @property
    def position(self) -> int:
        """Everything before it has come or is kept, in bytes."""
        return self._walk.position

    @property
    def kept(self) -> int:
        """Bytes that an earlier run has left, and that need not come."""
        return self._walk.kept

    @property
    def offered(self) -> int:
        """Bytes, from the first on, that an earlier run has left."""
        return self._walk.offered

    @property
    def surveyed(self) -> int:
        """Bytes of these, from the first on, whose digests are said or not needed any more."""
        return self._walk.said

    @property
    def next_offered(self) -> int:
        """The first block whose digest was not yet said."""
        return self._walk.said_blocks

    @property
    def is_behind(self) -> bool:
        """Whether something has come that is not yet written."""
        return self._walk.received > self._written

    def accept(self, *, start: int, blocks: int, now: float) -> None:
        """The user wants it.

        Args:
            start: Bytes that this transfer has already brought.
            blocks: Blocks, from the first on, that an earlier run has left.
            now: Seconds.
        """
        self._state = self._next(ReceiverMove.ACCEPT)
        self._walk.begin(start=start, blocks=blocks)
        message = AcceptMessage(
            entries=(0,), window=RECEIVE_WINDOW, limit=self._limit, start=start, blocks=blocks
        )
        self._say(message, now=now)

    def skip(self, *, now: float) -> None:
        """The user has it already."""
        self._state = self._next(ReceiverMove.SKIP)
        self._say(AcceptMessage(entries=(), window=RECEIVE_WINDOW, limit=0), now=now)

    def have(self, digests: bytes, *, now: float) -> None:
        """Say the digests of the next blocks that are offered."""
        self._state = self._next(ReceiverMove.HAVE)
        walk = self._walk
        first = walk.said_blocks
        walk.said_blocks += len(digests) // DIGEST_BYTES
        if walk.said_blocks > walk.offered_blocks:
            raise InternalError("More digests are there than blocks were offered.")
        self._say(HaveMessage(entry=0, first=first, digests=digests), now=now)

    def written(self, count: int, *, now: float) -> None:
        """``count`` bytes of data are written; acknowledge them when it is worth it."""
        self._written = count
        if count - self._acknowledged >= WRITTEN_STEP:
            self.acknowledge(now=now)

    def acknowledge(self, *, now: float) -> None:
        """Acknowledge what is written, however little."""
        if self._written > self._acknowledged:
            self._state = self._next(ReceiverMove.WRITTEN)
            self._acknowledged = self._written
            self._say(WrittenMessage(entry=0, bytes=self._written), now=now)

    def complete(self, digest: str, *, now: float) -> None:
        """The file is verified, synced and renamed."""
        self._state = self._next(ReceiverMove.COMPLETE)
        self._say(CompleteMessage(entry=0, digest=digest), now=now)

    def receive_frame_untrusted(self, message: bytes, *, now: float) -> Frame:
        """Take a frame; return it: what its offset leaves out is kept.

        Raises:
            PeerProtocolError: It is malformed, unasked for, out of order, beyond the
                proposed size, or beyond the window.
        """
        frame = parse_frame_untrusted(message)
        entry, offset, payload = frame
        self._liveness.heard(now=now)
        if self._state is not ReceiverState.RECEIVING or entry != 0:
            raise PeerProtocolError("The sender sent data that nobody asked for.")
        size, walk = len(payload), self._walk
        if walk.received + size - self._acknowledged > RECEIVE_WINDOW:
            raise PeerProtocolError("The sender sent more data than the window allows.")
        walk.take(offset, size)
        if walk.is_declaration_due:
            self._settle()
        return frame

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
            case ProposalMessage():
                self._on_proposal(message)
            case CheckingMessage(bytes=position, sent=sent):
                self._on_checking(position, sent=sent)
            case EndMessage(digest=digest, sent=sent):
                self._on_end(digest, sent=sent)
            case ByeMessage():
                self._state = self._next(ReceiverMove.BYE)
                self.events.append(SenderKnows())
            case _:
                raise PeerProtocolError("The sender sent what only a receiver may send.")

    def _on_proposal(self, message: ProposalMessage) -> None:
        following = self._next(ReceiverMove.PROPOSAL)
        if self._proposal is not None and message != self._proposal:
            raise PeerProtocolError("The sender proposed something else than before.")
        self._state = following
        self._walk = Walk(message.entries[0].size)
        self.events.append(Proposed(proposal=message))

    def _on_checking(self, position: int, *, sent: int) -> None:
        following = self._next(ReceiverMove.CHECKING)
        if self._digest is not None or not self._checked < position <= self._walk.size:
            raise PeerProtocolError("The sender keeps what is not there.")
        self._declare(position, sent=sent)
        self._state = following
        self._checked = position

    def _on_end(self, digest: str, *, sent: int) -> None:
        following = self._next(ReceiverMove.END)
        if self._digest is not None or sent < self._walk.received:
            raise PeerProtocolError("The sender declared the end at the wrong time.")
        if self._expected_digest not in (None, digest):
            raise PeerProtocolError("The sender declared another digest than before.")
        self._state = following
        self._digest = digest
        self._declare(self._walk.size, sent=sent)

    def _declare(self, position: int, *, sent: int) -> None:
        if sent - self._acknowledged > RECEIVE_WINDOW:
            raise PeerProtocolError("The sender says to have sent more than the window allows.")
        self._walk.declare(position, sent=sent)
        if self._walk.is_declaration_due:
            self._settle()

    def _settle(self) -> None:
        """All data has come from which on what the sender said last counts."""
        if self._walk.settle():
            self.events.append(Kept(position=self._walk.position))
        if self._digest is not None:
            self._state = self._next(ReceiverMove.ALL)
            self.events.append(AllReceived(digest=self._digest))

    def _moved(self) -> int:
        return self._written + self._walk.compared_blocks * BLOCK_COUNTS

    def _waiting(self) -> Waiting | None:
        if self._state is ReceiverState.VERIFYING:
            return Waiting(reason="The disk here is slow to store the file.")
        if self._state is not ReceiverState.RECEIVING:
            return None  # a person decides, or all is done
        if self.is_behind:
            return Waiting(reason="The disk here is slow to write.")
        if self.surveyed < self.offered:
            return Waiting(reason="The disk here is slow to read what an earlier run has left.")
        return Waiting(reason="The other side sends nothing.", patience=CRAWL_TIME)
