import json
import os
from pathlib import Path

import pytest

from rtcsend.cli.clean import clean_folder, parse_age
from rtcsend.cli.main import main
from rtcsend.errors import CannotWrite, UsageError
from rtcsend.files.folder import Folder
from rtcsend.files.journal import Journal
from rtcsend.files.journal_file import JournalFile
from rtcsend.files.leftovers import claim_partial
from rtcsend.files.tree_sink import TreeSink
from tests.files.trees import MIXED, deliver, make, manifest_of, stream, target

SIZE = 4_700_000_000
DAY = 86_400


def leave(folder: Path, name: str, length: int, *, size: int | None = SIZE, age: int = 0) -> Path:
    path = folder / f".{name}.rtcsend-partial"
    path.write_bytes(os.urandom(length))
    if size is not None:
        with Folder(folder) as opened:
            journal = Journal(size=size, sample="5a" * 32, name=name, time=1)
            JournalFile(opened, path.name, journal).close()
    facts = path.stat()
    os.utime(path, ns=(facts.st_atime_ns, facts.st_mtime_ns - age * 10**9))
    return path


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_nothing_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    (tmp_path / "film.iso").write_text("precious")
    assert main(["clean", str(tmp_path)]) == 0
    monkeypatch.chdir(tmp_path)
    assert main(["clean"]) == 0
    first, second = capfdbinary.readouterr().out.decode().splitlines()
    assert first == f"Interrupted transfers have left nothing in {tmp_path}."
    assert second == "Interrupted transfers have left nothing in the current folder."
    assert names(tmp_path) == {"film.iso"}


def test_an_empty_folder_name_is_not_the_current_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    leave(tmp_path, "film.iso", 8_192)
    before = names(tmp_path)
    assert main(["clean", ""]) == 2
    assert "clean takes a path, and an empty one was given." in capfd.readouterr().err
    assert names(tmp_path) == before


def test_what_people_see(tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    leave(tmp_path, "film.iso", 8_192_000, age=3 * DAY + 5)
    leave(tmp_path, "evil\x1b[2J.txt", 4096, size=None, age=61)
    (tmp_path / "film.iso").write_text("precious")
    assert main(["clean", str(tmp_path), "--dry-run"]) == 0
    assert len(names(tmp_path)) == 4
    assert main(["clean", str(tmp_path)]) == 0
    lines = capfdbinary.readouterr().out.decode().splitlines()
    assert lines == [
        "would go  evil\\x1b[2J.txt  4.1 kB      1 minute old",
        "would go  film.iso         0.0/4.7 GB  3 days old",
        "8.2 MB would be freed.",
        "removed  evil\\x1b[2J.txt  4.1 kB      1 minute old",
        "removed  film.iso         0.0/4.7 GB  3 days old",
        "8.2 MB freed.",
    ]
    assert names(tmp_path) == {"film.iso"}


def test_what_programs_see(tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    path = leave(tmp_path, "film.iso", 4096)
    assert main(["clean", str(tmp_path), "--json"]) == 0
    found, end = map(json.loads, capfdbinary.readouterr().out.splitlines())
    assert found.pop("seconds") < DAY
    assert found == {
        "v": 1,
        "event": "leftover",
        "path": str(path),
        "target": "film.iso",
        "bytes": 4096,
        "total": SIZE,
        "fate": "removed",
    }
    assert end == {"v": 1, "event": "cleaned", "files": 1, "bytes": 4096}


def test_what_is_young_stays(tmp_path: Path) -> None:
    leave(tmp_path, "old", 10, age=8 * DAY)
    leave(tmp_path, "young", 10, age=6 * DAY)
    found, cleaned = clean_folder(tmp_path, older_than=parse_age("7d"), dry_run=False)
    assert {event.target: event.fate for event in found} == {"old": "removed", "young": "kept"}
    assert cleaned.files == 1
    assert names(tmp_path) == {".young.rtcsend-partial", ".young.rtcsend-journal"}


def test_what_is_in_use_stays(tmp_path: Path) -> None:
    leave(tmp_path, "film.iso", 10)
    with Folder(tmp_path) as folder:
        held = claim_partial(folder, "film.iso", size=SIZE, sample="5a" * 32, mode=None)
        found, cleaned = clean_folder(tmp_path, older_than=0, dry_run=False)
        os.close(held.fd)
    assert [event.fate for event in found] == ["in-use"]
    assert cleaned.files == cleaned.bytes == 0
    assert len(names(tmp_path)) == 2


def test_nothing_else_is_touched(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("precious")
    (tmp_path / ".a.rtcsend-partial").symlink_to(victim)
    (tmp_path / ".b.rtcsend-partial").mkdir()
    (tmp_path / "c.rtcsend-partial").write_text("no dot in front")
    (tmp_path / ".d.rtcsend-partial.txt").write_text("an ending of its own")
    os.mkfifo(tmp_path / ".e.rtcsend-journal")
    below = tmp_path / "below"
    below.mkdir()
    leave(below, "film.iso", 10)
    before = names(tmp_path)
    assert clean_folder(tmp_path, older_than=0, dry_run=False)[0] == []
    assert names(tmp_path) == before
    assert len(names(below)) == 2
    assert victim.read_text() == "precious"


def test_a_journal_alone_goes(tmp_path: Path) -> None:
    (tmp_path / ".film.iso.rtcsend-journal").write_text("alone")
    found, _ = clean_folder(tmp_path, older_than=0, dry_run=False)
    assert [(event.target, event.fate) for event in found] == [("film.iso", "removed")]
    assert names(tmp_path) == set()


@pytest.mark.parametrize("what", ["missing", "file", "nul\0"])
def test_a_folder_that_is_none(tmp_path: Path, what: str) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(CannotWrite, match="cannot be looked through"):
        clean_folder(tmp_path / what, older_than=0, dry_run=False)


def test_what_cannot_be_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    leave(tmp_path, "film.iso", 10)
    monkeypatch.setattr(Folder, "unlink", refuse)
    assert main(["clean", str(tmp_path)]) == 51
    out, err = capfdbinary.readouterr()
    assert out.startswith(b"cannot be removed  film.iso")
    assert b"Not everything could be removed" in err


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("45s", 45), ("30m", 1800), ("12h", 43_200), ("7d", 604_800), ("2 w", 1_209_600)],
)
def test_ages(text: str, seconds: int) -> None:
    assert parse_age(text) == seconds


@pytest.mark.parametrize("text", ["", "7", "d", "7y", "-7d", "1.5d", "9999999d", "7d7d"])
def test_what_is_no_age(text: str) -> None:
    with pytest.raises(UsageError, match="--older-than takes an age"):
        parse_age(text)


async def test_what_is_left_of_many_files(tmp_path: Path) -> None:
    source, into = tmp_path / "from", tmp_path / "into"
    source.mkdir()
    into.mkdir()
    make(source, MIXED)
    target_ = target(into, manifest_of(source, "top"))
    sink = await TreeSink.create(target_)
    await deliver(sink, stream(MIXED), stop=2_000_000)
    await sink.flush()
    found, cleaned = clean_folder(into, older_than=0, dry_run=False)
    assert [(event.fate, event.target) for event in found] == [("in-use", "top")]
    await sink.abandon(keep_partial=True)
    for dry_run, fate in ((True, "would-remove"), (False, "removed")):
        found, cleaned = clean_folder(into, older_than=0, dry_run=dry_run)
        assert [(event.fate, event.target, event.bytes, event.total) for event in found] == [
            (fate, "top", 2_000_000, len(stream(MIXED)))
        ]
        assert cleaned.files == 1
    assert names(into) == set()
