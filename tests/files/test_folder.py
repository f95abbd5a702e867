import errno
import itertools
import os
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rtcsend.errors import InternalError, UnsafePath
from rtcsend.files import folder as folder_module
from rtcsend.files.folder import Folder, lock
from rtcsend.files.paths import ProposedPaths, SafePath, partial_name
from tests.files.strange_names import any_path


@pytest.fixture(params=["descriptor", "path"])
def folder(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Folder]:
    """Both ways that names are looked up; the second is that of Windows."""
    if request.param == "path":
        monkeypatch.setattr(folder_module, "_HAS_DIR_FD", False)
    opened = Folder(tmp_path)
    yield opened
    opened.close()


def test_what_is_not_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    for has_dir_fd in (True, False):
        monkeypatch.setattr(folder_module, "_HAS_DIR_FD", has_dir_fd)
        with pytest.raises(NotADirectoryError):
            Folder(tmp_path / "file")


def test_the_users_folder_may_be_a_link(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    folder = Folder(tmp_path / "link")
    os.close(folder.open("file", os.O_WRONLY | os.O_CREAT))
    folder.close()
    folder.close()
    assert (tmp_path / "real" / "file").exists()


def test_the_folder_stays_the_one_that_was_opened(tmp_path: Path) -> None:
    (tmp_path / "ours").mkdir()
    (tmp_path / "theirs").mkdir()
    folder = Folder(tmp_path / "ours")
    (tmp_path / "ours").rename(tmp_path / "moved")
    (tmp_path / "ours").symlink_to("theirs")
    os.close(folder.open("file", os.O_WRONLY | os.O_CREAT))
    folder.close()
    assert [path.name for path in (tmp_path / "moved").iterdir()] == ["file"]
    assert list((tmp_path / "theirs").iterdir()) == []


def test_open_follows_no_link_and_waits_for_no_fifo(folder: Folder) -> None:
    (folder.path / "link").symlink_to("elsewhere")
    os.mkfifo(folder.path / "fifo")
    with pytest.raises(OSError, match=os.strerror(errno.ELOOP)):
        folder.open("link", os.O_WRONLY | os.O_CREAT)
    with pytest.raises(OSError, match=os.strerror(errno.ENXIO)):
        folder.open("fifo", os.O_WRONLY)
    assert not (folder.path / "elsewhere").exists()


def test_stat_looks_at_the_link_itself(folder: Folder) -> None:
    (folder.path / "sub").mkdir()
    (folder.path / "link").symlink_to("sub")
    assert folder.is_folder("sub")
    assert not folder.is_folder("link")
    assert not folder.is_folder("missing")
    assert folder.stat("missing") is None


@pytest.mark.parametrize("links", [True, False])
def test_rename_new_never_replaces(
    folder: Folder, links: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not links:
        _forbid_links(monkeypatch)
    (folder.path / "old").write_text("old")
    (folder.path / "taken").write_text("taken")
    (folder.path / "link").symlink_to("nowhere")
    (folder.path / "sub").mkdir()
    for name in ("taken", "link", "sub"):
        assert not folder.rename_new("old", name)
    assert folder.rename_new("old", "new")
    assert (folder.path / "new").read_text() == "old"
    assert (folder.path / "taken").read_text() == "taken"
    assert sorted(path.name for path in folder.path.iterdir()) == ["link", "new", "sub", "taken"]


def test_without_links_a_failed_rename_takes_its_placeholder_away(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    _forbid_links(monkeypatch)
    with pytest.raises(FileNotFoundError):
        folder.rename_new("missing", "new")
    assert list(folder.path.iterdir()) == []


def test_other_errors_of_a_link_are_errors(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "link", _raise(errno.EIO))
    with pytest.raises(OSError, match=os.strerror(errno.EIO)):
        folder.rename_new("old", "new")


def test_rename_as_on_windows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folder_module, "_HAS_DIR_FD", False)
    folder = Folder(tmp_path)
    (tmp_path / "old").write_text("old")
    assert folder._rename_windows("old", "new", folder)
    assert (tmp_path / "new").read_text() == "old"
    monkeypatch.setattr(os, "rename", _raise(errno.EEXIST))
    assert not folder._rename_windows("old", "new", folder)


def test_a_folder_that_cannot_be_synced_need_not_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = Folder(tmp_path)
    folder.sync()
    monkeypatch.setattr(os, "fsync", _raise(errno.EINVAL))
    folder.sync()
    monkeypatch.setattr(os, "fsync", _raise(errno.EIO))
    with pytest.raises(OSError, match=os.strerror(errno.EIO)):
        folder.sync()
    folder.close()
    folder.sync()


def test_a_lock_is_held_once_and_goes_with_its_descriptor(folder: Folder) -> None:
    first = folder.open("file", os.O_RDWR | os.O_CREAT)
    second = folder.open("file", os.O_RDWR)
    assert lock(first)
    assert not lock(second)
    os.close(first)
    assert lock(second)
    os.close(second)


@pytest.mark.parametrize("name", ["", ".", "..", "../x", "a/b", "/etc", "a/", "a\0b"])
def test_only_bare_names_reach_the_system(folder: Folder, name: str) -> None:
    (folder.path / "a").mkdir()
    calls: list[Callable[[], object]] = [
        lambda: folder.open(name, os.O_RDONLY),
        lambda: folder.stat(name),
        lambda: folder.unlink(name),
        lambda: folder.remove_folder(name),
        lambda: folder.rename_over("a", name),
        lambda: folder.rename_new(name, "b"),
        lambda: folder.open_subfolder(("a", name), create=True),
    ]
    for call in calls:
        with pytest.raises(InternalError, match="not safe"):
            call()
    assert [path.name for path in folder.path.rglob("*")] == ["a"]


def test_folders_in_the_folder_are_made_and_opened(folder: Folder) -> None:
    with folder.open_subfolder(("a", "b", "c"), create=True) as made:
        os.close(made.open("file", os.O_WRONLY | os.O_CREAT))
        assert made.path == folder.path / "a" / "b" / "c"
    assert (folder.path / "a" / "b" / "c" / "file").exists()
    with folder.open_subfolder(("a", "b")) as found, found.open_subfolder(("c",)) as inner:
        assert inner.stat("file") is not None
    with folder.open_subfolder(()) as same:
        assert same.is_folder("a")
    assert folder.is_folder("a"), "the folder itself stays open"


def test_folders_are_made_as_the_umask_leaves_them(folder: Folder) -> None:
    before = os.umask(0o027)
    try:
        folder.open_subfolder(("a", "b"), create=True).close()
    finally:
        os.umask(before)
    assert [(folder.path / name).stat().st_mode & 0o7777 for name in ("a", "a/b")] == [0o750, 0o750]


def test_what_is_missing_or_no_folder_is_an_error(folder: Folder) -> None:
    (folder.path / "file").touch()
    os.mkfifo(folder.path / "fifo")
    with pytest.raises(FileNotFoundError):
        folder.open_subfolder(("missing",))
    for name in ("file", "fifo"):
        for create in (True, False):
            with pytest.raises(NotADirectoryError):
                folder.open_subfolder((name, "a"), create=create)


@pytest.mark.parametrize("links", [{"a": "outside"}, {"a/b": "../outside"}, {"a/b/c": "../.."}])
@pytest.mark.parametrize("create", [True, False])
def test_no_link_on_the_way_is_followed(
    folder: Folder, links: dict[str, str], create: bool
) -> None:
    (folder.path / "outside").mkdir()
    for link, target in links.items():
        (folder.path / link).parent.mkdir(parents=True, exist_ok=True)
        (folder.path / link).symlink_to(target)
    before = sorted(folder.path.rglob("*"))
    with pytest.raises(UnsafePath, match="is a link") as caught:
        folder.open_subfolder(("a", "b", "c", "d"), create=create)
    assert str(folder.path) not in caught.value.for_peer
    assert sorted(folder.path.rglob("*")) == before
    assert list((folder.path / "outside").iterdir()) == []


def test_a_link_to_nothing_is_no_missing_folder(folder: Folder) -> None:
    (folder.path / "a").symlink_to("elsewhere")
    with pytest.raises(UnsafePath):
        folder.open_subfolder(("a",), create=True)
    assert not (folder.path / "elsewhere").exists()


def test_a_link_that_comes_right_after_the_folder_was_made(
    folder: Folder, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    outside = tmp_path_factory.mktemp("outside")
    make = os.mkdir

    def make_and_replace(path: str, *, dir_fd: int | None) -> None:
        make(path, dir_fd=dir_fd)
        os.rmdir(path, dir_fd=dir_fd)
        os.symlink(outside, path, dir_fd=dir_fd)

    monkeypatch.setattr(os, "mkdir", make_and_replace)
    with pytest.raises(UnsafePath):
        folder.open_subfolder(("a", "b"), create=True)
    assert list(outside.iterdir()) == []


def test_a_folder_that_always_goes_again_ends_in_an_error(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "mkdir", lambda *_args, **_options: None)
    with pytest.raises(FileNotFoundError):
        folder.open_subfolder(("a",), create=True)


def test_a_parent_that_is_replaced_once_it_is_open_leads_nowhere_else(tmp_path: Path) -> None:
    (tmp_path / "ours").mkdir()
    (tmp_path / "outside").mkdir()
    with Folder(tmp_path / "ours") as folder:
        with folder.open_subfolder(("a", "b"), create=True) as inner:
            (tmp_path / "ours" / "a").rename(tmp_path / "ours" / "moved")
            (tmp_path / "ours" / "a").symlink_to(tmp_path / "outside")
            inner.open_subfolder(("c",), create=True).close()
            os.close(inner.open("file", os.O_WRONLY | os.O_CREAT))
    assert list((tmp_path / "outside").iterdir()) == []
    found = sorted(path.name for path in (tmp_path / "ours" / "moved" / "b").iterdir())
    assert found == ["c", "file"]


@pytest.fixture
def threads_switch_often() -> Iterator[None]:
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


@pytest.mark.usefixtures("threads_switch_often")
def test_a_race_of_links_and_folders_never_leads_outside(tmp_path: Path) -> None:
    """Somebody swaps a folder for a link and back all the time, while files are written in it."""
    ours, outside = tmp_path / "ours", tmp_path / "outside"
    ours.mkdir()
    (outside / "b").mkdir(parents=True)
    stop = threading.Event()
    attacker = threading.Thread(target=_swap, args=(ours, outside, stop))
    attacker.start()
    ends = {"written": 0, "refused": 0}
    try:
        with Folder(ours) as folder:
            for number in range(40_000):  # on a busy machine the other one gets no turn for long
                ends[_write_below(folder, f"file{number}")] += 1
                if number >= 500 and min(ends.values()) >= 50:
                    break
    finally:
        stop.set()
        attacker.join()
    assert [path.name for path in outside.rglob("*")] == ["b"]
    assert min(ends.values()) > 0, f"the race was none: {ends}"


def _swap(ours: Path, outside: Path, stop: threading.Event) -> None:
    for number in itertools.count():
        if stop.is_set():
            return
        for move in (
            lambda away=ours / f"away{number}": (ours / "a").rename(away),
            lambda: (ours / "a").symlink_to(outside),
            (ours / "a").unlink,
        ):
            with suppress(OSError):  # the other side was faster
                move()


def _write_below(folder: Folder, name: str) -> str:
    try:
        with folder.open_subfolder(("a", "b"), create=True, sync=False) as inner:
            os.close(inner.open(name, os.O_WRONLY | os.O_CREAT))
    except UnsafePath:
        return "refused"
    except OSError:  # the folder went while it was used: an error like any other
        return "refused"
    return "written"


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(any_path, st.booleans()), max_size=6))
def test_whatever_is_proposed_can_be_written_and_only_here(
    entries: list[tuple[str, bool]],
) -> None:
    """Every safe path can really be made, and each is a file of its own."""
    with tempfile.TemporaryDirectory() as top:
        (Path(top) / "ours").mkdir()
        paths = ProposedPaths(windows=False, folding=False, key=bytes(16))
        expected = set()
        with Folder(Path(top) / "ours") as folder:
            for path, is_folder in entries:
                try:
                    safe, _ = paths.add_untrusted(path, is_folder=is_folder)
                except UnsafePath:
                    continue
                _make(folder, safe, is_folder=is_folder)
                expected.add((str(safe), is_folder))
        found = {
            (path.relative_to(Path(top) / "ours").as_posix(), path.is_dir())
            for path in Path(top, "ours").rglob("*")
        }
        assert expected <= found
        assert {entry for entry in found if not entry[1]} <= expected
        assert [path.name for path in Path(top).iterdir()] == ["ours"]


def _make(folder: Folder, path: SafePath, *, is_folder: bool) -> None:
    *folders, name = path.components
    with folder.open_subfolder(folders, create=True, sync=False) as inner:
        if is_folder:
            inner.open_subfolder((name,), create=True, sync=False).close()
            return
        partial = inner.open(partial_name(name, "31"), os.O_WRONLY | os.O_CREAT | os.O_EXCL)
        os.close(partial)
        assert inner.rename_new(partial_name(name, "31"), name)


def test_new_folders_last_through_a_power_cut(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[int] = []
    monkeypatch.setattr(os, "fsync", lambda fd: synced.append(os.fstat(fd).st_ino))
    (tmp_path / "a").mkdir()
    with Folder(tmp_path) as folder:
        folder.open_subfolder(("a", "b", "c"), create=True).close()
        assert synced == [(tmp_path / name).stat().st_ino for name in ("a", "a/b")]
        folder.open_subfolder(("d",), create=True, sync=False).close()
    assert len(synced) == 2


def test_an_empty_folder_can_be_removed(folder: Folder) -> None:
    folder.open_subfolder(("a", "b"), create=True).close()
    assert not folder.remove_folder("a")
    with folder.open_subfolder(("a",)) as inner:
        assert inner.remove_folder("b")
    assert folder.remove_folder("a")
    with pytest.raises(FileNotFoundError):
        folder.remove_folder("a")


def test_a_closed_folder_is_not_looked_up_by_its_path(folder: Folder) -> None:
    (folder.path / "file").touch()
    folder.close()
    for use in (folder.stat, folder.unlink, lambda name: folder.open_subfolder((name,))):
        with pytest.raises(InternalError, match="closed"):
            use("file")
    with pytest.raises(InternalError, match="closed"):
        folder.names(limit=1)
    with pytest.raises(InternalError, match="closed"):
        folder.open_subfolder(())


def test_the_names_in_the_folder(folder: Folder) -> None:
    for name in ("a", "b", "c"):
        (folder.path / name).touch()
    for _ in range(2):
        assert sorted(folder.names(limit=10)) == ["a", "b", "c"]
    assert len(folder.names(limit=2)) == 2
    with folder.open_subfolder(("d",), create=True) as inner:
        assert inner.names(limit=2) == []


def test_whether_case_counts(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    assert not folder.folds_case(), "file systems of test machines are those of Linux"
    look = os.stat

    def fold(name: str, **options: object) -> os.stat_result:
        return look(name.replace("RTCSEND-CASE", "rtcsend-case"), **options)  # type: ignore[arg-type]  # passed on

    monkeypatch.setattr(os, "stat", fold)
    assert folder.folds_case()
    monkeypatch.undo()
    assert list(folder.path.iterdir()) == []


def _forbid_links(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "link", _raise(errno.EPERM))


def _raise(number: int):  # type: ignore[no-untyped-def]  # stands in for functions of many types
    def fail(*_args: object, **_options: object) -> None:
        raise OSError(number, os.strerror(number))

    return fail
