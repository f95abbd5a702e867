"""What people see, event by event, with standard error captured and the view recorded."""

import io
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from rtcsend.cli.display import HumanOutput, Role, receive_command
from rtcsend.cli.figures import TransferState
from rtcsend.cli.live import Layout, LiveView, shorten
from rtcsend.events import (
    Checking,
    Done,
    Event,
    LeftOut,
    Reconnecting,
    RelayProtocol,
    Resumed,
    RouteChanged,
    Scanning,
    Stalled,
)
from tests.cli import fake_engine
from tests.cli.fake_engine import CODE, CONNECTED, DONE, PAIRED, progress, proposal
from tests.cli.pty_process import Screen

Capture = pytest.CaptureFixture[str]


class RecordedView(LiveView):
    """Keeps what it was asked to draw."""

    def __init__(self) -> None:
        super().__init__(io.StringIO(), width=80)
        self.log: list[str] = []

    def show_status(self, text: str) -> None:
        self.log.append(text)

    def show_progress(self, state: TransferState) -> None:
        self.log.append(f"{state.name} {state.bytes} {state.route}")

    def keep(self, state: TransferState) -> None:
        self.log.append(f"keep {state.name} {state.bytes} {state.bytes_per_s:.0f} {state.time()}")

    def clear(self) -> None:
        if self.log[-1:] != ["clear"]:
            self.log.append("clear")


def human(
    role: Role, *, view: LiveView | None = None, quiet: bool = False, verify: bool = False
) -> HumanOutput:
    return HumanOutput(
        role=role,
        name="film.iso" if role == "send" else "",
        results=None,
        live=None if view is None else lambda: view,
        quiet=quiet,
        verify=verify,
    )


def test_sender_states() -> None:
    view = RecordedView()
    output = human("send", view=view)
    for event in (CODE, PAIRED, CONNECTED, proposal(), progress(0), progress(7), DONE):
        output.emit(event)
    assert view.log == [
        "Waiting for the other side…",
        "Connecting…",
        "Waiting for the receiver to accept…",
        "film.iso 0 direct",
        "film.iso 7 direct",
        "keep film.iso 4400000000 182572614 in 0:24",
        "clear",
    ]


@pytest.mark.parametrize(
    ("relay_protocol", "line", "column"),
    [
        (None, "Connected: relay, srflx to relay, round trip 0.4 ms.", "relay"),
        ("udp", "Connected: relay by UDP, srflx to relay, round trip 0.4 ms.", "relay"),
        ("tls", "Connected: relay by TLS, srflx to relay, round trip 0.4 ms.", "relay/tls"),
    ],
)
def test_how_the_relay_is_reached(
    relay_protocol: RelayProtocol | None, line: str, column: str, capfd: Capture
) -> None:
    event = replace(CONNECTED, route="relay", local="srflx", remote="relay")
    event = replace(event, relay_protocol=relay_protocol)
    human("send").emit(event)
    assert line in capfd.readouterr().err.splitlines()
    view = RecordedView()
    output = human("send", view=view)
    for shown in (CODE, PAIRED, event, progress(7)):
        output.emit(shown)
    assert f"film.iso 7 {column}" in view.log


def test_a_lan_in_place_of_a_vpn_is_shown(capfd: Capture) -> None:
    by_vpn = replace(CONNECTED, remote="host", vpn=True, rtt_ms=38.2)
    by_lan = RouteChanged(route="direct", local="host", remote="host", protocol="udp", rtt_ms=0.4)
    output = human("send")
    output.emit(by_vpn)
    output.emit(by_lan)
    output.emit(replace(CONNECTED, route="relay", remote="relay", vpn=True, rtt_ms=None))
    lines = capfd.readouterr().err.splitlines()
    assert [line for line in lines if ", host to " in line] == [
        "Connected: direct by VPN, host to host, round trip 38 ms.",
        "Better route: direct, host to host, round trip 0.4 ms.",
        "Connected: relay, host to relay.",
    ]
    view = RecordedView()
    output = human("send", view=view)
    for shown in (CODE, PAIRED, by_vpn, progress(7), by_lan, progress(8)):
        output.emit(shown)
    assert [line for line in view.log if line.startswith("film.iso")] == [
        "film.iso 7 vpn",
        "film.iso 8 direct",
    ]


