import asyncio
import os
import random
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rtcsend.errors import CannotRead, InternalError
from rtcsend.files import tree_reader
from rtcsend.files.scan import ScanRules
from rtcsend.files.tree_source import TreeSource
from rtcsend.manifest.selection import Selection
from rtcsend.options import Links
from tests.files.trees import MIXED, Tree, digest, make, stream


async def opened(folder: Path, **rules: object) -> TreeSource:
    return await TreeSource.open([folder / "top"], ScanRules(**rules))  # type: ignore[arg-type]


async def take(source: TreeSource, selection: Selection, start: int, count: int) -> bytes:
    """Return what pieces hold from a position on, for some pieces."""
    taken = bytearray()
    async with aclosing(source.blocks(selection, start=start)) as pieces:
        async for position, data in pieces:
            assert position == start + len(taken)
            assert selection.layout.is_boundary(position + len(data))
            taken += data
            count -= 1
            if not count:
                break
    return bytes(taken)


async def drain(pieces: AsyncIterator[object]) -> None:
    async for _ in pieces:
        pass


async def test_the_stream_is_all_files_in_a_row(tmp_path: Path) -> None:
    make(tmp_path, MIXED)
    async with await opened(tmp_path) as source:
        selection = Selection(source.manifest)
        assert await take(source, selection, 0, -1) == stream(MIXED)
        assert await source.digest() == digest(MIXED)


async def test_what_is_not_wanted_is_not_read(tmp_path: Path) -> None:
    make(tmp_path, MIXED)
    async with await opened(tmp_path) as source:
        (tmp_path / "top" / "b" / "x").unlink()
        paths = [entry.path for entry in source.manifest.entries()]
        number = paths.index("top/b/x")
        selection = Selection(source.manifest, [(0, 2), (number, number + 1)])
        rest: Tree = {p: c for p, c in MIXED.items() if p not in {"top", "top/a", "top/b/x"}}
        assert await take(source, selection, 0, -1) == stream(rest)
        assert await source.digest() == digest(rest)


@given(seed=st.integers(0, 10_000))
@settings(max_examples=25, deadline=None)
def test_it_goes_on_from_anywhere(tmp_path_factory: pytest.TempPathFactory, seed: int) -> None:
    rng = random.Random(seed)
    sizes = [rng.choice([0, 1, 900, 70_000, 1 << 20, 3 << 20]) for _ in range(rng.randrange(8))]
    tree: Tree = {f"top/{number}": rng.randbytes(size) for number, size in enumerate(sizes)}
    tree["top"] = None
    folder = tmp_path_factory.mktemp("tree")
    make(folder, tree)

    async def run() -> None:
        async with await opened(folder) as source:
            selection = Selection(source.manifest)
            whole, reached = stream(tree), 0
            for _ in range(4):
                start = rng.randint(0, reached)
                taken = await take(source, selection, start, rng.randint(1, 4))
                assert taken == whole[start : start + len(taken)]
                reached = max(reached, start + len(taken))
            assert await take(source, selection, reached, -1) == whole[reached:]
            assert await source.digest() == digest(tree)

    asyncio.run(run())


async def test_all_files_empty(tmp_path: Path) -> None:
    tree: Tree = {"top": None, "top/a": b"", "top/b": b""}
    make(tmp_path, tree)
    async with await opened(tmp_path) as source:
        selection = Selection(source.manifest)
        with pytest.raises(InternalError, match="known only after"):
            await source.digest()
        for _ in range(2):
            assert await take(source, selection, 0, -1) == b""
            assert await source.digest() == digest(tree)


@pytest.mark.parametrize("path", ["top/a", "top/b/large"])
@pytest.mark.parametrize("change", ["longer", "shorter", "other", "gone", "link", "pipe", "folder"])
async def test_a_file_that_is_not_what_it_was(tmp_path: Path, path: str, change: str) -> None:
    make(tmp_path, MIXED)
    async with await opened(tmp_path) as source:
        place = tmp_path / path
        content = place.read_bytes()
        if change == "longer":
            place.write_bytes(content + b"x")
        elif change == "shorter":
            place.write_bytes(content[:-1])
        elif change == "other":
            os.utime(place, ns=(1, 1))
        else:
            place.rename(tmp_path / "moved")
            if change == "link":
                place.symlink_to(tmp_path / "moved")
            elif change == "pipe":
                os.mkfifo(place)
            elif change == "folder":
                place.mkdir()
        with pytest.raises(CannotRead, match=f"'{path}' changed while it was sent"):
            await take(source, Selection(source.manifest), 0, -1)


async def test_a_file_that_changes_while_it_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tree_reader, "BATCH", 1)
    make(tmp_path, MIXED)
    async with await opened(tmp_path) as source:
        async with aclosing(source.blocks(Selection(source.manifest), start=0)) as pieces:
            position = 0
            while not position:
                position, _ = await anext(pieces)
            (tmp_path / "top" / "b" / "large").write_bytes(b"new")
            with pytest.raises(CannotRead, match="top/b/large' changed"):
                await drain(pieces)


async def test_what_links_point_to(tmp_path: Path) -> None:
    make(tmp_path, MIXED)
    async with await opened(tmp_path, links=Links.FOLLOW) as source:
        tree = MIXED | {"top/link": MIXED["top/b/x"]}
        assert await take(source, Selection(source.manifest), 0, -1) == stream(tree)


async def test_it_is_not_read_after_it_is_closed(tmp_path: Path) -> None:
    make(tmp_path, MIXED)
    source = await opened(tmp_path)
    async with source:
        selection = Selection(source.manifest)
        with pytest.raises(InternalError, match="not hashed"):
            await take(source, selection, 1, -1)
    with pytest.raises(InternalError, match="after it was closed"):
        await take(source, selection, 0, -1)


async def test_a_scan_that_nobody_waits_for_ends(tmp_path: Path) -> None:
    for number in range(200):
        (tmp_path / "top" / str(number)).mkdir(parents=True)
    reached = asyncio.Event()
    loop = asyncio.get_running_loop()
    counts: list[int] = []

    def on_entry(entries: int, _bytes: int) -> None:
        counts.append(entries)
        asyncio.run_coroutine_threadsafe(asyncio.sleep(0), loop).result()
        loop.call_soon_threadsafe(reached.set)

    opening = asyncio.create_task(
        TreeSource.open([tmp_path / "top"], ScanRules(), on_entry=on_entry)
    )
    await reached.wait()
    opening.cancel()
    with pytest.raises(asyncio.CancelledError):
        await opening
    assert len(counts) < 200


@pytest.mark.parametrize("path", ["top/b", "top"])
async def test_a_folder_that_became_a_link(tmp_path: Path, path: str) -> None:
    make(tmp_path, MIXED)
    async with await opened(tmp_path) as source:
        selection = Selection(source.manifest)
        (tmp_path / path).rename(tmp_path / "moved")
        (tmp_path / path).symlink_to(tmp_path / "moved")
        if path == "top":  # the user's own
            assert await take(source, selection, 0, -1) == stream(MIXED)
            return
        with pytest.raises(CannotRead, match="changed while it was sent"):
            await drain(source.blocks(selection))


async def test_a_link_that_was_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"content")
    (tmp_path / "link").symlink_to("file")
    paths = [tmp_path / "link", tmp_path / "file"]
    async with await TreeSource.open(paths, ScanRules()) as source:
        assert await take(source, Selection(source.manifest), 0, -1) == b"content" * 2
