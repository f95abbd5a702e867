"""A line for each receiver, whatever the terminal is."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from rtcsend.cli.receivers_table import ReceiversTable
from rtcsend.errors import Declined, PeerAborted, PeerNeverCame, RtcsendError, WrongCode
from rtcsend.events import (
    Checking,
    Connected,
    Done,
    Error,
    Event,
    Paired,
    Progress,
    Reconnecting,
    Resumed,
    RouteChanged,
    Stalled,
)

MB = 1_000_000


def paired(number: int) -> Paired:
    return Paired(receiver=number, verification="4821 0932")


def connected(number: int, cls: type[Connected | RouteChanged] = Connected) -> Event:
    return cls(
        receiver=number,
        route="relay",
        local="relay",
        remote="host",
        protocol="udp",
        rtt_ms=1.0,
        relay_protocol="tls",
    )


def progress(number: int, count: int, total: int = 4400 * MB) -> Progress:
    return Progress(receiver=number, bytes=count, total=total, bytes_per_s=62 * MB)


def done(number: int, *, blake3: str = "ab") -> Done:
    return Done(
        receiver=number,
        files=1,
        bytes=4400 * MB,
        moved=4400 * MB,
        seconds=51.0,
        blake3=blake3,
        paths=("x",),
    )


def error(number: int, exc: RtcsendError) -> Error:
    return Error(
        receiver=number, code=exc.slug, exit=exc.exit_code, message=exc.message, hint=exc.hint
    )


def table(*events: Event, wanted: int | None = 3, verify: bool = False) -> ReceiversTable:
    made = ReceiversTable(wanted=wanted, verify=verify)
    for event in events:
        made.observe(event)
    return made


def test_each_has_a_line_and_all_have_a_sum() -> None:
    served = table(
        *(event for number in (1, 2, 3) for event in (paired(number), connected(number))),
        progress(1, 2400 * MB),
        done(2),
        wanted=4,
    )
    bar = "━" * 13 + " " * 11
    assert served.lines(width=80, height=21) == [
        f"    1 {bar}   2.4/4.4 GB  62.0 MB/s     0:32 left relay/tls",
        "    3 Waiting for the receiver to accept…",
        "      2.4/4.4 GB  62.0 MB/s  1 done, waiting for 1 more",
    ]


@pytest.mark.parametrize(
    ("wanted", "events", "line"),
    [
        (3, [], "Waiting for 3 receivers…"),
        (3, [done(1), error(2, WrongCode("No."))], "1 done, waiting for 2 more"),
        (1, [paired(1), error(1, Declined("No."))], "1 failed"),
        (None, [], "Waiting for somebody…"),
        (None, [paired(1), done(1)], "1 done, waiting for more"),
    ],
)
def test_what_is_waited_for(wanted: int | None, events: list[Event], line: str) -> None:
    assert table(*events, wanted=wanted).lines(width=80, height=5) == [line]


def test_more_than_fit_are_counted() -> None:
    served = table(*(paired(number) for number in range(1, 65)), wanted=64)
    lines = served.lines(width=80, height=21)
    assert len(lines) == 21
    assert lines[18].startswith("   19 ")
    assert lines[19] == "      … and 45 more"


@pytest.mark.parametrize(
    ("event", "line"),
    [
        (done(1), "Receiver 1: sent and verified. 4.4 GB in 0:51, 86.3 MB/s, relay/tls."),
        (done(1, blake3=""), "Receiver 1: not sent, it has all of it already."),
        (error(1, Declined("x\x1b was declined.")), r"Receiver 1: x\x1b was declined."),
        (error(2, WrongCode("No.")), "Somebody came with a wrong code (2)."),
        (error(2, PeerAborted("Gone.")), "Somebody came, and did not prove the code (2)."),
        (error(2, PeerNeverCame("Nobody.")), ""),
        (Resumed(receiver=1, bytes=MB), "Receiver 1: Going on: 1.0 MB need not be sent again."),
        (Reconnecting(receiver=1, reason="It is lost.", attempt=1), "Receiver 1: It is lost."),
        (Progress(receiver=9, bytes=1, total=2, bytes_per_s=1), ""),
    ],
)
def test_what_stays_on_the_screen(event: Event, line: str) -> None:
    assert table(paired(1), connected(1)).observe(event).line == line


@pytest.mark.parametrize(
    ("event", "log"),
    [
        (paired(2), "Receiver 2 has come."),
        (connected(1, RouteChanged), "Receiver 1: better route, relay/tls."),
        (progress(1, MB), ""),
        (Stalled(receiver=1, seconds=5, reason="No."), "Receiver 1: Nothing moves for 5 s. No."),
    ],
)
def test_what_is_told_where_nothing_moves(event: Event, log: str) -> None:
    assert table(paired(1), connected(1)).observe(event).log == log


def test_who_compares_sees_what_with_whom() -> None:
    words = table(verify=True).observe(paired(2))
    assert words.line == words.log == "Receiver 2 has come: 4821 0932"


def test_a_state_takes_the_place_of_the_figures_until_it_moves_again() -> None:
    served = table(paired(1), connected(1), progress(1, MB))
    served.observe(Reconnecting(receiver=1, reason="It is lost.", attempt=2))
    assert served.lines(width=80, height=5)[0] == "    1 Reconnecting (attempt 2)… It is lost."
    served.observe(connected(1))
    assert served.lines(width=80, height=5)[0] == "    1 Connected again. Going on…"
    served.observe(progress(1, 2 * MB))
    assert "MB/s" in served.lines(width=80, height=5)[0]


EVENTS = st.integers(min_value=1, max_value=70).flatmap(
    lambda number: st.sampled_from(
        [
            paired(number),
            connected(number),
            progress(number, 0),
            progress(number, 10**15, 10**18),
            progress(number, 0, 0),
            Stalled(receiver=number, seconds=5, reason="w" * 99),
            Checking(receiver=number, bytes=1, total=2),
            done(number),
            error(number, Declined("no " * 50)),
        ]
    )
)


@example(events=[paired(1), paired(2)], width=1, height=2)
@given(
    events=st.lists(EVENTS, max_size=120),
    width=st.integers(min_value=1, max_value=200),
    height=st.integers(min_value=2, max_value=60),
)
def test_it_fits_every_terminal(events: list[Event], width: int, height: int) -> None:
    lines = table(*events, wanted=None).lines(width=width, height=height)
    assert 1 <= len(lines) <= height
    assert all(len(line) <= max(width - 1, 1) for line in lines)
