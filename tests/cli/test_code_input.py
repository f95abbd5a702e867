import io
from pathlib import Path

import pytest

from rtcsend.cli.code_input import _Completer, code_for_receive, code_for_send
from rtcsend.errors import CannotRead, UsageError
from tests.cli import fake_engine
from tests.cli.pty_process import PtyProcess

CODE = "7-guitar-velvet"
OTHER = "8-legal-winner"


@pytest.fixture
def code_file(tmp_path: Path) -> Path:
    path = tmp_path / "code"
    path.write_text(f"\ufeff {CODE}\r\n", encoding="utf-8")
    return path


def test_argument_wins_over_the_environment() -> None:
    code = code_for_receive(argument=CODE, code_file=None, environment={"RTCSEND_CODE": OTHER})
    assert code == CODE


def test_file_wins_over_the_environment(code_file: Path) -> None:
    environment = {"RTCSEND_CODE": OTHER}
    assert code_for_receive(argument=None, code_file=code_file, environment=environment) == CODE
    assert code_for_send(option=None, code_file=code_file, environment=environment) == CODE


def test_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(OTHER))
    environment = {"RTCSEND_CODE": CODE}
    assert code_for_receive(argument=None, code_file=None, environment=environment) == CODE
    assert code_for_send(option=None, code_file=None, environment=environment) == CODE


def test_sender_draws_a_code_by_default() -> None:
    assert code_for_send(option=None, code_file=None, environment={"RTCSEND_CODE": ""}) is None


def test_two_sources_contradict_each_other(code_file: Path) -> None:
    with pytest.raises(UsageError, match="CODE and --code-file are two sources"):
        code_for_receive(argument=CODE, code_file=code_file, environment={})
    with pytest.raises(UsageError, match="--code and --code-file are two sources"):
        code_for_send(option=CODE, code_file=code_file, environment={})


def test_file_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(CannotRead, match="cannot be read: No such file or directory"):
        code_for_receive(argument=None, code_file=tmp_path / "missing", environment={})
    with pytest.raises(CannotRead, match="cannot be read: Is a directory"):
        code_for_receive(argument=None, code_file=tmp_path, environment={})


def test_file_without_an_end() -> None:
    with pytest.raises(UsageError, match="too long"):
        code_for_receive(argument=None, code_file=Path("/dev/zero"), environment={})


def test_standard_input_is_read_for_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    stdin = io.StringIO(f"{CODE}\nthe rest")
    monkeypatch.setattr("sys.stdin", stdin)
    assert code_for_receive(argument=None, code_file=None, environment={}) == CODE
    assert stdin.read() == "the rest"


@pytest.mark.parametrize("stdin", [None, io.StringIO(), io.StringIO("\n")])
def test_no_code_anywhere(stdin: io.StringIO | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", stdin)
    with pytest.raises(UsageError, match="no code on standard input"):
        code_for_receive(argument=None, code_file=None, environment={})


def test_complete_is_what_readline_asks_for() -> None:
    completer = _Completer()
    assert [completer("7-guit", state) for state in range(2)] == ["7-guitar-", None]
    assert [completer("7-zzz", state) for state in range(1)] == [None]


def test_prompt_completes_corrects_and_asks_again() -> None:
    with PtyProcess(fake_engine.command(fake_engine.success, "receive", "-y")) as process:
        process.expect("Code: ")
        process.type("7-guitarr-velvet\n")
        process.expect("“guitarr” is not a code word; did you mean “guitar”?")
        process.expect("Code [7-guitar-velvet]: ")
        process.type("7-guit\t")
        process.expect("7-guitar-")
        process.type("velv\t\n")
        assert process.wait() == 0
        assert "Saved film.iso (BLAKE3 verified)" in process.lines()


@pytest.mark.parametrize("keys", ["\x03", "\x04"])
def test_prompt_can_be_left(keys: str) -> None:
    with PtyProcess(fake_engine.command(fake_engine.success, "receive")) as process:
        process.expect("Code: ")
        process.type_until(keys, "No code was given.")
        assert process.wait() == 130
        assert process.lines()[-2:] == [
            "rtcsend: No code was given.",
            "Run the command again when you have it.",
        ]
        assert process.echoes()


def test_prompt_keeps_off_standard_output() -> None:
    command = fake_engine.command(fake_engine.success, "receive", "-y")
    with PtyProcess(command, stdout_is_pipe=True) as process:
        process.expect("Code: ")
        process.type(f"{CODE}\n")
        assert process.wait() == 0
        assert process.stdout() == "film.iso\n"


def test_a_terminal_that_cannot_show_the_question() -> None:
    command = fake_engine.command(fake_engine.success, "receive", "-y")
    # Standard error is a file: nobody would see the prompt.
    with PtyProcess(["sh", "-c", '"$@" 2>/dev/null', "sh", *command]) as process:
        assert process.wait() == 2


def test_enter_takes_the_suggestion() -> None:
    with PtyProcess(fake_engine.command(fake_engine.success, "receive", "-y")) as process:
        process.expect("Code: ")
        process.type("7-guitarr-velet\n")
        process.expect("Code [7-guitar-velvet]: ")
        process.type("\n")
        assert process.wait() == 0


def test_a_mistyped_argument_is_asked_about_on_a_terminal() -> None:
    command = fake_engine.command(fake_engine.success, "receive", "-y", "7-guitarr-velvet")
    with PtyProcess(command) as process:
        process.expect("“guitarr” is not a code word; did you mean “guitar”?")
        process.expect("Code [7-guitar-velvet]: ")
        process.type("8-legal-winner\n")
        assert process.wait() == 0


def test_an_argument_beyond_help_is_an_error_there_too() -> None:
    with PtyProcess(
        fake_engine.command(fake_engine.success, "receive", "-y", "7-zzzqqq-velvet")
    ) as process:
        assert process.wait() == 2


def test_a_dash_is_standard_input_for_both(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{CODE}\n{OTHER}\n"))
    dash, environment = Path("-"), {"RTCSEND_CODE": "9-legal-winner"}
    assert code_for_send(option=None, code_file=dash, environment=environment) == CODE
    assert code_for_receive(argument=None, code_file=dash, environment=environment) == OTHER
