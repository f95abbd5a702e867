"""What a SACK changes, and the work that it costs."""

from typing import SupportsIndex, overload

import pytest

from rtcsend.datapath.sctp.send_queue import Chunk, Run
from rtcsend.datapath.sctp.serial import add
from rtcsend.datapath.sctp.wire import Sack
from rtcsend.errors import PeerProtocolError
from tests.datapath.sctp.sending import PAYLOAD, ROOM, Sending, flight

NOTHING = 2**32 - 1  # the TSN before the first


class CountingList(list[Chunk | Run]):
    """Counts the elements that are looked at."""

    visited = 0

    @overload
    def __getitem__(self, index: SupportsIndex) -> Chunk | Run: ...
    @overload
    def __getitem__(self, index: slice) -> list[Chunk | Run]: ...
    def __getitem__(self, index: SupportsIndex | slice) -> Chunk | Run | list[Chunk | Run]:
        got = super().__getitem__(index)
        self.visited += len(got) if isinstance(got, list) else 1
        return got


def in_flight(count: int) -> tuple[Sending, CountingList]:
    sending = Sending()
    for index in range(0, count, 10):
        sending.burst(min(10, count - index), index / 1000)
    chunks = CountingList(sending.outstanding.chunks)
    sending.outstanding.chunks = chunks
    return sending, chunks


@pytest.mark.parametrize("count", [2_000, 20_000])
def test_a_sack_costs_what_it_changes(count: int) -> None:
    """A hole at the front, and a hundred more: work does not grow with what is in flight."""
    sending, chunks = in_flight(count)
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
            sending.take(Sack(NOTHING, ROOM, tuple(gaps), 0), now + step / 1000)
            assert chunks.visited <= 50, (step, chunks.visited)  # a few bursts that are due
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
        acked, _ = sending.take(Sack(cumulative, ROOM, rest, 0), now + 100 + hole)
        assert acked.size == PAYLOAD
        assert chunks.visited <= 20, (hole, chunks.visited)


def test_blocks_that_come_and_go_are_not_visited_again() -> None:
    """A peer that says it all, then nothing, then it all again: twenty bytes of SACK each."""
    sending, chunks = in_flight(20_000)
    sending.take(Sack(NOTHING, ROOM, ((2, 19_999),), 0), 30.0)
    chunks.visited = 0
    for step in range(1_000):
        sending.take(Sack(NOTHING, ROOM, (), 0), 31.0 + step)
        sending.take(Sack(NOTHING, ROOM, ((2, 10_000),), 0), 31.1 + step)
        sending.take(Sack(NOTHING, ROOM, ((2, 3), (50, 19_999)), 0), 31.2 + step)
    assert chunks.visited <= 30_000, "some a SACK, for the detection of losses"


def test_what_was_dropped_again_is_lost_and_what_is_still_reported_is_not() -> None:
    """The cumulative TSN stops before something that had arrived: RFC 9260 §6.2.1 D iii."""
    sending, _ = in_flight(20)
    sending.take(Sack(NOTHING, ROOM, ((3, 9), (12, 15)), 0), 0.2)
    in_between = sending.outstanding.flight_size
    # 0 and 1 come; of 2 to 8 and of 11 to 14 the other side has kept 5, 6, 12, and now has 16.
    acked = sending.outstanding.receive_sack(Sack(1, ROOM, ((4, 5), (11, 11), (15, 15)), 0))
    assert acked is not None
    assert [order for order, _ in acked.reneged] == [2, 3, 4, 7, 8, 11, 13, 14]
    assert acked.size == 3 * PAYLOAD
    assert sending.outstanding.flight_size == in_between - 3 * PAYLOAD
    sending.rack.send_reneged(acked.reneged)
    again = 0
    while sending.rack.retransmission(flight=flight(0.3)):
        again += 1
    assert again == len(acked.reneged)
    assert sending.outstanding.flight_size == in_between + 5 * PAYLOAD
    acked = sending.outstanding.receive_sack(Sack(19, ROOM, (), 0))
    assert acked is not None
    assert acked.size == (20 - 2 - 4) * PAYLOAD
    assert not acked.reneged
    assert not sending.outstanding
    assert sending.outstanding.flight_size == 0


