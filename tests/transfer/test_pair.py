"""Both machines over two ordered lanes that are late independently of each other.

Hypothesis chooses the files, what of them is wanted and what is there already, and what happens
next: a frame is sent, a lane delivers, the disk writes or is read, time passes. Whatever it
chooses, the stream arrives whole and in order, what is there does not travel, the window is
kept, and from any point the transfer comes to its end.
"""

import random
from collections import deque

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from rtcsend import blocks
from rtcsend.blocks import block_digest
from rtcsend.manifest.selection import Selection
from rtcsend.transfer import receiver as receiver_module
from rtcsend.transfer.frames import MAX_PAYLOAD, parse_frame_untrusted
from rtcsend.transfer.machine_events import AllReceived, Kept, Proposed
from rtcsend.transfer.messages import MIN_WINDOW, ProposalMessage, parse_control_untrusted
from rtcsend.transfer.receiver import ReceiverMachine
from rtcsend.transfer.sender import SenderMachine
from rtcsend.transfer.states import ReceiverState, SenderState
from tests.fakes.link import Lane
from tests.transfer.wire import file, listed, proposal_of

WINDOW = MIN_WINDOW  # the smallest, so that it matters for small files
STEP = MIN_WINDOW // 4
MAX_SIZE = 4 * WINDOW
BLOCK = MIN_WINDOW // 4
MAX_DELAY = 3.0  # seconds on a lane, well under the limit of silence
DIGEST = "ab" * 32
CONTENT = random.Random(1).randbytes(MAX_SIZE)

SHARES = st.floats(0, 1)


