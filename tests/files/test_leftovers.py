import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from rtcsend.files import leftovers as leftovers_module
from rtcsend.files.folder import Folder
from rtcsend.files.journal import Journal
from rtcsend.files.journal_file import JournalFile
from rtcsend.files.leftovers import bytes_there, claim_partial, leftovers, remove_leftover
from rtcsend.files.partial import PartialFile
from rtcsend.files.paths import partial_name

SIZE = 5 << 20
SAMPLE, OTHER = "5a" * 32, "a5" * 32


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Folder]:
    with Folder(tmp_path) as opened:
        yield opened


def leave(
    folder: Folder,
    target: str = "film.iso",
    tag: str = "",
    *,
    size: int | None = SIZE,
    sample: str = SAMPLE,
    content: bytes = b"content",
) -> str:
    """Leave a partial file, with a journal unless it has no size; return its name."""
    name = partial_name(target, tag)
    (folder.path / name).write_bytes(content)
    if size is not None:
        JournalFile(folder, name, Journal(size=size, sample=sample, name=target, time=1)).close()
    return name


def claim(folder: Folder, target: str = "film.iso") -> PartialFile:
    partial = claim_partial(folder, target, size=SIZE, sample=SAMPLE, mode=None)
    os.close(partial.fd)
    return partial


def test_none(folder: Folder) -> None:
    assert bytes_there(folder, "film.iso", size=SIZE, sample=SAMPLE) == 0
    assert claim(folder).length == 0


@pytest.mark.parametrize("target", ["film.iso", "other.iso"])
def test_the_content_counts_and_not_the_name(folder: Folder, target: str) -> None:
    leave(folder, "film.iso", sample=OTHER)
    name = leave(folder, "another name", tag="7")
    taken = claim(folder, target)
    assert (taken.name, taken.length) == (name, len(b"content"))
    assert (folder.path / name).stat().st_mode & 0o777 == 0o600


def test_among_equal_ones_the_longest(folder: Folder) -> None:
    leave(folder, "a", content=b"x" * 10)
    longest = leave(folder, "b", content=b"x" * 20)
    leave(folder, "c", content=b"x" * 15)
    assert claim(folder).name == longest


def test_then_the_same_name_and_size(folder: Folder) -> None:
    leave(folder, "another", sample=OTHER)
    leave(folder, "film.iso", size=SIZE + 1)
    leave(folder, "film.iso", tag="1", size=None)
    name = leave(folder, "film.iso", tag="2", sample=OTHER)
    assert claim(folder).name == name


@pytest.mark.parametrize("journal", [None, b"", b"garbage\n", bytes(10 << 20)])
def test_then_the_same_name_without_a_journal(folder: Folder, journal: bytes | None) -> None:
    name = leave(folder, size=None)
    if journal is not None:
        (folder.path / ".film.iso.rtcsend-journal").write_bytes(journal)
    leave(folder, "another", size=None)
    assert claim(folder).name == name


def test_what_may_be_gone_on_with_by_its_own_content_is_not_destroyed(folder: Folder) -> None:
    leave(folder, size=SIZE + 1)  # of another size
    leave(folder, tag="1", size=None, content=bytes(SIZE + 1))  # longer than it could be
    assert claim(folder).name == partial_name("film.iso", "2")
    assert (folder.path / partial_name("film.iso")).read_bytes() == b"content"


def test_what_is_too_long_is_cut(folder: Folder) -> None:
    leave(folder, content=bytes(SIZE + 5))
    assert claim(folder).length == SIZE
    assert (folder.path / partial_name("film.iso")).stat().st_size == SIZE


def test_one_that_is_held_is_passed_by(folder: Folder) -> None:
    leave(folder, content=b"x" * 20)
    leave(folder, "b", content=b"x" * 10)
    first = claim_partial(folder, "film.iso", size=SIZE, sample=SAMPLE, mode=None)
    second = claim_partial(folder, "film.iso", size=SIZE, sample=SAMPLE, mode=None)
    third = claim_partial(folder, "film.iso", size=SIZE, sample=SAMPLE, mode=None)
    assert [one.length for one in (first, second, third)] == [20, 10, 0]
    for one in (first, second, third):
        os.close(one.fd)


