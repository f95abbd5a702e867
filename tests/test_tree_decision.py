"""The receiver's decision about many files: what is shown, refused, asked and left."""

import asyncio
import os
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from rtcsend import tree_decision
from rtcsend.errors import (
    CannotWrite,
    ConnectionLost,
    Declined,
    DigestMismatch,
    RtcsendError,
    TargetExists,
    UnsafePath,
)
from rtcsend.events import Entry, Event, Proposal
from rtcsend.files import tree_plan
from rtcsend.files.tree_sink import TreeSink
from rtcsend.manifest.entry import ManifestEntry
from rtcsend.manifest.manifest import Manifest
from rtcsend.options import STDOUT, Conflict, ReceiveOptions
from rtcsend.target import Target
from rtcsend.transfer.ports import Offer
from tests.files.trees import MIXED, Tree, deliver, digest, make, manifest_of, read, stream
from tests.test_target import FakeQuestions

if TYPE_CHECKING:
    from rtcsend.files.proposed_tree import Place


class Scene:
    """A receiver with a tree that is proposed to it."""

    def __init__(self, folder: Path, tree: Tree = MIXED, **options: Any) -> None:
        self.questions = FakeQuestions(conflict=options.pop("answer", Conflict.ASK))
        self.tree = tree
        self.digest = ""
        """What the sender says in the end; empty: what is right."""
        self.into = folder / "into"
        self.into.mkdir(exist_ok=True)
        source = folder / "from"
        source.mkdir(exist_ok=True)
        make(source, tree)
        tops = sorted({path.partition("/")[0] for path in tree})
        self.manifest = manifest_of(source, *tops)
        self.events: list[Event] = []
        given = ReceiveOptions(code="7-guitar-velvet", **{"output": self.into, **options})
        self.target = Target(given, questions=self.questions, emit=self.events.append)

    async def receive(self, wanted: Tree | None = None) -> list[str] | None:
        """Receive what is wanted; return the paths at the top, None when nothing was."""
        tree = self.tree if wanted is None else wanted
        async with self.target as target:
            sink = await target.decide(Offer(sender="ada-laptop", manifest=self.manifest))
            if sink is None:
                return None
            assert isinstance(sink, TreeSink)
            await deliver(sink, stream(tree))
            paths = await sink.finish(self.digest or digest(tree))
            return [path.relative_to(self.into).as_posix() for path in paths]

    async def loses(self, count: int) -> None:
        """Receive some bytes, and lose the connection."""
        async with self.target as target:
            sink = await target.decide(Offer(sender="", manifest=self.manifest))
            assert sink is not None
            await sink.write(stream(self.tree)[:count])
            await sink.flush()
            raise ConnectionLost("lost")

    async def refuses(self, error: type[RtcsendError]) -> RtcsendError:
        before = read(self.into)
        with pytest.raises(error) as caught:
            await self.receive()
        assert read(self.into) == before
        return caught.value

    @property
    def shown(self) -> Proposal:
        (event,) = self.events
        assert isinstance(event, Proposal)
        return event


OLD: Tree = {"top": None, "top/a": b"old", "top/b": None, "top/b/x": b"old", "top/mine": b"mine"}


async def test_what_is_shown(tmp_path: Path) -> None:
    tree = MIXED | {"top/b/\x1brun": b"#!", "top/.hidden": b"", "top/-rf": b""}
    scene = Scene(tmp_path, tree)
    (tmp_path / "from" / "top" / "b" / "\x1brun").chmod(0o755)
    scene.manifest = manifest_of(tmp_path / "from", "top")
    assert await scene.receive() == ["top"]
    shown = scene.shown
    assert (shown.files, shown.directories, shown.links) == (9, 3, 1)
    assert (shown.executables, shown.renamed, shown.existing) == (1, 1, 0)
    assert (shown.sender, shown.tops, shown.bytes) == ("ada-laptop", ("top",), len(stream(tree)))
    by_path = {entry.path: entry for entry in shown.entries}
    assert by_path["top/b/_run"].odd == ("renamed", "executable")
    assert by_path["top/link"] == Entry(path="top/link", kind="link", bytes=0, odd=("to", "b/x"))
    assert (by_path["top/.hidden"].odd, by_path["top/-rf"].odd) == (("hidden",), ("dash",))
    assert by_path["top/b"].kind == "directory"
    assert scene.questions.asked == [shown]
    assert (scene.into / "top" / "b" / "_run").read_bytes() == b"#!"


