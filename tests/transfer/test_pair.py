"""Both machines over two ordered lanes that are late independently of each other.

Hypothesis chooses what happens next: a frame is sent, a lane delivers, the disk writes, time
passes. Whatever it chooses, the file arrives whole and in order, the window is kept, and
from any point the transfer comes to its end.
"""

import random
from collections import deque

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from rtcsend.transfer import receiver as receiver_module
from rtcsend.transfer.frames import MAX_PAYLOAD, parse_frame_untrusted
from rtcsend.transfer.messages import MIN_WINDOW, ProposalMessage, ProposedEntry
from rtcsend.transfer.receiver import AllReceived, Proposed, ReceiverMachine, ReceiverState
from rtcsend.transfer.sender import SenderMachine, SenderState
from tests.fakes.link import Lane
from tests.transfer.wire import SAMPLE, TRANSFER

WINDOW = MIN_WINDOW  # the smallest, so that it matters for small files
STEP = MIN_WINDOW // 4
MAX_SIZE = 4 * WINDOW
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
        self.now = 0.0
        self.control_out: Lane[str] = Lane()
        self.data_out: Lane[bytes] = Lane()
        self.control_back: Lane[str] = Lane()
        self.unwritten: deque[bytes] = deque()
        self.stored = bytearray()
        self.is_skipped = False
        self.digest: str | None = None

    @initialize(size=st.one_of(st.just(0), st.integers(0, MAX_SIZE)))
    def start(self, size: int) -> None:
        self.content = CONTENT[:size]
        self.sent = 0
        entry = ProposedEntry(path="x", kind="file", size=size, sample=SAMPLE)
        proposal = ProposalMessage(transfer=TRANSFER, entries=(entry,), sender="ada")
        self.sender = SenderMachine(proposal, reached=0, limit=0, now=self.now)
        self.receiver = ReceiverMachine(proposal=None, digest=None, limit=0, now=self.now)
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
            assert not isinstance(event, Proposed) or event.proposal.sender == "ada"
        while self.sender.next_event():
            pass

    def to_receiver(self, message: str | bytes | None) -> bool:
        if isinstance(message, bytes):
            frame = self.receiver.receive_frame_untrusted(message, now=self.now)
            self.unwritten.append(bytes(frame.payload))
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
            self.receiver.skip(now=self.now)
        else:
            self.receiver.accept(start=0, blocks=0, now=self.now)
        self.flush()

    @precondition(lambda self: self.sender.sendable)
    @rule(share=SHARES)
    def send(self, share: float) -> None:
        size = max(1, int(share * min(self.sender.sendable, MAX_PAYLOAD)))
        payload = memoryview(self.content)[self.sent : self.sent + size]
        (frame,) = self.sender.frames(payload, size=MAX_PAYLOAD, now=self.now)
        assert parse_frame_untrusted(frame).offset == self.sent
        self.sent += size
        self.data_out.put(frame, arrival=self.now + MAX_DELAY)

    @precondition(
        lambda self: self.sender.state is SenderState.SENDING and self.sent == len(self.content)
    )
    @rule()
    def end(self) -> None:
        self.sender.end(DIGEST, now=self.now)
        self.flush()

    @precondition(lambda self: self.unwritten)
    @rule(share=SHARES)
    def disk_writes(self, share: float) -> None:
        for _ in range(max(1, int(share * len(self.unwritten)))):
            self.stored += self.unwritten.popleft()
        self.receiver.written(len(self.stored), now=self.now)
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
            assert self.sent - len(self.stored) <= WINDOW
            assert sum(map(len, self.unwritten)) <= WINDOW
            assert 0 <= self.sender.sendable <= WINDOW

    @invariant()
    def what_is_stored_is_the_beginning_of_the_file(self) -> None:
        if hasattr(self, "content"):
            assert self.content.startswith(self.stored)

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

    def one_round(self) -> None:
        self.control_arrives()
        self.data_arrives()
        self.answer_arrives()
        if self.receiver.state is ReceiverState.DECIDING:
            self.decide(1)
        if self.sender.sendable:
            self.send(0.5)
        elif self.sender.state is SenderState.SENDING and self.sent == len(self.content):
            self.end()
        if self.unwritten:
            self.disk_writes(0.5)
        self.disk_is_idle()
        if self.is_verifiable():
            self.verify()
        self.the_window_is_kept()


Pair.TestCase.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)
TestPair = Pair.TestCase
