import errno
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from rtcsend.errors import CannotWrite, TargetExists
from rtcsend.files import partial as partial_module
from rtcsend.files.folder import Folder
from rtcsend.files.partial import create_partial, hold_partial, publish, remove_partial, seal
from rtcsend.options import Conflict

PARTIAL = ".film.iso.rtcsend-partial"
SECOND = ".film.iso.1.rtcsend-partial"


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Folder]:
    opened = Folder(tmp_path)
    yield opened
    opened.close()


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


@pytest.mark.parametrize(
    ("mode", "umask", "final"),
    [(None, 0o022, 0o644), (None, 0o077, 0o600), (0o755, 0o077, 0o755), (0o6755, 0o022, 0o755)],
)
def test_it_is_private_until_it_is_complete(
    folder: Folder, mode: int | None, umask: int, final: int
) -> None:
    before = os.umask(umask)
    try:
        partial = create_partial(folder, "film.iso", mode=mode)
    finally:
        os.umask(before)
    assert partial.name == PARTIAL
    assert mode_of(folder.path / PARTIAL) == 0o600
    seal(partial)
    assert mode_of(folder.path / PARTIAL) == final
    os.close(partial.fd)


def test_one_that_is_held_is_passed_by(folder: Folder) -> None:
    first = create_partial(folder, "film.iso", mode=None)
    os.write(first.fd, b"first")
    second = create_partial(folder, "film.iso", mode=None)
    assert (first.name, second.name) == (PARTIAL, SECOND)
    assert (folder.path / PARTIAL).read_text() == "first"
    os.close(first.fd)
    os.close(second.fd)


