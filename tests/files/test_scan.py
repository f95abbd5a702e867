# ruff: noqa: PTH102, PTH123 - pathlib knows no bytes

import os
import socket
import sys
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rtcsend.errors import CannotRead, UsageError
from rtcsend.files import scan as scan_module
from rtcsend.files.scan import Scan, ScanRules, ScanStopped, scan_paths
from rtcsend.manifest.entry import ManifestEntry
from rtcsend.options import Links
from tests.files.conftest import public_folder, unprivileged

__all__ = ["public_folder", "unprivileged"]  # fixtures, named below


def entries(scan: Scan) -> list[ManifestEntry]:
    return list(scan.manifest.entries())


def found(scan: Scan) -> list[str]:
    """Return what is in the manifest: folders with a slash at the end, links with an arrow."""
    ends = {"file": "", "directory": "/", "link": "->"}
    return [entry.path + ends[entry.kind] + entry.target for entry in entries(scan)]


def scanned(top: Path, **rules: object) -> list[str]:
    return found(scan_paths([top], ScanRules(**rules)))  # type: ignore[arg-type]


@pytest.fixture
def top(tmp_path: Path) -> Path:
    """A folder with a bit of everything that is no trouble."""
    folder = tmp_path / "top"
    for path in ("b/deep/x", "b/.hidden", "a.txt", "B.txt", "b.txt", "é/ü"):
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(path.encode())
    (folder / "empty").mkdir()
    (folder / "none").touch()
    return folder


def test_depth_first_and_sorted_by_bytes(top: Path) -> None:
    assert scanned(top) == [
        "top/",
        "top/B.txt",
        "top/a.txt",
        "top/b/",
        "top/b/.hidden",
        "top/b/deep/",
        "top/b/deep/x",
        "top/b.txt",
        "top/empty/",
        "top/none",
        "top/é/",
        "top/é/ü",
    ]


def test_the_order_at_the_top_is_that_of_the_command_line(top: Path, tmp_path: Path) -> None:
    (tmp_path / "z").write_bytes(b"zz")
    scan = scan_paths([tmp_path / "z", top / "b"], ScanRules())
    assert found(scan)[:3] == ["z", "b/", "b/.hidden"]
    assert [(root.name, root.path) for root in scan.roots] == [
        ("z", os.fsencode(tmp_path / "z")),
        ("b", os.fsencode(top / "b")),
    ]
    assert (scan.manifest.files, scan.manifest.bytes) == (3, 2 + len("b/.hidden" + "b/deep/x"))


def test_facts_travel_but_for_dangerous_bits(top: Path) -> None:
    tool = top / "a.txt"
    tool.chmod(0o6751)
    os.utime(tool, ns=(1, 1_600_000_000_123_456_789))
    by_path = {entry.path: entry for entry in entries(scan_paths([top], ScanRules()))}
    entry = by_path["top/a.txt"]
    assert (entry.mode, entry.mtime_ns, entry.size) == (0o751, 1_600_000_000_123_456_789, 5)
    assert by_path["top/b"].mode == (top / "b").stat().st_mode & 0o777


def test_a_folder_by_a_path_without_its_name(top: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(top / "b")
    for path in (Path(), Path("../b"), Path("deep/..")):
        assert scan_paths([path], ScanRules()).manifest is not None
        assert found(scan_paths([path], ScanRules()))[:2] == ["b/", "b/.hidden"]
    with pytest.raises(UsageError, match="has no name"):
        scan_paths([Path("/")], ScanRules())


def test_two_of_one_name(top: Path) -> None:
    (top / "empty" / "none").touch()
    with pytest.raises(UsageError, match="would both be saved as none"):
        scan_paths([top / "none", top / "empty" / "none"], ScanRules())


@pytest.mark.skipif(sys.platform != "linux", reason="names that are no UTF-8")
def test_names_of_any_bytes(tmp_path: Path) -> None:
    names = [b"\xff\xfe", b"new\nline", b"\xed\xa0\x80", b" ", b"-rf", b"\\", b"gar\xe7on"]
    folder = os.fsencode(tmp_path) + b"/top"
    os.mkdir(folder)
    for name in names:
        with open(folder + b"/" + name, "wb"):
            pass
    assert [os.fsencode(path) for path in scanned(tmp_path / "top")][1:] == [
        b"top/" + name for name in sorted(names)
    ]


def test_links_that_point_inside_are_kept(top: Path) -> None:
    (top / "b" / "up").symlink_to("../a.txt")
    (top / "b" / "dangling").symlink_to("nothing")
    (top / "loop").symlink_to("loop")
    listed = scanned(top)
    assert {"top/b/up->../a.txt", "top/b/dangling->nothing", "top/loop->loop"} <= set(listed)


@pytest.mark.parametrize("target", ["/etc/passwd", "../../outside", "b/../../x"])
def test_a_link_that_points_elsewhere(top: Path, target: str) -> None:
    (top / "b" / "link").symlink_to(target)
    with pytest.raises(CannotRead, match="not in what is sent") as caught:
        scanned(top)
    assert "--links follow" in caught.value.hint
    assert "top/b/link" not in "".join(scanned(top, links=Links.SKIP))
    scan = scan_paths([top], ScanRules(links=Links.SKIP))
    assert [(left.path, left.reason) for left in scan.left_out] == [
        ("top/b/link", "a symbolic link")
    ]


def test_links_are_followed_on_request(top: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "file").write_bytes(b"1234")
    (top / "empty" / "there").symlink_to(outside)
    (top / "empty" / "file").symlink_to(outside / "file")
    listed = scanned(top, links=Links.FOLLOW)
    assert {"top/empty/file", "top/empty/there/", "top/empty/there/file"} <= set(listed)


def test_loops_come_to_an_end(top: Path) -> None:
    (top / "b" / "again").symlink_to("..")
    scan = scan_paths([top], ScanRules(links=Links.FOLLOW))
    assert [left.path for left in scan.left_out] == ["top/b/again"]
    assert len(scan.manifest) == 12


def test_a_link_that_is_named_is_followed(top: Path, tmp_path: Path) -> None:
    (tmp_path / "name").symlink_to(top / "b")
    assert scanned(tmp_path / "name")[0] == "name/"


@pytest.mark.skipif(sys.platform == "win32", reason="no such kinds")
def test_odd_kinds_are_left_out_and_reported(top: Path) -> None:
    os.mkfifo(top / "pipe")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(top / "socket"))
        scan = scan_paths([top], ScanRules())
    assert [(left.path, left.reason) for left in scan.left_out] == [
        ("top/pipe", "a named pipe"),
        ("top/socket", "a socket"),
    ]
    assert scan.left_out_count == 2
    with pytest.raises(CannotRead, match="is a named pipe"):
        scanned(top / "pipe")
    with pytest.raises(CannotRead, match="is a device"):
        scanned(Path("/dev/null"))


