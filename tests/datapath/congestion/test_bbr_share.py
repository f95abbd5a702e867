"""The bound that an overflow leaves: how far it falls, how it grows, when it goes."""

import math

import pytest

from rtcsend.datapath.congestion.base import MAX_CWND
from rtcsend.datapath.congestion.bbr_share import EMPTY_ROUNDS, SEGMENT, SharedQueue
from rtcsend.datapath.congestion.cubic import BETA, Cubic
from tests.datapath.congestion.samples import ack

FLIGHT = 500 * SEGMENT  # bytes
RTT = 0.05  # seconds


@pytest.fixture
def share() -> SharedQueue:
    share = SharedQueue()
    share.overflow(now=1.0, flight=FLIGHT, floor=0.0, rtt=RTT)
    return share


def grow(
    share: SharedQueue, seconds: float, *, now: float = 1.0, is_empty: bool = False
) -> list[float]:
    """Let rounds pass; return the bound after each, in bytes."""
    bounds = []
    for _ in range(round(seconds / RTT)):
        now += RTT
        share.on_round(now=now, rtt=RTT, is_empty=is_empty, is_cruising=False)
        bounds.append(share.bound)
    return bounds


def test_nothing_is_bounded_before_an_overflow() -> None:
    share = SharedQueue()
    share.on_round(now=1.0, rtt=RTT, is_empty=False, is_cruising=True)
    assert not share.is_active
    assert math.isinf(share.bound)


def test_an_overflow_takes_what_cubic_gives(share: SharedQueue) -> None:
    assert share.is_active
    assert share.bound == pytest.approx(BETA * FLIGHT)


def test_no_overflow_takes_what_the_path_holds() -> None:
    share = SharedQueue()
    share.overflow(now=1.0, flight=FLIGHT, floor=0.9 * FLIGHT, rtt=RTT)
    assert share.bound == pytest.approx(0.9 * FLIGHT)
    bounds = grow(share, 12)
    assert bounds == sorted(bounds)


def test_the_bound_is_never_more_than_we_may_keep() -> None:
    share = SharedQueue()
    share.overflow(now=1.0, flight=10.0 * MAX_CWND, floor=0.0, rtt=RTT)
    assert share.bound == MAX_CWND
    assert max(grow(share, 5)) == MAX_CWND


def test_one_overflow_counts_once(share: SharedQueue) -> None:
    share.overflow(now=1.0 + RTT / 2, flight=FLIGHT / 10, floor=0.0, rtt=RTT)
    assert share.bound == pytest.approx(BETA * FLIGHT)
    share.overflow(now=1.0 + 2 * RTT, flight=BETA * FLIGHT, floor=0.0, rtt=RTT)
    assert share.bound == pytest.approx(BETA**2 * FLIGHT)


def test_the_bound_is_flat_where_room_is_left_for_others(share: SharedQueue) -> None:
    bounds = grow(share, 15)
    assert bounds == sorted(bounds)
    plateau = min(range(1, len(bounds)), key=lambda i: bounds[i] - bounds[i - 1])
    assert bounds[plateau] == pytest.approx((1 + BETA) / 2 * FLIGHT, rel=0.05)
    assert bounds[-1] > FLIGHT  # then it searches for more


def test_the_bound_grows_no_faster_than_cubic(share: SharedQueue) -> None:
    cubic = Cubic(mss=SEGMENT, now=1.0)
    cubic._window, cubic.ssthresh = FLIGHT, FLIGHT
    cubic.on_loss(now=1.0, lost=SEGMENT, flight=FLIGHT - SEGMENT, sent_at=0.99)
    now, shares = 1.0, grow(share, 5)
    for bound in shares:
        now += RTT
        window = cubic.cwnd
        cubic.on_ack(ack(now=now, acked=window, flight=window, prior_flight=window, rtt=RTT))
        assert bound <= 1.01 * cubic.cwnd


def test_an_empty_queue_lifts_the_bound_only_in_a_cruise(share: SharedQueue) -> None:
    grow(share, 20 * RTT, is_empty=True)
    assert share.is_active
    share.on_round(now=9.0, rtt=RTT, is_empty=True, is_cruising=True)
    assert not share.is_active


def test_a_queue_in_between_starts_the_count_anew(share: SharedQueue) -> None:
    for number in range(3 * EMPTY_ROUNDS):
        is_empty = number % EMPTY_ROUNDS != 0
        share.on_round(now=2.0, rtt=RTT, is_empty=is_empty, is_cruising=True)
        assert share.is_active


def test_a_probe_that_is_due_waits_for_fewer_rounds(share: SharedQueue) -> None:
    share.on_probe_due()
    assert share.is_active
    grow(share, 3 * RTT, is_empty=True)
    share.on_probe_due()
    assert math.isinf(share.bound)
