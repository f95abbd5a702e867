import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from rtcsend import __version__
from rtcsend.cli import options
from rtcsend.cli.main import main
from tests.cli import fake_engine
from tests.cli.conftest import Play
from tests.cli.pty_process import ROOT

Capture = pytest.CaptureFixture[str]


def test_version(capfd: Capture) -> None:
    assert main(["--version"]) == 0
    assert capfd.readouterr().out == f"rtcsend {__version__}\n"


@pytest.mark.parametrize("arguments", [[], ["--help"], ["-h"]])
def test_help_names_the_commands(arguments: list[str], capfd: Capture) -> None:
    assert main(arguments) == 0
    out = capfd.readouterr().out
    for command in ("send", "receive", "serve", "demo"):
        assert f"\n  {command} " in out


@pytest.mark.parametrize(
    ("command", "usage"),
    [
        (["send"], "rtcsend send [OPTIONS] [PATH]..."),
        (["config", "set"], "rtcsend config set [OPTIONS] {NAME} [VALUE]..."),
    ],
)
def test_usage_says_that_there_may_be_many(command: list[str], usage: str, capfd: Capture) -> None:
    assert main([*command, "--help"]) == 0
    assert capfd.readouterr().out.splitlines()[0] == f"Usage: {usage}"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["sned"], "No such command 'sned'. Did you mean 'send'?"),
        (["send", "--nothing", "x"], "No such option: --nothing."),
        (["send", "--words", "1", "x"], "1 is not in the range 2<=x<=8"),
        (["send", "--words", "9", "x"], "9 is not in the range 2<=x<=8"),
        (["receive", "a", "b"], "unexpected extra argument"),
        (["serve", "--port", "x"], "--port"),
        (["send", "--limit"], "Option '--limit' requires an argument."),
    ],
)
def test_usage_errors_are_two_sentences(arguments: list[str], message: str, capfd: Capture) -> None:
    assert main(arguments) == 2
    out, err = capfd.readouterr()
    first, second = err.splitlines()
    assert first.startswith("rtcsend: ")
    assert message in first
    assert second.startswith("Try “rtcsend")
    assert not out


def test_the_hint_names_the_command_also_where_a_value_is_missing(capfd: Capture) -> None:
    assert main(["receive", "7-guitar-velvet", "-o"]) == 2
    assert capfd.readouterr().err.splitlines() == [
        "rtcsend: Option '-o' requires an argument.",
        "Try “rtcsend receive --help”.",
    ]


def test_error_of_the_engine_is_two_sentences_and_an_exit_code(
    play: Play, film: Path, capfd: Capture
) -> None:
    play(fake_engine.declined)
    assert main(["send", str(film)]) == 40
    out, err = capfd.readouterr()
    assert err == (
        "rtcsend: The receiver declined.\nAsk the person on the other side, and send again.\n"
    )
    assert not out


def test_json_gets_the_error_too(play: Play, film: Path, capfd: Capture) -> None:
    play(fake_engine.declined)
    assert main(["send", "--json", str(film)]) == 40
    out, err = capfd.readouterr()
    assert json.loads(out) == {
        "v": 1,
        "event": "error",
        "code": "declined",
        "exit": 40,
        "message": "The receiver declined.",
        "hint": "Ask the person on the other side, and send again.",
    }
    assert err.startswith("rtcsend: The receiver declined.\n")


def test_json_gets_usage_errors_too(capfd: Capture) -> None:
    assert main(["send", "--json"]) == 2
    assert json.loads(capfd.readouterr().out)["code"] == "usage"


def test_a_file_named_json_is_no_option(capfd: Capture) -> None:
    assert main(["send", "--", "--json"]) == 50
    out, err = capfd.readouterr()
    assert not out
    assert "There is no file --json." in err


def test_a_bug_is_one_sentence_and_no_traceback(play: Play, film: Path, capfd: Capture) -> None:
    play(fake_engine.bug)
    assert main(["send", str(film)]) == 1
    assert capfd.readouterr().err == (
        "rtcsend: Something in rtcsend itself is wrong (KeyError).\n"
        "Run it again with -v to see where, and report it.\n"
    )


