"""Streams of unknown size: live, quiet for hours, through cuts; and lies about their end."""

import asyncio
import functools
import json
import random
from collections.abc import AsyncGenerator, Callable, Sequence
from itertools import repeat

import pytest
from blake3 import blake3
from hypothesis import given
from hypothesis import strategies as st

from rtcsend.blocks import Data
from rtcsend.errors import ConnectionLost, PeerProtocolError
from rtcsend.events import Progress, Stalled
from rtcsend.manifest.entry import ManifestEntry
from rtcsend.manifest.manifest import Manifest
from rtcsend.manifest.selection import Selection, one_file
from rtcsend.strict_json import MAX_INTEGER
from rtcsend.transfer.frames import MAX_PAYLOAD, serialize_frame
from rtcsend.transfer.machine_events import AllReceived
from rtcsend.transfer.messages import MIN_WINDOW, ProposalMessage, parse_control_untrusted
from rtcsend.transfer.movement import CRAWL_LEAST, CRAWL_TIME, RESTED
from rtcsend.transfer.receiver import RECEIVE_WINDOW, ReceiverMachine
from rtcsend.transfer.sender import SenderMachine
from tests.fakes.channels import FakeChannels, Network, channel_pair
from tests.transfer.fakes import FakeSink, FakeSource, Pair, transfer, virtual
from tests.transfer.test_world import World
from tests.transfer.wire import (
    DIGEST,
    accept,
    checking,
    end,
    file,
    have,
    listed,
    pages_of,
    proposal_of,
    written,
)

STREAM = ManifestEntry(path="x.tar", kind="stream")
SELECTION = one_file(STREAM)
MANIFEST = listed(STREAM)
HOUR = 3_600.0
SIZE = 1_000_000  # bytes, of a file beside the streams


class FakePipe(FakeSource):
    """Somebody writes into it now and then. What is released cannot be had again.

    Args:
        pieces: What is written, and the virtual seconds before it.
    """

    def __init__(self, pieces: Sequence[tuple[float, bytes]]) -> None:
        super().__init__()
        self.manifest = MANIFEST
        self.whole = b"".join(data for _, data in pieces)
        self.released = 0
        self.is_read_to = 0
        self._pieces = iter(pieces)
        self._next: tuple[float, bytes] | None = None  # when it is there, and what

    async def blocks(
        self, selection: Selection, *, start: int
    ) -> AsyncGenerator[tuple[int, Data], None]:
        assert selection.layout.is_open
        assert self.released <= start <= self.is_read_to
        while True:
            if start < self.is_read_to:
                yield start, self.whole[start : self.is_read_to]
                start = self.is_read_to
            now = asyncio.get_running_loop().time()
            if self._next is None:
                piece = next(self._pieces, None)
                if piece is None:
                    return
                self._next = now + piece[0], piece[1]
            await asyncio.sleep(self._next[0] - now)
            self.is_read_to += len(self._next[1])
            self._next = None

    def release(self, position: int) -> None:
        assert position <= self.is_read_to
        self.released = max(self.released, position)

    async def digest(self) -> str:
        return blake3(self.whole).hexdigest()


def stream_sink() -> FakeSink:
    return FakeSink(selection=SELECTION)


def carried(pipe: FakePipe, network: Network | None = None) -> Pair:
    sink = LiveSink()
    pair = transfer(lambda: Pair(pipe, sink, network=network))
    assert sink.content == pipe.whole
    for side in (pair.sender, pair.receiver):
        assert side.done.bytes == side.done.moved == len(pipe.whole)
        assert side.done.blake3 == blake3(pipe.whole).hexdigest()
    return pair


class LiveSink(FakeSink):
    """Hands on what it is given at once, and notes when."""

    def __init__(self) -> None:
        super().__init__(selection=SELECTION)
        self.arrivals: list[tuple[float, bytes]] = []

    async def write(self, data: Data) -> None:
        await super().write(data)
        await self.flush()
        self.arrivals.append((asyncio.get_running_loop().time(), bytes(data)))


