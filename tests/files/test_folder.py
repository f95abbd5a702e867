import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from rtcsend.files import folder as folder_module
from rtcsend.files.folder import Folder, lock


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


def test_rename_as_on_windows(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder.path / "old").write_text("old")
    assert folder._rename_windows(str(folder.path / "old"), str(folder.path / "new"))
    monkeypatch.setattr(os, "rename", _raise(errno.EEXIST))
    assert not folder._rename_windows("old", "new")


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


def _forbid_links(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "link", _raise(errno.EPERM))


def _raise(number: int):  # type: ignore[no-untyped-def]  # stands in for functions of many types
    def fail(*_args: object, **_options: object) -> None:
        raise OSError(number, os.strerror(number))

    return fail
