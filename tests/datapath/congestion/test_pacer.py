"""The pacer: no more than the rate over any window, and no less."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtcsend.datapath.congestion.base import MAX_CWND
from rtcsend.datapath.congestion.pacer import MAX_LATENESS, TIMER_SLACK, Pacer, send_quantum

MSS = 1200  # bytes


@pytest.mark.parametrize(
    ("rate", "quantum"),
    [
        (12_500, 2 * MSS),  # 100 kbit/s
        (2_400_000, 2 * MSS),
        (12_500_000, 12_500),  # 100 Mbit/s: a millisecond
        (1e9, 64 * MSS),
        (math.inf, 64 * MSS),
    ],
)
def test_a_batch_is_a_millisecond_between_two_and_64_segments(rate: float, quantum: int) -> None:
    assert send_quantum(rate, mss=MSS) == quantum


STEPS = st.lists(
    st.tuples(st.floats(0, 0.01), st.integers(0, 3), st.sampled_from([2e4, 1e6, 1e7, 3e8])),
    max_size=60,
)


@given(STEPS)
def test_no_window_carries_more_than_the_rate_and_one_burst(
    steps: list[tuple[float, int, float]],
) -> None:
    pacer, now = Pacer(mss=MSS, now=0.0, rate=1e6), 0.0
    sent = list[tuple[float, int]]()  # (time, bytes)
    drained = [0.0]  # what the rate allowed up to each entry of sent
    allowance, rate = 0.0, 1e6
    burst = 0.0
    for wait, batches, new_rate in steps:
        now += wait
        allowance += rate * wait
        for _ in range(batches):
            budget = pacer.budget(now)
            if budget:
                pacer.on_sent(budget, now)
                sent.append((now, budget))
                drained.append(allowance)
        rate = new_rate
        pacer.set_rate(rate, now=now)
        burst = max(burst, pacer.quantum + rate * MAX_LATENESS)
    burst = max(burst, send_quantum(1e6, mss=MSS) + 1e6 * MAX_LATENESS)
    for first in range(len(sent)):
        total = 0
        for last in range(first, len(sent)):
            total += sent[last][1]
            allowed = drained[last + 1] - drained[first + 1]
            assert total <= allowed + burst + len(sent)  # and a byte of rounding a batch


@pytest.mark.parametrize("rate", [12_500.0, 1.25e6, 1.25e7, 2e8])
@pytest.mark.parametrize("late", [0.0, 0.001, 0.09])
def test_the_rate_is_reached_although_timers_are_late(rate: float, late: float) -> None:
    pacer, now, sent = Pacer(mss=MSS, now=0.0, rate=rate), 0.0, 0
    while now < 10:
        budget = pacer.budget(now) // MSS * MSS
        pacer.on_sent(budget, now)
        sent += budget
        now = pacer.next_send_time(now) + late
    assert sent == pytest.approx(rate * now, rel=0.02)


def test_next_send_time_has_a_budget() -> None:
    pacer = Pacer(mss=MSS, now=0.0, rate=1e6)
    assert pacer.next_send_time(0.0) == 0.0
    pacer.on_sent(100_000, 0.0)
    assert pacer.budget(0.05) == 0
    wake = pacer.next_send_time(0.05)
    assert wake == pytest.approx(0.1)
    assert pacer.budget(wake) >= 2 * MSS


def test_a_new_rate_shortens_the_wait() -> None:
    pacer = Pacer(mss=MSS, now=0.0, rate=1e4)
    pacer.on_sent(10_000, 0.0)
    pacer.set_rate(1e6, now=0.5)
    assert pacer.next_send_time(0.5) == pytest.approx(0.505)


def test_without_a_rate_nothing_is_held_back() -> None:
    pacer = Pacer(mss=MSS, now=0.0)
    pacer.on_sent(10**9, 0.0)
    assert pacer.budget(0.0) == MAX_CWND
    assert pacer.next_send_time(0.0) == 0.0
    pacer.set_rate(1e6, now=1.0)
    assert pacer.budget(1.0) == 2 * MSS


def test_idleness_earns_no_more_than_the_slack() -> None:
    pacer = Pacer(mss=MSS, now=0.0, rate=1e7)
    assert pacer.budget(3600.0) == pytest.approx(1e7 * (0.001 + TIMER_SLACK), abs=1)


def test_who_waited_and_came_late_loses_nothing_within_a_bound() -> None:
    for late, made_up in ((0.05, 0.05), (3600.0, MAX_LATENESS)):
        pacer = Pacer(mss=MSS, now=0.0, rate=1e7)
        pacer.on_sent(100_000, 0.0)
        wake = pacer.next_send_time(0.0)
        assert pacer.budget(wake + late) == pytest.approx(1e7 * (0.001 + made_up), abs=100)
        pacer.on_sent(100_000, wake + late)


def test_who_waited_and_has_sent_all_is_idle_again() -> None:
    pacer = Pacer(mss=MSS, now=0.0, rate=1e7)
    pacer.on_sent(100_000, 0.0)
    wake = pacer.next_send_time(0.0)
    pacer.on_sent(pacer.budget(wake), wake)
    assert pacer.budget(wake + 3600) == pytest.approx(1e7 * (0.001 + TIMER_SLACK), abs=1)


def test_a_clock_that_stands_still_or_goes_back_is_harmless() -> None:
    pacer = Pacer(mss=MSS, now=10.0, rate=1e6)
    pacer.on_sent(5000, 10.0)
    assert pacer.budget(9.0) == 0
    assert pacer.budget(10.0) == 0


def test_a_new_packet_size_changes_the_batch() -> None:
    pacer = Pacer(mss=MSS, now=0.0, rate=1e3)
    pacer.set_mss(9000)
    assert pacer.quantum == 18_000
