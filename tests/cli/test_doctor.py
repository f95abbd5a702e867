"""``rtcsend doctor``: the table, the lines, the exit codes; nobody is asked anything."""

import asyncio
import json
from collections.abc import Callable

import pytest

from rtcsend.cli.doctor_report import MAX_ADDRESSES, WIDTH, progress_text, report
from rtcsend.cli.main import main
from rtcsend.doctor import run
from rtcsend.doctor.conclusion import Filtering, Mapping, Relay, Rendezvous, Summary, Udp, conclude
from rtcsend.doctor.findings import Area, Check, Conclusion, Status
from rtcsend.doctor.run import DoctorOptions, Emit
from rtcsend.errors import RendezvousUnreachable

Capture = pytest.CaptureFixture[str]
URL = "wss://rendezvous.example/v1"
RELAY = "turn:relay.example:3478?transport=udp"


def check(
    area: Area,
    name: str,
    text: str,
    *,
    target: str = "",
    status: Status = "ok",
    ms: float | None = None,
) -> Check:
    return Check(area=area, check=name, target=target, status=status, ms=ms, text=text)


FOUND = [
    check("machine", "address", "192.168.1.7, private", target="eth0"),
    check("machine", "ipv4", "default route, from 192.168.1.7"),
    check("stun", "binding", "sees this machine at 192.0.2.1:5", target="stun:a:1", ms=20.04),
    check("rendezvous", "tcp", "Nobody listens there.", target=URL, status="failed", ms=1.26),
    check("turn", "allocation", "relays at 203.0.113.1:9, for 600 s", target=RELAY, ms=44),
    check("stun", "binding", "No answer by UDP or TCP: " + "long " * 20, target="stun:b:1"),
    check("turn", "throughput", "4.0 MB/s", target=RELAY),
    check("nat", "mapping", "endpoint-independent", target="ipv4"),
    check("nat", "mapping", "none", target="ipv6"),
    check("path", "mtu", "1500 bytes at least", target="ipv4"),
]


def conclusion(
    *, rendezvous: Rendezvous = Rendezvous.WORKS, udp: Udp = Udp.WORKS, relay: Relay = Relay.WORKS
) -> Conclusion:
    return conclude(
        Summary(
            rendezvous=rendezvous,
            udp=udp,
            mapping=Mapping.INDEPENDENT,
            filtering=Filtering.ADDRESS_AND_PORT,
            relay=relay,
        )
    )


Play = Callable[[Conclusion], list[DoctorOptions]]


@pytest.fixture
def play(monkeypatch: pytest.MonkeyPatch) -> Play:
    """Return a function that has the examination find FOUND and conclude."""

    def put(end: Conclusion) -> list[DoctorOptions]:
        asked: list[DoctorOptions] = []

        async def examine(options: DoctorOptions, *, emit: Emit) -> Conclusion:
            asked.append(options)
            for found in FOUND:
                emit(found)
            await asyncio.sleep(0)
            return end

        monkeypatch.setattr(run, "examine", examine)
        return asked

    return put


def test_the_table_fits_and_keeps_each_servers_lines_together() -> None:
    text = report(FOUND, conclusion())
    assert max(map(len, text.splitlines())) <= WIDTH
    for part in (
        "This machine\n  ok     eth0         192.168.1.7, private\n  ok     IPv4         default",
        f"Rendezvous {URL}\n  FAILED TCP          Nobody listens there.",
        "1.3 ms\n",
        f"TURN {RELAY}\n  ok     allocation   relays at 203.0.113.1:9, for 600 s",
        "44 ms\n  ok     throughput   4.0 MB/s\n",
        "  ok     mapping      endpoint-independent\n  ok     mapping IPv6 none\n",
        "  ok     MTU          1500 bytes at least\n\nDirect connections will work with most",
    ):
        assert part in text
    assert text.endswith("\nNothing needs to be done.")