def test_a_bug_has_a_traceback_with_v(film: Path) -> None:
    ended = subprocess.run(
        fake_engine.command(fake_engine.bug, "send", "-v", film),
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 1
    assert "rtcsend.test: about to fail" in ended.stderr
    assert "Traceback (most recent call last)" in ended.stderr
    assert "KeyError: 'a key'" in ended.stderr
    assert ended.stderr.endswith("report it.\n")


def test_messages_are_harmless(capfd: Capture) -> None:
    assert main(["send", "\x1b[2J\u202egone"]) == 50
    assert "There is no file \\x1b[2J\\u202egone." in capfd.readouterr().err


def test_ctrl_c_outside_a_transfer(monkeypatch: pytest.MonkeyPatch, capfd: Capture) -> None:
    def interrupt(verbosity: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(options, "set_up_logging", interrupt)
    assert main(["send", "film.iso"]) == 130
    assert capfd.readouterr().err.startswith("rtcsend: Stopped by Ctrl-C.\n")


def test_start_up_loads_nothing_that_waits() -> None:
    """The code must be on the screen within half a second: see the docstring of main.py."""
    slow = ["aiortc", "rich", "zeroconf", "websockets", "blake3", "signal_server"]
    slow += ["rtcsend.sending", "rtcsend.receiving", "rtcsend.cli.live", "rtcsend.cli.demo_run"]
    probe = (
        f"import sys, rtcsend.cli.main; print([name for name in {slow!r} if name in sys.modules])"
    )
    ended = subprocess.run(
        [sys.executable, "-c", probe], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert ended.stdout == "[]\n"


def test_python_m_is_the_same_program() -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "rtcsend", "receive", "7-guitarr-velvet", "-y"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        check=False,
    )
    assert ended.returncode == 2
    assert ended.stderr.startswith(
        "rtcsend: “guitarr” is not a code word; did you mean “guitar”?\n"
    )


@pytest.mark.no_cover  # which traces, and imports multiprocessing
@pytest.mark.parametrize(
    ("options", "before", "is_taken_apart"),
    [
        ([], "", False),
        (["-X", "dev"], "", True),
        (["-W", "error"], "", True),
        ([], "sys.setprofile(lambda *_: None);", True),
        ([], "import multiprocessing;", True),
    ],
)
def test_the_end_is_quick_where_nobody_watches(
    options: list[str], before: str, is_taken_apart: bool
) -> None:
    code = (
        "import atexit, sys; from rtcsend.cli.main import run; atexit.register(print, 'atexit'); "
        f"sys.argv = ['rtcsend', '--no-such-option']; {before} run()"
    )
    done = subprocess.run(
        [sys.executable, *options, "-c", code],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 2
    assert "no-such-option" in done.stderr
    assert ("atexit" in done.stdout) is is_taken_apart


def test_an_output_that_takes_nothing_is_an_error_at_the_end_too() -> None:
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full here")
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "rtcsend", "--version"],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            timeout=120,
            check=False,
        )
    assert done.returncode == 51
    assert done.stderr == (
        "rtcsend: Standard output cannot be written: No space left on device.\n"
        "Check where it goes, and run the command again.\n"
    )


COMPLETION = {
    "_RTCSEND_COMPLETE": "complete_fish",
    "_TYPER_COMPLETE_FISH_ACTION": "get-args",
    "_TYPER_COMPLETE_ARGS": "rtcsend rec",
}


@pytest.mark.parametrize(
    ("arguments", "asked"), [((), COMPLETION), (("--help",), {}), (("send", "--help"), {})]
)
def test_what_nobody_reads_any_more_is_no_bug(
    arguments: tuple[str, ...], asked: dict[str, str]
) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    try:
        done = subprocess.run(
            [sys.executable, "-c", "from rtcsend.cli.main import run; run()", *arguments],
            env={**os.environ, **asked},
            stdout=writing,
            stderr=subprocess.PIPE,
            text=True,
            timeout=120,
            check=False,
        )
    finally:
        os.close(writing)
    assert (done.returncode, done.stderr) == (143, "")
