"""``rtcsend doctor`` in the laboratory: every kind of network is told apart."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from tests.fakes.coturn import require_coturn
from tests.lab import Kind, Lab
from tests.lab.namespace import ETC
from tests.lab.required import require_lab

pytestmark = [pytest.mark.lab, pytest.mark.coturn]

INDEPENDENT, ADDRESS = "endpoint-independent", "address-dependent"
BOTH = "address-and-port-dependent"
BEHAVIOURS = {
    Kind.OPEN: ("none", INDEPENDENT),
    Kind.FIREWALL: ("none", BOTH),
    Kind.FULL_CONE: (INDEPENDENT, INDEPENDENT),
    Kind.RESTRICTED: (INDEPENDENT, ADDRESS),
    Kind.PORT_RESTRICTED: (INDEPENDENT, BOTH),
    Kind.SYMMETRIC: (BOTH, BOTH),
}


class Site:
    """The laboratory with its servers.

    Attributes:
        lab: Itself.
        turn: Its coturn.
        rendezvous: The URL.
    """

    def __init__(self, lab: Lab) -> None:
        self.lab, self.turn, self.rendezvous = lab, lab.turn(), lab.rendezvous()

    def ask(self, *arguments: str) -> tuple[int, list[dict[str, Any]]]:
        """Run the doctor on alice; return its exit code and its lines."""
        environment = {
            **os.environ,
            **self.turn.environment,
            "RTCSEND_DISCOVERY": "local",
            "XDG_RUNTIME_DIR": str(self.lab.folder),
        }
        process = self.lab.alice.popen(
            [sys.executable, "-m", "rtcsend", "doctor", "--json", "--no-throughput", *arguments],
            env=environment,
            stdout=subprocess.PIPE,
            text=True,
        )
        out, _ = process.communicate(timeout=90)
        return process.returncode, [json.loads(line) for line in out.splitlines()]


@pytest.fixture(scope="module")
def built() -> Iterator[Site]:
    require_lab()
    require_coturn()
    with Lab() as lab:
        lab.links(rtt_ms=40, rate_mbit=100)
        yield Site(lab)


@pytest.fixture
def site(built: Site) -> Site:
    """The one laboratory of this module, as if it were new."""
    built.lab.a.kind = Kind.OPEN
    built.lab.a.shrink(1_500)
    built.lab.links(rtt_ms=40, rate_mbit=100)
    return built


def ice(*urls: str) -> list[str]:
    return [text for url in urls for text in ("--ice", url)]


def one(lines: list[dict[str, Any]], area: str, check: str) -> dict[str, Any]:
    (found,) = (
        line
        for line in lines
        if line["event"] == "check" and (line["area"], line["check"]) == (area, check)
    )
    return found


def test_every_kind_is_looked_at() -> None:
    blocked = {Kind.UDP_BLOCKED, Kind.TLS_ONLY, Kind.PROXY_ONLY}  # the last in test_proxy
    assert set(BEHAVIOURS) | blocked == set(Kind)


@pytest.mark.parametrize("kind", list(BEHAVIOURS))
def test_kinds(site: Site, kind: Kind) -> None:
    site.lab.a.kind = kind
    code, lines = site.ask("--server", site.rendezvous, *ice(site.turn.stun_url()))
    assert code == 0
    end = lines[-1]
    assert (end["mapping"], end["filtering"]) == BEHAVIOURS[kind]
    assert (end["rendezvous"], end["udp"], end["relay"]) == ("works", "works", "not-named")
    address = one(lines, "stun", "binding")["values"]["address"]
    assert address == (site.lab.a.address if kind.translates else site.lab.alice.address)


@pytest.mark.parametrize("kind", [Kind.PORT_RESTRICTED, Kind.SYMMETRIC])
def test_kinds_with_losses(site: Site, kind: Kind) -> None:
    site.lab.a.kind = kind
    site.lab.links(rtt_ms=40, rate_mbit=100, loss_percent=5, seed=7)
    code, lines = site.ask(*ice(site.turn.stun_url()))
    assert code == 0
    assert lines[-1]["mapping"] == BEHAVIOURS[kind][0]


def test_udp_blocked_and_relays_by_tcp_and_tls(site: Site) -> None:
    site.lab.a.kind = Kind.UDP_BLOCKED
    turn = site.turn
    relays = [turn.ice_url(way) for way in ("udp", "tcp", "tls-443", "tls")]
    code, lines = site.ask(*ice(turn.stun_url(), *relays))
    assert code == 0
    assert (lines[-1]["udp"], lines[-1]["relay"]) == ("blocked", "works")
    assert one(lines, "stun", "binding")["values"]["reason"] == "udp-blocked"
    came = {
        line["target"]: line["values"].get("reason", line["status"])
        for line in lines
        if line["event"] == "check" and line["area"] == "turn"
    }
    assert came == {
        "turn:203.0.113.10:3478?transport=udp": "silent",
        "turn:203.0.113.10:3478?transport=tcp": "ok",
        "turns:203.0.113.10:443": "ok",
        "turns:203.0.113.10:5349": "timeout",  # a port that the firewall does not let out
    }


def test_a_firewall_that_passes_nothing_but_tls(site: Site) -> None:
    site.lab.a.kind = Kind.TLS_ONLY
    relays = [site.turn.ice_url(way) for way in ("tcp-443", "tls-443")]
    code, lines = site.ask("--timeout", "5", *ice(*relays))
    assert code == 0
    assert lines[-1]["relay"] == "works"
    came = {line["target"]: line["status"] for line in lines if line.get("area") == "turn"}
    assert came == {
        "turn:203.0.113.10:443?transport=tcp": "failed",
        "turns:203.0.113.10:443": "ok",
    }


def test_udp_blocked_without_a_relay(site: Site) -> None:
    site.lab.a.kind = Kind.UDP_BLOCKED
    code, lines = site.ask("--server", site.rendezvous, *ice(site.turn.stun_url()))
    assert code == 30
    assert (lines[-1]["rendezvous"], lines[-1]["udp"]) == ("works", "blocked")


REFUSING = """
table ip refusing {{
    chain {hook} {{
        type filter hook {hook} priority 0; policy accept;
        ip daddr 203.0.113.10 {what}
    }}
}}
"""


@pytest.mark.parametrize(
    ("hook", "what", "reason"),
    [
        ("forward", "reject with icmp type host-unreachable", "unreachable"),
        ("forward", "reject with icmp type admin-prohibited", "unreachable"),
        ("forward", "drop", "silent"),
        ("output", "drop", "forbidden-here"),
    ],
)
def test_what_the_network_says_is_told(site: Site, hook: str, what: str, reason: str) -> None:
    where = site.lab.a.router if hook == "forward" else site.lab.alice
    site.lab.a.router.sysctl("ipv4/icmp_ratelimit", 0)  # it sends one a second else
    where.nft(REFUSING.format(hook=hook, what=what))
    try:
        code, lines = site.ask(*ice(site.turn.stun_url(), site.turn.ice_url()))
    finally:
        where.nft("delete table ip refusing\n")
    assert code == 30
    assert one(lines, "stun", "binding")["values"]["reason"] == reason
    assert one(lines, "turn", "allocation")["values"]["reason"] == reason


def test_dead_servers_hide_nothing(site: Site) -> None:
    turn = site.turn
    code, lines = site.ask(*ice(*turn.dead_urls(), turn.stun_url(), turn.ice_url()))
    assert code == 0
    assert (lines[-1]["udp"], lines[-1]["relay"]) == ("works", "works")
    failed = [line["target"] for line in lines[:-1] if line["status"] == "failed"]
    assert failed.count("stun:203.0.113.99:3478") == 1
    assert len(failed) == 2


def test_a_dead_name_server_is_not_waited_for(site: Site) -> None:
    # It would take longer than the command is given in all.
    resolver = ETC / site.lab.alice.name / "resolv.conf"
    before = resolver.read_text()
    resolver.write_text("nameserver 203.0.113.99\noptions timeout:30 attempts:5\n")
    try:
        server = ("--server", "ws://rendezvous.nowhere.test")
        code, lines = site.ask("--timeout", "3", *server, *ice("stun:stun.nowhere.test"))
    finally:
        resolver.write_text(before)
    assert code == 10
    assert one(lines, "stun", "binding")["status"] == "failed"


def test_an_authority_that_is_not_trusted(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(site.turn, "environment", {})
    code, lines = site.ask(*ice(site.turn.ice_url("tls")))
    assert code == 30
    assert one(lines, "turn", "allocation")["values"]["reason"] == "certificate"


@pytest.mark.parametrize(("mtu", "found"), [(1_492, 1_492), (1_400, 1_400), (1_285, 1_280)])
def test_the_path_is_measured(site: Site, mtu: int, found: int) -> None:
    site.lab.a.shrink(mtu)
    _, lines = site.ask(*ice(site.turn.stun_url()))
    assert one(lines, "path", "mtu")["values"]["bytes"] == found


def test_a_rendezvous_that_is_not_there(site: Site) -> None:
    code, lines = site.ask("--server", "ws://203.0.113.10:8765", *ice(site.turn.stun_url()))
    assert code == 10
    assert lines[-1]["udp"] == "works"
    assert one(lines, "rendezvous", "tcp")["values"] == {"reason": "refused"}
