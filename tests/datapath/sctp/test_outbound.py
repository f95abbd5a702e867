"""The sending half against a naive model of sets, and the work that a SACK costs."""

import math
import random
from dataclasses import dataclass, field
from typing import SupportsIndex, overload

import pytest

from rtcsend.datapath.sctp.outbound import (
    MAX_REORDER_STEPS,
    REORDER_SHARE,
    Acked,
    Chunk,
    Flight,
    Outbound,
)
from rtcsend.datapath.sctp.serial import add
from rtcsend.datapath.sctp.wire import DATA_HEADER, FLAG_BEGIN, FLAG_END, HEADER_SIZE, Sack
from rtcsend.errors import PeerProtocolError

PAYLOAD = 100
MIN_RTT, SRTT = 0.1, 0.15


def flight(now: float) -> Flight:
    return Flight(sent_at=now, delivered=0, delivered_at=0.0, first_sent_at=0.0, app_limited=False)


def send_new(outbound: Outbound, budget: int, now: float) -> list[Chunk]:
    return outbound.new_chunks(
        budget, payload=PAYLOAD, header=bytes(HEADER_SIZE), flight=flight(now)
    )


@dataclass
class Sent:
    """A chunk as the model knows it."""

    size: int
    sent_at: float
    transmissions: int = 1
    losses: int = 0
    acked: bool = False
    lost: bool = False


@dataclass
class Model:
    """Looks at everything, every time."""

    chunks: list[Sent] = field(default_factory=list)
    received: set[int] = field(default_factory=set)
    cumulative: int = 0
    newest: float = -math.inf
    newest_at: float = 0.0

    @property
    def flight_size(self) -> int:
        return sum(chunk.size for chunk in self.chunks if not chunk.acked and not chunk.lost)

    def acknowledge(self, indices: set[int], now: float) -> int:
        size, before = 0, self.newest
        for index in sorted(indices):
            chunk = self.chunks[index]
            if chunk.acked:
                continue
            chunk.acked, chunk.lost = True, False
            size += chunk.size
            is_old = chunk.transmissions > 1 and now - chunk.sent_at < MIN_RTT
            if chunk.sent_at > self.newest and not is_old:
                self.newest = chunk.sent_at
        if self.newest > before:
            self.newest_at = now
        return size

    def lose(self, window: float, now: float) -> int:
        lost = 0
        for chunk in self.chunks:
            if chunk.acked or chunk.lost or chunk.sent_at >= self.newest:
                continue
            if chunk.sent_at <= self.newest - window + now - self.newest_at:
                chunk.lost = True
                chunk.losses += 1
                lost += chunk.size
        return lost


