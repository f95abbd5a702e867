import os
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtcsend.files.holes import HOLE, LEAST, holes_of, next_run
from rtcsend.files.scan import ScanRules, scan_paths
from rtcsend.files.source import FileSource
from rtcsend.files.store import Store

SIZE = 4 * LEAST


@pytest.fixture
def sparse(tmp_path: Path) -> Path:
    path = tmp_path / "top" / "sparse"
    path.parent.mkdir()
    with path.open("wb") as file:
        file.truncate(SIZE)
    if path.stat().st_blocks:
        pytest.skip("no sparse files here")
    return path


async def test_a_hole_is_told_alone_and_in_a_folder(sparse: Path) -> None:
    scan = scan_paths([sparse.parent], ScanRules())
    assert (scan.manifest.bytes, scan.manifest.holes) == (SIZE, SIZE)
    async with await FileSource.open(sparse) as source:
        assert source.manifest.holes == SIZE


def test_what_was_written_is_none(sparse: Path) -> None:
    with sparse.open("r+b") as file:
        file.write(b"x" * LEAST)
        file.flush()
        os.fsync(file.fileno())
    assert holes_of(sparse.stat()) == SIZE - LEAST


def test_odd_blocks_and_systems_that_do_not_say_are_none(sparse: Path) -> None:
    os.truncate(sparse, LEAST - 1)
    assert holes_of(sparse.stat()) == 0
    facts = sparse.stat()
    silent = os.stat_result([facts.st_mode, 0, 0, 1, 0, 0, SIZE, 0, 0, 0])
    assert getattr(silent, "st_blocks", None) is None
    assert holes_of(silent) == 0


@given(
    st.lists(st.tuples(st.booleans(), st.integers(1, 3)), min_size=1, max_size=6),
    st.binary(max_size=9),
)
def test_runs_are_all_of_it(parts: list[tuple[bool, int]], tail: bytes) -> None:
    data = b"".join((b"\0" if zero else b"x") * HOLE * count for zero, count in parts) + tail
    rest, found = memoryview(data), []
    while rest:
        length, is_hole = next_run(rest)
        assert is_hole == (len(rest) >= HOLE and not any(rest[:length]))
        found.append(is_hole)
        rest = rest[length:]
    assert all(one != other for one, other in pairwise(found))


def test_zeros_are_left_out_where_nothing_was(tmp_path: Path) -> None:
    data = b"1" + bytes(SIZE) + b"2" + bytes(SIZE - 2)
    with (tmp_path / "x").open("w+b") as file:
        store = Store(file.fileno(), open_direct=None)
        for at in range(0, len(data), LEAST):
            assert store.write(memoryview(data)[at : at + LEAST], at) == (LEAST, None)
        store.close()
        file.seek(0)
        assert file.read() == data
        assert os.fstat(file.fileno()).st_blocks * 512 <= LEAST


def test_zeros_are_written_where_something_was(tmp_path: Path) -> None:
    with (tmp_path / "x").open("w+b") as file:
        file.write(b"x" * SIZE)
        file.flush()
        store = Store(file.fileno(), open_direct=None)
        assert store.write(memoryview(bytes(SIZE)), 0) == (SIZE, None)
        assert store.write(memoryview(bytes(SIZE)), SIZE) == (SIZE, None)
        file.seek(0)
        assert file.read() == bytes(2 * SIZE)