@pytest.mark.parametrize("size", [0, 1, 65_536, 3_000_000])
def test_a_stream_arrives(size: int) -> None:
    pipe = FakePipe([(0.0, random.Random(3).randbytes(size))])
    pair = carried(pipe)
    assert pair.receiver.done.paths == ("/downloads/x.tar",)
    assert pipe.released <= size
    totals = {e.total for e in pair.sender.events if isinstance(e, Progress)}
    assert totals <= {None}


def test_a_line_is_there_half_a_round_trip_later() -> None:
    delay = 0.05
    pipe = FakePipe([(1.0, b"one\n"), (0.1, b"two\n"), (7.0, b"three\n")])
    sink = LiveSink()
    network = Network(control_delay=delay, data_delay=delay)
    transfer(lambda: Pair(pipe, sink, network=network))
    times = [time for time, _ in sink.arrivals]
    assert [data for _, data in sink.arrivals] == [b"one\n", b"two\n", b"three\n"]
    accepted = 2 * delay  # the proposal went, the answer came
    assert times == pytest.approx(
        [accepted + delay + wait for wait in (1.0, 1.1, 8.1)], abs=delay / 2
    )


def test_an_hour_of_silence_is_no_stall() -> None:
    pair = carried(FakePipe([(0.0, b"one\n"), (HOUR, b"two\n"), (HOUR, b"three\n")]))
    for side in (pair.sender, pair.receiver):
        assert not [event for event in side.events if isinstance(event, Stalled)]


