"""What a person sees of ``receive --listen``: what is under way moves, what has ended stays."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.live import Live

from rtcsend.cli.figures import TransferState
from rtcsend.cli.listen import ListenOutput
from rtcsend.cli.visits_table import VisitRow, VisitsTable
from rtcsend.events import Connected, Done, Error, Event, Paired, Progress, Proposal, Waiting
from tests.cli.pty_process import Screen
from tests.cli.test_several_display import Capture, Terminal, capable

__all__ = ["capable"]  # a fixture for all

MB = 1_000_000
WAITING = Waiting(machines=("desktop", "ci"), server=None)
WAITS = "Waiting for desktop and ci. Ctrl-C ends it."
ROUTE = Connected(route="direct", local="host", remote="host", protocol="udp", rtt_ms=1.0)


def paired(visit: int, machine: str = "desktop") -> Paired:
    return Paired(verification="1", machine=machine, visit=visit)


def proposal(visit: int, name: str = "film.iso") -> Proposal:
    return Proposal(files=1, bytes=5, entries=(), sender="x", tops=(name,), visit=visit)


def progress(visit: int, count: int, total: int | None = 4400 * MB) -> Progress:
    return Progress(bytes=count, total=total, bytes_per_s=62 * MB, visit=visit)


def done(visit: int) -> Done:
    return Done(
        files=1, bytes=5, moved=5, seconds=1.0, blake3="00", paths=("inbox/x",), visit=visit
    )


def drawn(*events: Event, width: int = 80) -> list[str]:
    """Return the lines that are on the screen after these events, and do not stay there."""
    kept: list[str] = []

    class Table:
        def __init__(self, lines: object) -> None:
            self.lines = lines

        def show(self, *, is_still: bool) -> None:
            assert is_still is (len(self.lines(width, 24)) == 1)  # type: ignore[operator]
            kept[:] = self.lines(width, 24)  # type: ignore[operator]

        def clear(self) -> None:
            kept.clear()

    output = ListenOutput(results=None, quiet=False, live=Table)  # type: ignore[arg-type]
    for event in events:
        output.emit(event)
    return list(kept)


def test_what_is_under_way_has_a_line_each_above_the_waiting() -> None:
    start = (WAITING, paired(1), paired(2, "ci"))
    assert drawn(*start) == ["desktop: Connecting…", "ci: Connecting…", WAITS]
    route = replace(ROUTE, visit=1)
    moving = (*start, route, proposal(1), progress(1, 2200 * MB))
    lines = drawn(*moving)
    assert lines == [
        "desktop: film.iso ━━━━━━         2.2/4.4 GB  62.0 MB/s     0:35 left direct",
        "ci: Connecting…",
        WAITS,
    ]
    assert max(map(len, lines)) < 80
    assert drawn(*moving, done(1)) == ["ci: Connecting…", WAITS]
    ended = Error(code="aborted", exit=41, message="It stopped.", hint="Ask.", visit=2)
    assert drawn(*moving, done(1), ended) == [WAITS]


def test_of_a_stream_nobody_knows_the_size() -> None:
    lines = drawn(WAITING, paired(1), proposal(1, "backup.tar"), progress(1, 9 * MB, None))
    assert lines[0].split() == ["desktop:", "backup.tar", "9.0", "MB", "62.0", "MB/s"]


def test_what_has_ended_stays_and_nothing_that_moved(capsys: Capture) -> None:
    terminal = Terminal()
    output = ListenOutput(results=None, quiet=False, live=terminal.make_view)
    for event in (WAITING, paired(1), replace(ROUTE, visit=1), proposal(1), progress(1, 3 * MB)):
        output.emit(event)
    assert capsys.readouterr().err == "", "it all moves"
    output.emit(done(1))
    said = capsys.readouterr().err.splitlines()
    assert [" ".join(line.split()) for line in said] == [
        "desktop: film.iso 5 B 5 B/s in 0:01 direct",
        "desktop: Saved inbox/x (BLAKE3 verified)",
    ]
    output.close()
    assert Screen(terminal.stream.getvalue()).lines() == []
    assert WAITS in terminal.stream.getvalue()


def test_a_screen_that_waits_is_drawn_once_for_each_event(monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[bool] = []
    start = Live.start

    def noted(live: Live, refresh: bool = False) -> None:
        started.append(live.auto_refresh)
        start(live, refresh)

    monkeypatch.setattr(Live, "start", noted)
    output = ListenOutput(results=None, quiet=False, live=Terminal().make_view)
    for event in (WAITING, WAITING, paired(1), progress(1, 3), done(1), WAITING):
        output.emit(event)
    output.close()
    assert started == [False, True, False]


def test_a_question_has_the_screen_for_itself(capsys: Capture) -> None:
    terminal = Terminal()
    output = ListenOutput(results=None, quiet=False, live=terminal.make_view)
    output.emit(WAITING)
    output.emit(paired(1))
    output.hold()
    before = len(terminal.stream.getvalue())
    output.emit(proposal(1))
    output.emit(done(1))
    assert len(terminal.stream.getvalue()) == before
    assert capsys.readouterr().err == ""
    output.go_on()
    assert "Saved inbox/x" in capsys.readouterr().err
    assert len(terminal.stream.getvalue()) > before
    output.close()


def test_where_nothing_moves_progress_is_a_line_now_and_then(capsys: Capture) -> None:
    def make() -> "object":
        return lambda state: f"{state.bytes} of {state.total}"

    output = ListenOutput(results=None, quiet=False, make_plain=make)  # type: ignore[arg-type]
    for event in (WAITING, paired(1), proposal(1), progress(1, 3), done(1)):
        output.emit(event)
    said = capsys.readouterr().err.splitlines()
    assert said[0] == WAITS
    assert f"desktop: 3 of {4400 * MB}" in said
    assert said[-1] == "desktop: Saved inbox/x (BLAKE3 verified)"


def test_quiet_draws_nothing() -> None:
    terminal = Terminal()
    output = ListenOutput(results=None, quiet=True, live=terminal.make_view)
    output.emit(WAITING)
    output.emit(paired(1))
    assert terminal.stream.getvalue() == ""


@given(
    st.integers(2, 200),
    st.integers(2, 30),
    st.lists(st.tuples(st.text(max_size=40), st.text(max_size=80), st.booleans()), max_size=9),
)
def test_it_fits_whatever_the_terminal_is(
    width: int, height: int, rows: list[tuple[str, str, bool]]
) -> None:
    table = VisitsTable()
    table.waiting = WAITS
    for number, (machine, name, moves) in enumerate(rows):
        row = VisitRow(machine, print)
        if moves:
            row.show_progress(
                TransferState(name=name, bytes=number, total=number or None, bytes_per_s=1e9)
            )
        table.add(number, row)
    lines = table.lines(width, height)
    assert len(lines) <= max(height, 2)
    assert all(len(line) < max(width, 3) for line in lines)
