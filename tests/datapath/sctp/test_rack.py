"""RACK against a naive model of sets, and its reordering window."""

import math
import random
from dataclasses import dataclass, field

import pytest

from rtcsend.datapath.sctp.rack import (
    MAX_REORDER_STEPS,
    PLAUSIBLE_RTT,
    REORDER_PERSIST,
    REORDER_SHARE,
)
from rtcsend.datapath.sctp.serial import add
from rtcsend.datapath.sctp.wire import HEADER_SIZE, Sack
from tests.datapath.sctp.sending import MIN_RTT, PAYLOAD, ROOM, SRTT, Sending, flight
from tests.fakes.sctp_link import Conditions, Pair


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
    newest: tuple[float, int] = (-math.inf, -1)
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
            is_old = chunk.transmissions > 1 and now - chunk.sent_at < PLAUSIBLE_RTT * MIN_RTT
            if not is_old:
                self.newest = max(self.newest, (chunk.sent_at, index))
        if self.newest > before:
            self.newest_at = now
        return size

    def renege(self, cumulative: int, above: set[int]) -> set[int]:
        """What had arrived, and is not reported though it would be next, was dropped again."""
        beyond = self.chunks[cumulative:]
        if cumulative == self.cumulative or not (beyond and beyond[0].acked):
            return set()
        known = {index for index, chunk in enumerate(self.chunks) if chunk.acked}
        dropped = {index for index in known if index >= cumulative} - above
        for index in dropped:
            self.chunks[index].acked, self.chunks[index].lost = False, True
        return dropped

    def lose(self, window: float, now: float) -> int:
        lost = 0
        for index, chunk in enumerate(self.chunks):
            if chunk.acked or chunk.lost or (chunk.sent_at, index) >= self.newest:
                continue
            if now >= self.newest_at + (chunk.sent_at + window - self.newest[0]):
                chunk.lost = True
                chunk.losses += 1
                lost += chunk.size
        return lost


