"""The receiving side of a transfer, over one connection. Sans-I/O.

::

    AWAITING_PROPOSAL ──proposal──▶ LISTING ──all entries──▶ DECIDING ──accept()──▶
        RECEIVING ──end, all bytes──▶ VERIFYING ──complete()──▶ COMPLETE ──bye──▶ CLOSED
    AWAITING_PROPOSAL ──proposal that was answered before──▶ DECIDING ──skip_all()──▶ COMPLETE

The entries are checked by :mod:`rtcsend.manifest.reading` before anybody sees them. The walk
through the stream begins where this side says; what the sender may pass over is the matter of
:mod:`rtcsend.transfer.walk`.
An ``abort`` from the other side is raised as the error that it stands for, in any state.
Source: docs/transfer-protocol.md.
"""

from array import array
from collections.abc import Callable
from dataclasses import replace
from itertools import chain
from typing import Final

from rtcsend.blocks import DIGEST_BYTES
from rtcsend.errors import InternalError, PeerProtocolError
from rtcsend.manifest.layout import Layout
from rtcsend.manifest.reading import ManifestReader
from rtcsend.manifest.selection import Selection
from rtcsend.manifest.sums import FileSums
from rtcsend.transfer.frames import Frame, parse_frame_untrusted
from rtcsend.transfer.machine import TransferMachine
from rtcsend.transfer.machine_events import (
    AllReceived,
    Kept,
    ProposalBegan,
    Proposed,
    ReceiverEvent,
    SenderKnows,
)
from rtcsend.transfer.messages import (
    PAGE_RANGES,
    AbortMessage,
    AcceptMessage,
    ByeMessage,
    CheckingMessage,
    CompleteMessage,
    EndMessage,
    EntriesMessage,
    HaveMessage,
    PingMessage,
    ProposalMessage,
    SkipMessage,
    WrittenMessage,
    parse_control_untrusted,
)
from rtcsend.transfer.movement import BLOCK_COUNTS, CRAWL_TIME, Waiting
from rtcsend.transfer.states import RECEIVER_TRANSITIONS, ReceiverMove, ReceiverState
from rtcsend.transfer.walk import Walk

RECEIVE_WINDOW: Final = 48 << 20  # bytes unwritten at most: 1.5 times SCTP's receive buffer
WRITTEN_STEP: Final = 1 << 20  # bytes; one acknowledgement a block of the disk


