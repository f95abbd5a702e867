import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from rtcsend.files import journal_file
from rtcsend.files.folder import Folder
from rtcsend.files.journal import MAX_JOURNAL_SIZE, Journal
from rtcsend.files.journal_file import JournalFile, journal_name, read_journal, remove_journal
from rtcsend.files.paths import partial_name

PARTIAL = ".film.iso.rtcsend-partial"
NAME = ".film.iso.rtcsend-journal"
HEADER = Journal(size=5 << 20, sample="5a" * 32, name="film.iso", time=1)


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Folder]:
    with Folder(tmp_path) as opened:
        yield opened


def synced(folder: Folder) -> int | None:
    journal = read_journal(folder, PARTIAL)
    return None if journal is None else journal.synced


@pytest.mark.parametrize("target", ["film.iso", "x" * 255, "\u00e9" * 127])
def test_its_name_is_as_long_as_the_partial_files(target: str) -> None:
    partial = partial_name(target, "7")
    assert len(os.fsencode(journal_name(partial))) == len(os.fsencode(partial)) <= 255
    assert journal_name(partial) != partial


def test_what_is_recorded_is_read(folder: Folder) -> None:
    journal = JournalFile(folder, PARTIAL, HEADER)
    assert read_journal(folder, PARTIAL) == HEADER
    for position in (1, 70_000, 5 << 20):
        journal.record(position)
        assert synced(folder) == position
    journal.close()
    journal.close()
    assert synced(folder) == 5 << 20
    journal.remove()
    assert read_journal(folder, PARTIAL) is None
    assert list(folder.path.iterdir()) == []


def test_an_earlier_one_is_written_over(folder: Folder) -> None:
    (folder.path / NAME).write_bytes(b"x" * 10_000)
    JournalFile(folder, PARTIAL, HEADER).close()
    assert read_journal(folder, PARTIAL) == HEADER


def test_it_never_grows_beyond_what_is_read(folder: Folder) -> None:
    journal = JournalFile(folder, PARTIAL, HEADER)
    for position in range(4 << 20, (4 << 20) + 3 * MAX_JOURNAL_SIZE // 20):
        journal.record(position)
        if position % 100 == 0:
            assert synced(folder) == position
    journal.close()
    assert (folder.path / NAME).stat().st_size <= MAX_JOURNAL_SIZE


def test_the_header_and_the_names_are_synced_once(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[str] = []
    monkeypatch.setattr(os, "fsync", lambda fd: steps.append("journal"))
    monkeypatch.setattr(folder, "sync", lambda: steps.append("folder"))
    journal = JournalFile(folder, PARTIAL, HEADER)
    assert steps == []  # nobody waits for it at the start
    journal.record(1)
    journal.record(2)
    journal.close()
    assert steps == ["journal", "folder"]


@pytest.mark.parametrize("what", ["link", "fifo", "folder"])
def test_what_is_no_file_is_left_alone(folder: Folder, tmp_path: Path, what: str) -> None:
    victim = tmp_path / "victim"
    victim.write_text("precious")
    match what:
        case "link":
            (tmp_path / NAME).symlink_to(victim)
        case "fifo":
            os.mkfifo(tmp_path / NAME)
        case _:
            (tmp_path / NAME).mkdir()
    journal = JournalFile(folder, PARTIAL, HEADER)
    journal.record(1)
    journal.remove()
    assert read_journal(folder, PARTIAL) is None
    assert victim.read_text() == "precious"
    assert (tmp_path / NAME).is_symlink() or (tmp_path / NAME).exists()


def test_another_name_of_a_file_is_not_written_to(folder: Folder, tmp_path: Path) -> None:
    (tmp_path / "victim").write_text("precious")
    os.link(tmp_path / "victim", tmp_path / NAME)
    JournalFile(folder, PARTIAL, HEADER).close()
    assert (tmp_path / "victim").read_text() == "precious"
    assert read_journal(folder, PARTIAL) == HEADER


def test_a_full_disk_costs_the_journal_and_nothing_else(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    journal = JournalFile(folder, PARTIAL, HEADER)
    monkeypatch.setattr(journal_file, "write_at", full)
    journal.record(1)
    monkeypatch.undo()
    journal.record(2)
    assert synced(folder) == 0


def test_removing_what_is_not_there(folder: Folder) -> None:
    remove_journal(folder, PARTIAL)
