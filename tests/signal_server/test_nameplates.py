"""Which numbers are drawn."""

import itertools
import secrets

import pytest

from signal_server.nameplates import GUESSES, nameplate_candidates


def lengths(live: int, *, sparsity: float = 0.01) -> list[int]:
    drawn = nameplate_candidates(secrets.token_bytes, live=live, sparsity=sparsity)
    return [len(number) for number in drawn]


@pytest.mark.parametrize(
    ("live", "digits"), [(0, 3), (8, 3), (9, 4), (89, 4), (90, 5), (8_999, 6), (10**9, 9)]
)
def test_the_shortest_numbers_of_which_one_in_a_hundred_is_in_use(live: int, digits: int) -> None:
    assert lengths(live)[0] == digits


def test_dense_is_short() -> None:
    assert lengths(0, sparsity=1.0)[0] == 1
    assert lengths(8, sparsity=1.0)[0] == 1
    assert lengths(9, sparsity=1.0)[0] == 2


def test_when_all_guesses_are_taken_longer_ones_follow() -> None:
    drawn = lengths(0)
    assert drawn == sorted(drawn)
    assert drawn == [digits for digits in range(3, 10) for _ in range(GUESSES)]


def test_bounds_come_first() -> None:
    drawn = nameplate_candidates(secrets.token_bytes, live=500, sparsity=0.01, bounds=(10, 12))
    first = list(itertools.islice(drawn, 32))
    assert set(first) == {"10", "11", "12"}
    assert len(next(drawn)) == 5


def test_all_numbers_of_a_length_can_come() -> None:
    drawn = {
        next(nameplate_candidates(secrets.token_bytes, live=0, sparsity=1.0)) for _ in range(300)
    }
    assert drawn == set("123456789")  # each is missing once in 10**15 runs