class ReceiverMachine(TransferMachine[ReceiverState, ReceiverMove, ReceiverEvent]):
    """Receiving side of one transfer, over one connection.

    Contract: see :mod:`rtcsend.transfer.machine`. Write what :meth:`receive_frame_untrusted`
    returns, in order, before what the events of the same call say; report it by
    :meth:`written`. Say the digests of what was offered by :meth:`have`.

    Args:
        earlier: What was proposed over an earlier connection; None if that did not come so far.
        digest: What the sender said at the end of an earlier connection; None if it did not.
        size: Where the stream has ended then, in bytes; None if it did not.
        limit: Bytes per second that this side wants at most; 0 for no limit.
        now: Seconds.
    """

    def __init__(
        self,
        *,
        earlier: Proposed | None,
        digest: str | None,
        size: int | None = None,
        limit: int,
        now: float,
    ) -> None:
        super().__init__(
            ReceiverState.AWAITING_PROPOSAL, RECEIVER_TRANSITIONS, limit=limit, now=now
        )
        self._earlier = earlier
        self._proposal: ProposalMessage | None = None
        self._reader: ManifestReader | None = None
        self._limit = limit
        self._walk = Walk(Layout(()))
        self._unpack: Callable[[memoryview], memoryview] | None = None
        # In payload bytes of this connection.
        self._written = 0
        self._acknowledged = 0
        self._checked = 0
        self._digest: str | None = None
        self._sums: FileSums | None = None
        self._expected_digest = digest
        self._expected_size = size
        self.is_held = False
        """Whether whoever takes what is written here takes nothing now; for the shell to set."""

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
        """Position up to which an earlier run may have left something."""
        return self._walk.offered

    @property
    def surveyed(self) -> int:
        """Position up to which it is said, or not needed any more, what that is."""
        return self._walk.said

    @property
    def next_offered(self) -> int:
        """The first block of which nothing was said yet."""
        return self._walk.said_blocks

    @property
    def is_behind(self) -> bool:
        """Whether something has come that is not yet written."""
        return self._walk.received > self._written

    @property
    def is_settled(self) -> bool:
        """Whether everything that has come is written, and the sender is told so."""
        return self._walk.received == self._acknowledged

    def accept(
        self,
        selection: Selection,
        *,
        start: int,
        blocks: int,
        unpack: Callable[[memoryview], memoryview] | None = None,
        now: float,
    ) -> None:
        """The user wants it.

        Args:
            selection: What of it, always the same.
            start: Bytes of the stream that this transfer has already brought.
            blocks: End (exclusive) of the blocks that an earlier run may have left.
            unpack: Makes a packed payload plain; None: frames may not be packed.
            now: Seconds.
        """
        self._unpack = unpack
        ranges = array("I", chain.from_iterable(selection.skipped()))
        for at in range(0, len(ranges), 2 * PAGE_RANGES):
            self._state = self._next(ReceiverMove.SKIP)
            page = tuple(ranges[at : at + 2 * PAGE_RANGES])
            self._say(SkipMessage(ranges=page), now=now)
        self._state = self._next(ReceiverMove.ACCEPT)
        self._walk = Walk(selection.layout, start=start, blocks=blocks, size=self._expected_size)
        message = AcceptMessage(
            entries=selection.entries,
            bytes=selection.bytes,
            window=RECEIVE_WINDOW,
            limit=self._limit,
            start=start,
            blocks=blocks,
            zstd=unpack is not None,
        )
        self._say(message, now=now)

    def skip_all(self, *, now: float) -> None:
        """The user has it already."""
        self._state = self._next(ReceiverMove.SKIP_ALL)
        self._say(AcceptMessage(entries=0, bytes=0, window=RECEIVE_WINDOW, limit=0), now=now)

    def have(self, first: int, digests: bytes, *, now: float) -> None:
        """Say the digests of blocks that are there.

        Args:
            first: The first one; those between it and the one before are not there.
            digests: DIGEST_BYTES bytes each. None at all say that up to ``first`` nothing is.
            now: Seconds.
        """
        self._state = self._next(ReceiverMove.HAVE)
        walk, count = self._walk, len(digests) // DIGEST_BYTES
        if not walk.said_blocks <= first <= first + count <= walk.offered_blocks:
            raise InternalError("The digests are of other blocks than were offered.")
        walk.say(first, count)
        self._say(HaveMessage(first=first, digests=digests), now=now)

    def have_no_more(self, *, now: float) -> None:
        """Say that of what was offered nothing else is there; does nothing if all was said."""
        if self._walk.said_blocks < self._walk.offered_blocks:
            self.have(self._walk.offered_blocks, b"", now=now)

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
            self._say(WrittenMessage(bytes=self._written), now=now)

    def complete(self, digest: str, *, now: float) -> None:
        """Everything is verified, synced and renamed."""
        self._state = self._next(ReceiverMove.COMPLETE)
        self._say(CompleteMessage(digest=digest), now=now)

    def receive_frame_untrusted(self, message: bytes, *, now: float) -> Frame:
        """Take a frame; return it: what its offset leaves out is kept.

        Raises:
            PeerProtocolError: It is malformed, unasked for, out of order, beyond the
                proposed size, or beyond the window.
        """
        frame = parse_frame_untrusted(message, unpack=self._unpack)
        offset, payload = frame
        self._liveness.heard(now=now)
        if self._state is not ReceiverState.RECEIVING:
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
            UnsafePath: It proposes something under a name that is none.
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
            case EntriesMessage(first=first, page=page):
                self._on_entries(first, page)
            case CheckingMessage(bytes=position, sent=sent):
                self._on_checking(position, sent=sent)
            case EndMessage():
                self._on_end(message)
            case ByeMessage():
                self._state = self._next(ReceiverMove.BYE)
                self.events.append(SenderKnows())
            case _:
                raise PeerProtocolError("The sender sent what only a receiver may send.")

    def _on_proposal(self, message: ProposalMessage) -> None:
        proposal = replace(message, repeated=False)
        move = ReceiverMove.REPEATED if message.repeated else ReceiverMove.PROPOSAL
        following = self._next(move)
        if self._earlier is not None and proposal != self._earlier.proposal:
            raise PeerProtocolError("The sender proposed something else than before.")
        if message.repeated and self._earlier is None:
            raise PeerProtocolError("The sender repeats what it has never proposed.")
        self._state = following
        self.events.append(ProposalBegan())
        if message.repeated and self._earlier is not None:
            self.events.append(self._earlier)
            return
        self._proposal = proposal
        self._reader = ManifestReader(
            entries=message.entries, files=message.files, size=message.bytes, digest=message.digest
        )

    def _on_entries(self, first: int, page: bytes) -> None:
        following = self._next(ReceiverMove.ENTRIES)
        assert self._reader is not None
        assert self._proposal is not None
        self._reader.add_untrusted(first, page)
        self._state = following
        if self._reader.is_complete:
            self._state = self._next(ReceiverMove.LISTED)
            # When it was listed before, somebody works with the manifest of that time.
            listed = Proposed(proposal=self._proposal, manifest=self._reader.manifest)
            listed.manifest.holes = self._proposal.holes
            self.events.append(self._earlier or listed)

    def _on_checking(self, position: int, *, sent: int) -> None:
        following = self._next(ReceiverMove.CHECKING)
        if self._digest is not None or not self._checked < position <= self._walk.size:
            raise PeerProtocolError("The sender keeps what is not there.")
        self._declare(position, sent=sent)
        self._state = following
        self._checked = position

    def _on_end(self, message: EndMessage) -> None:
        following = self._next(ReceiverMove.END)
        digest, sent = message.digest, message.sent
        sums = FileSums(message.rows, message.columns)
        if self._digest is not None or sent < self._walk.received:
            raise PeerProtocolError("The sender declared the end at the wrong time.")
        if self._expected_digest not in (None, digest):
            raise PeerProtocolError("The sender declared another digest than before.")
        if any(sums) and not sums.fit(self._walk.files):
            raise PeerProtocolError("The sender sent checksums of other files than it proposed.")
        self._state = following
        self._digest, self._sums = digest, sums if any(sums) else None
        self._declare(self._walk.end_after(sent), sent=sent)

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
            self.events.append(AllReceived(digest=self._digest, sums=self._sums))

    def _moved(self) -> int:
        listed = self._reader.manifest.stored if self._reader else 0
        return self._written + self._walk.compared_blocks * BLOCK_COUNTS + listed

    def _ping(self) -> PingMessage:
        return PingMessage(held=self.is_held)

    def _waiting(self) -> Waiting | None:
        if self.is_held:
            return Waiting(reason="Nobody takes what is written here.", is_chosen=True)
        if self._state is ReceiverState.VERIFYING:
            return Waiting(reason="The disk here is slow to store everything.")
        if self._state is ReceiverState.LISTING:
            return Waiting(reason="The list of what is sent does not come.", patience=CRAWL_TIME)
        if self._state is not ReceiverState.RECEIVING:
            return None  # a person decides, or all is done
        if self.is_behind:
            return Waiting(reason="The disk here is slow to write.")
        if self.surveyed < self.offered:
            return Waiting(reason="The disk here is slow to read what an earlier run has left.")
        if self._walk.is_open and self._digest is None:
            return None  # nobody says that whoever writes a stream has to write now
        return Waiting(reason="The other side sends nothing.", patience=CRAWL_TIME)