class Pair(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.patch = pytest.MonkeyPatch()
        self.patch.setattr(receiver_module, "RECEIVE_WINDOW", WINDOW)
        self.patch.setattr(receiver_module, "WRITTEN_STEP", STEP)
        self.patch.setattr(blocks, "BLOCK_SIZE", BLOCK)
        self.now = 0.0
        self.control_out: Lane[str] = Lane()
        self.data_out: Lane[bytes] = Lane()
        self.control_back: Lane[str] = Lane()
        self.unwritten: deque[bytes | int] = deque()  # data, and positions of what is kept
        self.stored = bytearray()
        self.written = 0
        self.is_skipped = False
        self.digest: str | None = None

    @initialize(
        sizes=st.lists(
            st.sampled_from((0, 1, 100, BLOCK - 1, BLOCK, BLOCK + 1, 3 * BLOCK)), min_size=1
        ),
        skipped=st.sets(st.integers(0, 5)),
        offered=SHARES,
        same=st.sets(st.integers(0, 30)),
        other=st.sets(st.integers(0, 30)),
    )
    def start(
        self,
        sizes: list[int],
        skipped: set[int],
        offered: float,
        same: set[int],
        other: set[int],
    ) -> None:
        manifest = listed(*(file(size, f"{at:03}") for at, size in enumerate(sizes)))
        not_wanted = [(at, at + 1) for at in skipped if at < len(sizes)]
        self.selection = Selection(manifest, not_wanted[: len(sizes) - 1])
        self.layout = layout = self.selection.layout
        self.content = (CONTENT * (layout.size // MAX_SIZE + 1))[: layout.size]
        self.offered = int(offered * layout.blocks)
        self.there = {block: block in same for block in same | other if block < self.offered}
        message = parse_control_untrusted(proposal_of(manifest))
        assert isinstance(message, ProposalMessage)
        self.sender = SenderMachine(
            message, manifest, selection=None, reached=0, limit=0, now=self.now
        )
        self.receiver = ReceiverMachine(earlier=None, digest=None, limit=0, now=self.now)
        self.flush()

    # What the shells do.

    def flush(self) -> None:
        late = self.now + MAX_DELAY
        for text in iter(self.sender.next_message, None):
            self.control_out.put(text, arrival=late)
        for text in iter(self.receiver.next_message, None):
            self.control_back.put(text, arrival=late)
        while event := self.receiver.next_event():
            if isinstance(event, AllReceived):
                self.digest = event.digest
            elif isinstance(event, Kept):
                self.unwritten.append(event.position)
            assert not isinstance(event, Proposed) or event.proposal.sender == "ada"
        while self.sender.next_event():
            pass

    def to_receiver(self, message: str | bytes | None) -> bool:
        if isinstance(message, bytes):
            frame = self.receiver.receive_frame_untrusted(message, now=self.now)
            self.unwritten += [frame.offset, bytes(frame.payload)]
        elif message is not None:
            self.receiver.receive_control_untrusted(message, now=self.now)
        self.flush()
        return message is not None

    def to_sender(self, text: str | None) -> bool:
        if text is not None:
            self.sender.receive_control_untrusted(text, now=self.now)
            self.flush()
        return text is not None

    def is_verifiable(self) -> bool:
        return self.receiver.state is ReceiverState.VERIFYING and len(self.stored) == len(
            self.content
        )

    # What may happen, in any order.

    @rule()
    def control_arrives(self) -> None:
        self.to_receiver(self.control_out.take())

    @rule()
    def data_arrives(self) -> None:
        self.to_receiver(self.data_out.take())

    @rule()
    def answer_arrives(self) -> None:
        self.to_sender(self.control_back.take())

    @rule(seconds=st.floats(0, 1.0))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds
        while self.to_receiver(self.control_out.take_due(now=self.now)):
            pass
        while self.to_receiver(self.data_out.take_due(now=self.now)):
            pass
        while self.to_sender(self.control_back.take_due(now=self.now)):
            pass
        for machine in (self.sender, self.receiver):
            if machine.get_timer() <= self.now:
                machine.handle_timer(now=self.now)
        self.flush()

    @precondition(lambda self: self.receiver.state is ReceiverState.DECIDING)
    @rule(is_wanted=st.integers(0, 9))
    def decide(self, is_wanted: int) -> None:
        self.is_skipped = not is_wanted
        if self.is_skipped:
            self.receiver.skip_all(now=self.now)
        else:
            self.receiver.accept(self.selection, start=0, blocks=self.offered, now=self.now)
        self.flush()

    @precondition(
        lambda self: (
            self.receiver.state is ReceiverState.RECEIVING
            and self.receiver.next_offered < self.offered
        )
    )
    @rule(count=st.integers(1, 4))
    def disk_is_read(self, count: int) -> None:
        left = [block for block in sorted(self.there) if block >= self.receiver.next_offered]
        if not left:
            self.receiver.have_no_more(now=self.now)
        else:
            page = [block for block in left if block < left[0] + count]
            page = [block for at, block in enumerate(page) if block == left[0] + at]
            digests = b"".join(map(self.digest_of, page))
            self.receiver.have(page[0], digests, now=self.now)
        self.flush()

    def digest_of(self, block: int) -> bytes:
        if not self.there[block]:
            return bytes(32)
        return block_digest(
            self.content[self.layout.block_start(block) : self.layout.block_end(block)]
        )

    @precondition(
        lambda self: (
            self.sender.state is SenderState.SENDING
            and self.sender.position < self.layout.size
            and not self.sender.awaits_digest
        )
    )
    @rule(share=SHARES, piece=st.integers(1, 4))
    def send(self, share: float, piece: int) -> None:
        """Take a piece of some blocks; keep what is there, or send some of it."""
        start, layout = self.sender.position, self.layout
        last = min(layout.block_at(start) + piece, layout.blocks) - 1
        rest = memoryview(self.content)[start : layout.block_end(last)]
        if self.sender.pass_over(rest, now=self.now):
            self.flush()
            return
        most = min(self.sender.unsent(rest), self.sender.sendable, MAX_PAYLOAD)
        if not most:
            return
        payload = rest[: max(1, int(share * most))]
        (frame,) = self.sender.frames(payload, size=MAX_PAYLOAD, now=self.now)
        assert parse_frame_untrusted(frame).offset == start
        self.data_out.put(frame, arrival=self.now + MAX_DELAY)

    @precondition(
        lambda self: (
            self.sender.state is SenderState.SENDING and self.sender.position == self.layout.size
        )
    )
    @rule()
    def end(self) -> None:
        self.sender.end(DIGEST, now=self.now)
        self.flush()

    @precondition(lambda self: self.unwritten)
    @rule(share=SHARES)
    def disk_writes(self, share: float) -> None:
        for _ in range(max(1, int(share * len(self.unwritten)))):
            data = self.unwritten.popleft()
            if isinstance(data, bytes):
                self.stored += data
                self.written += len(data)
            else:
                self.stored += self.content[len(self.stored) : data]
        self.receiver.written(self.written, now=self.now)
        self.flush()

    @rule()
    def disk_is_idle(self) -> None:
        if self.receiver.state is ReceiverState.RECEIVING:
            self.receiver.acknowledge(now=self.now)
            self.flush()

    @precondition(is_verifiable)
    @rule()
    def verify(self) -> None:
        assert self.digest == DIGEST
        assert self.stored == self.content
        self.receiver.complete(DIGEST, now=self.now)
        self.flush()

    # What always holds.

    @invariant()
    def the_window_is_kept(self) -> None:
        if hasattr(self, "sender"):
            assert self.sender.sent - self.written <= WINDOW
            waiting = [len(data) for data in self.unwritten if isinstance(data, bytes)]
            assert sum(waiting) <= WINDOW
            assert 0 <= self.sender.sendable <= WINDOW

    @invariant()
    def what_is_stored_is_the_beginning_of_the_file(self) -> None:
        if hasattr(self, "content"):
            assert self.content.startswith(self.stored)

    @invariant()
    def what_is_there_does_not_travel(self) -> None:
        if hasattr(self, "sender") and self.sender.position == self.layout.size:
            kept = [block for block, is_same in self.there.items() if is_same]
            sizes = [self.layout.block_end(at) - self.layout.block_start(at) for at in kept]
            assert self.sender.kept == (0 if self.is_skipped else sum(sizes))
            assert self.sender.sent == self.layout.size - self.sender.kept or self.is_skipped

    @invariant()
    def nobody_is_ahead_of_the_other(self) -> None:
        if hasattr(self, "sender") and self.sender.state is SenderState.COMPLETE:
            assert self.receiver.is_over

    def teardown(self) -> None:
        try:
            if hasattr(self, "sender"):
                self.come_to_the_end()
        finally:
            self.patch.undo()

    def come_to_the_end(self) -> None:
        for _ in range(10_000):
            if self.sender.state is SenderState.COMPLETE:
                break
            self.one_round()
        assert self.sender.state is SenderState.COMPLETE
        self.sender.bye(now=self.now)
        self.flush()
        while self.to_receiver(self.control_out.take()):
            pass
        assert self.receiver.state is ReceiverState.CLOSED
        assert self.stored == (b"" if self.is_skipped else self.content)

    def disk_is_read_on(self) -> None:
        if self.receiver.next_offered < self.offered:
            self.disk_is_read(4)

    def one_round(self) -> None:
        self.control_arrives()
        self.data_arrives()
        self.answer_arrives()
        if self.receiver.state is ReceiverState.DECIDING:
            self.decide(1)
        if self.receiver.state is ReceiverState.RECEIVING:
            self.disk_is_read_on()
        if self.sender.state is SenderState.SENDING:
            if self.sender.position == self.layout.size:
                self.end()
            elif not self.sender.awaits_digest:
                self.send(0.5, 2)
        if self.unwritten:
            self.disk_writes(0.5)
        self.disk_is_idle()
        if self.is_verifiable():
            self.verify()
        self.the_window_is_kept()


Pair.TestCase.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)
TestPair = Pair.TestCase