def test_what_is_not_ours_is_neither_taken_nor_listed(folder: Folder, tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("precious")
    name = partial_name("film.iso")
    (tmp_path / name).symlink_to(victim)
    (tmp_path / "film.iso.rtcsend-partial").write_text("no dot in front")
    (tmp_path / partial_name("film.iso", "1")).mkdir()
    os.mkfifo(tmp_path / partial_name("film.iso", "2"))
    assert list(leftovers(folder)) == []
    assert claim(folder).name == partial_name("film.iso", "3")
    assert victim.read_text() == "precious"


def test_another_name_of_a_file_is_not_written_to(folder: Folder, tmp_path: Path) -> None:
    (tmp_path / "victim").write_text("precious")
    os.link(tmp_path / "victim", tmp_path / partial_name("film.iso"))
    assert claim(folder).name == partial_name("film.iso", "1")
    assert (tmp_path / "victim").read_text() == "precious"


@pytest.mark.skipif(os.geteuid() != 0, reason="giving files away needs root")
def test_another_users_is_passed_by(folder: Folder) -> None:
    os.chown(folder.path / leave(folder), 65534, 65534)
    assert list(leftovers(folder)) == []
    assert claim(folder).name == partial_name("film.iso", "1")


def test_the_mode_of_the_finished_file(folder: Folder) -> None:
    leave(folder)
    before = os.umask(0o027)
    try:
        assert claim(folder).final_mode == 0o640
    finally:
        os.umask(before)
    assert {path.name[-8:] for path in folder.path.iterdir()} == {"-partial", "-journal"}


def test_what_is_there_counts_as_free(folder: Folder) -> None:
    leave(folder, content=os.urandom(1 << 20))
    assert bytes_there(folder, "other", size=SIZE, sample=SAMPLE) >= 1 << 20
    assert bytes_there(folder, "other", size=SIZE, sample=OTHER) == 0


def test_what_is_looked_at_is_bounded(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(20):
        leave(folder, f"{number}.iso")
    monkeypatch.setattr(leftovers_module, "MAX_JOURNALS", 5)
    assert len(list(leftovers(folder))) == 5
    monkeypatch.setattr(leftovers_module, "MAX_LOOKED_AT", 1)
    assert len(list(leftovers(folder))) == 1


def test_listing_and_removing(folder: Folder, tmp_path: Path) -> None:
    leave(folder)
    leave(folder, "b", size=None)
    (tmp_path / ".c.rtcsend-journal").write_text("alone")
    (tmp_path / "film.iso").write_text("precious")
    found = list(leftovers(folder))
    assert [one.name for one in found] == [
        ".b.rtcsend-partial",
        ".c.rtcsend-journal",
        ".film.iso.rtcsend-partial",
    ]
    assert [one.journal is not None for one in found] == [False, False, True]
    before = sorted(tmp_path.iterdir())
    assert all(remove_leftover(folder, one, dry_run=True) for one in found)
    assert sorted(tmp_path.iterdir()) == before
    held = claim_partial(folder, "film.iso", size=SIZE, sample=SAMPLE, mode=None)
    assert [remove_leftover(folder, one, dry_run=False) for one in found] == [True, True, False]
    os.close(held.fd)
    assert remove_leftover(folder, found[2], dry_run=False)
    assert [path.name for path in tmp_path.iterdir()] == ["film.iso"]
    assert not remove_leftover(folder, found[2], dry_run=False)


def test_where_open_files_cannot_be_removed(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on Windows: closed first."""
    for module in ("partial", "leftovers", "journal_file"):
        monkeypatch.setattr(f"rtcsend.files.{module}.KEEPS_OPEN_FILES", True)
    leave(folder)
    (one,) = leftovers(folder)
    assert remove_leftover(folder, one, dry_run=True)
    assert remove_leftover(folder, one, dry_run=False)
    assert list(folder.path.iterdir()) == []
