"""The sending side of a transfer, over one connection. Sans-I/O.

::

    PROPOSED ──accept──▶ SENDING ──end()──▶ ENDED ──complete──▶ COMPLETE ──bye()──▶ CLOSED
        └──accept of nothing (skipped)──────────────────────────────▲

The entries follow the proposal by themselves, a page at a time. The walk through the stream
begins where the receiver says. Blocks that an earlier run has left there, and whose digest is
the same here, are kept: passed over, not sent.
An ``abort`` from the other side is raised as the error that it stands for, in any state.
Source: docs/transfer-protocol.md.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Final

from rtcsend.errors import DigestMismatch, InternalError, PeerProtocolError
from rtcsend.manifest.layout import Layout
from rtcsend.manifest.manifest import Manifest
from rtcsend.manifest.selection import Selection
from rtcsend.manifest.sums import FileSums
from rtcsend.transfer.frames import serialize_frame
from rtcsend.transfer.listing import Listing
from rtcsend.transfer.machine import TransferMachine
from rtcsend.transfer.machine_events import (
    Accepted,
    Completed,
    DigestsCame,
    SenderEvent,
    Skipped,
    Written,
)
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
    SkipMessage,
    WrittenMessage,
    parse_control_untrusted,
    serialize_control,
)
from rtcsend.transfer.movement import (
    BLOCK_COUNTS,
    CRAWL_LEAST,
    CRAWL_TIME,
    SYNC_LIMIT,
    Movement,
    Turns,
    Waiting,
)
from rtcsend.transfer.offered import Offered
from rtcsend.transfer.states import SENDER_TRANSITIONS, SenderMove, SenderState

CHECKING_INTERVAL: Final = 0.5  # seconds between two reports of blocks that are kept


class SenderMachine(TransferMachine[SenderState, SenderMove, SenderEvent]):
    """Sending side of one transfer, over one connection.

    Contract: see :mod:`rtcsend.transfer.machine`. After :class:`Accepted`, take the stream in
    order from ``start``, each piece ending at a block boundary. For what is left of a piece:
    wait while :attr:`awaits_digest`; leave out what :meth:`pass_over` says; send by
    :meth:`frames` what :meth:`unsent` says, as :attr:`sendable` allows; and again. After the
    last piece call :meth:`end`.

    Args:
        proposal: What is offered: the same over all connections.
        manifest: The entries of it.
        selection: What the receiver wanted over an earlier connection; None if it did not say.
        reached: How far an earlier connection came, in bytes of the stream.
        limit: Bytes per second that this side wants at most; 0 for no limit.
        now: Seconds.
    """

    def __init__(
        self,
        proposal: ProposalMessage,
        manifest: Manifest,
        *,
        selection: Selection | None,
        reached: int,
        limit: int,
        now: float,
    ) -> None:
        super().__init__(SenderState.PROPOSED, SENDER_TRANSITIONS, limit=limit, now=now)
        self._listing = Listing(manifest, selection=selection)
        self._layout = Layout(())
        self._reached = reached
        self._limit = limit
        self._position = 0
        # In payload bytes of this connection.
        self._window = 0
        self.sent = 0
        """What was made into frames."""
        self._written = 0
        self._turns = Turns()
        self._is_held = False  # the receiver, by whoever takes what it writes
        self.kept = 0
        """Bytes that an earlier run has left at the receiver, and that need not be sent."""
        self._offered = Offered(self._layout)
        self._kept_blocks = 0
        self._checking_at = now
        self._digest = ""
        self._say(replace(proposal, repeated=selection is not None), now=now)

    def next_message(self) -> str | None:
        """Return the next control message to send; None when there is nothing more.

        The pages of entries are made when it is their turn: many would take much memory.
        """
        if super().has_messages or not self.has_messages:
            return super().next_message()
        self._state = self._next(SenderMove.ENTRIES)
        return serialize_control(self._listing.next_page())

    @property
    def has_messages(self) -> bool:
        """Whether :meth:`next_message` has something."""
        return super().has_messages or self._listing.has_pages

    @property
    def position(self) -> int:
        """How far the walk through the stream has come, in bytes."""
        return self._position

    @property
    def reached(self) -> int:
        """How far it came at most, over all connections, in bytes."""
        return max(self._reached, self._position)

    @property
    def offered(self) -> int:
        """Position up to which an earlier run may have left something, and the receiver says."""
        return self._offered.end_position

    @property
    def sendable(self) -> int:
        """Bytes that may be sent now: what the window leaves, within the stream."""
        if self._state is not SenderState.SENDING:
            return 0
        return min(self._window - self.in_flight, self._layout.size - self._position)

    @property
    def in_flight(self) -> int:
        """Bytes that are sent, and not yet written at the receiver."""
        return self.sent - self._written

    @property
    def awaits_digest(self) -> bool:
        """Whether the receiver may have the next block, and has not yet said so."""
        block = self._maybe_offered()
        return block is not None and self._offered.is_open(block)

    def pass_over(self, data: memoryview, *, now: float) -> int:
        """Pass over the blocks at the beginning of ``data`` that the receiver has as well.

        Args:
            data: Of the stream from :attr:`position` to the end of a block.
            now: Seconds.

        Returns:
            How many bytes these are.
        """
        block, passed = self._maybe_offered(), 0
        if block is None:
            return 0
        while passed < len(data) and self._offered.is_same(block, data[passed:]):
            passed = self._layout.block_end(block) - self._position
            block += 1
            self._kept_blocks += 1
        self._position += passed
        self.kept += passed
        if passed and now - self._checking_at >= CHECKING_INTERVAL:
            self._checking_at = now
            self._state = self._next(SenderMove.CHECKING)
            self._say(CheckingMessage(bytes=self._position, sent=self.sent), now=now)
        return passed

    def _maybe_offered(self) -> int | None:
        """Return the block that begins here, if the receiver says whether it has that one."""
        if self._position >= self._offered.end_position:
            return None
        is_boundary = self._layout.is_boundary(self._position)
        return self._layout.block_at(self._position) if is_boundary else None

    def unsent(self, data: memoryview) -> int:
        """Return how many bytes of ``data`` to send before the next block that may be there.

        Args:
            data: Of the stream from :attr:`position` to the end of a block. Its first block is
                not there.
        """
        if self._position >= self._offered.end_position:
            return len(data)
        layout, start = self._layout, self._position
        block = layout.block_at(start)
        end = layout.block_end(block) - start
        while end < len(data):
            block += 1
            if self._offered.is_open(block) or self._offered.is_same(block, data[end:]):
                break
            end = layout.block_end(block) - start
        return end

    def frames(
        self,
        payload: memoryview,
        *,
        size: int,
        pack: Callable[[memoryview], bytes | None] | None = None,
        now: float,
    ) -> list[bytes]:
        """Return frames of ``size`` bytes of payload for the next bytes of the stream.

        ``payload`` is copied; it has at most :attr:`sendable` bytes. ``pack`` makes a piece of it
        smaller, or returns None; only for a receiver that takes that.
        """
        if len(payload) > self.sendable:
            raise InternalError("A frame was made that the window does not allow.")
        start = self._position
        frames = [
            _frame(start + at, payload[at : at + size], pack) for at in range(0, len(payload), size)
        ]
        self._position += len(payload)
        self.sent += len(payload)
        self._turns.sent(self.sent)
        self._liveness.said(now=now)
        return frames

    def end(self, digest: str, *, sums: FileSums | None = None, now: float) -> None:
        """Everything is sent or kept; ``digest`` is that of it, in hexadecimal."""
        following = self._next(SenderMove.END)
        if self._position != self._layout.size and not self._layout.is_open:
            raise InternalError("The end was declared before everything was sent.")
        self._state = following
        self._digest = digest
        rows, columns = sums or (b"", b"")
        self._say(EndMessage(digest=digest, sent=self.sent, rows=rows, columns=columns), now=now)

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
            case PingMessage(held=held):
                self._is_held = held
            case AbortMessage(error=error):
                raise error
            case SkipMessage(ranges=ranges):
                self._on_skip(ranges)
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

    def _on_skip(self, ranges: tuple[int, ...]) -> None:
        following = self._next(SenderMove.SKIP)
        self._listing.skip_untrusted(ranges)
        self._state = following

    def _on_accept(self, message: AcceptMessage) -> None:
        following = self._next(SenderMove.ACCEPTED if message.entries else SenderMove.SKIPPED)
        self._listing.check_told()
        if not message.entries:
            self._state = following
            self.events.append(Skipped())
            return
        selection = self._listing.selected_untrusted(message)
        layout = selection.layout
        if message.start > min(self._reached, layout.size):
            raise PeerProtocolError("The receiver says that it has what was never sent.")
        if message.blocks > layout.blocks:
            raise PeerProtocolError("The receiver says that it has more blocks than there are.")
        self._state = following
        self._layout = layout
        self._window = message.window
        self._position = message.start
        self._offered = Offered(layout, start=message.start, end=message.blocks)
        limit = min((limit for limit in (self._limit, message.limit) if limit), default=0)
        self._movement = Movement(limit=limit, now=self._liveness.heard_at)
        self.events.append(
            Accepted(selection=selection, start=message.start, limit=limit, zstd=message.zstd)
        )

    def _on_have(self, message: HaveMessage) -> None:
        following = self._next(SenderMove.HAVE)
        self._offered.add_untrusted(message.first, message.digests, position=self._position)
        self._state = following
        self.events.append(DigestsCame())

    def _on_written(self, written: int) -> None:
        following = self._next(SenderMove.WRITTEN)
        if not self._written <= written <= self.sent:
            raise PeerProtocolError("The receiver acknowledged what it cannot have written.")
        self._state = following
        self._written, self._is_held = written, False
        self._turns.arrived(written, sent=self.sent)
        self.events.append(Written(bytes=written))

    def _on_complete(self, digest: str) -> None:
        following = self._next(SenderMove.COMPLETE)
        if digest != self._digest:
            raise DigestMismatch("The receiver has something with another digest.")
        self._state = following
        self._written = self.sent
        self.events.append(Completed())

    def _moved(self) -> int:
        compared = self._kept_blocks + self._offered.said
        return self._written + compared * BLOCK_COUNTS + self._turns.count * CRAWL_LEAST

    def _waiting(self) -> Waiting | None:
        if self._state is SenderState.PROPOSED:
            if self._listing.selection is None:
                return None  # a person decides
            return Waiting(reason="The other side does not answer.", patience=CRAWL_TIME)
        if self._state not in (SenderState.SENDING, SenderState.ENDED):
            return None
        if self.sent > self._written:
            return self._waiting_for_written()
        if self._state is SenderState.ENDED:
            return Waiting(reason="The other side is storing everything.", patience=SYNC_LIMIT)
        if self.awaits_digest:
            return Waiting(reason="The other side reads what it has.", patience=CRAWL_TIME)
        if self._layout.is_open:
            return None  # nobody says that whoever writes a stream has to write now
        return Waiting(reason="The disk here is slow to read.")

    def _waiting_for_written(self) -> Waiting:
        # Whoever takes it from the receiver may take his time: a person has paused it.
        if self._is_held:
            return Waiting(reason="Nobody takes what the other side writes.", is_chosen=True)
        reason, is_open = "The other side writes nothing.", self._layout.is_open
        patience = None if is_open else CRAWL_TIME
        return Waiting(reason=reason, patience=patience, is_chosen=is_open)


def _frame(
    offset: int, payload: memoryview, pack: Callable[[memoryview], bytes | None] | None
) -> bytes:
    packed = None if pack is None else pack(payload)
    if packed is None:
        return serialize_frame(offset=offset, payload=payload)
    return serialize_frame(offset=offset, payload=packed, is_packed=True)
