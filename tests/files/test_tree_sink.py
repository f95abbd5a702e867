import asyncio
import os
import random
import stat
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from blake3 import blake3
from hypothesis import given, settings
from hypothesis import strategies as st

from rtcsend.blocks import BLOCK_SIZE, block_digest
from rtcsend.errors import (
    CannotWrite,
    DigestMismatch,
    InternalError,
    PeerProtocolError,
    TargetExists,
)
from rtcsend.files import tree_publisher, tree_sink, tree_writer
from rtcsend.files.folder import Folder
from rtcsend.files.scan import ScanRules, scan_paths
from rtcsend.files.tree_sink import TreeSink
from rtcsend.manifest.manifest import Manifest
from rtcsend.options import Conflict, Links
from tests.files.trees import MIXED, Tree, deliver, digest, make, manifest_of, read, stream, target


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "from"
    folder.mkdir()
    make(folder, MIXED)
    return folder


@pytest.fixture
def into(tmp_path: Path) -> Path:
    folder = tmp_path / "into"
    folder.mkdir()
    return folder


@pytest.fixture
def manifest(source: Path) -> Manifest:
    return manifest_of(source, "top")


@pytest.fixture
def umask() -> Iterator[None]:
    before = os.umask(0o027)
    yield
    os.umask(before)


def names(folder: Path) -> list[str]:
    return sorted(place.name for place in folder.iterdir())


async def received(into: Path, manifest: Manifest, tree: Tree, **changes: object) -> list[str]:
    """Receive all of a tree; return the names at the top."""
    sink = await TreeSink.create(target(into, manifest, **changes))
    try:
        await deliver(sink, stream(tree), cut=50_000)
        return [path.name for path in await sink.finish(digest(tree))]
    finally:
        await sink.abandon(keep_partial=False)


async def test_a_tree_arrives_as_it_is(source: Path, into: Path, manifest: Manifest) -> None:
    assert await received(into, manifest, MIXED) == ["top"]
    assert read(into) == read(source)


async def test_nothing_has_its_final_name_before_the_end(into: Path, manifest: Manifest) -> None:
    sink = await TreeSink.create(target(into, manifest))
    await deliver(sink, stream(MIXED))
    assert names(into) == [".top.rtcsend-partial"]
    assert stat.S_IMODE((into / ".top.rtcsend-partial").stat().st_mode) == 0o700
    await sink.finish(digest(MIXED))
    assert names(into) == ["top"]


@pytest.mark.parametrize(("preserve", "mask"), [(False, 0o750), (True, 0o777)])
async def test_permissions_and_times(
    source: Path, into: Path, umask: None, preserve: bool, mask: int
) -> None:
    modes = {"top/a": 0o6777, "top/z": 0o444, "top/b/x": 0o000, "top/b": 0o1555, "top/empty": 0}
    for number, (path, mode) in enumerate(modes.items()):
        (source / path).chmod(mode)
        os.utime(source / path, ns=(number, 1_500_000_000_123_456_789 + number))
    os.utime(source / "top", ns=(7, 7_000_000_007))
    manifest = manifest_of(source, "top")
    await received(into, manifest, MIXED, preserve=preserve)
    for number, (path, mode) in enumerate(modes.items()):
        facts = (into / path).stat()
        assert stat.S_IMODE(facts.st_mode) == mode & 0o777 & mask, path
        assert facts.st_mtime_ns == 1_500_000_000_123_456_789 + number, path
    assert (into / "top").stat().st_mtime_ns == 7_000_000_007
    os.utime(source / "top/link", ns=(1, 1), follow_symlinks=False)


async def test_zeros_take_no_space(source: Path, into: Path) -> None:
    tree: Tree = {"top": None, "top/sparse": b"1" + bytes(3 << 20) + b"2" + bytes(1 << 20)}
    make(source, tree)
    scan = scan_paths([source / "top"], ScanRules(exclude=("/b*", "/[aelz]*")))
    await received(into, scan.manifest, tree)
    assert (into / "top" / "sparse").read_bytes() == tree["top/sparse"]
    assert (into / "top" / "sparse").stat().st_blocks * 512 < 1 << 20


async def test_only_what_is_wanted(source: Path, into: Path, manifest: Manifest) -> None:
    paths = [entry.path for entry in manifest.entries()]
    number = paths.index("top/b/x")
    rest: Tree = {path: content for path, content in MIXED.items() if path != "top/b/x"}
    await received(into, manifest, rest, skipped=[(number, number + 1)])
    assert read(into) == rest


