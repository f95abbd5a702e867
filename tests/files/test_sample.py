from itertools import pairwise

import pytest
from blake3 import blake3
from hypothesis import given
from hypothesis import strategies as st

from rtcsend.files.sample import SAMPLE_BYTES, SAMPLES, sample_digest, sample_ranges


@pytest.mark.parametrize("size", [1, SAMPLE_BYTES, SAMPLES * SAMPLE_BYTES])
def test_all_of_a_small_file(size: int) -> None:
    assert sample_ranges(size) == [(0, size)]


def test_of_an_empty_file() -> None:
    assert sample_ranges(0) == []
    assert sample_digest(0, []) == blake3(bytes(8)).hexdigest()


@given(st.integers(SAMPLES * SAMPLE_BYTES + 1, 2**53))
def test_both_ends_and_evenly_between(size: int) -> None:
    ranges = sample_ranges(size)
    assert len(ranges) == SAMPLES
    assert ranges[0] == (0, SAMPLE_BYTES)
    assert ranges[-1] == (size - SAMPLE_BYTES, SAMPLE_BYTES)
    steps = {after[0] - before[0] for before, after in pairwise(ranges)}
    assert min(steps) >= SAMPLE_BYTES
    assert max(steps) - min(steps) <= 1


def test_a_vector() -> None:
    expected = blake3((5).to_bytes(8, "big") + b"hello").hexdigest()
    assert sample_digest(5, [b"he", b"llo"]) == expected
    assert sample_digest(6, [b"hello"]) != expected