def test_what_servers_say_is_harmless_and_fits() -> None:
    found = [
        check("rendezvous", "welcome", "\x1b]0;title\x07 \u202egpj.exe", target=URL),
        check("turn", "allocation", "x" * 500, target="turn:" + "y" * 250 + "\x1b[2J"),
        check("machine", "address", "10.0.0.1", target="z" * 300),
    ]
    text = report(found, conclusion())
    assert "\x1b" not in text
    assert "\u202e" not in text
    assert max(map(len, text.splitlines())) <= WIDTH


def test_many_addresses_are_cut_and_the_useful_ones_come_first() -> None:
    found = [
        check("machine", "address", f"172.17.0.{n}, containers", target=f"veth{n}", status="note")
        for n in range(50)
    ]
    text = report([*found, FOUND[0]], conclusion())
    assert text.index("eth0") < text.index("veth0")
    assert text.count("veth") == MAX_ADDRESSES - 1
    assert "and 41 more (--json has them)" in text


def test_areas_in_which_nothing_was_looked_at_are_left_out() -> None:
    text = report([check("path", "mtu", "1500 bytes at least", target="ipv4")], conclusion())
    assert text.startswith("This machine\n\nPath\n")
    assert "NAT\n" not in text


def test_all_conclusions_fit() -> None:
    for udp in Udp:
        for relay in Relay:
            lines = report([], conclusion(udp=udp, relay=relay)).splitlines()
            assert max(map(len, lines)) <= WIDTH


def test_progress() -> None:
    assert progress_text([]) == "Checking the network…"
    assert progress_text(FOUND) == "Checking the network: 10 checks done, 1 failed…"


def test_people_get_the_table(play: Play, capfd: Capture) -> None:
    play(conclusion())
    assert main(["doctor"]) == 0
    out, err = capfd.readouterr()
    assert out == report(FOUND, conclusion()) + "\n"
    assert err == ""


def test_programs_get_lines(play: Play, capfd: Capture) -> None:
    play(conclusion())
    assert main(["doctor", "--json"]) == 0
    out, err = capfd.readouterr()
    events = [json.loads(line) for line in out.splitlines()]
    assert [event["event"] for event in events] == ["check"] * len(FOUND) + ["conclusion"]
    assert {event["v"] for event in events} == {1}
    assert events[-1]["meaning"].startswith("Direct connections")
    assert err == ""


@pytest.mark.parametrize(
    ("end", "code"),
    [
        (conclusion(), 0),
        (conclusion(rendezvous=Rendezvous.FAILED), 10),
        (conclusion(udp=Udp.BLOCKED, relay=Relay.FAILED), 30),
        (conclusion(udp=Udp.BLOCKED), 0),
    ],
)
def test_exit_codes(play: Play, end: Conclusion, code: int, capfd: Capture) -> None:
    play(end)
    assert main(["doctor", "--json"]) == code
    assert capfd.readouterr().err == ""


def test_options_reach_the_examination(play: Play, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = play(conclusion())
    arguments = ["--ice", "stun:a", "--ice", "stun:b", "--timeout", "3", "--no-throughput"]
    main(["doctor", "--server", URL, *arguments])
    monkeypatch.setenv("RTCSEND_SERVER", "ws://other")
    main(["doctor"])
    assert asked == [
        DoctorOptions(server=URL, ice=("stun:a", "stun:b"), throughput=False, timeout=3),
        DoctorOptions(server="ws://other"),
    ]


@pytest.mark.parametrize("timeout", ["0", "-1", "601", "nan", "soon"])
def test_a_time_that_is_none(timeout: str, play: Play, capfd: Capture) -> None:
    assert main(["doctor", f"--timeout={timeout}"]) == 2
    assert capfd.readouterr().out == ""


def test_an_error_is_an_error(monkeypatch: pytest.MonkeyPatch, capfd: Capture) -> None:
    async def examine(options: DoctorOptions, *, emit: Emit) -> Conclusion:
        raise RendezvousUnreachable("Gone.")

    monkeypatch.setattr(run, "examine", examine)
    assert main(["doctor"]) == 10
    assert capfd.readouterr().err.startswith("rtcsend: Gone.\n")