SEVERAL: Tree = {"one": None, "one/a": b"a", "two": b"2", "zero": b"", "dir": None}


async def test_several_at_the_top(source: Path, into: Path) -> None:
    make(source, SEVERAL)
    order = ["two", "one", "dir", "zero"]
    tree = {path: SEVERAL[path] for path in ("two", "one", "one/a", "dir", "zero")}
    manifest = manifest_of(source, *order)
    sink = await TreeSink.create(target(into, manifest))
    await deliver(sink, b"2a")
    lines = "".join(
        f"{blake3(content).hexdigest()}  {path}\n"
        for path, content in tree.items()
        if content is not None
    )
    paths = await sink.finish(blake3(lines.encode()).hexdigest())
    assert paths == [into / name for name in order]
    assert read(into) == SEVERAL


THERE: Tree = {"top": None, "top/a": b"old", "top/mine": b"mine", "top/b": None, "top/b/x": b"o"}


async def test_a_name_that_is_taken(into: Path, manifest: Manifest) -> None:
    make(into, THERE)
    with pytest.raises(TargetExists, match="top already exists"):
        await received(into, manifest, MIXED)
    assert read(into) == THERE


async def test_another_name_is_found(into: Path, manifest: Manifest) -> None:
    make(into, THERE | {"top (1)": b"taken"})
    assert await received(into, manifest, MIXED, conflict=Conflict.RENAME) == ["top (2)"]
    found = read(into)
    assert {path: found[path] for path in THERE} == THERE
    assert found["top (2)/b/large"] == MIXED["top/b/large"]


async def test_what_is_there_is_added_to_and_replaced(into: Path, manifest: Manifest) -> None:
    make(into, THERE)
    (into / "top").chmod(0o700)
    assert await received(into, manifest, MIXED, conflict=Conflict.OVERWRITE) == ["top"]
    assert read(into) == THERE | MIXED
    assert stat.S_IMODE((into / "top").stat().st_mode) == 0o700


async def test_what_is_there_is_only_added_to(into: Path, manifest: Manifest) -> None:
    make(into, THERE)
    await received(into, manifest, MIXED, conflict=Conflict.SKIP)
    assert read(into) == MIXED | THERE


async def test_a_final_name_of_the_users_own(into: Path, manifest: Manifest) -> None:
    assert await received(into, manifest, MIXED, names={"top": "mine"}) == ["mine"]
    assert (into / "mine" / "a").read_bytes() == b"1"


@pytest.mark.parametrize("there", [{"top": b"file"}, {"top": None, "top/a": None, "top/a/b": b""}])
async def test_a_file_and_a_folder_of_one_name(into: Path, manifest: Manifest, there: Tree) -> None:
    make(into, there)
    with pytest.raises(CannotWrite):
        await received(into, manifest, MIXED, conflict=Conflict.OVERWRITE)
    assert {path: read(into)[path] for path in there} == there


async def test_nothing_is_written_through_a_link(
    tmp_path: Path, into: Path, manifest: Manifest
) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (into / "top").mkdir()
    (into / "top" / "b").symlink_to(outside)
    (into / "top" / "a").symlink_to(outside / "a")
    with pytest.raises(CannotWrite):
        await received(into, manifest, MIXED, conflict=Conflict.OVERWRITE)
    assert read(outside) == {}


async def test_digests_are_told_of_the_files_as_they_are_stored(tmp_path: Path, into: Path) -> None:
    odd: Tree = {
        "t": None,
        "t/a\x1b": b"1",
        "t/b": b"",
        "t/c\x1b": None,
        "t/c\x1b/d": b"x" * 70_000,
    }
    make(tmp_path / "odd", odd)
    told: dict[str, str] = {}
    changes = {"on_digest": lambda of_file, path: told.update({path: of_file})}
    await received(into, manifest_of(tmp_path / "odd", "t"), odd, **changes)
    stored = {path: content for path, content in read(into).items() if content is not None}
    assert told == {path: blake3(content).hexdigest() for path, content in stored.items()}
    assert "t/a_" in told


async def test_damaged(into: Path, manifest: Manifest) -> None:
    sink = await TreeSink.create(target(into, manifest))
    await deliver(sink, stream(MIXED))
    with pytest.raises(DigestMismatch):
        await sink.finish("0" * 64)
    assert names(into) == []
    with pytest.raises(InternalError, match="after it had ended"):
        await sink.write(b"")


