"""What is said, and what is kept, of a tree of which something arrived damaged."""

from pathlib import Path

import pytest
from blake3 import blake3

from rtcsend.blocks import BLOCK_SIZE
from rtcsend.errors import DigestMismatch
from rtcsend.files.tree_sink import TreeSink
from rtcsend.manifest.manifest import Manifest
from rtcsend.manifest.sums import SUM_BYTES, WIDTH, FileSums, sums_of
from tests.files.trees import (
    MIXED,
    Tree,
    deliver,
    digest,
    files,
    make,
    manifest_of,
    read,
    stream,
    target,
)

STAGED = ".top.rtcsend-partial"
LARGE: Tree = MIXED | {"top/film": bytes(range(251)) * (3 * BLOCK_SIZE // 250)}


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "from"
    folder.mkdir()
    make(folder, LARGE)
    return folder


@pytest.fixture
def into(tmp_path: Path) -> Path:
    folder = tmp_path / "into"
    folder.mkdir()
    return folder


@pytest.fixture
def manifest(source: Path) -> Manifest:
    return manifest_of(source, "top")


def sums(tree: Tree) -> FileSums:
    """Return what the sender of a tree says."""
    return sums_of(b"".join(blake3(content).digest()[:SUM_BYTES] for _, content in files(tree)))


def damaged(tree: Tree, *paths: str) -> Tree:
    """Return a tree in which one bit of each of some files is another."""
    changed = {}
    for path in paths:
        content = tree[path]
        assert content
        changed[path] = content[:-1] + bytes([content[-1] ^ 1])
    return tree | changed


def staged(into: Path) -> list[str]:
    return sorted(path.removeprefix(f"{STAGED}/") for path in read(into) if "/top/" in path)


async def arrive(
    into: Path, manifest: Manifest, arrives: Tree, sent: Tree, said: FileSums | None
) -> DigestMismatch:
    """Receive a tree that is not the one that was sent; return how that ends."""
    sink = await TreeSink.create(target(into, manifest))
    await deliver(sink, stream(arrives))
    with pytest.raises(DigestMismatch) as info:
        await sink.finish(digest(sent), said)
    await sink.abandon(keep_partial=False)  # as whoever made it does
    return info.value


async def test_one_file_is_named_and_all_others_are_kept(
    source: Path, into: Path, manifest: Manifest
) -> None:
    error = await arrive(into, manifest, damaged(LARGE, "top/b/large"), LARGE, sums(LARGE))
    sentence = "top/b/large arrived damaged: its BLAKE3 digest is wrong."
    assert (error.message, error.for_peer) == (sentence, sentence)
    assert "need not travel again" in error.hint
    assert "top/b/large" not in staged(into)
    assert {"top/film", "top/b/x", "top/z"} <= set(staged(into))

    sink = await TreeSink.create(target(into, manifest))
    moved = await deliver(sink, stream(LARGE))
    await sink.finish(digest(LARGE), sums(LARGE))
    assert read(into) == read(source)
    assert moved == len(LARGE["top/b/large"] or b"")


async def test_several_files(into: Path, manifest: Manifest) -> None:
    arrives = damaged(LARGE, "top/b/x", "top/film", "top/a")
    error = await arrive(into, manifest, arrives, LARGE, sums(LARGE))
    assert error.message == (
        "top/a and 2 other files arrived damaged: their BLAKE3 digests are wrong."
    )
    assert not {"top/a", "top/b/x", "top/film"} & set(staged(into))
    assert "top/b/large" in staged(into)


@pytest.mark.parametrize("said", ["nothing", "what is here"])
async def test_where_nobody_knows_nothing_is_kept(
    into: Path, manifest: Manifest, said: str
) -> None:
    arrives = damaged(LARGE, "top/a")
    told = None if said == "nothing" else sums(arrives)
    error = await arrive(into, manifest, arrives, LARGE, told)
    assert error.message == "What arrived is damaged: the digest of the list is wrong."
    assert error.hint == DigestMismatch.default_hint
    assert read(into) == {}


async def test_where_everything_is_damaged_nothing_is_kept(into: Path, manifest: Manifest) -> None:
    arrives = damaged(LARGE, *(path for path, content in files(LARGE) if content))
    error = await arrive(into, manifest, arrives, LARGE, sums(LARGE))
    assert error.message.startswith("top/a and 5 other files")
    assert error.hint == DigestMismatch.default_hint
    assert read(into) == {}


async def test_what_an_earlier_run_has_left_stays(into: Path, manifest: Manifest) -> None:
    """Whoever says wrong sums does not take an honest run's work away."""
    sink = await TreeSink.create(target(into, manifest))
    await deliver(sink, stream(LARGE), stop=2 * BLOCK_SIZE)
    await sink.abandon(keep_partial=True)
    before = staged(into)
    liar = damaged(LARGE, *(path for path, content in files(LARGE) if content))
    await arrive(into, manifest, LARGE, liar, sums(liar))
    assert set(before) <= set(staged(into))


async def test_a_path_of_any_length_and_any_bytes(tmp_path: Path, into: Path) -> None:
    deep = "top/" + "/".join(["x" * 200] * 4)
    odd: Tree = {"top": None, f"{deep}/\udcff\x1b[31m": b"1", "top/z": b"2"}
    make(tmp_path / "odd", odd)
    sent: Tree = {path: content for path, content in odd.items() if content is not None}
    arrives = damaged(sent, f"{deep}/\udcff\x1b[31m")
    error = await arrive(into, manifest_of(tmp_path / "odd", "top"), arrives, sent, sums(sent))
    for text in (error.message, error.for_peer):
        assert len(text) < 300
        assert text.startswith("…xxx")
        text.encode()
    assert "\x1b" not in error.message
    assert "/�\x1b[31m arrived" in error.for_peer, "as the sender calls it, who shows it escaped"


async def test_where_it_cannot_be_told_which_it_is_said_so(tmp_path: Path, into: Path) -> None:
    count = WIDTH + 2
    tree: Tree = {"top": None, **{f"top/{number:05}": b"1" for number in range(count)}}
    make(tmp_path / "many", tree)
    first = ["top/00000", "top/00001"]
    second = [f"top/{WIDTH:05}"]
    arrives = damaged(tree, *first, *second)
    error = await arrive(into, manifest_of(tmp_path / "many", "top"), arrives, tree, sums(tree))
    assert error.message == (
        "Some of top/00000 and 3 other files arrived damaged: their BLAKE3 digests are wrong."
    )
    assert not {*first, *second} & set(staged(into))
    assert len(staged(into)) == count - 4
