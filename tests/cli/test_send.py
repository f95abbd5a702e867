import json
from pathlib import Path

import pytest

from rtcsend.cli.main import main
from rtcsend.options import Links, RoutePolicy, SendOptions
from tests.cli import fake_engine
from tests.cli.conftest import Play
from tests.cli.pty_process import PtyProcess, Screen

Capture = pytest.CaptureFixture[str]
COMMAND = "    rtcsend receive 7-guitar-velvet"


def test_on_a_terminal_people_see_it_all(film: Path) -> None:
    with PtyProcess(fake_engine.command(fake_engine.success, "send", film)) as process:
        assert process.wait() == 0
        *head, line, last = process.lines()
    assert head == ["On the other machine, run:", COMMAND]
    assert line == "film.iso ━━━━━━━━━━━━ 4.4/4.4 GB 183 MB/s in 0:24 direct"
    assert last == "Sent. Verified by the receiver."
    assert Screen(process.output).cursor_shown


@pytest.mark.parametrize("environment", [{"TERM": "dumb"}, {"NO_COLOR": "1"}])
def test_on_lesser_terminals(film: Path, environment: dict[str, str]) -> None:
    command = fake_engine.command(fake_engine.success, "send", film)
    with PtyProcess(command, environment=environment) as process:
        assert process.wait() == 0
    if "TERM" in environment:
        assert "\x1b" not in process.output
    assert "\x1b[3" not in process.output  # no colour
    assert process.lines()[-1] == "Sent. Verified by the receiver."


def test_no_progress(film: Path) -> None:
    command = fake_engine.command(fake_engine.success, "send", "--no-progress", film)
    with PtyProcess(command) as process:
        assert process.wait() == 0
        assert "\x1b" not in process.output
        assert process.lines() == [
            "On the other machine, run:",
            COMMAND,
            "Waiting for the other side…",
            "Connecting…",
            "Connected: direct, host to srflx, round trip 0.4 ms.",
            "Waiting for the receiver to accept…",
            "film.iso  4.4 GB  183 MB/s  in 0:24  direct",
            "Sent. Verified by the receiver.",
        ]


def test_quiet_on_a_terminal_shows_the_code_alone(film: Path) -> None:
    with PtyProcess(fake_engine.command(fake_engine.success, "send", "-q", film)) as process:
        assert process.wait() == 0
        assert process.lines() == ["7-guitar-velvet"]


def test_a_script_reads_the_code_from_standard_output(film: Path) -> None:
    command = fake_engine.command(fake_engine.success, "send", film)
    with PtyProcess(command, stdout_is_pipe=True) as process:
        assert process.wait() == 0
        assert process.stdout() == "7-guitar-velvet\n"
        assert process.lines()[:2] == ["On the other machine, run:", COMMAND]


def test_without_a_terminal(play: Play, film: Path, capfd: Capture) -> None:
    play(fake_engine.success)
    assert main(["send", str(film)]) == 0
    out, err = capfd.readouterr()
    assert out == "7-guitar-velvet\n"
    assert err.splitlines()[0] == "On the other machine, run:"
    assert err.splitlines()[-1] == "Sent. Verified by the receiver."
    assert "\x1b" not in err


def test_quiet_without_a_terminal(play: Play, film: Path, capfd: Capture) -> None:
    play(fake_engine.success)
    assert main(["send", "--quiet", str(film)]) == 0
    assert capfd.readouterr() == ("7-guitar-velvet\n", "")


def test_json_prints_every_event_and_nothing_else(play: Play, film: Path, capfd: Capture) -> None:
    play(fake_engine.success)
    assert main(["send", "--json", str(film)]) == 0
    out, err = capfd.readouterr()
    events = [json.loads(line) for line in out.splitlines()]
    assert [event["event"] for event in events] == [
        "code",
        "paired",
        "connected",
        "proposal",
        "progress",  # the first
        "progress",  # the last; those between came too soon
        "done",
    ]
    assert {event["v"] for event in events} == {1}
    assert events[-2]["bytes"] == fake_engine.TOTAL
    assert not err


def test_options_reach_the_engine(play: Play, film: Path, capfd: Capture) -> None:
    engine = play(fake_engine.success)
    arguments = "--server ws://h:1/v1 --ice stun:a:1 --ice stun:b:2 --relay-only --timeout 1.5"
    arguments += " --limit 10M --code 7.Guitar.velvet"
    assert main(["send", *arguments.split(), str(film)]) == 0
    assert engine.options == [
        SendOptions(
            paths=(film,),
            code="7-guitar-velvet",
            server="ws://h:1/v1",
            ice=("stun:a:1", "stun:b:2"),
            route=RoutePolicy.RELAY_ONLY,
            timeout=1.5,
            limit=10_000_000,
        )
    ]
    assert "rtcsend receive 7-guitar-velvet --server ws://h:1/v1\n" in capfd.readouterr().err


