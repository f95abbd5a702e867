"""A request is sent again, and given up, at the times of its schedule and no others."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtcsend.doctor.transaction import STREAM, UDP, Schedule, Transaction, earliest, schedule_for


def times(schedule: Schedule) -> list[float]:
    """Return when a request that nobody answers is sent, run by its timer."""
    transaction = Transaction(b"?", now=100.0, schedule=schedule)
    sent = []
    while (timer := transaction.get_timer()) is not None:
        if transaction.maybe_data(now=timer) is not None:
            sent.append(timer - 100)
    assert transaction.silent
    return sent


def test_a_dead_server_is_given_up_after_three_seconds() -> None:
    assert times(UDP) == [0, 0.5, 1, 2]
    assert UDP.give_up == 3


def test_a_stream_is_asked_once() -> None:
    assert times(STREAM) == [0]


@pytest.mark.parametrize(("rtt", "last"), [(0.001, 0.45), (0.04, 0.45), (0.3, 1.8)])
def test_where_the_round_trip_is_known_less_is_waited(rtt: float, last: float) -> None:
    schedule = schedule_for(rtt)
    assert times(schedule) == pytest.approx([last * n / 3 for n in range(4)])
    assert schedule.give_up > schedule.sends[-1] + rtt


def test_nothing_is_sent_before_its_time_or_after_an_answer() -> None:
    transaction = Transaction(b"?", now=0)
    assert transaction.maybe_data(now=0) == b"?"
    assert transaction.maybe_data(now=0.49) is None
    transaction.on_answer(now=0.49)
    transaction.on_answer(now=0.6)
    assert transaction.rtt == 0.49
    assert transaction.settled
    assert not transaction.silent
    assert transaction.get_timer() is None
    assert transaction.maybe_data(now=5) is None


def test_an_answer_after_the_end_is_none() -> None:
    transaction = Transaction(b"?", now=0, schedule=STREAM)
    transaction.maybe_data(now=0)
    transaction.maybe_data(now=STREAM.give_up)
    transaction.on_answer(now=5)
    assert transaction.silent
    assert transaction.rtt is None


@given(st.lists(st.floats(0, 10), max_size=50).map(sorted))
def test_whenever_it_is_asked_it_sends_four_times_at_most(moments: list[float]) -> None:
    transaction = Transaction(b"?", now=0)
    sent = sum(transaction.maybe_data(now=now) is not None for now in moments)
    assert sent <= 4


def test_earliest() -> None:
    assert earliest(None, 3.0, 2.0) == 2
    assert earliest(None) is None
    assert earliest() is None
