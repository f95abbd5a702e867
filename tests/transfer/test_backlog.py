"""The queue between connection and disk: whole blocks, few objects, marks in their place."""

import random

from hypothesis import given
from hypothesis import strategies as st

from rtcsend.blocks import BLOCK_SIZE
from rtcsend.transfer.backlog import Backlog
from rtcsend.transfer.frames import MAX_PAYLOAD

CONTENT = random.Random(3).randbytes(4 * BLOCK_SIZE)


def add(backlog: Backlog, start: int, end: int, size: int = MAX_PAYLOAD) -> None:
    for offset in range(start, end, size):
        backlog.add(offset, memoryview(CONTENT)[offset : min(offset + size, end)])


def test_blocks_end_at_block_boundaries() -> None:
    backlog = Backlog()
    backlog.keep(100)
    backlog.pass_mark(100)
    add(backlog, 100, BLOCK_SIZE - 1)
    ready = [backlog.is_ready]
    add(backlog, BLOCK_SIZE - 1, 2 * BLOCK_SIZE + 5)
    ready.append(backlog.is_ready)
    assert backlog.take() == CONTENT[100:BLOCK_SIZE]
    ready.append(backlog.is_ready)
    assert backlog.take() == CONTENT[BLOCK_SIZE : 2 * BLOCK_SIZE]
    ready.append(backlog.is_ready)
    assert ready == [False, True, True, False]
    assert (bool(backlog), backlog.size) == (True, 5)
    assert bytes(backlog.take()) == CONTENT[2 * BLOCK_SIZE :][:5]
    assert (bool(backlog), backlog.size) == (False, 0)


def test_what_an_offset_leaves_out_is_a_mark() -> None:
    backlog = Backlog()
    add(backlog, 0, 10)
    backlog.add(BLOCK_SIZE, memoryview(CONTENT)[BLOCK_SIZE : BLOCK_SIZE + 1])
    ready = [backlog.is_ready]
    assert backlog.next_mark() is None
    assert bytes(backlog.take()) == CONTENT[:10]
    assert backlog.next_mark() == BLOCK_SIZE
    backlog.pass_mark(BLOCK_SIZE)
    assert [*ready, backlog.is_ready] == [True, False]
    assert bytes(backlog.take()) == CONTENT[BLOCK_SIZE:][:1]


def test_marks_in_a_row_are_one() -> None:
    backlog = Backlog()
    for position in range(1, 1_000):
        backlog.keep(position)
    assert backlog.next_mark() == 999
    backlog.pass_mark(999)
    assert not backlog


def test_a_mark_that_moves_on_while_it_is_done_is_not_lost() -> None:
    backlog = Backlog()
    backlog.keep(1)
    assert backlog.next_mark() == 1
    backlog.keep(2)
    backlog.pass_mark(1)
    assert backlog.next_mark() == 2


def test_small_pieces_are_few_objects() -> None:
    backlog = Backlog()
    add(backlog, 0, 50_000, size=1)
    assert len(backlog._queue) == 1
    assert bytes(backlog.take()) == CONTENT[:50_000]


@given(
    st.lists(
        st.tuples(st.integers(1, MAX_PAYLOAD), st.sampled_from(["", "", "", "gap", "take"])),
        max_size=60,
    )
)
def test_everything_comes_out_in_its_place(script: list[tuple[int, str]]) -> None:
    backlog, end, at = Backlog(), 0, 0
    written: dict[int, bytes] = {}

    def take(position: int) -> int:
        mark = backlog.next_mark()
        if mark is not None:
            backlog.pass_mark(mark)
            return mark
        written[position] = bytes(backlog.take())
        return position + len(written[position])

    expected = bytearray()
    for size, what in script:
        if end + size > len(CONTENT):
            break
        if what == "gap":
            end += size
            continue
        add(backlog, end, end + size)
        expected += CONTENT[end : end + size]
        end += size
        if what == "take":
            at = take(at)
    while backlog:
        at = take(at)
    assert b"".join(written.values()) == expected
    assert all(CONTENT[position:].startswith(data) for position, data in written.items())
    assert backlog.size == 0
