import json
import os
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from rtcsend.rendezvous import local
from rtcsend.rendezvous.local import announce_local, any_local, find_local

URL = "ws://127.0.0.1:40123/v1"

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="POSIX permissions")


@pytest.fixture
def runtime(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give the test a runtime folder and a temporary folder of its own."""
    runtime = tmp_path / "run"
    runtime.mkdir(mode=0o700)
    (tmp_path / "tmp").mkdir(mode=0o1777)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(runtime))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    return runtime / "rtcsend"


@pytest.fixture
def temporary(runtime: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Take the runtime folder away; return the one in the temporary folder."""
    monkeypatch.delenv("XDG_RUNTIME_DIR")
    return Path(tempfile.gettempdir()) / f"rtcsend-{os.getuid()}"


def dead_pid() -> int:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def test_announce_and_find(runtime: Path) -> None:
    assert find_local("7") == []
    assert not any_local()
    with announce_local("7", URL):
        assert find_local("7") == [URL]
        assert find_local("8") == []
        assert any_local()
        [path] = runtime.iterdir()
        assert path.name == f"7-{os.getpid()}.json"
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert stat.S_IMODE(runtime.stat().st_mode) == 0o700
    assert list(runtime.iterdir()) == []


def test_the_temporary_folder_is_the_second_choice(temporary: Path) -> None:
    with announce_local("7", URL):
        assert find_local("7") == [URL]
        assert [path.parent for path in temporary.iterdir()] == [temporary]
        assert stat.S_IMODE(temporary.stat().st_mode) == 0o700


def test_a_receiver_with_another_environment_finds_it(
    runtime: Path, temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with announce_local("7", URL):
        monkeypatch.setenv("XDG_RUNTIME_DIR", str(runtime.parent))
        assert find_local("7") == [URL]


@pytest.mark.parametrize("value", ["", "relative", "/does/not/exist"])
def test_a_bad_runtime_folder_is_passed_over(
    temporary: Path, monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", value)
    with announce_local("7", URL):
        assert len(list(temporary.iterdir())) == 1


def test_a_folder_open_to_others_is_not_used(temporary: Path) -> None:
    temporary.mkdir(mode=0o700)
    with announce_local("7", URL):
        temporary.chmod(0o755)
        assert find_local("7") == []
        temporary.chmod(0o700)
        assert find_local("7") == [URL]
    temporary.chmod(0o750)
    with announce_local("7", URL):
        assert list(temporary.iterdir()) == []


def test_a_link_is_not_followed(temporary: Path, tmp_path: Path) -> None:
    target = tmp_path / "attacker"
    target.mkdir(mode=0o700)
    temporary.symlink_to(target)
    with announce_local("7", URL):
        assert list(target.iterdir()) == []
    (target / f"7-{os.getpid()}.json").write_text(json.dumps({"v": 1, "url": URL}))
    assert find_local("7") == []


@pytest.mark.skipif(os.name == "posix" and os.getuid() != 0, reason="giving files away takes root")
def test_a_folder_of_somebody_else_is_not_used(temporary: Path) -> None:
    temporary.mkdir(mode=0o700)
    os.chown(temporary, 12345, -1)
    with announce_local("7", URL):
        assert list(temporary.iterdir()) == []
    (temporary / f"7-{os.getpid()}.json").write_text(json.dumps({"v": 1, "url": URL}))
    assert find_local("7") == []
    assert not any_local()


def test_files_of_dead_processes_are_removed(runtime: Path) -> None:
    with announce_local("7", URL):
        dead = runtime / f"7-{dead_pid()}.json"
        dead.write_text(json.dumps({"v": 1, "url": "ws://127.0.0.1:1/v1"}))
        assert find_local("7") == [URL]
        assert not dead.exists()


def test_several_senders_with_one_nameplate(runtime: Path) -> None:
    other = "ws://127.0.0.1:2/v1"
    with announce_local("7", URL):
        (runtime / f"7-{os.getppid()}.json").write_text(json.dumps({"v": 1, "url": other}))
        (runtime / "7-1.json").write_text(json.dumps({"v": 1, "url": other}))
        assert sorted(find_local("7")) == sorted([URL, other])


GARBAGE = [
    b"",
    b"\xff\xfe",
    b"[]",
    b"{}",
    b"null",
    b'{"v":1}',
    b'{"v":2,"url":"ws://h/v1"}',
    b'{"v":1,"url":7}',
    b'{"v":1,"url":"http://u:p@h"}',
    b'{"v":1,"url":"ws://h h"}',
    b"[" * 4_000,
    b'{"v":1,"url":"ws://h/' + b"x" * 5_000 + b'"}',
]


@pytest.mark.parametrize("data", GARBAGE)
def test_garbage_is_passed_over(runtime: Path, data: bytes) -> None:
    with announce_local("8", URL):
        (runtime / f"7-{os.getpid()}.json").write_bytes(data)
        assert find_local("7") == []
        assert find_local("8") == [URL]


def test_odd_files_are_passed_over(runtime: Path, tmp_path: Path) -> None:
    target = tmp_path / "elsewhere.json"
    target.write_text(json.dumps({"v": 1, "url": URL}))
    with announce_local("8", URL):
        pid = os.getpid()
        (runtime / "notes.txt").write_text("x")
        (runtime / f"07-{pid}.json").write_text("x")
        (runtime / f"7-{pid}.json").symlink_to(target)
        os.mkfifo(runtime / f"9-{pid}.json")
        (runtime / f"10-{pid}.json").mkdir()
        (runtime / "7-9999999999.json").write_text("x")
        assert [find_local(nameplate) for nameplate in ("7", "9", "10")] == [[], [], []]
        assert (runtime / "notes.txt").exists()


def test_no_place_to_announce_is_no_error(runtime: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local, "_folders", list)
    with announce_local("7", URL):
        assert find_local("7") == []


def test_removed_meanwhile_is_no_error(runtime: Path) -> None:
    with announce_local("7", URL):
        next(runtime.iterdir()).unlink()
