"""Ranges against a set of numbers, and the work that they cost."""

import sys
from itertools import pairwise
from types import FrameType
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from rtcsend.datapath.sctp.ranges import Ranges

STEPS = st.lists(st.tuples(st.booleans(), st.integers(0, 60), st.integers(0, 12)), max_size=40)


def numbers(ranges: list[tuple[int, int]]) -> list[int]:
    return [number for first, last in ranges for number in range(first, last + 1)]


@given(STEPS)
def test_against_a_set(steps: list[tuple[bool, int, int]]) -> None:
    ranges, model = Ranges(), set[int]()
    for is_drop, first, more in steps:
        if is_drop:
            gone = ranges.drop_to(first)
            assert numbers(gone) == sorted(number for number in model if number <= first)
            model = {number for number in model if number > first}
        else:
            new = set(range(first, first + more + 1)) - model
            assert numbers(ranges.add(first, first + more)) == sorted(new)
            model |= new
        all_of_them = ranges.head(1000)
        assert numbers(all_of_them) == sorted(model)
        assert all(before[1] + 1 < after[0] for before, after in pairwise(all_of_them))
        assert ranges.head(2) == all_of_them[:2]
        assert len(ranges) == len(all_of_them)


def test_clear_forgets_everything() -> None:
    ranges = Ranges()
    ranges.add(1, 5)
    ranges.clear()
    assert len(ranges) == 0
    assert ranges.add(1, 5) == [(1, 5)]


def test_what_is_known_is_found_without_a_look_at_the_rest() -> None:
    """Counted in lines that are run: the same among ten ranges and ten thousand."""

    def lines_for(count: int) -> int:
        ranges = Ranges()
        for number in range(0, 3 * count, 3):
            ranges.add(number, number)
        lines = 0

        def trace(_frame: FrameType, event: str, _arg: Any) -> Any:
            nonlocal lines
            lines += event == "line"
            return trace

        before = sys.gettrace()
        sys.settrace(trace)
        try:
            assert ranges.add(3, 3) == []
            assert ranges.add(4, 4) == [(4, 4)]
        finally:
            sys.settrace(before)
        return lines

    assert lines_for(10) == lines_for(10_000) <= 40
