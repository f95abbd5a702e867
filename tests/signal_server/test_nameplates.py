import random
from collections.abc import Callable

import pytest

from signal_server.nameplates import GUESSES, draw_nameplate


def seeded(seed: int) -> Callable[[int], bytes]:
    return random.Random(seed).randbytes


@pytest.mark.parametrize(
    ("taken", "low", "high"), [(0, 1, 9), (8, 1, 9), (9, 10, 99), (98, 10, 99), (99, 100, 999)]
)
def test_the_shortest_free_ones_first(taken: int, low: int, high: int) -> None:
    drawn = {
        draw_nameplate(lambda text: int(text) <= taken, seeded(seed)) or "" for seed in range(200)
    }
    assert all(max(low, taken + 1) <= int(nameplate) <= high for nameplate in drawn)
    assert len(drawn) >= min(high - max(low - 1, taken), 5)  # and they are drawn, not counted


def test_drawn_without_replacement_they_fill_the_tiers() -> None:
    taken: set[str] = set()
    for _ in range(1_200):
        nameplate = draw_nameplate(taken.__contains__, seeded(len(taken)))
        assert nameplate is not None
        assert nameplate not in taken
        taken.add(nameplate)
    assert {str(number) for number in range(1, 1_000)} < taken
    assert all(len(nameplate) <= 4 for nameplate in taken)


def test_large_tiers_are_guessed_not_listed() -> None:
    asked: list[str] = []

    def is_taken(text: str) -> bool:
        asked.append(text)
        return len(text) < 9

    nameplate = draw_nameplate(is_taken, seeded(1))
    assert nameplate is not None
    assert len(nameplate) == 9
    assert len(asked) == 999 + 5 * GUESSES + 1


def test_none_when_all_are_taken() -> None:
    assert draw_nameplate(lambda _: True, seeded(1)) is None


def test_bounds_come_first() -> None:
    for seed in range(50):
        nameplate = draw_nameplate(lambda _: False, seeded(seed), bounds=(10, 999))
        assert nameplate is not None
        assert 10 <= int(nameplate) <= 999
    assert draw_nameplate(lambda text: int(text) > 9, seeded(1), bounds=(10, 999)) in set(
        "123456789"
    )