def test_hard_links_are_files(top: Path) -> None:
    os.link(top / "a.txt", top / "z.txt")
    assert {"top/a.txt", "top/z.txt"} <= set(scanned(top))


def test_what_is_missing(top: Path) -> None:
    with pytest.raises(CannotRead, match="does not exist"):
        scanned(top / "missing")
    with pytest.raises(CannotRead, match="cannot be read"):
        scanned(Path("a\0b"))


def test_what_cannot_be_read(
    public_folder: Path, unprivileged: Callable[[], AbstractContextManager[None]]
) -> None:
    for name in ("closed", "open"):
        (public_folder / "top" / name).mkdir(parents=True)
    (public_folder / "top" / "none").touch(mode=0)
    (public_folder / "top" / "closed").chmod(0)
    with unprivileged():
        with pytest.raises(CannotRead, match="top/closed' cannot be read: permission denied"):
            scanned(public_folder / "top")
        scan = scan_paths([public_folder / "top"], ScanRules(skip_unreadable=True))
    (public_folder / "top" / "closed").chmod(0o700)
    assert [left.path for left in scan.left_out] == ["top/closed", "top/none"]
    assert found(scan) == ["top/", "top/open/"]


def test_what_is_excluded(top: Path) -> None:
    assert scanned(top, exclude=("b/", "*.txt", "/é/ü")) == [
        "top/",
        "top/empty/",
        "top/none",
        "top/é/",
    ]
    assert scanned(top / "a.txt", exclude=("*.txt",)) == ["a.txt"]


def test_what_git_ignores(top: Path) -> None:
    (top / ".gitignore").write_text("*.txt\n/none\n")
    (top / "b" / ".gitignore").write_text("/deep/\n!kept.txt\n")
    (top / "b" / "kept.txt").touch()
    (top / "b" / "lost.txt").touch()
    assert scanned(top, gitignore=True) == [
        "top/",
        "top/.gitignore",
        "top/b/",
        "top/b/.gitignore",
        "top/b/.hidden",
        "top/b/kept.txt",
        "top/empty/",
        "top/é/",
        "top/é/ü",
    ]
    assert "top/a.txt" in scanned(top)


def test_what_is_too_much(top: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scan_module, "MAX_ENTRIES", 12)
    assert len(scanned(top)) == 12
    (top / "one-more").touch()
    with pytest.raises(CannotRead, match="more than 12"):
        scanned(top)
    monkeypatch.setattr(scan_module, "MAX_DEPTH", 3)
    with pytest.raises(CannotRead, match="too deep"):
        scanned(top)


def test_it_can_be_stopped(top: Path) -> None:
    stopped = threading.Event()
    counts: list[tuple[int, int]] = []

    def count(entries_: int, bytes_: int) -> None:
        counts.append((entries_, bytes_))
        stopped.set()

    with pytest.raises(ScanStopped):
        scan_paths([top], ScanRules(), on_entry=count, is_stopped=stopped.is_set)
    assert counts == [(1, 0)]


NAMES = st.binary(min_size=1, max_size=12).filter(
    lambda name: not {0, 0x2F} & set(name) and name not in {b".", b".."}
)


@pytest.mark.skipif(sys.platform != "linux", reason="names of any bytes")
@given(names=st.sets(NAMES, max_size=8), inner=st.sets(NAMES, max_size=8))
@settings(max_examples=40, deadline=None)
def test_any_tree_is_found_whole(
    tmp_path_factory: pytest.TempPathFactory, names: set[bytes], inner: set[bytes]
) -> None:
    top = os.fsencode(tmp_path_factory.mktemp("any")) + b"/top"
    os.mkdir(top)
    expected = [b"top"]
    for name in sorted(names):
        expected.append(b"top/" + name)
        os.mkdir(top + b"/" + name)
        for file in sorted(inner):
            expected.append(b"top/" + name + b"/" + file)
            with open(top + b"/" + name + b"/" + file, "wb"):
                pass
    scan = scan_paths([Path(os.fsdecode(top))], ScanRules())
    assert [os.fsencode(entry.path) for entry in entries(scan)] == expected