async def test_too_much_and_too_little(into: Path, manifest: Manifest) -> None:
    sink = await TreeSink.create(target(into, manifest))
    with pytest.raises(PeerProtocolError, match="less than it proposed"):
        await sink.finish(digest(MIXED))
    await deliver(sink, stream(MIXED))
    with pytest.raises(PeerProtocolError, match="more than it proposed"):
        await sink.write(b"x")
    await sink.abandon(keep_partial=False)
    assert names(into) == []


async def test_an_interrupted_tree_goes_on(
    source: Path, into: Path, manifest: Manifest, tmp_path: Path
) -> None:
    content = stream(MIXED)
    sink = await TreeSink.create(target(into, manifest))
    await deliver(sink, content, stop=len(content) - 70_000)
    await sink.abandon(keep_partial=True)
    assert names(into) == [".top.rtcsend-partial"]

    sink = await TreeSink.create(target(into, manifest))
    moved = await deliver(sink, content)
    await sink.finish(digest(MIXED))
    assert read(into) == read(source)
    assert moved < 140_000


async def test_what_nothing_has_come_of_is_not_left(into: Path, manifest: Manifest) -> None:
    sink = await TreeSink.create(target(into, manifest))
    await sink.abandon(keep_partial=True)
    assert names(into) == []


async def test_another_tree_of_the_same_name_takes_over_what_is_equal(
    source: Path, into: Path, manifest: Manifest
) -> None:
    sink = await TreeSink.create(target(into, manifest))
    await deliver(sink, stream(MIXED))
    await sink.abandon(keep_partial=True)

    (source / "top" / "a").unlink()
    (source / "top" / "z").write_bytes(b"other")
    (source / "top" / "b.txt").unlink()
    (source / "top" / "b.txt").mkdir()
    tree = read(source)
    sink = await TreeSink.create(target(into, manifest_of(source, "top")))
    assert await deliver(sink, stream(tree)) == len(b"other")
    await sink.finish(digest(tree))
    assert read(into) == tree  # and nothing of what the first tree had besides


LARGE = {"top/b/large": bytes(range(256)) * 10_001}


async def test_nobody_is_told_of_small_files_of_another_tree(
    source: Path, into: Path, manifest: Manifest
) -> None:
    sink = await TreeSink.create(target(into, manifest))
    await deliver(sink, stream(MIXED))
    await sink.abandon(keep_partial=True)

    guess = into.with_name("guess")
    make(guess, {"top": None, "top/a": b"1", "top/b.txt": b"text", "top/b": None, **LARGE})
    os.utime(guess / "top" / "b.txt", ns=(1, (source / "top" / "b.txt").stat().st_mtime_ns))
    for _ in range(2):  # nor when the same guess comes again
        sink = await TreeSink.create(target(into, manifest_of(guess, "top")))
        told = b"".join([digests async for _, digests in sink.survey(0)])
        large = LARGE["top/b/large"]
        blocks = [large[at : at + BLOCK_SIZE] for at in range(0, len(large), BLOCK_SIZE)]
        assert told == b"".join(map(block_digest, [*blocks, b"text"]))
        await sink.abandon(keep_partial=True)


async def test_two_at_once_do_not_meet(into: Path, manifest: Manifest) -> None:
    first = await TreeSink.create(target(into, manifest))
    second = await TreeSink.create(target(into, manifest, conflict=Conflict.RENAME))
    assert len(names(into)) == 2
    for sink in (first, second):
        await deliver(sink, stream(MIXED))
        await sink.finish(digest(MIXED))
    assert names(into) == ["top", "top (1)"]


@pytest.mark.parametrize(
    "planted", ["link", "other name", "fifo", "folder", "file of a folder", "mask", "full mask"]
)
async def test_what_somebody_put_into_what_was_left(
    tmp_path: Path, source: Path, into: Path, manifest: Manifest, planted: str
) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "precious").write_bytes(b"precious")
    sink = await TreeSink.create(target(into, manifest))
    await deliver(sink, stream(MIXED))
    await sink.abandon(keep_partial=True)
    staged = into / ".top.rtcsend-partial" / "top"
    (staged / "a").unlink()
    (staged / "stray").write_bytes(b"stray")
    if planted == "link":
        (staged / "a").symlink_to(outside / "precious")
    elif planted == "other name":
        os.link(outside / "precious", staged / "a")
    elif planted == "fifo":
        os.mkfifo(staged / "a")
    elif planted == "folder":
        (staged / "a").mkdir()
    elif planted == "mask":
        (staged.parent / ".rtcsend-mask").symlink_to(outside)
    elif planted == "full mask":
        make(staged.parent / ".rtcsend-mask", {"x/y": b"z"})
    else:
        (staged / "empty").rmdir()
        (staged / "empty").symlink_to(outside)
    sink = await TreeSink.create(target(into, manifest))
    await deliver(sink, stream(MIXED))
    await sink.finish(digest(MIXED))
    assert read(into) == read(source)
    assert read(outside) == {"precious": b"precious"}