@pytest.mark.parametrize("pause", [0.1, 0.2, 1.0])
def test_a_slow_stream_is_no_crawl(pause: float) -> None:
    count = int(2.2 * CRAWL_TIME / pause)
    line = b"x" * max(1, CRAWL_LEAST // 8 // int(CRAWL_TIME / pause))
    network = Network(control_delay=0.3, data_delay=0.3)
    pair = carried(FakePipe([(pause, line)] * count), network)
    for side in (pair.sender, pair.receiver):
        assert not [event for event in side.events if isinstance(event, Stalled)]


def test_a_receiver_that_is_held_up_is_told_and_waited_for() -> None:
    """Somebody has paused the film that is received."""
    pipe = FakePipe([(0.0, b"one\n"), (1.0, b"two\n")])
    sink = FakeSink(selection=SELECTION, blocks_at=0, blocks_for=HOUR)
    pair = transfer(lambda: Pair(pipe, sink))
    assert sink.content == b"one\ntwo\n"
    assert [event for event in pair.sender.events if isinstance(event, Stalled)]


def test_it_is_read_only_as_far_as_the_receiver_writes() -> None:
    data = bytes(1 << 20)
    pipe = FakePipe([(0.0, data)] * 64)
    sink = FakeSink(selection=SELECTION, keeps=False, bytes_per_s=1 << 20)

    def made() -> Pair:
        pair = Pair(pipe, sink)
        pair.receiver_end.on_arrival = lambda: ahead.append(pipe.is_read_to - sink.stored)
        return pair

    ahead: list[int] = []
    pair = transfer(made)
    assert pair.receiver.done.bytes == 64 << 20
    assert max(ahead) <= RECEIVE_WINDOW + (4 << 20)


@pytest.mark.parametrize("batch", range(4))
def test_cuts_cost_nothing(batch: int) -> None:
    """What was not acknowledged is sent again; what was is not asked for; the end is the same."""
    for seed in range(batch * 25, (batch + 1) * 25):
        virtual(functools.partial(stream_with_cuts, seed))


async def stream_with_cuts(seed: int) -> None:
    chance = random.Random(seed)
    pieces = [
        (chance.choice((0.0, 0.0, 0.05, 0.3, 20.0)), chance.randbytes(chance.choice((5, 70_000))))
        for _ in range(chance.randint(0, 20))
    ]
    pipe, sink = FakePipe(pieces), LiveSink()
    world = World(seed, pipe, sink)
    results = await world.run(cuts=chance.choice((0, 1, 2, 5)))
    assert sink.content == pipe.whole, (seed, results)
    assert sink.is_finished
    assert world.asked == 1
    assert world.receiving.done is not None
    assert world.receiving.done.bytes == len(pipe.whole)


def test_who_meet_again_for_a_quiet_stream_have_not_met_in_vain() -> None:
    """Each connection that lives for a while counts, though nothing has moved in it."""

    async def main() -> None:
        pair = Pair(FakePipe([(HOUR, b"late\n")]), LiveSink())
        for lived, grows in ((RESTED / 2, False), (RESTED + 1, True), (RESTED + 1, True)):
            before = pair.sending.position, pair.receiving.position
            ends = pair.sender_end, pair.receiver_end = channel_pair(None)
            both = asyncio.gather(
                pair.sending.run(ends[0], payload_size=MAX_PAYLOAD),
                pair.receiving.run(ends[1]),
                return_exceptions=True,
            )
            await asyncio.sleep(lived)
            for end_ in ends:
                end_.fail()
            assert all(isinstance(result, ConnectionLost) for result in await both)
            after = pair.sending.position, pair.receiving.position
            for old, new in zip(before, after, strict=True):
                assert (new - old >= CRAWL_LEAST) == grows
        await pair.receiving.aclose()

    virtual(main)


async def heard(channels: FakeChannels, kind: str) -> None:
    while True:
        message = await channels.receive()
        if isinstance(message, str) and json.loads(message)["type"] == kind:
            return


def test_nothing_follows_an_end_over_another_connection() -> None:
    """All has come, and is being stored, when the connection is lost; then there is more."""
    sink = FakeSink(selection=SELECTION, finish_takes=30.0)

    async def main() -> None:
        pair = Pair(FakePipe([]), sink)
        running = asyncio.create_task(pair.receiving.run(pair.receiver_end))
        await pair.sender_end.send_control(proposal_of(MANIFEST))
        await pair.sender_end.send_control(pages_of(MANIFEST)[0])
        await heard(pair.sender_end, "accept")
        await pair.sender_end.send_frames([frame(0, 10)])
        await pair.sender_end.send_control(end(10, blake3(bytes(10)).hexdigest()))
        await asyncio.sleep(1)
        pair.receiver_end.fail()
        assert isinstance(*await asyncio.gather(running, return_exceptions=True), ConnectionLost)
        sender, receiver = channel_pair(None)
        running = asyncio.create_task(pair.receiving.run(receiver))
        await sender.send_control(proposal_of(MANIFEST, repeated=True))
        await heard(sender, "accept")
        await sender.send_frames([frame(10, 1)])
        with pytest.raises(PeerProtocolError, match="more data than it had proposed"):
            await running
        receiver.close()

    virtual(main)
    assert sink.content == bytes(10)


# Machines


def receiving(*, start: int = 0, size: int | None = None) -> ReceiverMachine:
    machine = ReceiverMachine(earlier=None, digest=None, size=size, limit=0, now=0.0)
    machine.receive_control_untrusted(proposal_of(MANIFEST), now=0.0)
    machine.receive_control_untrusted(pages_of(MANIFEST)[0], now=0.0)
    machine.accept(SELECTION, start=start, blocks=0, now=0.0)
    return machine


def sending(manifest: Manifest = MANIFEST, *, reached: int = 0) -> SenderMachine:
    message = parse_control_untrusted(proposal_of(manifest))
    assert isinstance(message, ProposalMessage)
    machine = SenderMachine(message, manifest, selection=None, reached=reached, limit=0, now=0.0)
    while machine.next_message():
        pass
    return machine


def frame(offset: int, count: int) -> bytes:
    return serialize_frame(offset=offset, payload=bytes(count))


def is_complete(machine: ReceiverMachine) -> bool:
    return any(isinstance(event, AllReceived) for event in iter(machine.next_event, None))


def test_the_end_says_where_it_was_and_may_come_before_the_data() -> None:
    machine = receiving(start=100)
    machine.receive_control_untrusted(end(30), now=0.0)
    assert not is_complete(machine)
    machine.receive_frame_untrusted(frame(100, 30), now=0.0)
    assert is_complete(machine)
    assert machine.position == 130


@pytest.mark.parametrize(
    "lie",
    [
        lambda m: m.receive_frame_untrusted(frame(11, 1), now=0.0),  # leaves out a byte
        lambda m: m.receive_frame_untrusted(frame(0, 1), now=0.0),  # comes again
        lambda m: m.receive_frame_untrusted(frame(MAX_INTEGER - 1, 2), now=0.0),
        lambda m: m.receive_control_untrusted(checking(11, sent=10), now=0.0),
        lambda m: m.receive_control_untrusted(end(9), now=0.0),  # before what has come
        lambda m: m.receive_control_untrusted(end(RECEIVE_WINDOW + 11), now=0.0),
        lambda m: (
            m.receive_control_untrusted(end(12), now=0.0),
            m.receive_frame_untrusted(frame(10, 3), now=0.0),
        ),
        lambda m: (
            m.receive_control_untrusted(end(12), now=0.0),
            m.receive_control_untrusted(end(13), now=0.0),
        ),
        lambda m: (
            m.receive_control_untrusted(end(10), now=0.0),
            m.receive_frame_untrusted(frame(10, 1), now=0.0),
        ),
    ],
)
def test_lies_about_a_stream(lie: Callable[[ReceiverMachine], object]) -> None:
    machine = receiving()
    machine.receive_frame_untrusted(frame(0, 10), now=0.0)
    with pytest.raises(PeerProtocolError):
        lie(machine)


def test_nothing_follows_an_end_that_an_earlier_connection_has_reached() -> None:
    machine = receiving(start=100, size=100)
    with pytest.raises(PeerProtocolError, match="more data than"):
        machine.receive_frame_untrusted(frame(100, 1), now=0.0)
    machine = receiving(start=100, size=100)
    machine.receive_control_untrusted(end(0), now=0.0)
    assert is_complete(machine)


def test_more_than_the_window() -> None:
    machine = receiving()
    for offset in range(0, RECEIVE_WINDOW, MAX_PAYLOAD):
        machine.receive_frame_untrusted(frame(offset, MAX_PAYLOAD), now=0.0)
    with pytest.raises(PeerProtocolError, match="window"):
        machine.receive_frame_untrusted(frame(RECEIVE_WINDOW, 1), now=0.0)


@pytest.mark.parametrize(
    "answer",
    [
        accept(1),  # its size is not known
        accept(MAX_INTEGER),
        accept(0, blocks=1),
        accept(0, start=11),  # more than was sent
        accept(0, count=2),
    ],
)
def test_answers_that_cannot_be_meant(answer: str) -> None:
    with pytest.raises(PeerProtocolError):
        sending(reached=10).receive_control_untrusted(answer, now=0.0)


def test_what_a_receiver_of_a_stream_may_not_say() -> None:
    machine = sending()
    machine.receive_control_untrusted(accept(0, MIN_WINDOW), now=0.0)
    for text in (have(0, bytes(32)), written(1)):
        with pytest.raises(PeerProtocolError):
            machine.receive_control_untrusted(text, now=0.0)


@given(st.lists(st.integers(1, 200), max_size=20), st.integers(0, 300))
def test_the_window_holds_for_a_stream(sizes: list[int], start: int) -> None:
    machine = sending(reached=start)
    machine.receive_control_untrusted(accept(0, MIN_WINDOW, start=start), now=0.0)
    for size in sizes:
        assert machine.sendable == MIN_WINDOW - machine.in_flight
        machine.frames(memoryview(bytes(size)), size=50, now=0.0)
    assert machine.position == start + sum(sizes)
    machine.end(DIGEST, now=0.0)


@pytest.mark.parametrize(("kept_apart", "is_over"), [(0, False), (1, True)])
def test_who_acknowledges_all_that_is_under_way_moves(kept_apart: int, is_over: bool) -> None:
    """One byte a second of a file; a receiver that always owes the first one is at its end."""
    machine = sending(listed(file(SIZE)))
    machine.receive_control_untrusted(accept(SIZE, MIN_WINDOW), now=0.0)
    ended = False
    for now in map(float, range(1, 600)):
        machine.frames(memoryview(b"x"), size=1, now=now)
        said = 0 if kept_apart else machine.sent - 1  # always a byte behind
        machine.receive_control_untrusted(written(said), now=now)
        try:
            machine.handle_timer(now=now + 0.5)
        except PeerProtocolError:
            ended = True
            break
    assert ended == is_over


def test_repeated_pieces_make_one_stream() -> None:
    carried(FakePipe(list(repeat((0.0, b"line\n"), 5_000))))
