"""CUBIC: the RFC's formulas, and what each event does to the window."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtcsend.datapath.congestion.base import MAX_CWND
from rtcsend.datapath.congestion.cubic import ALPHA, BETA, Cubic, cubic_k, cubic_window
from tests.datapath.congestion.samples import MSS, ack


@pytest.mark.parametrize(
    ("w_max", "k"),
    [
        # RFC 9438 §4.2: K = cbrt((W_max - 0.7 W_max) / 0.4)
        (10.0, 1.9574),
        (100.0, 4.2172),
        (1000.0, 9.0856),
        (10_000.0, 19.5743),
    ],
)
def test_k_is_the_time_back_to_w_max(w_max: float, k: float) -> None:
    measured = cubic_k(w_max=w_max, cwnd_epoch=BETA * w_max)
    assert measured == pytest.approx(k, abs=1e-4)
    assert cubic_window(0, k=measured, w_max=w_max) == pytest.approx(BETA * w_max)
    assert cubic_window(measured, k=measured, w_max=w_max) == pytest.approx(w_max)
    # The curve is symmetric about W_max.
    beyond = cubic_window(2 * measured, k=measured, w_max=w_max)
    assert beyond == pytest.approx((2 - BETA) * w_max)


def test_alpha_is_that_of_rfc_9438() -> None:
    assert pytest.approx(0.5294, abs=1e-4) == ALPHA


def after_loss(segments: int, *, now: float = 1.0) -> Cubic:
    """Return a controller whose window was ``segments`` when it lost a packet."""
    cubic = Cubic(mss=MSS, now=0.0)
    cubic.on_ack(ack(now=0.5, acked=(segments - 10) * MSS))
    assert cubic.cwnd == segments * MSS
    cubic.on_loss(now=now, lost=MSS, flight=(segments - 1) * MSS, sent_at=now - 0.1)
    return cubic


def feed(cubic: Cubic, *, start: float, seconds: float, rtt: float) -> None:
    """Acknowledge a window a round, in ten SACKs."""
    now = start
    while now < start + seconds:
        now += rtt / 10
        cubic.on_ack(ack(now=now, acked=cubic.cwnd // 10, rtt=rtt))


def test_slow_start_grows_by_what_is_acknowledged() -> None:
    cubic = Cubic(mss=MSS, now=0.0)
    cubic.on_ack(ack(now=0.1, acked=10 * MSS))
    assert cubic.cwnd == 20 * MSS
    assert cubic.in_slow_start


def test_a_loss_leaves_seven_tenths() -> None:
    cubic = after_loss(100)
    assert cubic.cwnd == 70 * MSS
    assert not cubic.in_slow_start


def test_one_reaction_a_round_trip() -> None:
    cubic = after_loss(100, now=1.0)
    cubic.on_loss(now=1.05, lost=MSS, flight=60 * MSS, sent_at=0.99)
    assert cubic.cwnd == 70 * MSS
    cubic.on_loss(now=1.15, lost=MSS, flight=69 * MSS, sent_at=1.01)
    assert cubic.cwnd == 49 * MSS


def test_what_was_sent_before_the_loss_is_no_reason_to_grow() -> None:
    cubic = after_loss(100, now=1.0)
    for step in range(10):
        cubic.on_ack(ack(now=1.0 + step / 101, acked=7 * MSS, rtt=0.1))
    assert cubic.cwnd == 70 * MSS
    cubic.on_ack(ack(now=1.1, acked=70 * MSS, rtt=0.1))
    assert cubic.cwnd > 70 * MSS


def test_the_window_is_back_at_w_max_after_k() -> None:
    # 1,000 segments, so that Reno is slower than the curve. The target is a round trip ahead.
    cubic = after_loss(1000)
    k = cubic_k(w_max=1000, cwnd_epoch=700)
    feed(cubic, start=1.1, seconds=k - 0.1, rtt=0.1)
    assert cubic.cwnd / MSS == pytest.approx(1000, rel=0.01)
    feed(cubic, start=1 + k, seconds=k, rtt=0.1)
    assert cubic.cwnd / MSS == pytest.approx(1300, rel=0.05)


def test_a_short_path_grows_as_reno_would() -> None:
    cubic = after_loss(20)  # 14 segments at 10 ms: the curve needs 2.5 s to get to 20
    feed(cubic, start=1.01, seconds=0.1, rtt=0.01)
    assert cubic.cwnd / MSS == pytest.approx(14 + 10 * ALPHA, abs=0.5)


def test_fast_convergence_remembers_less_than_the_window() -> None:
    cubic = after_loss(100)
    cubic.on_loss(now=2.0, lost=MSS, flight=69 * MSS, sent_at=1.9)
    # 70 is under the last maximum of 100: W_max is 70 * 1.7 / 2.
    assert cubic._w_max == pytest.approx(70 * (1 + BETA) / 2)


def test_a_window_that_was_not_used_does_not_grow() -> None:
    for cubic in (Cubic(mss=MSS, now=0.0), after_loss(100)):
        before = cubic.cwnd
        for step in range(100):
            now = 1.2 + step / 10
            cubic.on_ack(ack(now=now, acked=10 * MSS, app_limited=True))
            cubic.on_ack(ack(now=now + 0.05, acked=MSS, prior_flight=before // 2 - 1))
        assert cubic.cwnd == before


def test_the_curve_stands_still_while_the_application_is_slow() -> None:
    cubic = after_loss(1000)
    cubic.on_ack(ack(now=1.2))
    for step in range(100):
        cubic.on_ack(ack(now=1.3 + step, app_limited=True))
    before = cubic.cwnd
    feed(cubic, start=100.3, seconds=0.1, rtt=0.1)
    assert cubic.cwnd < 1.1 * before


def test_a_timeout_leaves_one_segment_and_slow_start_up_to_the_reduced_window() -> None:
    cubic = Cubic(mss=MSS, now=0.0)
    cubic.on_ack(ack(now=0.1, acked=90 * MSS))
    cubic.on_rto(now=1.0)
    assert cubic.cwnd == MSS
    assert cubic.ssthresh == pytest.approx(70 * MSS)
    cubic.on_rto(now=3.0)
    assert cubic.ssthresh == pytest.approx(70 * MSS)  # once for one outage
    now = 4.0
    while cubic.in_slow_start:
        now += 0.1
        cubic.on_ack(ack(now=now, acked=cubic.cwnd, rtt=0.05))
    assert now < 5
    assert cubic.cwnd == 70 * MSS


def test_idle_falls_back_to_the_initial_window_and_remembers() -> None:
    cubic = after_loss(100)
    cubic.on_idle(now=60.0)
    assert cubic.cwnd == 10 * MSS
    assert cubic.ssthresh >= 0.7 * 70 * MSS
    fresh = Cubic(mss=MSS, now=0.0)
    fresh.on_ack(ack(now=0.1, acked=90 * MSS))
    fresh.on_idle(now=60.0)
    assert fresh.ssthresh == math.inf


def test_a_short_pause_keeps_the_window() -> None:
    cubic = after_loss(100)
    cubic.on_sent(now=2.0, flight=MSS)
    cubic.on_idle(now=2.15)
    assert cubic.cwnd == 70 * MSS
    cubic.on_idle(now=2.25)
    assert cubic.cwnd == 10 * MSS


def test_pacing_follows_the_window() -> None:
    cubic = Cubic(mss=MSS, now=0.0)
    assert cubic.pacing_rate == math.inf
    cubic.on_ack(ack(now=0.1, acked=10 * MSS))
    assert cubic.pacing_rate == pytest.approx(2 * cubic.cwnd / 0.1)
    cubic.on_loss(now=0.2, lost=MSS, flight=19 * MSS, sent_at=0.1)
    assert cubic.pacing_rate == pytest.approx(2 * cubic.cwnd / 0.1)
    cubic.on_ack(ack(now=0.35))
    assert cubic.pacing_rate == pytest.approx(1.25 * cubic.cwnd / 0.1, rel=0.01)


def test_a_new_packet_size_keeps_the_bytes() -> None:
    cubic = after_loss(100)
    cubic.set_mss(2 * MSS)
    assert cubic.cwnd == 70 * MSS
    assert cubic._w_max == pytest.approx(50)
    cubic.on_sent(now=2.0, flight=0)
    feed(cubic, start=2.0, seconds=5, rtt=0.1)
    assert cubic.cwnd > 70 * MSS


EVENTS = st.lists(
    st.tuples(
        st.sampled_from(["ack", "loss", "rto", "idle", "mss"]),
        st.floats(0, 5),
        st.integers(0, 200_000),
    ),
    max_size=80,
)


@given(EVENTS)
def test_no_order_of_events_breaks_the_bounds(events: list[tuple[str, float, int]]) -> None:
    cubic, now = Cubic(mss=MSS, now=0.0), 0.0
    for kind, step, amount in events:
        now += step
        match kind:
            case "ack":
                rtt = 0.001 + step if amount % 3 else None
                cubic.on_ack(ack(now=now, acked=amount, rtt=rtt, round_start=amount % 2 == 0))
            case "loss":
                cubic.on_loss(now=now, lost=amount, flight=amount // 2, sent_at=now - step)
            case "rto":
                cubic.on_rto(now=now)
            case "idle":
                cubic.on_idle(now=now)
            case _:
                cubic.set_mss(1200 + amount % 8000)
        assert 0 < cubic.cwnd <= MAX_CWND
        assert cubic.pacing_rate > 0


def test_slow_start_ends_without_loss_when_the_round_trip_rises() -> None:
    cubic, now = Cubic(mss=MSS, now=0.0), 0.0
    for rounds in range(12):
        rtt = 0.05 if rounds < 3 else 0.1
        for index in range(8):
            now += rtt / 8
            cubic.on_ack(ack(now=now, acked=MSS, rtt=rtt, round_start=index == 0))
    assert math.isfinite(cubic.ssthresh)
    assert not cubic.in_slow_start