async def test_files_closed_to_ourselves_are_gone_on_with(source: Path, into: Path) -> None:
    (source / "top" / "a").chmod(0o400)
    (source / "top" / "b" / "x").chmod(0o000)
    manifest = manifest_of(source, "top")
    for stop in (2, 2_600_000):
        sink = await TreeSink.create(target(into, manifest))
        await deliver(sink, stream(MIXED), stop=stop)
        await sink.abandon(keep_partial=True)
    sink = await TreeSink.create(target(into, manifest))
    await deliver(sink, stream(MIXED))
    await sink.finish(digest(MIXED))
    assert stat.S_IMODE((into / "top" / "a").stat().st_mode) == 0o400


@pytest.mark.parametrize("each", [0, 100])
async def test_all_is_synced(
    into: Path, manifest: Manifest, monkeypatch: pytest.MonkeyPatch, each: int
) -> None:
    synced: list[str] = []
    monkeypatch.setattr(tree_sink, "SYNC_EACH", each)
    monkeypatch.setattr(tree_publisher, "sync_file_system", lambda _: synced.append("all"))
    monkeypatch.setattr(tree_writer, "sync_all", lambda _: synced.append("file"))
    monkeypatch.setattr(Folder, "sync", lambda _: synced.append("folder"))
    make(into, {"top": None, "top/b": None})
    await received(into, manifest, MIXED, conflict=Conflict.OVERWRITE)
    if each:  # in the staging folder, those that were there, and the one at the top
        assert Counter(synced) == {"file": 6, "folder": 3 + 2 + 1}
    else:
        assert synced == ["all", "all", "folder"]


async def test_a_folder_that_is_missing(tmp_path: Path, manifest: Manifest) -> None:
    with pytest.raises(CannotWrite, match="does not exist"):
        await TreeSink.create(target(tmp_path / "missing", manifest))


SIZES = st.sampled_from([0, 0, 1, 5, 300, 4096, 70_000, (1 << 20) - 1, 1 << 20, 2_500_000])


@given(
    sizes=st.lists(st.tuples(st.sampled_from("abc"), SIZES), max_size=7),
    seed=st.integers(0, 1000),
)
@settings(max_examples=25, deadline=None)
def test_however_often_it_is_interrupted(
    tmp_path_factory: pytest.TempPathFactory, sizes: list[tuple[str, int]], seed: int
) -> None:
    rng = random.Random(seed)
    tree: Tree = {"top": None}
    for number, (folder, size) in enumerate(sizes):
        tree[f"top/{folder}"] = None
        tree[f"top/{folder}/{number}"] = rng.randbytes(size) if size % 2 else bytes(size)
    source, into = tmp_path_factory.mktemp("from"), tmp_path_factory.mktemp("into")
    make(source, tree)
    manifest, content = manifest_of(source, "top"), stream(tree)

    async def run() -> None:
        for _ in range(rng.randrange(3)):
            sink = await TreeSink.create(target(into, manifest))
            stop = rng.randint(0, len(content))
            await deliver(sink, content, stop=stop, cut=rng.choice([0, 1000, 99_999]))
            await sink.abandon(keep_partial=True)
            for place in into.rglob("*"):
                if place.is_file() and rng.random() < 0.1 and "journal" not in place.name:
                    place.write_bytes(rng.randbytes(rng.randrange(2 << 20)))
        sink = await TreeSink.create(target(into, manifest))
        await deliver(sink, content, cut=rng.choice([0, 777, 1 << 20]))
        await sink.finish(digest(tree))

    asyncio.run(run())
    assert read(into) == tree


async def test_links_are_left_out_on_request(source: Path, into: Path) -> None:
    scan = scan_paths([source / "top"], ScanRules(links=Links.SKIP))
    await received(into, scan.manifest, MIXED)
    assert not (into / "top" / "link").exists()
