import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtcsend.backoff import JITTER, LONGEST, LONGEST_AT_FIRST, PATIENT_AFTER, pause_before


@pytest.mark.parametrize(
    ("attempt", "lost_for", "seconds"),
    [
        (1, 0.0, 0.0),
        (2, 0.1, 0.2),
        (3, 0.5, 0.4),
        (4, 1.0, 0.8),
        (5, 2.0, LONGEST_AT_FIRST),
        (100, PATIENT_AFTER - 1, LONGEST_AT_FIRST),
        (5, PATIENT_AFTER, 1.6),
        (100, PATIENT_AFTER, LONGEST),
    ],
)
def test_pauses(attempt: int, lost_for: float, seconds: float) -> None:
    assert pause_before(attempt, lost_for=lost_for, draw=0.0) == pytest.approx(seconds)


@given(st.integers(1, 10**9), st.floats(0, 1e9), st.floats(0, 1))
def test_bounds(attempt: int, lost_for: float, draw: float) -> None:
    longest = pause_before(attempt, lost_for=lost_for, draw=0.0)
    assert (1 - JITTER) * longest <= pause_before(attempt, lost_for=lost_for, draw=draw) <= longest
    assert longest <= LONGEST
