"""Streams of many files, against the plain definition: lists of ranges."""

from itertools import accumulate, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtcsend.blocks import BLOCK_SIZE, MAX_BLOCKS
from rtcsend.manifest.layout import Layout, OpenLayout
from rtcsend.strict_json import MAX_INTEGER

sizes = st.lists(
    st.sampled_from(
        (0, 1, 5, BLOCK_SIZE - 1, BLOCK_SIZE, BLOCK_SIZE + 1, 2 * BLOCK_SIZE, 3 * BLOCK_SIZE + 7)
    ),
    max_size=12,
)


def all_blocks(lengths: list[int]) -> list[tuple[int, int]]:
    """Return where each block begins and ends."""
    blocks = []
    for end, length in zip(accumulate(lengths), lengths, strict=True):
        start = end - length
        cuts = [*range(start, end, BLOCK_SIZE), end]
        blocks += list(pairwise(cuts))
    return blocks


@given(sizes)
def test_files_blocks_and_positions_agree(lengths: list[int]) -> None:
    layout, blocks = Layout(lengths), all_blocks(lengths)
    assert (layout.files, layout.size) == (len(lengths), sum(lengths))
    assert layout.blocks == len(blocks)
    for number, (start, end) in enumerate(blocks):
        assert (layout.block_start(number), layout.block_end(number)) == (start, end)
        for position in {start, (start + end) // 2, end - 1}:
            assert layout.block_at(position) == number
            assert layout.is_boundary(position) == (position == start)
            assert layout.next_block(position) == number + (position != start)
            index, offset = layout.file_at(position)
            assert number in layout.file_blocks(index)
            assert sum(lengths[:index]) + offset == position
            assert offset < lengths[index]


@given(sizes)
def test_the_end_lies_in_no_file(lengths: list[int]) -> None:
    layout = Layout(lengths)
    assert layout.file_at(layout.size) == (len(lengths), 0)
    assert layout.block_at(layout.size) == layout.next_block(layout.size) == layout.blocks
    assert layout.block_start(layout.blocks) == layout.size
    assert layout.is_boundary(layout.size)


@pytest.mark.parametrize("files", [1, 3])
def test_blocks_grow_with_the_stream(files: int) -> None:
    layout = Layout([MAX_BLOCKS * BLOCK_SIZE] * files)
    assert layout.block_size == BLOCK_SIZE * {1: 1, 3: 4}[files]
    assert layout.blocks <= MAX_BLOCKS + files
    assert layout.block_end(layout.blocks - 1) == layout.size


def test_a_million_files() -> None:
    layout = Layout(range(1_000_000))
    assert layout.file_at(layout.size - 1) == (999_999, 999_998)
    assert layout.blocks == 999_999  # but for the empty one


def test_an_open_stream_has_no_blocks() -> None:
    layout = OpenLayout()
    assert layout.is_open
    assert (layout.files, layout.size, layout.blocks) == (1, MAX_INTEGER, 0)
    for position in (0, 1, BLOCK_SIZE, MAX_INTEGER):
        assert not layout.is_boundary(position)
        assert layout.block_start(layout.next_block(position)) == 0
