"""The probe of the tail, then the timeout; on a clock that is handed in."""

import pytest

from rtcsend.datapath.sctp.retransmission_timer import (
    MIN_PROBE_DELAY,
    UNANSWERED_PROBES,
    Due,
    RetransmissionTimer,
)

RTO, SRTT = 0.5, 0.1


def running(*, srtt: float = SRTT) -> RetransmissionTimer:
    timer = RetransmissionTimer()
    timer.restart(rto=RTO, srtt=srtt, now=0.0)
    return timer


def due(timer: RetransmissionTimer, now: float) -> Due:
    return timer.take_due(rto=RTO, now=now)


def test_the_tail_is_probed_after_two_round_trips_and_given_up_later() -> None:
    timer = running()
    assert timer.get_timer() == 2 * SRTT  # and no allowance for a delayed SACK
    assert due(timer, 0.199) is Due.NOTHING
    assert due(timer, 0.2) is Due.PROBE
    assert timer.get_timer() == 0.2 + RTO
    assert due(timer, 0.6) is Due.NOTHING
    assert due(timer, 0.7) is Due.TIMEOUT


@pytest.mark.parametrize(
    ("srtt", "at", "first"),
    [
        (0.0, RTO, Due.TIMEOUT),
        (0.0001, MIN_PROBE_DELAY, Due.PROBE),
        (0.24, 0.48, Due.PROBE),
        (0.3, RTO, Due.PROBE),
    ],
)
def test_the_probe_comes_first_unless_no_rtt_is_known(srtt: float, at: float, first: Due) -> None:
    timer = running(srtt=srtt)
    assert timer.get_timer() == at
    assert due(timer, at) is first


def test_there_is_one_probe_until_something_is_acknowledged() -> None:
    """RFC 8985 §7.3; else who sends a little all the time never comes to a timeout."""
    timer = running()
    assert due(timer, 2 * SRTT) is Due.PROBE
    for step in range(1, 7):
        timer.restart_probe(srtt=SRTT, now=2 * SRTT + step / 20)
    assert timer.get_timer() == 2 * SRTT + RTO
    assert due(timer, 2 * SRTT + RTO) is Due.TIMEOUT
    timer.restart(rto=RTO, srtt=SRTT, now=1.0)  # acknowledged
    assert due(timer, 1.0 + 2 * SRTT) is Due.PROBE


def test_new_data_puts_the_probe_off_but_not_the_timeout() -> None:
    timer = running()
    timer.restart_probe(srtt=SRTT, now=0.15)
    assert timer.get_timer() == pytest.approx(0.35)
    timer.restart_probe(srtt=SRTT, now=0.4)
    assert timer.get_timer() == RTO
    assert due(timer, RTO) is Due.PROBE
    timer.stop()
    timer.restart_probe(srtt=SRTT, now=0.5)
    assert timer.get_timer() is None
    assert not timer.is_running


def test_there_is_no_probe_between_timeouts() -> None:
    timer = running()
    timer.on_timeout(is_window_closed=False)
    timer.restart(rto=RTO, srtt=SRTT, now=1.0)
    assert timer.get_timer() == 1.0 + RTO
    timer.on_sack(acked=1)
    timer.restart(rto=RTO, srtt=SRTT, now=1.2)
    assert timer.get_timer() == pytest.approx(1.4)


def test_a_path_that_answers_again_need_not_wait_for_the_back_off() -> None:
    timer = running()
    timer.hasten(rto=0.1, now=0.0)  # nothing has timed out: nothing to make up for
    assert due(timer, 2 * SRTT) is Due.PROBE
    timer.on_timeout(is_window_closed=False)
    timer.restart(rto=16 * RTO, srtt=SRTT, now=1.0)
    timer.hasten(rto=RTO, now=3.0)
    assert timer.get_timer() == 3.0 + RTO
    timer.hasten(rto=RTO, now=3.1)
    assert timer.get_timer() == 3.0 + RTO
    assert due(timer, 3.0 + RTO) is Due.TIMEOUT
    timer.stop()
    timer.hasten(rto=RTO, now=3.2)
    assert timer.get_timer() is None


def test_silence_about_a_closed_window_is_doubted_in_the_end() -> None:
    timer = running()
    seen = []
    for _ in range(UNANSWERED_PROBES + 1):
        timer.on_timeout(is_window_closed=True)
        seen.append((timer.probes_window, timer.is_black_hole))
    assert seen == [(True, False)] * UNANSWERED_PROBES + [(False, True)]
    timer.on_sack(acked=0)  # closed, but there
    timer.on_timeout(is_window_closed=True)
    assert timer.probes_window