def test_files_and_folders_and_what_of_them(play: Play, film: Path) -> None:
    engine = play(fake_engine.success)
    arguments = (
        "--exclude *.o --exclude build/ --gitignore --links follow --skip-unreadable --words 3"
    )
    assert main(["send", *arguments.split(), str(film), str(film.parent)]) == 0
    assert engine.options == [
        SendOptions(
            paths=(film, film.parent),
            exclude=("*.o", "build/"),
            gitignore=True,
            links=Links.FOLLOW,
            skip_unreadable=True,
            words=3,
        )
    ]


def test_defaults(play: Play, film: Path) -> None:
    engine = play(fake_engine.success)
    assert main(["send", "--direct-only", "--limit", "1k/s", str(film)]) == 0
    assert engine.options == [SendOptions(paths=(film,), route=RoutePolicy.DIRECT_ONLY, limit=1000)]


def test_server_of_the_environment_is_not_repeated(
    play: Play, film: Path, capfd: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = play(fake_engine.success)
    monkeypatch.setenv("RTCSEND_SERVER", "ws://h:1/v1")
    assert main(["send", str(film)]) == 0
    assert engine.options[0].server == "ws://h:1/v1"
    assert "--server" not in capfd.readouterr().err


def test_printed_command_is_ready_for_the_shell(play: Play, film: Path, capfd: Capture) -> None:
    play(fake_engine.success)
    assert main(["send", "--server", "ws://h/v1?a=1&b", str(film)]) == 0
    assert " --server 'ws://h/v1?a=1&b'\n" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "exit_code", "message"),
    [
        (["film.iso", "b"], 50, "There is no file b."),
        ([], 2, "There is nothing to send."),
        (["film.iso", "-"], 2, "- and other paths exclude each other"),
        (["-", "--code-file", "-"], 2, "cannot be both the code and what is sent"),
        (["-", "--verify"], 2, "no terminal to ask on, and --verify asks the sender"),
        (["-", "--name", "a/b"], 2, "cannot be a name"),
        (["-", "--name", ".."], 2, "cannot be a name"),
        (["film.iso", "--name", "b"], 2, "--name is for what comes from standard input"),
        (["film.iso", "--text", "hello"], 2, "--text and paths exclude each other"),
        (["missing"], 50, "There is no file missing."),
        (["film.iso", "--relay-only", "--direct-only"], 2, "exclude each other"),
        (["film.iso", "--timeout", "0"], 2, "--timeout takes more than 0 seconds"),
        (["film.iso", "--timeout", "-1"], 2, "--timeout takes more than 0 seconds"),
        (["film.iso", "--timeout", "nan"], 2, "--timeout takes more than 0 seconds"),
        (["film.iso", "--timeout", "inf"], 2, "--timeout takes more than 0 seconds"),
        (["film.iso", "--limit", "0"], 2, "--limit takes a size"),
        (["film.iso", "--links", "break"], 2, "'break' is not one of"),
        (["film.iso", "--code", "7-guitar"], 2, "at least 2 words"),
        (["film.iso", "--code", "7-guitar-velvet", "--words", "3"], 2, "--words is for a code"),
        (["film.iso", "--to", "laptop", "--words", "3"], 2, "--words is for a code"),
        (["film.iso", "--code-file", ""], 2, "--code-file takes a path, and an empty one"),
        (["film.iso", "--checksums", ""], 2, "--checksums takes a path, and an empty one"),
        (["film.iso", "--trace="], 2, "--trace takes a path, and an empty one"),
        (["film.iso", "--verify"], 2, "no terminal to ask on, and --verify asks the sender"),
    ],
)
def test_what_cannot_be_sent_is_said_before_anybody_is_contacted(
    *,
    arguments: list[str],
    exit_code: int,
    message: str,
    play: Play,
    film: Path,
    capfd: Capture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(film.parent)
    engine = play(fake_engine.success)
    assert main(["send", *arguments]) == exit_code
    assert message in capfd.readouterr().err
    assert not engine.options


@pytest.mark.parametrize(("keys", "exit_code"), [("y\n", 0), ("n\n", 40), ("\n", 40), ("\x04", 40)])
def test_verify_asks_the_sender(film: Path, keys: str, exit_code: int) -> None:
    command = fake_engine.command(fake_engine.verification, "send", "--verify", film)
    with PtyProcess(command) as process:
        process.expect("Does the other side show the same? [y/N] ")
        process.type(keys)
        assert process.wait() == exit_code
        assert "Verification: tennis-orbit-canvas" in process.lines()
