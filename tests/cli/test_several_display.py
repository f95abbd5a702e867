"""What people and programs see of several receivers, beside the table itself."""

import io

import pytest

from rtcsend.cli.json_output import JsonOutput
from rtcsend.cli.live_lines import Lines, LiveLines
from rtcsend.cli.several_display import SeveralOutput
from rtcsend.events import Closed, CodeReady, Done, Event, LeftOut
from tests.cli.pty_process import Screen
from tests.cli.test_receivers_table import MB, connected, done, paired, progress

CODE = CodeReady(code="7-guitar-velvet", server="ws://127.0.0.1:1/v1", embedded=True)
ALL = Done(files=1, bytes=9, moved=18, seconds=1.0, blake3="ab", paths=("x",))

Capture = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def capable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")


class Stream(io.StringIO):
    def isatty(self) -> bool:
        return True


class Terminal:
    """A terminal of 80 columns and a few lines, on which what moves is drawn."""

    def __init__(self, *, height: int = 24) -> None:
        self.stream = Stream()
        self._height = height

    def make_view(self, lines: Lines) -> LiveLines:
        return LiveLines(self.stream, lines, width=80, height=self._height)


def output(
    terminal: Terminal | None = None, *, wanted: int | None = 2, **more: bool
) -> SeveralOutput:
    return SeveralOutput(
        wanted=wanted,
        results=None,
        live=None if terminal is None else terminal.make_view,
        quiet=more.get("quiet", False),
        verify=more.get("verify", False),
    )


def show(shown: SeveralOutput, *events: Event) -> None:
    for event in events:
        shown.emit(event)
    shown.close()


def test_where_nothing_moves_every_state_is_a_line(capsys: Capture) -> None:
    left_out = LeftOut(path="a\x1b", reason="a socket")
    closed = Closed(reason="It\x1b refuses.", seconds=8)
    show(
        output(),
        left_out,
        CODE,
        closed,
        paired(1),
        connected(1),
        progress(1, MB),
        done(1),
        done(2),
        ALL,
    )
    assert capsys.readouterr().err.splitlines() == [
        r"Left out: a\x1b (a socket)",
        "On each of the 2 other machines, run:",
        "    rtcsend receive 7-guitar-velvet",
        "Waiting for the receivers…",
        r"Nobody else can come for 8 s: It\x1b refuses.",
        "Receiver 1 has come.",
        "Receiver 1: connected, relay/tls.",
        "Receiver 1: sent and verified. 4.4 GB in 0:51, 86.3 MB/s, relay/tls.",
        "Receiver 2: sent and verified. 4.4 GB in 0:51, 86.3 MB/s.",
        "Sent to all 2, and verified by each. 18 B in all.",
    ]


def test_another_code_is_shown_as_such(capsys: Capture) -> None:
    show(output(wanted=None), CODE, CODE)
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "On the other machines, run:"
    assert lines[3] == "That code was guessed at too often. From now on it is another one:"
    assert lines[4] == "    rtcsend receive 7-guitar-velvet"


def test_quiet_says_nothing(capsys: Capture) -> None:
    show(output(quiet=True), CODE, paired(1), connected(1), done(1), ALL)
    assert capsys.readouterr().err == ""


def test_what_moves_is_gone_at_the_end() -> None:
    terminal = Terminal(height=8)
    shown = output(terminal, wanted=64)
    shown.emit(CODE)
    for number in range(1, 20):
        shown.emit(paired(number))
    shown.clear()
    shown.emit(progress(1, MB))  # drawn at once, and then now and then
    drawn = terminal.stream.getvalue()
    shown.close()
    assert "… and" in drawn
    assert Screen(terminal.stream.getvalue()).lines() == []


def test_a_question_has_the_screen_for_itself(capsys: Capture) -> None:
    terminal = Terminal()
    shown = output(terminal, verify=True)
    shown.emit(CODE)
    shown.hold()
    before = len(terminal.stream.getvalue())
    said = capsys.readouterr().err
    shown.emit(done(1))
    assert len(terminal.stream.getvalue()) == before
    assert capsys.readouterr().err == ""
    shown.go_on()
    assert capsys.readouterr().err.startswith("Receiver 1: sent and verified.")
    assert said.startswith("On each of the 2")
    assert len(terminal.stream.getvalue()) > before
    shown.close()


class Kept:
    """Keeps lines instead of writing them."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def put(self, line: str, *, droppable: bool = False) -> None:
        self.lines.append(line)

    def close(self) -> None:
        pass


def test_programs_see_the_progress_of_each() -> None:
    kept = Kept()
    times = iter((0.0, 0.0, 0.1, 0.1, 0.2, 0.2, 0.3, 0.3))
    programs = JsonOutput(results=kept, clock=lambda: next(times))  # type: ignore[arg-type]
    for _ in range(4):
        programs.emit(progress(1, MB))
        programs.emit(progress(2, MB))
    assert ['"receiver": 1' in line for line in kept.lines] == [True, False, True, False]