def test_to_drop_again_and_again_costs_what_is_dropped() -> None:
    sending, chunks = in_flight(20_000)
    everything = ((2, 19_999),)
    sending.take(Sack(NOTHING, ROOM, everything, 0), 30.0)
    chunks.visited = 0
    for tsn in range(0, 1_000, 2):  # two chunks each, while all behind them is reported as ever
        acked = sending.outstanding.receive_sack(Sack(tsn, ROOM, ((3, 19_998 - tsn),), 0))
        assert acked is not None
        assert [order for order, _ in acked.reneged] == [tsn + 1, tsn + 2]
        assert sending.outstanding.flight_size == PAYLOAD, "the last"
    assert chunks.visited <= 10_000


def test_long_runs_are_trimmed() -> None:
    sending = Sending(2**32 - 1000)
    outstanding = sending.outstanding
    for step in range(200):
        sending.burst(100, float(step))
        sending.take(Sack(add(sending.queue.next_tsn, -1), ROOM, (), 0), step + 0.1)
        assert len(outstanding.chunks) <= 5_000
        assert not any(chunk.packets()[0] for chunk in outstanding.chunks), "a packet is kept"
    assert not outstanding
    assert outstanding.flight_size == 0
    assert outstanding.next_order == 200 * 100


@pytest.mark.parametrize(
    "sack",
    [
        Sack(5, 0, (), 0),
        Sack(NOTHING, 0, ((2, 6),), 0),
        Sack(3, 0, ((2, 2),), 0),
        Sack(2**31 - 10, 0, (), 0),
    ],
)
def test_what_was_never_sent_cannot_be_acknowledged(sack: Sack) -> None:
    sending, _ = in_flight(5)
    with pytest.raises(PeerProtocolError):
        sending.outstanding.receive_sack(sack)
    assert sending.outstanding.flight_size == 5 * PAYLOAD


def test_a_sack_that_was_overtaken_changes_nothing() -> None:
    sending, _ = in_flight(5)
    sending.take(Sack(3, ROOM, (), 0), 0.2)
    assert sending.outstanding.receive_sack(Sack(2, ROOM, ((2, 3),), 0)) is None
    assert sending.outstanding.flight_size == PAYLOAD


def test_each_burst_that_something_came_of_is_named_by_its_last() -> None:
    sending, chunks = in_flight(40)
    acked, _ = sending.take(Sack(4, ROOM, ((8, 10), (16, 27)), 0), 0.2)
    assert [order for order, _ in acked.runs] == [4, 14, 29, 31]
    assert acked.newest is chunks[31].flight


def test_a_run_that_is_half_acknowledged_and_half_cut_off_comes_apart_where_it_is() -> None:
    """Its first entries are not in the list any more, which may begin in its middle."""
    sending = Sending()
    run, before = 60, 4_080
    sending.burst(before, 0.0)
    sending.burst(run, 0.1)
    sending.take(Sack(before + 19, ROOM, (), 0), 0.2)
    outstanding = sending.outstanding
    assert (outstanding.first_order, outstanding.head) == (before + 20, 0)
    sending.take(Sack(before + 29, ROOM, ((11, 20),), 0), 0.3)
    assert len(outstanding) == run - 30
    acked = [chunk.acked for chunk in outstanding.chunks[outstanding.head :]]
    assert acked == [False] * 10 + [True] * 10 + [False] * 10
    assert outstanding.flight_size == 20 * PAYLOAD
    for chunk in outstanding.chunks[: outstanding.head]:
        assert not chunk.packets()[0], "a packet is kept"
    numbers = [
        int.from_bytes(chunk.packets()[0][16:20], "big")
        for chunk in outstanding.chunks[outstanding.head :]
    ]
    assert numbers == list(range(before + 30, before + run))
    sending.take(Sack(before + run - 1, ROOM, (), 0), 0.4)
    assert not outstanding
    assert outstanding.flight_size == 0
