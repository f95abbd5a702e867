"""The table of places: who came first, in how much memory."""

import itertools
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtcsend.errors import UnsafePath
from rtcsend.files.owners import Owners


@given(st.dictionaries(st.integers(0, 2**64 - 1), st.integers(0, 2**64 - 1)))
def test_owners_are_those_who_came_first(claims: dict[int, int]) -> None:
    table, model = Owners(limit=1_000), dict[int, int]()
    for place, owner in itertools.chain(claims.items(), ((place, 5) for place in claims)):
        place_kept = place or 1
        assert table.claim(place, owner) == model.get(place_kept)
        model.setdefault(place_kept, owner)
    assert len(table) == len(model)


def test_owners_stay_within_their_memory() -> None:
    count = 20_000
    tracemalloc.start()
    table = Owners(limit=count)
    for number in range(1, count + 1):
        table.claim(number * 0x9E3779B97F4A7C15 % 2**64, number)
    size, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert size < 52 * count + 10_000
    assert peak < 78 * count + 10_000
    with pytest.raises(UnsafePath, match="more than 20000"):
        table.claim(12_345, 1)
