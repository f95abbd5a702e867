"""One file that differs is found among any number; of more, what can be known."""

import os
import random

import pytest
from blake3 import blake3
from hypothesis import given
from hypothesis import strategies as st

from rtcsend.manifest.entry import MAX_ENTRIES
from rtcsend.manifest.sums import (
    MAX_SUMS,
    SUM_BYTES,
    WIDTH,
    FileSums,
    differing,
    sums_of,
)

PREFIXES = random.Random(7).randbytes(5 * WIDTH * SUM_BYTES)


def changed(prefixes: bytes, files: list[int]) -> bytearray:
    other = bytearray(prefixes)
    for file in files:
        at = file * SUM_BYTES
        other[at : at + SUM_BYTES] = os.urandom(SUM_BYTES)
    return other


def check(digests: bytes) -> bytes:
    return blake3(digests).digest(SUM_BYTES)


def test_of_no_file_and_of_one() -> None:
    assert sums_of(b"") == FileSums(b"", b"")
    assert sums_of(b"12345678") == FileSums(check(b"12345678"), check(b"12345678"))


def test_rows_and_columns() -> None:
    one, other = b"\1" * 8, b"\2" * 8
    sums = sums_of(one * WIDTH + other * 3)
    assert sums.rows == check(one * WIDTH) + check(other * 3)
    assert sums.columns == check(one + other) * 3 + check(one) * (WIDTH - 3)
    assert sums.fit(WIDTH + 3)
    assert not sums.fit(WIDTH)
    assert not sums.fit(2 * WIDTH + 1)


def test_as_many_as_a_message_holds_are_enough() -> None:
    assert -(-MAX_ENTRIES // WIDTH) <= MAX_SUMS
    assert WIDTH <= MAX_SUMS


@pytest.mark.parametrize("files", [1, 2, 1_023, 1_024, 1_025, 2_048, 5_000])
def test_one_file(files: int) -> None:
    prefixes = PREFIXES[: files * SUM_BYTES]
    for file in {0, files // 2, files - 1}:
        assert differing(changed(prefixes, [file]), sums_of(prefixes)) == ([file], True)


@given(files=st.sets(st.integers(0, 799), max_size=800))
def test_any_of_one_row(files: set[int]) -> None:
    prefixes = PREFIXES[: 800 * SUM_BYTES]
    found = differing(changed(prefixes, sorted(files)), sums_of(prefixes))
    assert found.files == sorted(files)
    assert found.is_certain or not files


@given(files=st.sets(st.integers(0, 5 * WIDTH - 1), max_size=8))
def test_all_that_differ_are_among_those_that_are_found(files: set[int]) -> None:
    found = differing(changed(PREFIXES, sorted(files)), sums_of(PREFIXES))
    assert files <= set(found.files)
    assert not found.is_certain or files == set(found.files)
    assert len(found.files) <= max(len(files), len(files) ** 2)


def test_equal_changes_of_equal_files_do_not_cancel_out() -> None:
    before, after = b"12345678" * (2 * WIDTH), bytearray(b"12345678" * (2 * WIDTH))
    for file in (0, 1, WIDTH):
        after[file * SUM_BYTES] ^= 1
    assert differing(after, sums_of(before)) == ([0, 1, WIDTH, WIDTH + 1], False)


def test_files_that_have_changed_places() -> None:
    prefixes = PREFIXES[: 20 * SUM_BYTES]
    swapped = prefixes[8:16] + prefixes[:8] + prefixes[16:]
    assert differing(swapped, sums_of(prefixes)) == ([0, 1], True)


@given(rows=st.binary(max_size=64), columns=st.binary(max_size=64), files=st.integers(0, 20))
def test_whatever_the_other_side_says(rows: bytes, columns: bytes, files: int) -> None:
    found = differing(PREFIXES[: files * SUM_BYTES], FileSums(rows, columns))
    assert all(0 <= file < files for file in found.files)
