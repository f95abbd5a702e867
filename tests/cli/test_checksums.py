from pathlib import Path

import pytest

from rtcsend.cli.checksums import checksum_line, checksums_in
from rtcsend.errors import CannotWrite, Declined
from rtcsend.events import Done, Proposal

D = "ab" * 32


def done(*paths: str, blake3: str = D) -> Done:
    return Done(files=1, bytes=1, moved=1, seconds=1.0, blake3=blake3, paths=paths)


def proposal(*tops: str) -> Proposal:
    return Proposal(files=2, bytes=2, entries=(), sender="", tops=tops)


@pytest.mark.parametrize(
    ("path", "line"),
    [
        ("a", b"  a\n"),
        ("a b/ü", "  a b/ü\n".encode()),
        ("a\udcff", b"  a\xff\n"),
        ("a\\b", b"  a\\\\b\n"),
        ("a\nb\r", b"  a\\nb\\r\n"),
    ],
)
def test_lines_are_those_of_b3sum(path: str, line: bytes) -> None:
    mark = b"\\" if "\\" in path or "\n" in path else b""
    assert checksum_line(D, path) == mark + D.encode() + line


def test_one_file(tmp_path: Path) -> None:
    sums = tmp_path / "SUMS"
    with checksums_in(sums) as checksums:
        assert checksums is not None
        checksums.observe(proposal("film.iso"))
        checksums.observe(done("out/other.iso"))
        assert not sums.exists()
    assert sums.read_text() == f"{D}  other.iso\n"
    assert list(tmp_path.iterdir()) == [sums]


def test_many_files_with_the_names_that_they_got(tmp_path: Path) -> None:
    sums = tmp_path / "SUMS"
    sums.write_text("an older one")
    with checksums_in(sums) as checksums:
        assert checksums is not None
        checksums.observe(proposal("photos", "notes"))
        for path in ("photos/a", "photos/b\nc", "notes"):
            checksums.add(D, path)
        checksums.observe(done("out/photos (1)", "out/notes"))
    lines = [f"{D}  photos (1)/a", f"\\{D}  photos (1)/b\\nc", f"{D}  notes"]
    assert sums.read_text().splitlines() == lines


def test_with_names_as_they_were_its_digest_is_that_of_the_event(tmp_path: Path) -> None:
    with checksums_in(tmp_path / "SUMS") as checksums:
        assert checksums is not None
        checksums.add(D, "photos/a")
        checksums.observe(done("photos"))
    assert (tmp_path / "SUMS").read_bytes() == b"%s  photos/a\n" % D.encode()


def test_skipped(tmp_path: Path) -> None:
    with checksums_in(tmp_path / "SUMS") as checksums:
        assert checksums is not None
        checksums.observe(done("a", blake3=""))
    assert (tmp_path / "SUMS").read_bytes() == b""


def test_what_fails_leaves_nothing_and_what_was_there(tmp_path: Path) -> None:
    sums = tmp_path / "SUMS"
    sums.write_text("an older one")
    with pytest.raises(Declined), checksums_in(sums):
        raise Declined("No.")
    assert sums.read_text() == "an older one"
    assert list(tmp_path.iterdir()) == [sums]


def collect(path: Path) -> None:
    with checksums_in(path) as checksums:
        assert checksums is not None
        checksums.observe(done("a"))


@pytest.mark.parametrize("name", ["missing/SUMS", "folder", "nul\0", ".."])
def test_a_file_that_cannot_be_written(name: str, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(CannotWrite, match="The checksums cannot be written"):
        collect(tmp_path / name)
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]


def test_nothing_wanted() -> None:
    with checksums_in(None) as checksums:
        assert checksums is None