def test_a_round_trip_that_nobody_knows_is_not_shown(capfd: Capture) -> None:
    human("send").emit(replace(CONNECTED, rtt_ms=None))
    assert "Connected: direct, host to srflx." in capfd.readouterr().err.splitlines()


def test_a_better_route_is_shown(capfd: Capture) -> None:
    relayed = replace(CONNECTED, route="relay", local="relay", relay_protocol="tcp")
    better = RouteChanged(route="direct", local="host", remote="host", protocol="udp", rtt_ms=0.4)
    human("send").emit(better)
    assert (
        "Better route: direct, host to host, round trip 0.4 ms."
        in capfd.readouterr().err.splitlines()
    )
    view = RecordedView()
    output = human("send", view=view)
    for shown in (CODE, PAIRED, relayed, progress(7), better, progress(8)):
        output.emit(shown)
    assert [line for line in view.log if line.startswith("film.iso")] == [
        "film.iso 7 relay/tcp",
        "film.iso 8 direct",
    ]


def test_receiver_states() -> None:
    view = RecordedView()
    output = human("receive", view=view)
    for event in (PAIRED, CONNECTED, proposal("other.iso"), progress(7), DONE):
        output.emit(event)
    assert view.log == [
        "Connecting…",
        "clear",  # the question comes
        "other.iso 7 direct",
        "keep other.iso 4400000000 182572614 in 0:24",
        "clear",
    ]


LOST = Reconnecting(reason="The path broke.", attempt=1)
SECOND = Reconnecting(reason="The server sent \x1b[2J.", attempt=2)


def test_a_loss_on_a_terminal(capsys: Capture) -> None:
    view = RecordedView()
    output = human("send", view=view)
    for event in (CONNECTED, progress(7), LOST, SECOND, CONNECTED, Resumed(bytes=7_000_000)):
        output.emit(event)
    output.emit(Stalled(seconds=4, reason="Nothing comes."))
    output.emit(progress(8))
    assert view.log == [
        "Waiting for the receiver to accept…",
        "film.iso 7 direct",
        "clear",
        "Reconnecting (attempt 1)…",
        "Reconnecting (attempt 2)… The server sent \\x1b[2J.",
        "Connected again. Going on…",
        "clear",
        "Nothing moves for 4 s. Nothing comes.",
        "film.iso 8 direct",
    ]
    assert capsys.readouterr().err.splitlines() == [
        "The path broke.",
        "Going on: 7.0 MB need not be sent again.",
    ]


def test_a_loss_where_nothing_moves(capsys: Capture) -> None:
    output = human("receive")
    for attempt in range(1, 10):
        output.emit(Reconnecting(reason="No.", attempt=attempt))
    output.emit(CONNECTED)
    for part in range(5):
        output.emit(Checking(bytes=part * 10**9, total=fake_engine.TOTAL))
    output.emit(Resumed(bytes=0))
    for _ in range(2):
        for seconds in (4, 9, 14):
            output.emit(Stalled(seconds=seconds, reason="Why."))
        output.emit(progress(8))
    assert capsys.readouterr().err.splitlines() == [
        "No. Reconnecting…",
        "Reconnecting (attempt 2): No.",
        "Reconnecting (attempt 4): No.",
        "Reconnecting (attempt 8): No.",
        "Connected: direct, host to srflx, round trip 0.4 ms.",
        "Connected again. Going on…",
        "Checking what is there already…",
        *(2 * ["Nothing moves for 4 s. Why.", "Nothing moves for 9 s. Why."]),
    ]


def test_a_loss_behind_a_question(capsys: Capture) -> None:
    """Nothing is drawn over the question; when it is answered, the last news are."""
    view = RecordedView()
    output = human("receive", view=view)
    output.hold()
    for event in (LOST, SECOND, CONNECTED):
        output.emit(event)
    assert view.log in ([], ["clear"])
    output.go_on()
    assert view.log[-1] == "Connected again. Going on…"
    assert capsys.readouterr().err == ""


