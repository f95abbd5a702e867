import pytest
from hypothesis import given
from hypothesis import strategies as st

from signal_server.limits import TokenBuckets, source_of


def test_a_bucket_empties_and_refills() -> None:
    buckets = TokenBuckets(capacity=2, refill_per_s=0.5, max_sources=10)
    for _ in range(2):
        assert buckets.has_token("a", now=0.0)
        buckets.take("a", now=0.0)
    assert not buckets.has_token("a", now=1.9)
    assert buckets.has_token("b", now=1.9)
    assert buckets.has_token("a", now=2.0)
    buckets.take("a", now=2.0)
    assert not buckets.has_token("a", now=3.9)
    # It never holds more than its capacity.
    for _ in range(2):
        buckets.take("a", now=1_000.0)
    assert not buckets.has_token("a", now=1_001.9)


def test_the_source_that_failed_longest_ago_is_forgotten() -> None:
    buckets = TokenBuckets(capacity=1, refill_per_s=0.0, max_sources=2)
    for source in ("a", "b", "a", "c"):
        buckets.take(source, now=0.0)
    assert [buckets.has_token(source, now=0.0) for source in "abc"] == [False, True, False]


@given(st.lists(st.tuples(st.sampled_from("abcd"), st.floats(0, 5)), max_size=50))
def test_never_more_than_capacity_and_refill(steps: list[tuple[str, float]]) -> None:
    buckets = TokenBuckets(capacity=3, refill_per_s=0.5, max_sources=10)
    now = 0.0
    taken: dict[str, int] = {}
    for source, wait in steps:
        now += wait
        if buckets.has_token(source, now=now):
            buckets.take(source, now=now)
            taken[source] = taken.get(source, 0) + 1
            assert taken[source] <= 3 + 0.5 * now + 1e-6


@pytest.mark.parametrize(
    ("address", "source"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2:ffff::", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("", ""),
        ("unknown", "unknown"),
    ],
)
def test_source_of(address: str, source: str) -> None:
    assert source_of(address) == source
