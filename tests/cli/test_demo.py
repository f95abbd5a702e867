import json
import os
import re
import signal
import sys
from pathlib import Path

import pytest

from rtcsend.cli import children, demo_run
from rtcsend.cli.demo_run import DemoDone
from rtcsend.cli.main import main
from tests.cli.pty_process import PtyProcess, Screen

Capture = pytest.CaptureFixture[str]
FAKE = [sys.executable, str(Path(__file__).with_name("fake_children.py"))]
PROGRAM = (
    "import sys; from rtcsend.cli import demo_run, main; "
    f"demo_run.program = lambda: {FAKE!r}; sys.exit(main.main(sys.argv[1:]))"
)


@pytest.fixture(autouse=True)
def scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Temporary files of the demo go to a folder whose emptiness can be looked at."""
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setenv("TMPDIR", str(scratch))
    monkeypatch.setattr("tempfile.tempdir", None)
    monkeypatch.setenv("DEMO_LOG", str(tmp_path / "log"))
    monkeypatch.setattr(demo_run, "program", lambda: FAKE)
    return scratch


def started(log: Path) -> list[list[str]]:
    return [line.split() for line in log.read_text().splitlines()]


def test_it_shows_the_figures(
    scratch: Path, monkeypatch: pytest.MonkeyPatch, capfd: Capture
) -> None:
    monkeypatch.setenv("DEMO_MODE", "ok")
    monkeypatch.setenv("RTCSEND_SERVER", "ws://elsewhere/v1")
    assert main(["demo", "--size", "3M"]) == 0
    out, err = capfd.readouterr()
    assert re.fullmatch(
        r"3\.0 MB went from one process to another, and arrived whole\.\n"
        r"  rate         6\.0 MB/s\n"
        r"  set-up       \d+\.\d\d s from receive's start to its first byte\n"
        r"  route        direct\n"
        r"  peak memory  sender \d+(\.\d)? MB, receiver \d+(\.\d)? MB\n"
        r"  BLAKE3       [0-9a-f]{64}\n",
        out,
    )
    assert err.splitlines() == [
        "Writing 3.0 MB of random bytes…",
        "Starting two processes…",
        "Comparing…",
    ]
    assert list(scratch.iterdir()) == []


def test_what_it_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DEMO_MODE", "ok")
    assert main(["demo", "--size", "1"]) == 0
    sender, receiver = started(tmp_path / "log")
    assert sender[1:-1] == ["send", "--json", "--timeout", "120"]
    assert receiver[1:-1] == ["receive", "--json", "--timeout", "120", "-y", "-o"]


def test_json(monkeypatch: pytest.MonkeyPatch, capfd: Capture) -> None:
    monkeypatch.setenv("DEMO_MODE", "ok")
    assert main(["demo", "--size", "1500k", "--json"]) == 0
    out, err = capfd.readouterr()
    *moves, done = map(json.loads, out.splitlines())
    assert [move["bytes"] for move in moves] == [0, 1_500_000]
    assert done.pop("v") == 1
    assert done.pop("event") == "demo"
    figures = DemoDone(**done)
    assert figures.bytes == 1_500_000
    assert figures.seconds == 0.5
    assert figures.bytes_per_s == 3_000_000
    assert figures.route == "direct"
    assert 0 < figures.setup_seconds < 60
    for peak in (figures.sender_peak_bytes, figures.receiver_peak_bytes):
        assert peak is not None
        assert 1_000_000 < peak < 10_000_000_000
    assert not err


@pytest.mark.parametrize(
    ("mode", "exit_code", "message"),
    [
        ("corrupt", 42, "The copy differs from the source."),
        ("wrong-code", 20, "It ended: wrong-code."),  # and not the sender's "aborted"
        ("left-alone", 12, "It ended: no-such-code."),  # and nobody waits for the sender
        ("no-code", 11, "It ended: refused."),
        ("crash", 1, "A process of the demo ended without a reason: out of luck."),
    ],
)
def test_it_fails(
    *,
    mode: str,
    exit_code: int,
    message: str,
    scratch: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: Capture,
) -> None:
    if mode == "left-alone":  # one of them has to be ended; the others may take their time
        monkeypatch.setattr(children, "_STOP_TIMEOUT", 1.0)
    monkeypatch.setenv("DEMO_MODE", mode)
    assert main(["demo", "--size", "3k"]) == exit_code
    out, err = capfd.readouterr()
    assert f"rtcsend: {message}" in err
    assert not out
    assert list(scratch.iterdir()) == []


def test_no_space(scratch: Path, capfd: Capture) -> None:
    assert main(["demo", "--size", "1000P"]) == 51
    assert "The demo needs 2.0 EB for the file and its copy" in capfd.readouterr().err
    assert list(scratch.iterdir()) == []


@pytest.mark.parametrize(("number", "exit_code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_leaves_nothing_behind(
    number: signal.Signals, exit_code: int, scratch: Path, tmp_path: Path
) -> None:
    command = [sys.executable, "-c", PROGRAM, "demo", "--size", "3k"]
    with PtyProcess(command, environment={"DEMO_MODE": "hang"}) as process:
        process.expect("demo.bin")
        process.type("\x03") if number == signal.SIGINT else process.kill(number)
        assert process.wait() == exit_code
        assert process.lines()[0].startswith("rtcsend: Stopped by")
        assert Screen(process.output).cursor_shown
    for pid, *_ in started(tmp_path / "log"):
        with pytest.raises(ProcessLookupError):
            os.kill(int(pid), 0)
    assert list(scratch.iterdir()) == []


def test_on_a_terminal() -> None:
    command = [sys.executable, "-c", PROGRAM, "demo", "--size", "3M"]
    with PtyProcess(command, environment={"DEMO_MODE": "ok"}) as process:
        assert process.wait() == 0
        assert process.lines()[0] == "3.0 MB went from one process to another, and arrived whole."
        assert len(process.lines()) == 6
