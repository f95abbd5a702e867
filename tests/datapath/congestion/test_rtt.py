"""The retransmission timer's arithmetic, and the minimum RTT."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtcsend.datapath.congestion.rtt import (
    MIN_RTT_SLICES,
    MIN_RTT_WINDOW,
    RTO_INITIAL,
    RTO_MAX,
    RTO_MIN,
    MinRtt,
    RttEstimator,
)


def test_before_the_first_sample() -> None:
    estimator = RttEstimator()
    assert estimator.srtt == 0.0
    assert estimator.rto == RTO_INITIAL


def test_the_first_two_samples_by_hand() -> None:
    estimator = RttEstimator()
    estimator.on_sample(0.4)
    assert (estimator.srtt, estimator.rttvar) == pytest.approx((0.4, 0.2))
    assert estimator.rto == pytest.approx(0.4 + 4 * 0.2)
    estimator.on_sample(0.8)
    # RTTVAR = 3/4 * 0.2 + 1/4 * |0.4 - 0.8|; SRTT = 7/8 * 0.4 + 1/8 * 0.8
    assert (estimator.srtt, estimator.rttvar) == pytest.approx((0.45, 0.25))
    assert estimator.rto == pytest.approx(0.45 + 4 * 0.25)


def test_a_steady_short_path_meets_the_lower_bound() -> None:
    estimator = RttEstimator()
    for _ in range(100):
        estimator.on_sample(0.01)
    assert estimator.rto == RTO_MIN


def test_back_off_doubles_up_to_the_bound_and_a_sample_ends_it() -> None:
    estimator = RttEstimator()
    estimator.on_sample(0.1)
    first = estimator.rto
    estimator.back_off()
    assert estimator.rto == pytest.approx(2 * first)
    for _ in range(20):
        estimator.back_off()
    assert estimator.rto == RTO_MAX
    estimator.on_sample(0.1)
    assert estimator.rto < 1


@given(st.lists(st.floats(-1, 1e6), min_size=1, max_size=30))
def test_the_rto_stays_within_its_bounds(samples: list[float]) -> None:
    estimator = RttEstimator()
    for sample in samples:
        estimator.on_sample(sample)
        assert RTO_MIN <= estimator.rto <= RTO_MAX
        assert estimator.srtt > 0


@given(st.lists(st.tuples(st.floats(0, 5), st.floats(0.001, 3)), min_size=1, max_size=60))
def test_min_rtt_remembers_the_window_and_a_slice_at_most(
    samples: list[tuple[float, float]],
) -> None:
    minimum, now, seen = MinRtt(), 0.0, list[tuple[float, float]]()
    for step, rtt in samples:
        now += step
        seen.append((now, rtt))
        value = minimum.on_sample(rtt, now=now)
        slack = MIN_RTT_WINDOW / MIN_RTT_SLICES
        assert value <= min(r for t, r in seen if t >= now - MIN_RTT_WINDOW)
        assert value >= min(r for t, r in seen if t >= now - MIN_RTT_WINDOW - slack)


def test_min_rtt_before_the_first_sample() -> None:
    assert MinRtt().value == math.inf