def test_interruptions_fit_into_a_terminal() -> None:
    view, stream = recorded(80)
    output = human("send", view=view)
    output.emit(progress(7))
    output.emit(Reconnecting(reason="A sentence that goes on and on. " * 5, attempt=3))
    output.emit(Stalled(seconds=12345, reason="A sentence that goes on and on. " * 5))
    output.emit(Checking(bytes=0, total=fake_engine.TOTAL))
    view.clear()
    screen = Screen(stream.getvalue())
    assert screen.lines() == []
    assert screen.cursor_shown


def test_quiet_is_quiet(capsys: Capture) -> None:
    output = human("send", quiet=True)
    for event in (LOST, SECOND, Resumed(bytes=7), Stalled(seconds=4, reason="Why.")):
        output.emit(event)
    assert capsys.readouterr().err == ""


def test_the_view_is_made_when_there_is_something_to_draw() -> None:
    def make() -> LiveView:
        raise AssertionError("rich was imported")

    output = HumanOutput(role="receive", name="", results=None, live=make, quiet=False)
    output.tell("A line")
    output.clear()
    output.close()
    quiet = HumanOutput(role="send", name="", results=None, live=make, quiet=True)
    for event in (CODE, PAIRED, CONNECTED, proposal(), progress(1), DONE):
        quiet.emit(event)


def done(*paths: str, blake3: str = "ab") -> Done:
    return Done(files=len(paths), bytes=0, moved=0, seconds=0.0, blake3=blake3, paths=paths)


@pytest.mark.parametrize(
    ("role", "event", "line"),
    [
        ("send", done("/there/film.iso"), "Sent. Verified by the receiver."),
        (
            "send",
            done(blake3=""),
            "Not sent: the receiver has all of it already, and skipped it.",
        ),
        ("receive", done("film (1).iso"), "Saved film (1).iso (BLAKE3 verified)"),
        ("receive", done("/elsewhere/a"), "Saved /elsewhere/a (BLAKE3 verified)"),
        ("receive", done("a\x1bb"), "Saved a\\x1bb (BLAKE3 verified)"),
        ("receive", done(blake3=""), "Skipped film.iso: it is there already."),
    ],
)
def test_last_line(role: Role, event: Event, line: str, capfd: Capture) -> None:
    output = human(role)
    output.emit(proposal())
    output.emit(event)
    assert capfd.readouterr().err.splitlines()[-1] == line


def test_path_below_the_current_folder_is_shown_relative(capfd: Capture) -> None:
    human("receive").emit(done(str(Path.cwd() / "sub" / "film.iso")))
    assert capfd.readouterr().err.endswith(f"Saved {Path('sub/film.iso')} (BLAKE3 verified)\n")


def test_only_the_receiver_with_verify_shows_the_string(capfd: Capture) -> None:
    human("receive").emit(PAIRED)
    human("send", verify=True).emit(PAIRED)
    assert "tennis" not in capfd.readouterr().err
    human("receive", verify=True).emit(PAIRED)
    assert "Verification: tennis-orbit-canvas\n" in capfd.readouterr().err


def test_what_is_left_out(capfd: Capture) -> None:
    output = human("send")
    output.emit(LeftOut(path="top/\x1bx", reason="a socket"))
    output.emit(LeftOut(path="", reason="", more=1234))
    assert capfd.readouterr().err == "Left out: top/\\x1bx (a socket)\nLeft out: 1,234 more\n"


def test_names_that_were_made_safe_are_told_at_the_end(capfd: Capture) -> None:
    output = human("receive")
    output.emit(replace(proposal(), renamed=2))
    output.emit(DONE)
    assert capfd.readouterr().err.splitlines()[-1] == "2 names were made safe."


@pytest.mark.parametrize("role", ["send", "receive"])
def test_both_sides_count_files(role: Role, capfd: Capture) -> None:
    human(role).emit(replace(DONE, files=32, paths=("photos", "notes.md")))
    assert capfd.readouterr().err.startswith("32 files  4.4 GB")


