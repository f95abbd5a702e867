"""Flights that are repeated, alone, and in a handshake over a path that loses what it likes."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rtcsend.peer.flight import (
    LEAST_WAIT,
    MAX_FLIGHT,
    MAX_HEARD,
    MAX_REPEATS,
    UNKNOWN_RTT,
    WAIT_RTTS,
    Flight,
)


def repeats(flight: Flight, *, until: float) -> list[float]:
    """Return when something is sent again, if nothing is heard."""
    times = []
    while (at := flight.get_timer()) is not None and at <= until:
        assert flight.datagrams_to_send(now=at)
        times.append(round(at, 6))
    return times


@pytest.mark.parametrize(
    ("rtt", "wait"), [(0.04, LEAST_WAIT), (0.6, 0.6 * WAIT_RTTS), (None, UNKNOWN_RTT * WAIT_RTTS)]
)
def test_silence(rtt: float | None, wait: float) -> None:
    flight = Flight(rtt)
    assert flight.get_timer() is None
    flight.on_sent(b"one", now=0.0)
    flight.on_sent(b"two", now=0.0)
    assert flight.datagrams_to_send(now=wait / 2) == []
    assert flight.datagrams_to_send(now=wait) == [b"one", b"two"]
    assert len(repeats(flight, until=60.0)) == MAX_REPEATS - 1
    assert flight.get_timer() is None


def test_an_answer_ends_it_and_the_next_flight_is_another() -> None:
    flight = Flight(0.04)
    flight.on_sent(b"hello", now=0.0)
    flight.on_heard(b"hello too", now=0.05)
    assert flight.get_timer() is None
    flight.on_sent(b"finished", now=0.06)
    assert flight.datagrams_to_send(now=1.0) == [b"finished"]


def test_a_repeated_flight_is_answered_at_once_but_not_for_ever() -> None:
    flight = Flight(0.04)
    flight.on_heard(b"hello", now=0.0)
    flight.on_sent(b"hello too", now=0.0)
    for _ in range(MAX_REPEATS):
        flight.on_heard(b"hello", now=0.01)
        assert flight.datagrams_to_send(now=0.01) == [b"hello too"]
    flight.on_heard(b"hello", now=0.01)
    assert flight.datagrams_to_send(now=9.0) == []


def test_there_is_a_bound() -> None:
    flight = Flight(0.04)
    for number in range(100):
        flight.on_sent(bytes([number]), now=0.0)
    assert len(flight.datagrams_to_send(now=1.0)) == MAX_FLIGHT
    for number in range(10_000):
        flight.on_heard(number.to_bytes(4, "big"), now=1.0)
    assert len(flight._heard) == MAX_HEARD


LENGTHS = (1, 3, 2, 1)  # datagrams of the flights, in turns
PATH = 0.02  # seconds, one way


class Speaker:
    """One side of a conversation whose flights are counted: each answers the one before."""

    def __init__(self, number: int) -> None:
        self.flight = Flight(2 * PATH)
        self.number = number
        self.said = -2
        self.heard: set[bytes] = set()
        self.out: list[bytes] = []

    def say(self, turn: int, *, now: float) -> None:
        self.said = turn
        for part in range(LENGTHS[turn]):
            datagram = bytes([turn, part])
            self.flight.on_sent(datagram, now=now)
            self.out.append(datagram)

    def hear(self, datagram: bytes, *, now: float) -> None:
        self.flight.on_heard(datagram, now=now)
        self.heard.add(datagram)
        turn = datagram[0]
        complete = all(bytes([turn, part]) in self.heard for part in range(LENGTHS[turn]))
        if complete and turn + 1 < len(LENGTHS) and self.said < turn + 1:
            self.say(turn + 1, now=now)

    @property
    def is_done(self) -> bool:
        last = len(LENGTHS) - 1 if self.number == 0 else len(LENGTHS) - 2
        return all(bytes([last, part]) in self.heard for part in range(LENGTHS[last]))


def converse(*, loss: float, seed: int) -> float | None:
    """Return when both have heard all; None if not before DTLS's own timers have their turn."""
    rng = random.Random(seed)
    ends = Speaker(0), Speaker(1)
    ends[0].say(0, now=0.0)
    way: list[tuple[float, int, bytes]] = []
    now = 0.0
    while now < 0.9:
        for time, to, datagram in [item for item in way if item[0] <= now]:
            way.remove((time, to, datagram))
            ends[to].hear(datagram, now=now)
        for end in ends:
            out, end.out = end.out, []
            sent = (*out, *end.flight.datagrams_to_send(now=now))
            way += [(now + PATH, 1 - end.number, part) for part in sent if rng.random() >= loss]
        if all(end.is_done for end in ends):
            return now
        now += 0.005
    return None


def test_without_loss_nothing_is_late() -> None:
    assert converse(loss=0.0, seed=0) == pytest.approx(len(LENGTHS) * PATH, abs=0.006)


@settings(deadline=None)  # hundreds of steps, on a machine that may be busy
@given(st.integers(0, 10_000))
def test_ten_percent_loss(seed: int) -> None:
    took = converse(loss=0.1, seed=seed)
    assert took is None or took < 0.9


def test_ten_percent_loss_is_survived_without_dtls_own_timers() -> None:
    times = [converse(loss=0.1, seed=seed) for seed in range(300)]
    assert sum(time is None for time in times) <= 3
