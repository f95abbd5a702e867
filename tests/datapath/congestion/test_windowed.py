"""Windowed extremes against lists that forget nothing."""

from hypothesis import given
from hypothesis import strategies as st

from rtcsend.datapath.congestion.windowed import WindowedMax, WindowedMin

# (ticks since the one before, value)
UPDATES = st.lists(st.tuples(st.integers(0, 5), st.integers(-20, 20)), max_size=60)


@given(UPDATES, st.integers(1, 8))
def test_max_is_that_of_all_values_in_the_window(
    updates: list[tuple[int, int]], length: int
) -> None:
    windowed, seen, tick = WindowedMax(length), list[tuple[int, int]](), 0
    for step, value in updates:
        tick += step
        seen.append((tick, value))
        expected = max(v for t, v in seen if t > tick - length)
        assert windowed.update(value, at=tick) == expected
        assert windowed.value == expected
        assert len(windowed) <= length  # the memory is bounded by the window


@given(UPDATES, st.integers(1, 8))
def test_min_is_that_of_all_values_in_the_window(
    updates: list[tuple[int, int]], length: int
) -> None:
    windowed, seen, tick = WindowedMin(length), list[tuple[int, int]](), 0
    for step, value in updates:
        tick += step
        seen.append((tick, value))
        assert windowed.update(value, at=tick) == min(v for t, v in seen if t > tick - length)
        assert len(windowed) <= length


def test_the_last_value_outlives_its_window() -> None:
    windowed = WindowedMax(2)
    windowed.update(7, at=0)
    assert windowed.advance(at=100) == 7


def test_a_window_can_grow_and_shrink() -> None:
    windowed = WindowedMax(10)
    windowed.update(9, at=0)
    windowed.update(5, at=1)
    windowed.length = 1
    assert windowed.update(3, at=2) == 3


def test_before_the_first_value() -> None:
    assert WindowedMax(3).advance(at=5) == 0.0
    assert WindowedMin(3).value == float("inf")