class Run:
    """One random history, played to both."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.first = self.rng.choice([0, 2**32 - 20, 2**31 - 10, 12345])
        self.sending = Sending(self.first)
        self.model = Model()
        self.reneged = 0
        self.now = 1.0

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
            self.sending.queue.add(self.rng.randrange(3), 53, bytes(self.rng.randint(1, 500)))
        for chunk in self.sending.send(self.rng.randint(1, 600), self.now):
            self.model.chunks.append(Sent(chunk.size, self.now))

    def retransmit(self) -> None:
        self.now += 1e-6  # at the very same time the order is that of the TSNs, roughly
        packet = self.sending.rack.retransmission(flight=flight(self.now))
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
        self.now += 1e-6
        packet = self.sending.rack.probe(flight=flight(self.now))
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
        """A SACK of now, or an old one, or one that forgets what it had."""
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
                assert self.sending.outstanding.receive_sack(old) is None
        sack = Sack(add(self.first, cumulative - 1), 10_000, tuple(gaps), 0)
        acked = self.sending.outstanding.receive_sack(sack)
        assert acked is not None
        dropped = model.renege(cumulative, set(above))
        assert {order for order, _ in acked.reneged} == dropped
        self.reneged += len(dropped)
        self.sending.rack.send_reneged(acked.reneged)
        self.sending.rack.on_acked(acked, min_rtt=MIN_RTT, now=self.now)
        newly = model.acknowledge(set(range(cumulative)) | set(above), self.now)
        assert acked.size == newly
        assert acked.advanced == (cumulative > model.cumulative)
        model.cumulative = cumulative
        if acked.size:
            self.detect()

    def detect(self) -> None:
        window = min(REORDER_SHARE * MIN_RTT, SRTT)
        assert self.sending.detect(self.now).size == self.model.lose(window, self.now)

    def deadline(self) -> None:
        at = self.sending.rack.reorder_deadline
        if at is None:
            return
        self.now = max(self.now, at)
        self.detect()
        after = self.sending.rack.reorder_deadline
        assert after is None or after > self.now, "it would never rest"

    def timeout(self) -> None:
        even_acknowledged = self.rng.random() < 0.5
        self.sending.rack.lose_everything(even_acknowledged=even_acknowledged)
        for chunk in self.model.chunks[self.model.cumulative :]:
            if even_acknowledged:
                chunk.acked = False
            if not chunk.acked:
                chunk.losses += not chunk.lost
                chunk.lost = True

    def check(self) -> None:
        outstanding, model = self.sending.outstanding, self.model
        assert outstanding.flight_size == model.flight_size
        assert outstanding.cumulative_tsn == add(self.first, model.cumulative - 1)
        assert len(outstanding) == len(model.chunks) - model.cumulative
        assert outstanding.next_order == len(model.chunks)
        assert self.sending.queue.next_tsn == add(self.first, len(model.chunks))
        for chunk, known in zip(
            outstanding.chunks[outstanding.head :], model.chunks[model.cumulative :], strict=True
        ):
            assert (chunk.acked, chunk.lost) == (known.acked, known.lost)


@pytest.mark.parametrize("first", range(0, 300, 50))
def test_sacks_against_the_model(first: int) -> None:
    reneged = 0
    for seed in range(first, first + 50):
        run = Run(seed)
        for number in range(150):
            try:
                run.step()
            except AssertionError as exc:
                raise AssertionError(f"seed {seed}, step {number}") from exc
        reneged += run.reneged
    assert reneged


NOTHING = 2**32 - 1  # the TSN before the first


def gap(first: int, last: int, *, cumulative: int = NOTHING) -> Sack:
    return Sack(cumulative, ROOM, ((first, last),), 0)


def two_bursts() -> Sending:
    """Ten chunks at 0.0, ten at 0.01."""
    sending = Sending()
    sending.burst(10, 0.0)
    sending.burst(10, 0.01)
    return sending


def lost_indices(sending: Sending) -> list[int]:
    return [index for index, chunk in enumerate(sending.outstanding.chunks) if chunk.lost]


def test_those_behind_the_newest_of_a_burst_are_not_overtaken() -> None:
    """At the deadline of an older chunk, what left after the newest is still in flight."""
    sending = two_bursts()
    _, lost = sending.take(gap(2, 15), 0.2)
    assert lost.size == 0
    deadline = sending.rack.reorder_deadline
    assert deadline == pytest.approx(0.2 - 0.01 + 0.025, abs=1e-5)
    assert deadline is not None
    assert sending.detect(deadline).size == PAYLOAD
    assert lost_indices(sending) == [0]


def test_a_burst_is_overtaken_by_its_own_end() -> None:
    """RFC 8985 §6.2: what left at the same time left in the order of its TSNs."""
    sending = two_bursts()
    _, lost = sending.take(Sack(9, ROOM, ((4, 8),), 0), 0.2)
    assert lost.size == 0
    deadline = sending.rack.reorder_deadline
    assert deadline == pytest.approx(0.2 + 0.025, abs=1e-5)
    assert deadline is not None
    assert sending.detect(deadline).size == 3 * PAYLOAD
    assert lost_indices(sending) == [10, 11, 12]
    assert sending.rack.reorder_deadline is None


def test_the_answer_to_the_first_transmission_overtakes_nothing() -> None:
    """RFC 8985 §6.2 step 2: too soon for the retransmission to have caused it."""
    sending = two_bursts()
    sending.take(Sack(0, ROOM, (), 0), 0.1)
    sending.rack.probe(flight=flight(0.3))
    acked, lost = sending.take(gap(19, 19, cumulative=0), 0.301)
    assert acked.size == PAYLOAD
    assert lost.size == 0


def test_without_an_rtt_nothing_is_overtaken() -> None:
    sending = two_bursts()
    acked = sending.outstanding.receive_sack(gap(12, 20))
    assert acked is not None
    sending.rack.on_acked(acked, min_rtt=math.inf, now=0.1)
    assert sending.rack.detect(min_rtt=math.inf, srtt=0.0, now=0.1).size == 0
    assert sending.rack.reorder_deadline is None


@pytest.mark.parametrize(("sent_again", "expected"), [(False, 0.01), (True, None)])
def test_an_rtt_is_of_what_was_sent_once(sent_again: bool, expected: float | None) -> None:
    sending = two_bursts()
    if sent_again:
        sending.rack.probe(flight=flight(0.3))
    acked = sending.outstanding.receive_sack(gap(20, 20))
    assert acked is not None
    assert sending.rack.on_acked(acked, min_rtt=MIN_RTT, now=0.5) == expected
    late = sending.outstanding.receive_sack(gap(2, 2))
    assert late is not None
    assert sending.rack.on_acked(late, min_rtt=MIN_RTT, now=0.6) is None, "it came long ago"


# The reordering window


class Rounds:
    """Chunks one after the other; some get lost, some duplicates are reported."""

    def __init__(self) -> None:
        self.sending = Sending()
        self.now = 0.0
        self.tsn = -1

    @property
    def steps(self) -> int:
        return self.sending.rack.reorder_steps

    def sack(self, cumulative: int, *, duplicates: int = 0, **more: int) -> None:
        gaps = ((more["first"], more["last"]),) if more else ()
        self.sending.take(Sack(cumulative % 2**32, ROOM, gaps, duplicates), self.now)

    def send(self, count: int) -> None:
        self.now += 1.0
        self.sending.burst(count, self.now)
        self.tsn += count

    def recovery(self) -> None:
        """One chunk is lost, found, sent again and acknowledged."""
        self.send(1)
        self.send(1)
        self.now += 0.2
        self.sack(self.tsn - 2, first=2, last=2)
        assert self.sending.rack.retransmission(flight=flight(self.now))
        self.now += 0.2
        self.sack(self.tsn)

    def duplicate(self) -> None:
        self.send(1)
        self.now += 0.2
        self.sack(self.tsn, duplicates=1)


def test_the_reordering_window_grows_once_a_round() -> None:
    rounds = Rounds()
    rounds.send(10)
    for tsn in range(9):
        rounds.sack(tsn, duplicates=1)
    assert rounds.steps == 2, "ten SACKs of one round are one word"
    rounds.sack(9, duplicates=1)
    assert rounds.steps == 3, "and that is the next round"
    for _ in range(30):
        rounds.duplicate()
    assert rounds.steps == MAX_REORDER_STEPS


def test_the_reordering_window_shrinks_after_recoveries_without_duplicates() -> None:
    rounds = Rounds()
    for _ in range(3):
        rounds.duplicate()
    assert rounds.steps == 4
    for _ in range(REORDER_PERSIST - 1):
        rounds.recovery()
    assert rounds.steps == 4
    rounds.duplicate()  # that was no reordering gone by: count anew
    assert rounds.steps == 5
    for _ in range(REORDER_PERSIST - 1):
        rounds.recovery()
        rounds.send(1)
        rounds.sack(rounds.tsn)  # without a loss it is no recovery
    assert rounds.steps == 5
    rounds.recovery()
    assert rounds.steps == 1


def test_a_recovery_ends_with_everything_that_was_sent_before_it_was_noticed() -> None:
    rounds = Rounds()
    rounds.duplicate()
    rounds.sending.rack._persist = 1
    rounds.send(1)
    rounds.send(5)
    rounds.now += 0.2
    rounds.sack(rounds.tsn - 6, first=2, last=2)
    assert rounds.sending.rack.retransmission(flight=flight(rounds.now))
    rounds.now += 0.2
    rounds.sack(rounds.tsn - 1)
    assert rounds.steps == 2
    rounds.sack(rounds.tsn)
    assert rounds.steps == 1


def test_a_timeout_is_a_recovery() -> None:
    rounds = Rounds()
    rounds.duplicate()
    for _ in range(REORDER_PERSIST):
        assert rounds.steps == 2
        rounds.send(1)
        rounds.sending.rack.lose_everything(even_acknowledged=False)
        assert rounds.sending.rack.retransmission(flight=flight(rounds.now))
        rounds.sack(rounds.tsn)
    assert rounds.steps == 1


def test_reordering_steps_have_a_limit() -> None:
    assert MAX_REORDER_STEPS * REORDER_SHARE <= 4


def test_where_reordering_is_expected_a_round_trip_is_waited_always() -> None:
    rounds = Rounds()
    rack = rounds.sending.rack
    rack.expect_reordering(expected=True)
    for _ in range(REORDER_PERSIST + 1):
        rounds.recovery()
    assert rounds.steps == MAX_REORDER_STEPS
    rack.expect_reordering(expected=False)
    assert rounds.steps == 1


@pytest.mark.parametrize("expected", [True, False])
def test_what_several_ways_reorder_is_not_lost(expected: bool) -> None:
    pair = Pair(1, Conditions(delay=0.02, reordering=0.5, reordering_delay=0.03))
    sender, receiver = pair.ends
    assert pair.run(5.0, lambda: sender.established_at is not None)
    sender.association.expect_reordering(expected=expected)
    sender.to_send = [(0.0, 1, bytes(50_000)) for _ in range(40)]
    assert pair.run(20.0, lambda: len(receiver.received.get(1, ())) == 40)
    assert (sender.link.retransmissions == 0) is expected
