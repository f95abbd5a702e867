import io
import json
from pathlib import Path

import pytest

from rtcsend.cli.main import main
from rtcsend.options import Conflict, ReceiveOptions
from tests.cli import fake_engine
from tests.cli.conftest import Play
from tests.cli.pty_process import PtyProcess, Screen

Capture = pytest.CaptureFixture[str]
CODE = "7-guitar-velvet"
PROMPT = "Accept? [Y/n] "


@pytest.mark.parametrize("answers", [["y"], [""], ["YES"], ["maybe", "y"]])
def test_on_a_terminal_it_asks(answers: list[str]) -> None:
    with PtyProcess(fake_engine.command(fake_engine.success, "receive", CODE)) as process:
        for answer in answers:
            process.expect(PROMPT)
            process.type(f"{answer}\n")
        assert process.wait() == 0
        first, *questions, line, last = process.lines()
    assert first == "film.iso  4.4 GB  from ada-laptop"
    assert questions == [f"{PROMPT}{answer}".rstrip() for answer in answers]
    assert line == "film.iso ━━━━━━━━━━━━ 4.4/4.4 GB 183 MB/s in 0:24 direct"
    assert last == "Saved film.iso (BLAKE3 verified)"


@pytest.mark.parametrize("keys", ["n\n", "\x04"])
def test_declined(keys: str) -> None:
    with PtyProcess(fake_engine.command(fake_engine.success, "receive", CODE)) as process:
        process.expect(PROMPT)
        process.type(keys)
        assert process.wait() == 40
        assert process.lines()[-2] == "rtcsend: You declined."
        assert process.lines()[1].startswith(PROMPT.rstrip())


def test_typing_before_the_question_is_no_answer() -> None:
    command = fake_engine.command(fake_engine.patient, "receive", CODE)
    with PtyProcess(command) as process:
        process.expect("Connecting")
        process.type("\n\ny\ny")
        process.expect("\r\n\r\ny")  # the terminal has it
        process.kill(fake_engine.GO)
        process.expect(PROMPT)
        process.type("n\n")
        assert process.wait() == 40


def test_yes_does_not_ask_but_shows() -> None:
    with PtyProcess(fake_engine.command(fake_engine.success, "receive", "-y", CODE)) as process:
        assert process.wait() == 0
        assert process.lines()[0] == "film.iso  4.4 GB  from ada-laptop"
        assert PROMPT not in process.output


def test_a_script_reads_the_path_from_standard_output(play: Play, capfd: Capture) -> None:
    play(fake_engine.success)
    assert main(["receive", "-y", CODE]) == 0
    out, err = capfd.readouterr()
    assert out == "film.iso\n"
    assert err.splitlines() == [
        "Connecting…",
        "Connected: direct, host to srflx, round trip 0.4 ms.",
        "film.iso  4.4 GB  from ada-laptop",
        "film.iso  4.4 GB  183 MB/s  in 0:24  direct",
        "Saved film.iso (BLAKE3 verified)",
    ]


def test_quiet(play: Play, capfd: Capture) -> None:
    play(fake_engine.success)
    assert main(["receive", "-qy", CODE]) == 0
    assert capfd.readouterr() == ("film.iso\n", "")


def test_quiet_on_a_terminal_shows_nothing() -> None:
    with PtyProcess(fake_engine.command(fake_engine.success, "receive", "-qy", CODE)) as process:
        assert process.wait() == 0
        assert process.lines() == ["film.iso  4.4 GB  from ada-laptop"]


def test_json(play: Play, capfd: Capture) -> None:
    play(fake_engine.success)
    assert main(["receive", "-y", "--json", CODE]) == 0
    out, err = capfd.readouterr()
    names = [json.loads(line)["event"] for line in out.splitlines()]
    assert names == ["paired", "connected", "proposal", "progress", "progress", "done"]
    assert not err


def test_verify_shows_the_string(play: Play, capfd: Capture) -> None:
    play(fake_engine.success)
    assert main(["receive", "-y", "--verify", CODE]) == 0
    assert "Verification: tennis-orbit-canvas\n" in capfd.readouterr().err


