"""What people and scripts see of a stream and of a text."""

import asyncio
import json
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from rtcsend.cli import main
from rtcsend.cli.checksums import checksums_in
from rtcsend.cli.figures import TransferState
from rtcsend.cli.main import main as run_main
from rtcsend.cli.proposal_view import describe, describe_fully, is_text
from rtcsend.events import Done, Entry, Progress, Proposal
from rtcsend.options import CommonOptions, Emit, Questions, ReceiveOptions
from tests.cli.conftest import Play
from tests.cli.fake_engine import CODE, CONNECTED, DONE, PAIRED, FakeEngine, put_in_place
from tests.cli.pty_process import PtyProcess

Capture = pytest.CaptureFixture[str]
RECEIVE = ("receive", "7-guitar-velvet")
TEXT = "two lines,\nand \x1b[31mred\u202e"


def proposed(kind: str, size: int | None, name: str) -> Proposal:
    entry = Entry(path=name, kind=kind, bytes=size)  # type: ignore[arg-type]  # of the two
    return Proposal(files=1, bytes=size, entries=(entry,), sender="ada-laptop", tops=(name,))


STREAM = proposed("stream", None, "x.tar")
MESSAGE = proposed("text", 24, "message.txt")


async def stream(options: CommonOptions, questions: Questions, emit: Emit) -> Done:
    for event in (CODE, PAIRED, CONNECTED, STREAM):
        emit(event)
    await questions.accept(STREAM)
    for part in (0, 5_000_000, 12_000_000):
        emit(Progress(bytes=part, total=None, bytes_per_s=5_000_000))
        await asyncio.sleep(0.2)
    done = replace(DONE, bytes=12_000_000, moved=12_000_000, seconds=2.4, paths=("x.tar",))
    emit(done)
    return done


async def text(options: CommonOptions, questions: Questions, emit: Emit) -> Done:
    for event in (PAIRED, CONNECTED, MESSAGE):
        emit(event)
    assert await questions.accept(MESSAGE)
    assert isinstance(options, ReceiveOptions)
    stored = options.output is not None
    if options.show_text is not None and not stored:
        await options.show_text(TEXT)
    paths = (str(options.output),) if stored else ()
    done = replace(DONE, bytes=24, moved=24, paths=paths, text=None if stored else TEXT)
    emit(done)
    return done


def command(scenario: str, *arguments: str) -> list[str]:
    return [sys.executable, "-m", "tests.cli.test_streams_and_texts", scenario, *arguments]


def test_descriptions() -> None:
    assert describe(STREAM) == describe_fully(STREAM) == "x.tar  of unknown length  from ada-laptop"
    assert describe(MESSAGE) == describe_fully(MESSAGE) == "a text message  24 B  from ada-laptop"
    assert is_text(MESSAGE)
    assert not is_text(STREAM)


def test_figures_without_a_total() -> None:
    state = TransferState(name="x.tar", bytes=5_000_000, total=None, bytes_per_s=1e6)
    assert state.figures()["size"] == "5.0 MB"
    assert state.time() == ""


def test_a_stream_on_a_terminal() -> None:
    with PtyProcess(command("stream", *RECEIVE)) as process:
        process.expect("x.tar  of unknown length  from ada-laptop")
        process.expect("Accept? [Y/n] ")
        process.type("y\n")
        process.expect("5.0 MB 5.0 MB/s")
        assert process.wait() == 0
        line, last = process.lines()[-2:]
    assert line.split() == [
        "x.tar",
        "━━━━━━━━━━━━",
        "12.0/12.0",
        "MB",
        "5.0",
        "MB/s",
        "in",
        "0:02",
        "direct",
    ]
    assert last == "Saved x.tar (BLAKE3 verified)"


def test_json_of_a_stream(play: Play, capfd: Capture) -> None:
    play(stream)
    assert run_main([*RECEIVE, "-y", "--json"]) == 0
    events = [json.loads(line) for line in capfd.readouterr().out.splitlines()]
    assert {event["total"] for event in events if event["event"] == "progress"} == {None}


def test_a_text_on_a_terminal_needs_no_answer_and_does_no_harm() -> None:
    with PtyProcess(command("text", *RECEIVE)) as process:
        assert process.wait() == 0
        lines = process.lines()
    assert lines == [
        "a text message  24 B  from ada-laptop",
        "two lines,",
        r"and \x1b[31mred\u202e",
        "Text received (BLAKE3 verified).",
    ]


def test_to_store_a_text_needs_one() -> None:
    with PtyProcess(command("text", *RECEIVE, "-o", "note")) as process:
        process.expect("Accept? [Y/n] ")
        process.type("\n")
        assert process.wait() == 0
        assert process.lines()[-1] == "Saved note (BLAKE3 verified)"


@pytest.mark.parametrize("options", [[], ["-q"]])
def test_a_script_gets_the_very_text(play: Play, capfd: Capture, options: list[str]) -> None:
    play(text)
    assert run_main([*RECEIVE, "-y", *options]) == 0
    assert capfd.readouterr().out == TEXT


def test_json_of_a_text(play: Play, capfd: Capture) -> None:
    play(text)
    assert run_main([*RECEIVE, "-y", "--json"]) == 0
    *_, done = (json.loads(line) for line in capfd.readouterr().out.splitlines())
    assert (done["text"], done["paths"]) == (TEXT, [])


def test_without_a_terminal_yes_is_needed_for_a_text_too(play: Play, capfd: Capture) -> None:
    play(text)
    assert run_main(list(RECEIVE)) == 2
    assert "Pass -y to accept." in capfd.readouterr().err


def test_checksums_of_what_is_in_no_file(tmp_path: Path) -> None:
    with checksums_in(tmp_path / "sums") as sums:
        assert sums is not None
        sums.observe(replace(DONE, paths=(), text="x"))
    assert (tmp_path / "sums").read_bytes() == b""


if __name__ == "__main__":
    fake = FakeEngine({"stream": stream, "text": text}[sys.argv[1]])
    put_in_place(fake)
    sys.exit(main.main(sys.argv[2:]))
