import random
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtcsend.transfer.rate import BURST, METER_WINDOW, RateLimiter, RateMeter, frame_size_for

STEPS = st.lists(st.tuples(st.floats(0, 2), st.integers(1, 65_536)), min_size=1, max_size=60)


def test_meter_starts_at_zero() -> None:
    assert RateMeter().update(1_000, now=5.0) == 0


def test_meter_with_two_reports_at_once() -> None:
    meter = RateMeter()
    meter.update(0, now=1.0)
    assert meter.update(1_000, now=1.0) == 0


def test_meter_of_a_steady_flow() -> None:
    meter = RateMeter()
    rates = [meter.update(100 * tick, now=tick / 10) for tick in range(100)]
    assert rates[0] == 0
    assert rates[1:] == pytest.approx([1_000] * 99, abs=1)


def test_meter_forgets() -> None:
    meter = RateMeter()
    meter.update(0, now=0.0)
    meter.update(1_000_000, now=1.0)
    rates = [meter.update(1_000_000, now=1.0 + tick / 10) for tick in range(1, 42)]
    assert rates == sorted(rates, reverse=True)
    assert rates[-1] == 0


def test_meter_keeps_few_samples() -> None:
    meter = RateMeter()
    for tick in range(10_000):
        meter.update(tick, now=tick / 10)
    assert len(meter._samples) <= METER_WINDOW * 10 + 2


@given(STEPS)
def test_meter_is_never_above_the_fastest_step_nor_negative(steps: list[tuple[float, int]]) -> None:
    meter = RateMeter()
    now, total, fastest = 0.0, 0, 0.0
    meter.update(0, now=now)
    for pause, size in steps:
        step = max(pause, 1e-3)
        now, total = now + step, total + size
        fastest = max(fastest, size / step)
        assert 0 <= meter.update(total, now=now) <= fastest * (1 + 1e-6)


@pytest.mark.parametrize("rate", [None, 0])
def test_no_limit(rate: int | None) -> None:
    limiter = RateLimiter(rate, now=0.0)
    assert [limiter.delay(2**40, now=0.0) for _ in range(3)] == [0.0, 0.0, 0.0]


def test_limit_of_a_greedy_sender() -> None:
    limiter = RateLimiter(1_000, now=0.0)
    now = 0.0
    for _ in range(100):
        now += limiter.delay(500, now=now)
    assert now == pytest.approx(50.0)


def test_what_was_not_used_is_not_saved_up() -> None:
    limiter = RateLimiter(1_000, now=0.0)
    assert limiter.delay(50, now=100.0) == 0.0
    assert limiter.delay(50, now=100.0) == 0.0
    assert limiter.delay(1_000, now=100.0) == pytest.approx(1.0)


@given(rate=st.integers(1, 10**9), steps=STEPS)
def test_never_above_the_rate_over_any_window(rate: int, steps: list[tuple[float, int]]) -> None:
    limiter = RateLimiter(rate, now=0.0)
    now = 0.0
    sent: list[tuple[float, int]] = []
    for pause, size in steps:
        now += pause
        now += limiter.delay(size, now=now)
        sent.append((now, size))
    for first in range(len(sent)):
        total = 0
        for when, size in sent[first:]:
            total += size
            allowed = rate * (when - sent[first][0]) + max(rate * BURST, sent[first][1])
            assert total <= allowed * (1 + 1e-6) + 1


@given(rate=st.integers(1, 10**9), steps=STEPS)
def test_a_greedy_sender_uses_all_of_it(rate: int, steps: list[tuple[float, int]]) -> None:
    limiter = RateLimiter(rate, now=0.0)
    now = 0.0
    for _, size in steps:
        now += limiter.delay(size, now=now)
    assert now == pytest.approx(sum(size for _, size in steps) / rate, rel=1e-6, abs=1e-9)


SIZES: dict[str, Callable[[random.Random], int]] = {
    "blocks": lambda chance: 65_520,
    "small files": lambda chance: chance.randint(1, 4_096),
    "anything": lambda chance: int(65_536 ** chance.random()),
}
LATENESS = 0.04  # seconds that a busy loop wakes up late; below BURST it costs nothing
SECONDS = 60.0


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("sizes", SIZES)
@pytest.mark.parametrize("rate", [1_000, 50_000, 2_000_000, 100_000_000])
def test_within_a_twentieth_whatever_the_pieces_are(rate: int, sizes: str, seed: int) -> None:
    """As the shell sends: pieces of seeded sizes, and wake-ups that are seeded times late."""
    chance = random.Random(f"{rate} {sizes} {seed}")
    size_of = SIZES[sizes]
    limiter = RateLimiter(rate, now=0.0)
    now, seconds = 0.0, SECONDS if rate < 10_000_000 else 1.0
    sent: list[tuple[float, int]] = []
    while now < seconds:
        size = frame_size_for(rate, size_of(chance))
        if delay := limiter.delay(size, now=now):
            now += delay + chance.uniform(0, LATENESS)
        sent.append((now, size))
    total = sum(size for _, size in sent)
    assert total / now == pytest.approx(rate, rel=0.05, abs=sent[-1][1] / now)


@pytest.mark.parametrize(
    ("limit", "largest", "size"),
    [
        (None, 65_536, 65_536),
        (0, 65_536, 65_536),
        (10_000_000, 65_536, 65_536),
        (100_000, 65_536, 25_000),
        (100, 65_536, 1_024),
        (100, 500, 500),
    ],
)
def test_frames_are_smaller_at_a_low_rate(limit: int | None, largest: int, size: int) -> None:
    assert frame_size_for(limit, largest) == size


@given(
    rate=st.integers(min_value=64_000, max_value=10_000_000),
    takes=st.lists(
        st.tuples(st.integers(min_value=0, max_value=2), st.integers(min_value=1, max_value=9_000)),
        min_size=1,
        max_size=60,
    ),
)
def test_a_pool_is_the_limit_of_all_together(rate: int, takes: list[tuple[int, int]]) -> None:
    pool = RateLimiter(rate, now=0.0)
    limiters = [RateLimiter(rate, now=0.0, pool=pool) for _ in range(3)]
    sent, latest = 0, 0.0
    for who, size in takes:  # all at once: each waits as long as it is told to
        latest = max(latest, limiters[who].delay(size, now=0.0))
        sent += size
    assert latest >= sent / rate - 1e-9


def test_who_is_slower_by_itself_stays_so_in_a_pool() -> None:
    pool = RateLimiter(1_000_000, now=0.0)
    assert RateLimiter(1_000, now=0.0, pool=pool).delay(1_000, now=0.0) == pytest.approx(1.0)
    assert RateLimiter(0, now=0.0, pool=pool).delay(1_000_000, now=0.0) == pytest.approx(1.001)