def test_a_planted_link_is_neither_followed_nor_removed(folder: Folder, tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("precious")
    (folder.path / PARTIAL).symlink_to(victim)
    (folder.path / SECOND).symlink_to(tmp_path / "made through the link")
    partial = create_partial(folder, "film.iso", mode=None)
    assert partial.name == ".film.iso.2.rtcsend-partial"
    os.write(partial.fd, b"evil")
    os.close(partial.fd)
    assert victim.read_text() == "precious"
    assert not (tmp_path / "made through the link").exists()
    assert (folder.path / PARTIAL).is_symlink()


def test_what_is_no_file_is_passed_by(folder: Folder) -> None:
    os.mkfifo(folder.path / PARTIAL)
    (folder.path / SECOND).mkdir()
    partial = create_partial(folder, "film.iso", mode=None)
    assert partial.name == ".film.iso.2.rtcsend-partial"
    os.close(partial.fd)


def test_anothers_leftover_is_passed_by(
    public_folder: Path, unprivileged: Callable[[], AbstractContextManager[None]]
) -> None:
    public_folder.chmod(0o1777)
    (public_folder / PARTIAL).write_text("unreadable")
    (public_folder / PARTIAL).chmod(0)
    (public_folder / SECOND).write_text("writable, but not removable: the sticky bit")
    (public_folder / SECOND).chmod(0o666)
    folder = Folder(public_folder)
    with unprivileged():
        partial = create_partial(folder, "film.iso", mode=None)
    os.close(partial.fd)
    folder.close()
    if os.geteuid() == 0:  # otherwise both are our own
        assert partial.name == ".film.iso.2.rtcsend-partial"
        assert len(list(public_folder.iterdir())) == 3


def test_when_all_names_are_taken(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(partial_module, "MAX_PARTIALS", 2)
    (folder.path / PARTIAL).mkdir()
    (folder.path / SECOND).mkdir()
    with pytest.raises(CannotWrite, match="all names for its partial file are taken") as caught:
        create_partial(folder, "film.iso", mode=None)
    assert str(folder.path) not in caught.value.for_peer


def test_a_faster_process_has_it(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody makes the file after we saw that there was none."""
    (folder.path / PARTIAL).write_text("theirs")
    partial = create_partial(folder, "film.iso", mode=None)
    assert partial.name == SECOND
    assert (folder.path / PARTIAL).read_text() == "theirs"
    os.close(partial.fd)


def test_taken_for_a_leftover_between_creation_and_lock(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    stolen: list[int] = []

    def steal(fd: int) -> bool:
        if not stolen:
            stolen.append(fd)
            (folder.path / PARTIAL).unlink()
        return True

    monkeypatch.setattr(partial_module, "lock", steal)
    partial = create_partial(folder, "film.iso", mode=None)
    assert partial.name == SECOND
    os.close(partial.fd)


def test_where_there_are_no_locks_a_leftover_may_be_anybodys(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_locks(_fd: int) -> bool:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(partial_module, "lock", no_locks)
    first = create_partial(folder, "film.iso", mode=None)
    second = create_partial(folder, "film.iso", mode=None)
    assert (first.name, second.name) == (PARTIAL, SECOND)
    os.close(first.fd)
    os.close(second.fd)


def test_a_failure_while_it_is_made_leaves_no_descriptor(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_fd: int, _mode: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(os, "fchmod", fail)
    with pytest.raises(OSError, match=os.strerror(errno.EIO)):
        create_partial(folder, "film.iso", mode=None)


@pytest.mark.parametrize("conflict", [Conflict.ASK, Conflict.SKIP])
def test_publish_replaces_nothing_unasked(folder: Folder, conflict: Conflict) -> None:
    partial = create_partial(folder, "film.iso", mode=None)
    (folder.path / "film.iso").write_text("there before")
    with pytest.raises(TargetExists, match=r"film\.iso already exists in"):
        publish(folder, partial, "film.iso", conflict=conflict)
    assert (folder.path / "film.iso").read_text() == "there before"
    assert (folder.path / PARTIAL).exists()
    os.close(partial.fd)


def test_publish_takes_the_first_free_number(folder: Folder) -> None:
    for name in ("film.iso", "film (2).iso"):
        (folder.path / name).touch()
    (folder.path / "film (1).iso").symlink_to("nowhere")
    partial = create_partial(folder, "film.iso", mode=None)
    assert publish(folder, partial, "film.iso", conflict=Conflict.RENAME) == "film (3).iso"
    assert not (folder.path / PARTIAL).exists()
    os.close(partial.fd)


def test_publish_has_an_end_of_numbers(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(partial_module, "MAX_NUMBER", 1)
    (folder.path / "film.iso").touch()
    (folder.path / "film (1).iso").touch()
    partial = create_partial(folder, "film.iso", mode=None)
    with pytest.raises(TargetExists):
        publish(folder, partial, "film.iso", conflict=Conflict.RENAME)
    os.close(partial.fd)


@pytest.mark.parametrize("conflict", Conflict)
def test_publish_notices_a_swapped_partial_file(folder: Folder, conflict: Conflict) -> None:
    partial = create_partial(folder, "film.iso", mode=None)
    (folder.path / PARTIAL).unlink()
    (folder.path / PARTIAL).write_text("somebody else's")
    with pytest.raises(CannotWrite, match="removed or replaced") as caught:
        publish(folder, partial, "film.iso", conflict=conflict)
    assert str(folder.path) not in caught.value.for_peer
    assert not (folder.path / "film.iso").exists()
    remove_partial(folder, partial)
    assert (folder.path / PARTIAL).read_text() == "somebody else's"
    os.close(partial.fd)


def test_what_cannot_be_removed_is_logged(
    folder: Folder, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(_name: str) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    partial = create_partial(folder, "film.iso", mode=None)
    monkeypatch.setattr(folder, "unlink", fail)
    remove_partial(folder, partial)
    assert caplog.messages == ["! a partial file could not be removed: Permission denied"]
    os.close(partial.fd)


def test_where_open_files_cannot_be_removed(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on Windows: closed first, and then by name alone."""
    monkeypatch.setattr(partial_module, "KEEPS_OPEN_FILES", True)
    (folder.path / PARTIAL).write_text("a leftover")
    partial = hold_partial(folder, PARTIAL, mode=None)
    assert partial is not None
    assert partial.length == len("a leftover")
    os.close(partial.fd)
    assert publish(folder, partial, "film.iso", conflict=Conflict.ASK) == "film.iso"
    assert [path.name for path in folder.path.iterdir()] == ["film.iso"]