async def test_nothing_is_made_before_it_is_accepted(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    scene.questions._accept = False
    await scene.refuses(Declined)
    assert os.listdir(scene.into) == []  # noqa: PTH208 - of names


async def test_only_the_first_hundred_are_listed(tmp_path: Path) -> None:
    tree: Tree = {"top": None, **{f"top/{number:03}": b"" for number in range(150)}}
    scene = Scene(tmp_path, tree)
    await scene.receive()
    assert len(scene.shown.entries) == 100
    assert scene.shown.files == 150


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"max_size": 100}, "at most 100 are accepted"),
        ({"max_files": 5}, "has 6 files, and at most 5"),
        ({"accept_glob": ("*.txt", "top/b/*")}, "top/a matches none"),
    ],
)
async def test_what_options_decline(tmp_path: Path, options: dict[str, Any], words: str) -> None:
    scene = Scene(tmp_path, **options)
    assert words in str(await scene.refuses(Declined))
    assert scene.questions.asked == []


async def test_names_and_paths_that_match(tmp_path: Path) -> None:
    scene = Scene(tmp_path, accept_glob=("[abz]", "top/b*", "link"), max_files=8, max_size=10**7)
    assert await scene.receive() == ["top"]


async def test_taken_without_an_answer(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    make(scene.into, OLD)
    assert str(await scene.refuses(TargetExists)) == "top already exists."
    assert scene.shown.existing == 2
    assert scene.shown.existing_paths == ("top/a", "top/b/x")
    assert scene.questions.asked == [scene.shown, "top"]


@pytest.mark.parametrize("asked", [True, False])
@pytest.mark.parametrize("conflict", [Conflict.OVERWRITE, Conflict.RENAME, Conflict.SKIP])
async def test_taken_with_an_answer(tmp_path: Path, asked: bool, conflict: Conflict) -> None:
    given: dict[str, Any] = {"answer" if asked else "conflict": conflict}
    scene = Scene(tmp_path, **given)
    make(scene.into, OLD)
    if conflict is Conflict.RENAME:
        assert await scene.receive() == ["top (1)"]
        found = read(scene.into)
        assert {path: found[path] for path in OLD} == OLD
        assert found["top (1)/b/large"] == MIXED["top/b/large"]
    elif conflict is Conflict.OVERWRITE:
        assert await scene.receive() == ["top"]
        assert read(scene.into) == OLD | MIXED
    else:
        wanted: Tree = {path: MIXED[path] for path in MIXED if path not in {"top/a", "top/b/x"}}
        assert await scene.receive(wanted) == ["top"]
        assert read(scene.into) == MIXED | OLD


async def test_all_is_there(tmp_path: Path) -> None:
    scene = Scene(tmp_path, conflict=Conflict.SKIP)
    make(scene.into, MIXED)
    assert await scene.receive() is None
    assert read(scene.into) == MIXED


async def test_all_but_an_empty_folder_is_there(tmp_path: Path) -> None:
    scene = Scene(tmp_path, conflict=Conflict.SKIP)
    make(scene.into, MIXED)
    (scene.into / "top" / "empty").rmdir()
    assert await scene.receive({}) == ["top"]
    assert read(scene.into) == MIXED


@pytest.mark.parametrize("there", [{"top": b""}, {"top": None, "top/b": b""}, {"top/a/x": b""}])
async def test_a_folder_in_place_of_a_file_or_the_other_way_round(
    tmp_path: Path, there: Tree
) -> None:
    scene = Scene(tmp_path, conflict=Conflict.OVERWRITE)
    make(scene.into, there)
    assert "is a folder here and a file there" in str(await scene.refuses(CannotWrite))


async def test_what_is_below_a_file_is_skipped_with_it(tmp_path: Path) -> None:
    scene = Scene(tmp_path, conflict=Conflict.SKIP)
    make(scene.into, {"top": None, "top/b": b"a file"})
    wanted: Tree = {path: MIXED[path] for path in MIXED if not path.startswith("top/b/")}
    wanted.pop("top/b")
    assert await scene.receive(wanted) == ["top"]
    assert read(scene.into) == wanted | {"top/b": b"a file"}


async def test_a_link_in_place_of_the_folder(tmp_path: Path) -> None:
    scene = Scene(tmp_path, conflict=Conflict.OVERWRITE)
    outside = tmp_path / "outside"
    outside.mkdir()
    (scene.into / "top").symlink_to(outside)
    await scene.refuses(CannotWrite)
    assert read(outside) == {}


async def test_under_another_name(tmp_path: Path) -> None:
    scene = Scene(tmp_path, output=tmp_path / "into" / "other")
    assert await scene.receive() == ["other"]
    assert (scene.into / "other" / "a").read_bytes() == b"1"
    scene = Scene(tmp_path, output=tmp_path / "into" / "other", conflict=Conflict.OVERWRITE)
    assert await scene.receive() == ["other/top"]  # by now it is a folder


async def test_several_things_need_a_folder(tmp_path: Path) -> None:
    tree: Tree = {"one": b"1", "two": b"2"}
    scene = Scene(tmp_path, tree, output=tmp_path / "into" / "missing")
    assert "2 things are proposed" in str(await scene.refuses(CannotWrite))
    scene = Scene(tmp_path, tree)
    assert await scene.receive() == ["one", "two"]
    scene = Scene(tmp_path, tree)
    assert str(await scene.refuses(TargetExists)) == "one (and 1 more) already exists."


async def test_not_to_standard_output(tmp_path: Path) -> None:
    error = await Scene(tmp_path, output=STDOUT).refuses(CannotWrite)
    assert error.for_peer == "The receiver takes a single file only."


async def test_no_space(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scene = Scene(tmp_path)
    monkeypatch.setattr(tree_decision, "free_for_tree", lambda *_: 1000)
    assert "1000 are free" in str(await scene.refuses(CannotWrite))


async def test_holes_of_sparse_files_need_no_space(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene = Scene(tmp_path)
    scene.manifest.holes = scene.manifest.bytes - 1000
    monkeypatch.setattr(tree_decision, "free_for_tree", lambda *_: 999)
    assert "takes 1000 bytes, and 999 are free" in str(await scene.refuses(CannotWrite))
    monkeypatch.setattr(tree_decision, "free_for_tree", lambda *_: 1000)
    assert await scene.receive() == ["top"]


async def test_what_was_left_counts_as_free(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene = Scene(tmp_path)
    with pytest.raises(ConnectionLost):
        await scene.loses(2_000_000)
    outlook = tree_plan.look_at_tree(
        scene.into, scene.manifest, lambda _place: None, is_stopped=lambda: False
    )
    with monkeypatch.context() as full:
        full.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=0))
        assert (tree_plan.free_for_tree(scene.into, outlook) or 0) >= 2_000_000
    again = Scene(tmp_path)
    assert await again.receive() == ["top"]


def test_a_look_at_one_folder_ends_when_nobody_waits(tmp_path: Path) -> None:
    manifest = Manifest()
    seen: list[Place] = []
    manifest.add(ManifestEntry(path="top", kind="directory"))
    for number in range(10_000):
        manifest.add(ManifestEntry(path=f"top/{number:05}", kind="file"))
    manifest.close()
    with pytest.raises(tree_plan.PlanStopped):
        tree_plan.look_at_tree(tmp_path, manifest, seen.append, is_stopped=lambda: len(seen) > 1)
    assert len(seen) < 5_000


@pytest.mark.parametrize(
    ("tree", "count"),
    [
        ({"t": None, "t/a": None, "t/b": None, "t/b/c": None, "t/d": None, "t/d/e": b"x"}, 3),
        ({"t": None, "t/a": b"-> b", "t/b": b"x"}, 2),
        ({"t": None, "t/a": b"x", "t/b": None}, 2),
        ({"t": None}, 1),
        ({"t": None, "t/b": None, "t/b/c": b"x"}, 1),
    ],
)
async def test_links_and_empty_folders_count_as_files(
    tmp_path: Path, tree: Tree, count: int
) -> None:
    error = await Scene(tmp_path, tree, max_files=count - 1).refuses(Declined)
    assert f"at most {count - 1} are" in str(error)
    assert await Scene(tmp_path, tree, max_files=count).receive() == ["t"]


async def test_damage_leaves_nothing(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    scene.digest = "0" * 64
    await scene.refuses(DigestMismatch)


@pytest.mark.parametrize(
    "entry",
    [
        ManifestEntry(path="top/x", kind="link", target="../../etc"),
        ManifestEntry(path="top/x", kind="link", target="/etc"),
        ManifestEntry(path="top/ ", kind="file"),
        ManifestEntry(path="top/" + "x" * 4096, kind="file"),
    ],
)
async def test_what_is_refused(tmp_path: Path, entry: ManifestEntry) -> None:
    scene = Scene(tmp_path)
    scene.manifest = Manifest()
    scene.manifest.add(ManifestEntry(path="top", kind="directory"))
    scene.manifest.add(entry)
    scene.manifest.close()
    await scene.refuses(UnsafePath)
    assert scene.events == []


async def test_a_decision_that_nobody_waits_for(tmp_path: Path) -> None:
    scene = Scene(tmp_path, {f"{number:03}": b"" for number in range(300)})
    deciding = asyncio.create_task(scene.receive())
    await asyncio.sleep(0)
    deciding.cancel()
    with pytest.raises(asyncio.CancelledError):
        await deciding
    assert read(scene.into) == {}
