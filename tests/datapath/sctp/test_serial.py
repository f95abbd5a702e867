"""Serial arithmetic against plain integers."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtcsend.datapath.sctp.serial import add, distance

SERIALS = st.integers(0, 2**32 - 1) | st.sampled_from([0, 1, 2**31 - 1, 2**31, 2**32 - 1])


@pytest.mark.parametrize(
    ("earlier", "later", "expected"),
    [
        (0, 0, 0),
        (0, 1, 1),
        (1, 0, -1),
        (2**32 - 1, 0, 1),
        (0, 2**32 - 1, -1),
        (2**32 - 10, 10, 20),
        (0, 2**31 - 1, 2**31 - 1),
        (0, 2**31, -(2**31)),  # as far ahead as behind: taken for old
    ],
)
def test_distance_wraps(earlier: int, later: int, expected: int) -> None:
    assert distance(earlier, later) == expected


@given(SERIALS, st.integers(-(2**31), 2**31 - 1))
def test_distance_undoes_add(serial: int, count: int) -> None:
    assert 0 <= add(serial, count) < 2**32
    assert distance(serial, add(serial, count)) == count


@given(SERIALS, st.integers(-(2**30), 2**30), st.integers(-(2**30), 2**30 - 1))
def test_adding_twice_is_adding_the_sum(serial: int, first: int, second: int) -> None:
    assert add(add(serial, first), second) == add(serial, first + second)
