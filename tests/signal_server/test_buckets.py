import pytest
from hypothesis import given
from hypothesis import strategies as st

from signal_server.buckets import GrowingDelays, TokenBuckets


def test_what_is_owed_has_to_come_back() -> None:
    buckets = TokenBuckets(per_minute=60, max_sources=10)
    assert buckets.spend("a", 60, now=0.0) == 0.0
    assert buckets.spend("a", 30, now=0.0) == 30.0
    assert buckets.spend("a", 0, now=20.0) == 10.0
    assert buckets.spend("a", 1_000, now=20.0) == 60.0  # and no more
    assert buckets.take("a", now=20.0) == 61.0
    assert buckets.spend("b", 0, now=20.0) == 0.0


def test_a_bucket_empties_and_refills() -> None:
    buckets = TokenBuckets(per_minute=2, max_sources=10)
    assert [buckets.take("a", now=0.0) for _ in range(3)] == [0.0, 0.0, 30.0]
    assert buckets.take("b", now=0.0) == 0.0
    assert buckets.take("a", now=29.0) == pytest.approx(1.0)
    assert buckets.take("a", now=30.0) == 0.0
    # It never holds more than its capacity.
    assert [buckets.take("a", now=9_000.0) for _ in range(3)] == [0.0, 0.0, 30.0]


def test_a_limit_of_none_lets_nobody_through() -> None:
    assert TokenBuckets(per_minute=0, max_sources=10).take("a", now=0.0) == 60.0


@given(st.lists(st.tuples(st.sampled_from("abcd"), st.floats(0, 50)), max_size=60))
def test_never_more_than_capacity_and_refill(steps: list[tuple[str, float]]) -> None:
    buckets = TokenBuckets(per_minute=3, max_sources=10)
    now = 0.0
    taken: dict[str, int] = {}
    for source, wait in steps:
        now += wait
        refused = buckets.take(source, now=now)
        if refused:
            assert 0.0 < refused <= 20.0
        else:
            taken[source] = taken.get(source, 0) + 1
            assert taken[source] <= 3 + now / 20.0 + 1e-6


@given(st.lists(st.integers(0, 1_000), max_size=300))
def test_memory_is_bounded(sources: list[int]) -> None:
    buckets = TokenBuckets(per_minute=1, max_sources=5)
    delays = new_delays(max_sources=5)
    for source in sources:
        buckets.take(str(source), now=0.0)
        delays.fail(str(source), now=0.0)
    assert len(buckets) == len(delays) == min(len(set(sources)), 5)
    for source in dict.fromkeys(reversed(sources[-5:])):  # the last ones are the ones kept
        assert buckets.take(str(source), now=0.0) > 0.0
        assert delays.wait(str(source), now=0.0) > 0.0


def new_delays(*, free: int = 0, max_sources: int = 10) -> GrowingDelays:
    return GrowingDelays(
        free=free,
        first_seconds=5.0,
        max_seconds=100.0,
        forgive_seconds=60.0,
        max_sources=max_sources,
    )


def test_failures_are_free_at_first_and_then_cost_more_and_more() -> None:
    delays = new_delays(free=2)
    waits = []
    for _ in range(8):
        delays.fail("a", now=0.0)
        waits.append(delays.wait("a", now=0.0))
    assert waits == [0.0, 0.0, 5.0, 10.0, 20.0, 40.0, 80.0, 100.0]
    assert delays.wait("b", now=0.0) == 0.0
    assert delays.wait("a", now=99.0) == 1.0
    assert delays.wait("a", now=100.0) == 0.0


def test_failures_are_forgiven() -> None:
    delays = new_delays(free=2)
    for _ in range(3):
        delays.fail("a", now=0.0)
    delays.fail("a", now=60.0)  # one is forgotten: it is the third again
    assert delays.wait("a", now=60.0) == 5.0
    delays.fail("a", now=10_000.0)
    assert delays.wait("a", now=10_000.0) == 0.0


def test_who_guesses_as_fast_as_he_may_gets_a_try_a_minute() -> None:
    delays = GrowingDelays(
        free=10, first_seconds=5.0, max_seconds=900.0, forgive_seconds=60.0, max_sources=10
    )
    now, tries = 0.0, 0
    while now < 24 * 3600.0:
        tries += 1
        delays.fail("a", now=now)
        now += delays.wait("a", now=now)
    assert 24 * 60 <= tries <= 24 * 60 + 20


def test_a_delay_stays_finite() -> None:
    delays = new_delays()
    for _ in range(5_000):
        delays.fail("a", now=0.0)
    assert delays.wait("a", now=0.0) == 100.0


def test_a_clock_that_is_set_back_locks_nobody_out() -> None:
    day = 86_400.0
    buckets = TokenBuckets(per_minute=2, max_sources=10)
    assert [buckets.take("a", now=day) for _ in range(3)] == [0.0, 0.0, 30.0]
    assert buckets.take("a", now=0.0) == 30.0
    assert buckets.take("a", now=30.0) == 0.0
    delays = new_delays()
    delays.fail("a", now=day)
    first = delays.wait("a", now=day)
    assert 0.0 < first < 60.0
    assert delays.wait("a", now=0.0) == first
    assert delays.wait("a", now=first) == 0.0
    delays.fail("a", now=day)
    delays.fail("a", now=0.0)
    assert delays.wait("a", now=0.0) == 2 * first
    assert delays.wait("a", now=2 * first) == 0.0