def test_a_long_scan_is_shown(capfd: Capture) -> None:
    human("send").emit(Scanning(entries=12_345, bytes=10**9))  # nothing, where nothing moves
    assert capfd.readouterr().err == ""


def test_many_things_are_saved(capfd: Capture) -> None:
    output = human("receive")
    output.emit(replace(DONE, files=30, paths=tuple(map(str, range(30)))))
    lines = capfd.readouterr().err.splitlines()
    assert lines[-2:] == ["Saved 9 (BLAKE3 verified)", "… and 20 more"]


def test_receive_command() -> None:
    assert receive_command("7-a-b", server=None) == "rtcsend receive 7-a-b"
    assert receive_command("7-a-b", server="x y") == "rtcsend receive 7-a-b --server 'x y'"


def recorded(width: int) -> tuple[LiveView, io.StringIO]:
    stream = io.StringIO()
    view = LiveView(stream)
    view._console = Console(
        file=stream,
        width=width,
        force_terminal=True,
        color_system="truecolor",
        highlight=False,
        markup=False,
        emoji=False,
        _environ={},
    )
    return view, stream


def state(name: str, part: int = 2_200_000_000, *, seconds: float | None = None) -> TransferState:
    return TransferState(
        name=name,
        bytes=part,
        total=fake_engine.TOTAL,
        bytes_per_s=99.9e6,
        seconds=seconds,
        route="relay/tcp",
    )


@pytest.mark.parametrize("width", [24, 40, 60, 61, 64, 80, 100, 200])
@pytest.mark.parametrize("name", ["film.iso", "n" * 255, "日本" * 60 + ".iso", "[red]{task}[/red]"])
def test_progress_is_one_line_of_any_terminal(name: str, width: int) -> None:
    view, stream = recorded(width)
    view.show_progress(state(name))
    view.show_progress(state(name))
    view.keep(state(name, fake_engine.TOTAL, seconds=3723))
    screen = Screen(stream.getvalue())
    assert len(screen.lines()) == 1
    assert screen.cursor_shown
    if width >= 40:
        assert "4.4/4.4 GB 99.9 MB/s" in screen.lines()[0]
    if width >= 61:
        assert screen.lines()[0].endswith("in 1:02:03 relay/tcp")


def test_markup_in_a_name_is_no_markup() -> None:
    view, stream = recorded(120)
    view.keep(state("[red]{task}[/red] :smile:"))
    assert Screen(stream.getvalue()).lines()[0].startswith("[red]{task}[/red] :smile: ━")


def test_empty_file_is_complete() -> None:
    view, stream = recorded(80)
    view.keep(TransferState(name="empty", bytes=0, total=0, bytes_per_s=0, seconds=0))
    assert Screen(stream.getvalue()).lines() == ["empty ━━━━━━━━━━━━ 0/0 B 0 B/s in 0:00"]


def test_clear_leaves_nothing() -> None:
    view, stream = recorded(80)
    view.show_status("Waiting…")
    view.show_status("Still waiting…")
    view.show_progress(state("film.iso"))
    view.show_status("Waiting again…")
    view.show_progress(state("film.iso"))
    view.clear()
    view.clear()
    screen = Screen(stream.getvalue())
    assert screen.lines() == []
    assert screen.cursor_shown


@pytest.mark.parametrize("width", range(1, 250))
def test_layout_fits(width: int) -> None:
    layout = Layout.for_width(width)
    assert layout.name >= 1
    figures = 49 if "route" in layout.figures else 24
    assert layout.name + layout.bar + figures <= max(width, 25)
    if width >= 80:
        assert layout.bar >= 12
        assert layout.name >= 19


@pytest.mark.parametrize(
    ("name", "width", "shown"),
    [
        ("film.iso", 8, "film.iso"),
        ("film.iso", 7, "fil…iso"),
        ("a-long-name.tar.gz", 10, "a-lon…r.gz"),
        ("日本語日本語", 7, "日…語"),
        ("ab", 1, "…"),
    ],
)
def test_shorten(name: str, width: int, shown: str) -> None:
    assert shorten(name, width=width) == shown
