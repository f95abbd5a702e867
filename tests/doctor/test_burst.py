"""The burst measures what a way can carry, and is never more than it may be."""

import heapq
import itertools
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rtcsend.doctor.burst import DRAIN, DURATION, MAX_BYTES, MAX_RATE, PACKET, Burst
from tests.doctor.world import drawn


class Way:
    """A line with a rate, a delay, a queue and losses, over which a burst goes."""

    def __init__(
        self, *, rate: float, delay: float, loss: float = 0.0, queue: float = 0.2, seed: int = 1
    ) -> None:
        self._rate, self._delay, self._loss, self._queue = rate, delay, loss, queue
        self._chance = random.Random(seed)
        self._free = 0.0
        self.burst = Burst(entropy=drawn(), now=0.0)
        self.sent: list[float] = []

    def run(self) -> None:
        coming: list[tuple[float, int, bytes]] = []
        numbers = itertools.count()
        now = 0.0
        while not self.burst.done:
            for packet in self.burst.packets_to_send(now=now):
                self.sent.append(now)
                if (arrival := self._arrival(now)) is not None:
                    heapq.heappush(coming, (arrival, next(numbers), packet))
            timer = self.burst.get_timer()
            if timer is None:
                return
            now = min(timer, coming[0][0]) if coming else timer
            while coming and coming[0][0] <= now:
                self.burst.receive_untrusted(heapq.heappop(coming)[2], now=now)
            assert now < DURATION + DRAIN + 1

    def _arrival(self, now: float) -> float | None:
        begins = max(now, self._free)
        if begins - now > self._queue or self._chance.random() < self._loss:
            return None
        self._free = begins + PACKET / self._rate
        return self._free + self._delay


@pytest.mark.parametrize("rate", [100_000, 500_000, 1_500_000, 3_000_000])
@pytest.mark.parametrize("delay", [0.001, 0.02, 0.1])
def test_it_finds_the_rate_of_a_line(rate: float, delay: float) -> None:
    way = Way(rate=rate, delay=delay)
    way.run()
    speed = way.burst.result()
    assert speed.bytes_per_s == pytest.approx(rate, rel=0.15)
    assert not speed.limited
    assert speed.lost <= 0.05 * speed.sent


def test_a_fast_line_is_not_filled() -> None:
    way = Way(rate=1e9, delay=0.005)
    way.run()
    speed = way.burst.result()
    assert speed.limited
    assert 0.9 * MAX_RATE <= speed.bytes_per_s <= MAX_RATE


@pytest.mark.parametrize("loss", [0.01, 0.05])
def test_losses_do_not_stop_it(loss: float) -> None:
    way = Way(rate=2_000_000, delay=0.02, loss=loss)
    way.run()
    speed = way.burst.result()
    assert speed.bytes_per_s > 200_000
    assert 0 < speed.lost < 4 * loss * speed.sent


def test_where_nothing_arrives_nothing_is_measured() -> None:
    way = Way(rate=1e6, delay=0, loss=1)
    way.run()
    speed = way.burst.result()
    assert speed.bytes_per_s == 0
    assert len(way.sent) == speed.sent == speed.lost == 10


@settings(max_examples=40, deadline=None)
@given(
    rate=st.floats(1e4, 1e9), delay=st.floats(0, 0.5), loss=st.floats(0, 0.3), queue=st.floats(0, 2)
)
def test_it_is_never_more_than_it_may_be(
    rate: float, delay: float, loss: float, queue: float
) -> None:
    way = Way(rate=rate, delay=delay, loss=loss, queue=queue)
    way.run()
    assert len(way.sent) * PACKET <= MAX_BYTES
    assert not way.sent or way.sent[-1] <= DURATION
    for number, at in enumerate(way.sent):
        assert number * PACKET <= (at + 0.02) * MAX_RATE
    speed = way.burst.result()
    assert 0 <= speed.bytes_per_s <= MAX_RATE
    assert 0 <= speed.lost <= speed.sent


@given(st.binary(max_size=64), st.integers(0, 2**32 - 1))
def test_strangers_are_not_counted(data: bytes, number: int) -> None:
    burst = Burst(entropy=drawn(), now=0)
    (*_, last) = burst.packets_to_send(now=0)
    token = last[:8]
    burst.receive_untrusted(data, now=0.1)
    burst.receive_untrusted(data.ljust(PACKET, b"\0"), now=0.1)
    never_sent = (token + max(number, 1000).to_bytes(4, "big")).ljust(PACKET, b"\0")
    burst.receive_untrusted(never_sent, now=0.1)
    assert burst.result().lost == burst.result().sent
    burst.receive_untrusted(last, now=0.1)
    burst.receive_untrusted(last, now=0.1)
    assert burst.result().lost == burst.result().sent - 1