class Run:
    """One random history, played to both."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.first = self.rng.choice([0, 2**32 - 20, 2**31 - 10, 12345])
        self.outbound = Outbound(self.first, now=0.0)
        self.model = Model()
        self.now = 1.0
        self.has_min_rtt = False
        self.in_flight_index: dict[int, int] = {}

    def step(self) -> None:
        self.now += self.rng.choice([0.0, 0.001, 0.01, 0.05])
        action = self.rng.choices(
            [
                self.send,
                self.retransmit,
                self.arrive,
                self.sack,
                self.deadline,
                self.timeout,
                self.probe,
            ],
            [4, 4, 5, 5, 2, 0.2, 0.3],
        )[0]
        action()
        self.check()

    def send(self) -> None:
        if self.rng.random() < 0.7:
            self.outbound.send(self.rng.randrange(3), 53, bytes(self.rng.randint(1, 500)))
        for chunk in send_new(self.outbound, self.rng.randint(1, 600), self.now):
            self.in_flight_index[id(chunk)] = len(self.model.chunks)
            self.model.chunks.append(Sent(chunk.size, self.now))

    def retransmit(self) -> None:
        packet = self.outbound.retransmission(flight=flight(self.now))
        lost = [chunk for chunk in self.model.chunks if chunk.lost]
        if packet is None:
            assert not lost
            return
        chunk = self.model.chunks[self.index_of(packet)]
        assert chunk.lost, "sent again without a loss"
        chunk.lost = False
        chunk.sent_at = self.now
        chunk.transmissions += 1

    def index_of(self, packet: bytes) -> int:
        tsn = int.from_bytes(packet[HEADER_SIZE + 4 : HEADER_SIZE + 8], "big")
        return (tsn - self.first) % 2**32

    def probe(self) -> None:
        packet = self.outbound.probe_chunk(flight=flight(self.now))
        candidates = [c for c in self.model.chunks if not c.acked and not c.lost]
        assert (packet is None) == (not candidates)
        if packet is not None:
            chunk = self.model.chunks[self.index_of(packet)]
            assert chunk is candidates[-1]
            chunk.sent_at = self.now
            chunk.transmissions += 1

    def arrive(self) -> None:
        count = len(self.model.chunks)
        for _ in range(self.rng.randint(1, 8)):
            if count:
                start = max(0, count - 30)
                self.model.received.add(self.rng.randrange(start, count))
                missing = [i for i in range(count) if i not in self.model.received]
                if missing and self.rng.random() < 0.3:
                    self.model.received.add(missing[0])

    def sack(self) -> None:
        """A SACK of now, or an old one, or one that forgets blocks that it had."""
        model = self.model
        cumulative = model.cumulative
        while cumulative in model.received and self.rng.random() < 0.9:
            cumulative += 1
        keep = self.rng.choice([1.0, 1.0, 0.8, 0.0])
        above = sorted(i for i in model.received if i > cumulative and self.rng.random() < keep)
        gaps: list[tuple[int, int]] = []
        for index in above:
            offset = index - cumulative + 1
            if gaps and gaps[-1][1] == offset - 1 and self.rng.random() < 0.95:
                gaps[-1] = (gaps[-1][0], offset)
            else:
                gaps.append((offset, offset))
        if self.rng.random() < 0.1 and cumulative:
            old = Sack(add(self.first, cumulative - 2), 10_000, (), 0)
            if cumulative - 1 < model.cumulative:
                assert self.outbound.receive_sack(old, now=self.now) is None
        sack = Sack(add(self.first, cumulative - 1), 10_000, tuple(gaps), 0)
        acked = self.outbound.receive_sack(sack, now=self.now)
        assert acked is not None
        newly = model.acknowledge(set(range(cumulative)) | set(above), self.now)
        assert acked.size == newly
        assert acked.advanced == (cumulative > model.cumulative)
        model.cumulative = cumulative
        if acked.size:
            self.detect(acked)

    def detect(self, acked: Acked) -> None:
        window = min(self.outbound.reorder_steps * REORDER_SHARE * MIN_RTT, SRTT)
        self.outbound.detect_losses(acked, min_rtt=MIN_RTT, srtt=SRTT, now=self.now)
        assert acked.lost == self.model.lose(window, self.now)

    def deadline(self) -> None:
        at = self.outbound.reorder_deadline
        if at is None:
            return
        self.now = max(self.now, at)
        acked = Acked()
        self.detect(acked)
        after = self.outbound.reorder_deadline
        assert after is None or after > self.now, "it would never rest"

    def timeout(self) -> None:
        even_acknowledged = self.rng.random() < 0.5
        self.outbound.lose_everything(even_acknowledged=even_acknowledged)
        for chunk in self.model.chunks[self.model.cumulative :]:
            if even_acknowledged:
                chunk.acked = False
            if not chunk.acked:
                chunk.losses += not chunk.lost
                chunk.lost = True

    def check(self) -> None:
        outbound, model = self.outbound, self.model
        assert outbound.flight_size == model.flight_size
        assert outbound.cumulative_tsn == add(self.first, model.cumulative - 1)
        assert outbound.outstanding == (model.cumulative < len(model.chunks))
        assert outbound.next_tsn == add(self.first, len(model.chunks))
        head = outbound._head
        for chunk, known in zip(
            outbound._chunks[head:], model.chunks[model.cumulative :], strict=True
        ):
            assert (chunk.acked, chunk.lost) == (known.acked, known.lost)


@pytest.mark.parametrize("first", range(0, 300, 50))
def test_sacks_against_the_model(first: int) -> None:
    for seed in range(first, first + 50):
        run = Run(seed)
        run.outbound.detect_losses(Acked(), min_rtt=MIN_RTT, srtt=SRTT, now=run.now)
        for number in range(150):
            try:
                run.step()
            except AssertionError as exc:
                raise AssertionError(f"seed {seed}, step {number}") from exc


class CountingList(list[Chunk]):
    """Counts the elements that are looked at."""

    visited = 0

    @overload
    def __getitem__(self, index: SupportsIndex) -> Chunk: ...
    @overload
    def __getitem__(self, index: slice) -> list[Chunk]: ...
    def __getitem__(self, index: SupportsIndex | slice) -> Chunk | list[Chunk]:
        got = super().__getitem__(index)
        self.visited += len(got) if isinstance(got, list) else 1
        return got


def outstanding(count: int) -> tuple[Outbound, CountingList]:
    outbound = Outbound(0, now=0.0)
    outbound.send(0, 53, bytes(PAYLOAD * count))
    for index in range(0, count, 10):
        send_new(outbound, PAYLOAD * 10, index / 1000)
    chunks = CountingList(outbound._chunks)
    outbound._chunks = chunks
    return outbound, chunks


def take(outbound: Outbound, sack: Sack, now: float) -> Acked:
    acked = outbound.receive_sack(sack, now=now)
    assert acked is not None
    outbound.detect_losses(acked, min_rtt=MIN_RTT, srtt=SRTT, now=now)
    return acked


@pytest.mark.parametrize("count", [2_000, 20_000])
def test_a_sack_costs_what_it_changes(count: int) -> None:
    """A hole at the front, and a hundred more: work does not grow with what is in flight."""
    outbound, chunks = outstanding(count)
    now = count / 1000
    holes = set(range(1, 202, 2))
    arrived = [index for index in range(count) if index not in holes]
    gaps: list[tuple[int, int]] = []
    for step, index in enumerate(arrived[1:], start=1):
        if gaps and gaps[-1][1] == index:
            gaps[-1] = (gaps[-1][0], index + 1)
        else:
            gaps.append((index + 1, index + 1))
        if step % 2 == 0:
            chunks.visited = 0
            take(outbound, Sack(2**32 - 1, 10**6, tuple(gaps), 0), now + step / 1000)
            assert chunks.visited <= 2 + 20 + 10, (step, chunks.visited)
    # Holes are filled one by one: the blocks behind them are known already.
    filled = sorted({0} | holes)
    for number, hole in enumerate(filled[:-1]):
        cumulative = filled[number + 1] - 1
        rest = tuple(
            (first - cumulative - 1, last - cumulative - 1)
            for first, last in gaps
            if first > cumulative + 1
        )
        chunks.visited = 0
        acked = take(outbound, Sack(cumulative, 10**6, rest, 0), now + 100 + hole)
        assert acked.size == PAYLOAD
        assert chunks.visited <= 20, (hole, chunks.visited)


def test_long_runs_are_trimmed() -> None:
    outbound = Outbound(2**32 - 1000, now=0.0)
    for step in range(200):
        outbound.send(0, 53, bytes(PAYLOAD * 100))
        assert len(send_new(outbound, PAYLOAD * 100, float(step))) == 100
        take(outbound, Sack(add(outbound.next_tsn, -1), 10**6, (), 0), step + 0.1)
        assert len(outbound._chunks) <= 5_000
    assert not outbound.outstanding
    assert outbound.flight_size == 0
    assert outbound.delivered == 200 * 100 * PAYLOAD


@pytest.mark.parametrize(
    "sack",
    [
        Sack(5, 0, (), 0),
        Sack(2**32 - 1, 0, ((2, 6),), 0),
        Sack(3, 0, ((2, 2),), 0),
        Sack(2**31 - 10, 0, (), 0),
    ],
)
def test_what_was_never_sent_cannot_be_acknowledged(sack: Sack) -> None:
    outbound, _ = outstanding(5)
    with pytest.raises(PeerProtocolError):
        outbound.receive_sack(sack, now=1.0)
    assert outbound.flight_size == 5 * PAYLOAD


def test_a_burst_is_not_overtaken_by_itself() -> None:
    """At the deadline of an older chunk, those sent with the newest are still in flight."""
    outbound, chunks = outstanding(20)  # two bursts, at 0.0 and 0.01
    acked = take(outbound, Sack(2**32 - 1, 10**6, ((2, 15),), 0), 0.2)
    assert acked.lost == 0
    assert outbound.reorder_deadline == pytest.approx(0.2 - 0.01 + 0.025, abs=1e-5)
    assert outbound.reorder_deadline is not None
    late = Acked()
    outbound.detect_losses(late, min_rtt=MIN_RTT, srtt=SRTT, now=outbound.reorder_deadline)
    assert late.lost == PAYLOAD
    assert [index for index, chunk in enumerate(chunks) if chunk.lost] == [0]


def test_the_answer_to_the_first_transmission_overtakes_nothing() -> None:
    """RFC 8985 §6.2 step 2: too soon for the retransmission to have caused it."""
    outbound, _ = outstanding(20)
    take(outbound, Sack(0, 10**6, (), 0), 0.1)
    outbound.probe_chunk(flight=flight(0.3))
    acked = take(outbound, Sack(0, 10**6, ((19, 19),), 0), 0.301)
    assert acked.size == PAYLOAD
    assert acked.lost == 0


def test_without_an_rtt_nothing_is_overtaken() -> None:
    outbound, _ = outstanding(20)
    acked = outbound.receive_sack(Sack(2**32 - 1, 10**6, ((12, 20),), 0), now=0.1)
    assert acked is not None
    outbound.detect_losses(acked, min_rtt=math.inf, srtt=0.0, now=0.1)
    assert acked.lost == 0
    assert outbound.reorder_deadline is None


def test_streams_take_turns_and_messages_are_cut() -> None:
    outbound = Outbound(7, now=0.0)
    outbound.send(1, 53, bytes(250))
    outbound.send(1, 53, b"later")
    outbound.send(2, 51, b"soon")
    assert (outbound.queued, outbound.queued_on(1), outbound.queued_on(2)) == (259, 255, 4)
    first = send_new(outbound, 150, 0.0)
    assert (outbound.queued, outbound.queued_on(1)) == (59, 55)
    rest = send_new(outbound, 1000, 0.0)
    seen = []
    for chunk in first + rest:
        _, flags, length, tsn, stream, sequence, ppid = DATA_HEADER.unpack_from(
            chunk.packet, HEADER_SIZE
        )
        assert length == 16 + chunk.size
        assert len(chunk.packet) % 4 == 0
        seen.append((tsn, flags, stream, sequence, ppid, chunk.size))
    assert seen == [
        (7, FLAG_BEGIN, 1, 0, 53, 100),
        (8, 0, 1, 0, 53, 100),
        (9, FLAG_END, 1, 0, 53, 50),
        (10, FLAG_BEGIN | FLAG_END, 2, 0, 51, 4),
        (11, FLAG_BEGIN | FLAG_END, 1, 1, 53, 5),
    ]
    assert (outbound.queued, outbound.queued_on(1)) == (0, 0)


def test_reordering_steps_have_a_limit() -> None:
    assert MAX_REORDER_STEPS * REORDER_SHARE <= 4
