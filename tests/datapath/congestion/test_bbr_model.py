"""BBR's estimators, one by one."""

import math

import pytest

from rtcsend.datapath.congestion.bbr_model import (
    BETA,
    AckAggregation,
    FullPipe,
    LossShare,
    MinRttProbe,
    PathModel,
)


def measure(model: PathModel, rate: float, *, now: float, app_limited: bool = False) -> bool:
    """Feed a sample of a packet sent a tenth of a second ago; tighten the bounds after loss."""
    ended = model.update(
        now=now,
        sent_at=now - 0.1,
        rate=rate,
        delivered=int(rate / 10),
        app_limited=app_limited,
    )
    if ended and model.loss_in_round:
        model.adapt_lower_bounds(cwnd=500)
    model.finish_update(rate=rate, delivered=int(rate / 10))
    return ended


def test_the_bandwidth_is_the_maximum_of_two_cycles() -> None:
    model = PathModel()
    measure(model, 100.0, now=1.0)
    measure(model, 80.0, now=1.1)
    assert model.bw == 100.0
    model.advance_max_bw()
    measure(model, 80.0, now=1.2)
    assert model.bw == 100.0
    model.advance_max_bw()
    measure(model, 70.0, now=1.3)
    assert model.bw == 80.0


def test_samples_that_the_application_limited_only_raise() -> None:
    model = PathModel()
    measure(model, 100.0, now=1.0)
    model.advance_max_bw()
    model.advance_max_bw()
    measure(model, 10.0, now=1.1, app_limited=True)
    assert model.max_bw == 100.0
    measure(model, 120.0, now=1.2, app_limited=True)
    assert model.max_bw == 120.0


def test_loss_lowers_the_short_term_bounds_by_beta_at_most() -> None:
    model = PathModel()
    measure(model, 1000.0, now=1.0)
    model.note_loss(now=1.0)
    assert not measure(model, 1000.0, now=1.05)  # of a packet sent before the loss
    assert measure(model, 100.0, now=1.2)
    assert model.bw_shortterm == 1000.0  # the best of the round
    assert measure(model, 100.0, now=1.4)
    assert model.bw == pytest.approx(BETA * 1000.0)
    assert model.inflight_shortterm == pytest.approx(BETA * BETA * 500)
    model.reset_short_term()
    model.finish_update(rate=100.0, delivered=10)
    assert model.bw == 1000.0


def test_the_pipe_is_full_after_three_rounds_without_growth() -> None:
    pipe = FullPipe()
    for rate in (100.0, 125.0, 157.0):
        pipe.check(rate=rate, round_start=True, app_limited=False)
    seen = list[bool]()
    for _ in range(3):
        pipe.check(rate=190.0, round_start=True, app_limited=False)
        seen.append(pipe.now)
    assert seen == [False, False, True]
    pipe.reset(baseline=190.0)
    assert (pipe.reached, pipe.now) == (True, False)


def test_growth_within_a_round_starts_the_count_anew() -> None:
    pipe = FullPipe()
    pipe.check(rate=100.0, round_start=True, app_limited=False)
    pipe.check(rate=100.0, round_start=True, app_limited=False)
    pipe.check(rate=100.0, round_start=True, app_limited=False)
    pipe.check(rate=130.0, round_start=False, app_limited=False)
    pipe.check(rate=110.0, round_start=True, app_limited=False)
    assert not pipe.reached


def test_an_application_that_limits_never_fills_the_pipe() -> None:
    pipe = FullPipe()
    for _ in range(20):
        pipe.check(rate=100.0, round_start=True, app_limited=True)
    assert not pipe.reached


def test_the_minimum_is_due_after_five_seconds_without_a_lower_one() -> None:
    probe = MinRttProbe(now=0.0)
    probe.update(now=1.0, rtt=0.1)
    seen = []
    for now in (5.9, 6.1):
        probe.update(now=now, rtt=0.2)
        seen.append(probe.expired)
    assert seen == [False, True]
    assert probe.min_rtt == 0.1  # two probes' worth of samples: ten seconds
    probe.schedule(now=6.1)
    probe.update(now=11.2, rtt=0.3)
    assert probe.min_rtt == pytest.approx(0.3)


def test_a_long_path_is_probed_every_ten_round_trips() -> None:
    probe = MinRttProbe(now=0.0)
    probe.update(now=2.0, rtt=2.0)
    seen = []
    for now in (21.0, 22.1):
        probe.update(now=now, rtt=3.0)
        seen.append(probe.expired)
    assert seen == [False, True]


def test_without_a_sample_the_minimum_is_unknown() -> None:
    probe = MinRttProbe(now=0.0)
    probe.update(now=1.0, rtt=None)
    assert probe.min_rtt == math.inf


def test_the_share_that_was_lost() -> None:
    share = LossShare()
    assert not share.exceeds(0.0)
    share.lost, share.delivered = 2, 98
    assert share.exceeds(0.019)
    assert not share.exceeds(0.02)
    share.reset()
    assert not share.exceeds(0.0)


def aggregate(
    aggregation: AckAggregation, *, now: float, acked: int, round_count: int, full: bool = True
) -> float:
    """Feed a SACK on a path of 1,000 bytes a second."""
    aggregation.update(
        now=now, acked=acked, bw=1000.0, cwnd=10**6, round_count=round_count, full=full
    )
    return aggregation.extra_acked


def test_what_comes_at_once_is_extra() -> None:
    aggregation = AckAggregation(now=0.0)
    assert aggregate(aggregation, now=0.1, acked=500, round_count=1) == 500
    # 0.4 s later 400 bytes more were expected: 100 are left of the first, 300 come at once.
    assert aggregate(aggregation, now=0.5, acked=300, round_count=1) == 500
    assert aggregate(aggregation, now=0.5, acked=200, round_count=1) == pytest.approx(600)
    assert aggregate(aggregation, now=5.0, acked=10, round_count=12) == pytest.approx(10)


def test_startup_remembers_one_round_and_the_window_bounds_it() -> None:
    aggregation = AckAggregation(now=0.0)
    assert aggregate(aggregation, now=0.1, acked=10**7, round_count=1, full=False) == 10**6
    aggregation.restart(now=1.0)
    assert aggregate(aggregation, now=9.0, acked=10, round_count=2, full=False) == 10
