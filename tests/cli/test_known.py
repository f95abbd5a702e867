"""What people see of known machines, and what scripts read of them."""

from dataclasses import replace
from pathlib import Path

import pytest
from _pytest.capture import CaptureFixture

from rtcsend.cli.known_names import complete_names
from rtcsend.cli.listen import ListenOutput
from rtcsend.cli.main import main
from rtcsend.cli.pair import PairOutput, pair_command
from rtcsend.events import (
    CodeReady,
    Connected,
    Done,
    Error,
    Event,
    Known,
    Paired,
    Proposal,
    Refusal,
    Waiting,
)
from tests.known.pairs import acquaint, store_in

CONNECTED = Connected(route="direct", local="host", remote="host", protocol="udp", rtt_ms=1.0)
DONE = Done(files=1, bytes=5, moved=5, seconds=1.0, blake3="00", paths=("inbox/x",), visit=1)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    return tmp_path


def shown(
    output: ListenOutput | PairOutput, events: list[Event], capfd: CaptureFixture[str]
) -> str:
    for event in events:
        output.emit(event)
    output.close()
    return capfd.readouterr().err


def test_visits_are_told_apart_by_their_machines(capfd: CaptureFixture[str]) -> None:
    output = ListenOutput(results=None, quiet=False)
    events: list[Event] = [
        Waiting(machines=("desktop", "ci", "nas"), server=None),
        Paired(verification="1", machine="desktop", visit=1),
        Paired(verification="2", machine="ci", visit=2),
        replace(CONNECTED, visit=1),
        Refusal(machine="old", reason="old was removed here, and was told so."),
        Error(code="aborted", exit=41, message="It\x1b stopped.", hint="Ask.", visit=2),
        Proposal(files=1, bytes=5, entries=(), sender="desktop", tops=("x",), visit=1),
        DONE,
        Done(files=1, bytes=5, moved=5, seconds=1.0, blake3="00", paths=("y",), visit=2),
    ]
    text = shown(output, events, capfd)
    assert text.splitlines()[0] == "Waiting for desktop, ci and nas. Ctrl-C ends it."
    assert "desktop: Connected: direct, host to host, round trip 1.0 ms." in text
    assert "old was removed here" in text
    assert "ci: It\\x1b stopped. Ask." in text
    assert "desktop: Saved inbox/x (BLAKE3 verified)" in text
    assert "Saved y" not in text  # that visit had ended
    assert max(map(len, text.splitlines())) <= 80


def test_nothing_is_said_while_a_question_is_asked(capfd: CaptureFixture[str]) -> None:
    output = ListenOutput(results=None, quiet=False)
    output.hold()
    output.tell("later")
    assert capfd.readouterr().err == ""
    output.go_on()
    assert capfd.readouterr().err == "later\n"


def test_quiet_is_quiet(capfd: CaptureFixture[str]) -> None:
    waiting = Waiting(machines=(), server=None)
    assert shown(ListenOutput(results=None, quiet=True), [waiting], capfd) == ""
    said = shown(ListenOutput(results=None, quiet=False), [waiting], capfd)
    assert "rtcsend pair NAME" in said


def test_a_pairing_says_what_to_run(capfd: CaptureFixture[str]) -> None:
    known = Known(machine="laptop", fingerprint="aa", own_fingerprint="bb")
    code = CodeReady(code="7-guitar-velvet", server="ws://x", embedded=False)
    output = PairOutput(results=None, quiet=False, server="wss://host")
    text = shown(output, [code, Paired(verification="1"), known], capfd)
    assert pair_command("7-guitar-velvet", server="wss://host") in text
    assert "laptop is known from now on." in text
    assert "rtcsend send --to laptop FILE" in text
    assert shown(PairOutput(results=None, quiet=True, server=None), [code, known], capfd) == ""


def test_the_command_of_the_other_side_is_ready_to_be_typed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("platform.node", lambda: "ada's laptop.example")
    assert pair_command("7-a-b", server=None) == "rtcsend pair adaslaptop 7-a-b"
    assert pair_command("7-a-b", server="ws://x?a b").endswith("--server 'ws://x?a b'")


def test_peers(folder: Path, capfd: CaptureFixture[str]) -> None:
    assert main(["peers"]) == 0
    assert "No machine is known yet" in capfd.readouterr().err
    desktop, laptop = store_in(folder), store_in(folder / "laptop")
    acquaint(desktop, "laptop", laptop)
    assert complete_names("la") == ["laptop"]
    assert complete_names("x") == []
    assert main(["peers", "list"]) == 0
    header, line = capfd.readouterr().out.splitlines()
    assert header.index("PAIRED") == line.index("1970")
    assert main(["peers", "rename", "laptop", "n" * 60]) == 0
    assert main(["peers"]) == 0
    assert max(map(len, capfd.readouterr().out.splitlines())) <= 80
    assert main(["peers", "rename", "n" * 60, "a b"]) == 2
    assert main(["peers", "remove", "nobody"]) == 2
    assert main(["peers", "remove", "n" * 60]) == 0
    assert main(["peers", "--json"]) == 0
    assert capfd.readouterr().out == ""


def test_a_damaged_machine_is_named_beside_the_others(
    folder: Path, capfd: CaptureFixture[str]
) -> None:
    desktop, laptop = store_in(folder), store_in(folder / "laptop")
    acquaint(desktop, "laptop", laptop)
    (desktop.folder / "machines" / "n%2Fas.json").write_text("{")
    (desktop.folder / "machines" / "nas.json").write_text("{")
    for path in (desktop.folder / "machines").iterdir():
        path.chmod(0o600)
    assert main(["peers"]) == 50
    shown = capfd.readouterr()
    assert "laptop" in shown.out
    assert "What is kept of n/as, nas is damaged." in shown.err
    assert main(["peers", "remove", "nas"]) == 0
    assert not (desktop.folder / "machines" / "nas.json").exists()


def test_names_complete_to_nothing_where_keys_cannot_be_read(folder: Path) -> None:
    (folder / "rtcsend").mkdir(mode=0o755)
    assert complete_names("") == []
    assert main(["peers"]) == 50


@pytest.mark.parametrize(
    "arguments",
    [
        ("send", "--to", "laptop", "--code", "7-guitar-velvet", "film.iso"),
        ("send", "--to", "laptop", "--receivers", "2", "film.iso"),
        ("send", "--to", "laptop", "--qr", "film.iso"),
        ("receive", "-y", "--from", "desktop", "7-guitar-velvet"),
        ("receive", "-y", "--listen", "--code-file", "code"),
        ("receive", "-y", "--listen", "--into", "missing"),
        ("receive", "-y", "--listen", "-o", "-"),
        ("receive", "-y", "--listen", "--checksums", "sums"),
        ("receive", "-y", "--from", "desktop", "--verify"),
        ("receive", "--listen"),
        ("pair", "a/b"),
        ("pair", "laptop"),
    ],
    ids=" ".join,
)
def test_contradictions_are_usage_errors(
    folder: Path,
    arguments: tuple[str, ...],
    capfd: CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    acquaint(store_in(folder), "laptop", store_in(folder / "laptop"))
    (folder / "film.iso").touch()
    monkeypatch.chdir(folder)
    assert main(arguments) == 2
    assert capfd.readouterr().err.count("\n") == 2