def test_options_reach_the_engine(play: Play) -> None:
    engine = play(fake_engine.success)
    arguments = "-y -o there --skip --max-size 1G --accept-glob *.iso --accept-glob *.img"
    arguments += " --max-files 10 --preserve"
    assert main(["receive", *arguments.split(), "7 guitar velvet"]) == 0
    assert engine.options == [
        ReceiveOptions(
            code=CODE,
            output=Path("there"),
            conflict=Conflict.SKIP,
            max_size=10**9,
            max_files=10,
            preserve=True,
            accept_glob=("*.iso", "*.img"),
        )
    ]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([CODE], "There is no terminal to ask on whether to accept.\nPass -y to accept.\n"),
        (["-y", "7-guitarr-velvet"], "“guitarr” is not a code word; did you mean “guitar”?"),
        (["-y", CODE, "--overwrite", "--rename"], "--overwrite and --rename exclude each other."),
        (["-y", CODE, "--rename", "--skip"], "--rename and --skip exclude each other."),
        (["-y", CODE, "--max-size", "big"], "--max-size takes a size, and “big” is none."),
        (["-y", CODE, "--code-file", "x"], "CODE and --code-file are two sources"),
        (["-y"], "There is no code on standard input."),
        (["-y", CODE, "-o", ""], "--output takes a path, and an empty one was given.\nWrite . to"),
        (["-y", CODE, "--into="], "--output takes a path, and an empty one was given.\nWrite . to"),
    ],
)
def test_usage_errors_come_before_anybody_is_contacted(
    arguments: list[str], message: str, play: Play, capfd: Capture
) -> None:
    engine = play(fake_engine.success)
    assert main(["receive", *arguments]) == 2
    assert message in capfd.readouterr().err
    assert not engine.options


def test_an_output_with_a_slash_at_its_end_is_a_folder(
    play: Play, capfd: Capture, tmp_path: Path
) -> None:
    engine = play(fake_engine.success)
    assert main(["receive", "-y", CODE, "-o", f"{tmp_path}/"]) == 0
    assert engine.options == [ReceiveOptions(code=CODE, output=tmp_path)]
    assert main(["receive", "-y", CODE, "-o", f"{tmp_path}/inbox/"]) == 51
    assert f"The folder {tmp_path}/inbox does not exist.\n" in capfd.readouterr().err
    assert main(["receive", "-y", CODE, "-o", f"{'a' * 300}/"]) == 51  # no name can be as long
    assert len(engine.options) == 1


def test_code_from_standard_input(play: Play, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = play(fake_engine.success)
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{CODE}\nanother line\n"))
    assert main(["receive", "-y"]) == 0
    assert engine.options == [ReceiveOptions(code=CODE)]


@pytest.mark.parametrize(
    ("keys", "last"),
    [
        ("o\n", "Saved overwrite (BLAKE3 verified)"),
        ("rename\n", "Saved rename (BLAKE3 verified)"),
        ("what\ns\n", "Saved skip (BLAKE3 verified)"),
        ("c\n", "Run it again with --overwrite, --rename or --skip, or with another --output."),
        ("\x04", "Run it again with --overwrite, --rename or --skip, or with another --output."),
    ],
)
def test_conflict_is_asked(keys: str, last: str) -> None:
    with PtyProcess(fake_engine.command(fake_engine.conflict, "receive", CODE)) as process:
        process.expect("film.iso exists. [o]verwrite, [r]ename, [s]kip, [c]ancel? ")
        process.type(keys)
        assert process.wait() == (53 if "again" in last else 0)
        assert process.lines()[-1] == last


def test_conflict_without_a_terminal_is_an_error(play: Play, capfd: Capture) -> None:
    play(fake_engine.conflict)
    assert main(["receive", "-y", CODE]) == 53
    assert "rtcsend: film.iso exists.\n" in capfd.readouterr().err


def test_hostile_names_are_shown_harmless() -> None:
    with PtyProcess(fake_engine.command(fake_engine.hostile, "receive", CODE)) as process:
        process.expect(PROMPT)
        process.type("y\n")
        assert process.wait() == 0
        lines = Screen(process.output).lines()  # fails on any sequence that is not ours
    shown = r"\x1b]0;owned\x07\x9b31mfi\u202egpj.exe\r\n[red]x[/red]"
    assert lines[0] == rf"{shown}  4.4 GB  from \x1b[2Jada"
    assert f"Saved {shown} (BLAKE3 verified)" in "".join(lines)


def test_hostile_sentences_are_shown_harmless() -> None:
    with PtyProcess(fake_engine.command(fake_engine.hostile, "receive", CODE)) as process:
        process.expect(PROMPT)
        process.type("n\n")
        assert process.wait() == 41
        assert r"rtcsend: The other side says: \x1b]0;owned\x07" in "".join(process.lines())


def test_hostile_path_on_standard_output_is_as_it_is(
    play: Play, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    play(fake_engine.hostile)
    assert main(["receive", "-y", CODE]) == 0
    assert capfdbinary.readouterr().out == fake_engine.HOSTILE_NAME.encode() + b"\n"
