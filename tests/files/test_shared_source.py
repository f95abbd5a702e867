import asyncio
import random
from collections.abc import AsyncGenerator
from contextlib import aclosing
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rtcsend.blocks import Data
from rtcsend.errors import CannotRead
from rtcsend.files.scan import ScanRules
from rtcsend.files.shared_source import SharedSource, View
from rtcsend.files.source import FileSource
from rtcsend.files.tree_source import TreeSource
from rtcsend.manifest.selection import Selection
from tests.files.trees import MIXED, digest, make, stream

MiB = 1 << 20
CONTENT = random.Random(1).randbytes(5 * MiB + 17)


class Counted(FileSource):
    """Counts what is read of a file for the first time, and again."""

    read = 0
    again = 0

    async def blocks(
        self, selection: Selection, *, start: int = 0
    ) -> AsyncGenerator[tuple[int, Data], None]:
        async with aclosing(super().blocks(selection, start=start)) as pieces:
            async for position, data in pieces:
                self.read += len(data)
                yield position, data

    async def reread(
        self, selection: Selection, *, start: int
    ) -> AsyncGenerator[tuple[int, Data], None]:
        async with aclosing(super().reread(selection, start=start)) as pieces:
            async for position, data in pieces:
                self.again += len(data)
                yield position, data


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "x"
    path.write_bytes(CONTENT)
    return path


async def take(view: View, selection: Selection, *, start: int = 0, rounds: int = 0) -> bytes:
    """Return what a view gives, after having given others a turn so many times a piece."""
    taken = bytearray()
    async with aclosing(view.blocks(selection, start=start)) as pieces:
        async for position, data in pieces:
            assert position == start + len(taken)
            assert selection.layout.is_boundary(position + len(data))
            taken += data
            for _ in range(rounds):
                await asyncio.sleep(0)
    return bytes(taken)


async def test_three_receivers_cost_one_read_and_one_digest(path: Path) -> None:
    async with await Counted.open(path) as source, SharedSource(source) as shared:
        selection = Selection(source.manifest)
        views = [shared.view() for _ in range(3)]
        taken = await asyncio.gather(*(take(view, selection) for view in views))
        assert taken == [CONTENT] * 3
        assert (source.read, source.again) == (len(CONTENT), 0)
        assert (shared.read, shared.reread) == (len(CONTENT), 0)
        assert {await view.digest() for view in views} == {await source.digest()}


async def test_who_is_far_behind_reads_alone_and_comes_back(path: Path) -> None:
    async with await Counted.open(path) as source, SharedSource(source, window=MiB) as shared:
        selection = Selection(source.manifest)
        first, second = shared.view(), shared.view()
        async with aclosing(first.blocks(selection, start=0)) as ahead:
            for _ in range(4):
                await anext(ahead)
            assert await take(second, selection) == CONTENT
        assert source.again == shared.reread == 3 * MiB
        assert source.read == shared.read == len(CONTENT)
        assert await second.digest() == await source.digest()


class Coarse(FileSource):
    """Gives out more at once when it is read again: nobody has promised that it does not."""

    async def reread(
        self, selection: Selection, *, start: int
    ) -> AsyncGenerator[tuple[int, Data], None]:
        yield start, CONTENT[start : start + 3 * MiB]


async def test_who_reads_alone_may_get_ahead_of_the_front(path: Path) -> None:
    async with await Coarse.open(path) as source, SharedSource(source, window=1) as shared:
        selection = Selection(source.manifest)
        async with aclosing(shared.view().blocks(selection, start=0)) as ahead:
            for _ in range(2):
                await anext(ahead)
            async with asyncio.timeout(90):
                assert await take(shared.view(), selection) == CONTENT


async def test_a_receiver_that_goes_away_takes_nothing_along(path: Path) -> None:
    async with await Counted.open(path) as source, SharedSource(source) as shared:
        selection = Selection(source.manifest)
        leaving = asyncio.create_task(take(shared.view(), selection))
        staying = asyncio.create_task(take(shared.view(), selection))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        leaving.cancel()
        assert await staying == CONTENT
        assert source.read == len(CONTENT)


async def test_a_receiver_that_lost_its_connection_begins_where_it_was(path: Path) -> None:
    async with await Counted.open(path) as source, SharedSource(source, window=1) as shared:
        selection = Selection(source.manifest)
        view = shared.view()
        async with aclosing(view.blocks(selection, start=0)) as pieces:
            for _ in range(3):
                await anext(pieces)
        assert await take(view, selection, start=MiB + 5) == CONTENT[MiB + 5 :]
        assert await view.digest() == await source.digest()


async def test_a_file_that_changes_ends_all_with_the_same_error(path: Path) -> None:
    async with await Counted.open(path) as source, SharedSource(source) as shared:
        await asyncio.to_thread(path.write_bytes, b"another")
        selection = Selection(source.manifest)
        views = [shared.view() for _ in range(2)]
        ends = await asyncio.gather(
            *(take(view, selection) for view in views), return_exceptions=True
        )
    assert [type(end) for end in ends] == [CannotRead, CannotRead]
    assert ends[0] is not ends[1]
    assert str(ends[0]) == str(ends[1]) == "x changed while it was sent."


async def test_who_wants_less_of_a_tree_shares_nothing_with_the_others(tmp_path: Path) -> None:
    make(tmp_path, MIXED)
    async with (
        await TreeSource.open([tmp_path / "top"], ScanRules()) as source,
        SharedSource(source) as shared,
    ):
        everything = Selection(source.manifest)
        paths = [entry.path for entry in source.manifest.entries()]
        number = paths.index("top/b/x")
        less = Selection(source.manifest, [(number, number + 1)])
        views = [shared.view(), shared.view(), shared.view()]
        wanted = [everything, less, everything]
        taken = await asyncio.gather(*map(take, views, wanted))
        rest = {path: content for path, content in MIXED.items() if path != "top/b/x"}
        assert taken == [stream(MIXED), stream(rest), stream(MIXED)]
        assert shared.read == len(stream(MIXED)) + len(stream(rest))
        assert [await view.digest() for view in views] == [
            digest(MIXED),
            digest(rest),
            digest(MIXED),
        ]


@settings(max_examples=25, deadline=None)
@given(
    rounds=st.lists(st.integers(min_value=0, max_value=12), min_size=1, max_size=5),
    window=st.integers(min_value=1, max_value=1 << 16),
    sizes=st.lists(st.integers(min_value=0, max_value=9_000), min_size=1, max_size=12),
)
async def test_every_receiver_of_a_tree_gets_all_of_it(
    tmp_path_factory: pytest.TempPathFactory, rounds: list[int], window: int, sizes: list[int]
) -> None:
    folder = tmp_path_factory.mktemp("tree")
    tree = {"top": None} | {
        f"top/{number}": random.Random(number).randbytes(size) for number, size in enumerate(sizes)
    }
    make(folder, tree)
    async with (
        await TreeSource.open([folder / "top"], ScanRules()) as source,
        SharedSource(source, window=window) as shared,
    ):
        selection = Selection(source.manifest)
        views = [shared.view() for _ in rounds]
        taken = await asyncio.gather(
            *(
                take(view, selection, rounds=turns)
                for view, turns in zip(views, rounds, strict=True)
            )
        )
        assert taken == [stream(tree)] * len(rounds)
        assert shared.read == len(stream(tree))
        assert {await view.digest() for view in views} == {digest(tree)}
