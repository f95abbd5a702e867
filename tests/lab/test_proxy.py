"""A site whose only way out is an HTTP proxy: UDP, DNS and all other TCP are dropped."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.processes import ROOT, random_file
from tests.fakes.coturn import require_coturn
from tests.lab import Kind, Lab
from tests.lab.lab import SECOND, SERVER
from tests.lab.required import require_lab
from tests.lab.transfer import Transfer
from tests.lab.turn import Turn, Way

pytestmark = [pytest.mark.lab, pytest.mark.coturn]

PORT = 3128
PROXY = f"http://{SECOND}:{PORT}"
ONLY_THE_PROXY = f"""
table ip strict {{
chain through {{ type filter hook forward priority -10; policy accept;
ct state established,related accept
iifname "lan" ip daddr {SECOND} tcp dport {PORT} accept
iifname "lan" drop
}}
}}
"""
SIZE = 2_000_000  # bytes


class Office:
    """The laboratory, with alice behind the proxy and bob at home.

    Attributes:
        lab: Itself.
        turn: Its coturn.
        server: The rendezvous, by name: the proxy looks it up.
    """

    def __init__(self, lab: Lab) -> None:
        self.lab, self.turn = lab, lab.turn()
        self.server = lab.rendezvous().replace(SECOND, "rendezvous.lab.test")
        command = (sys.executable, "-m", "tests.fakes.connect_proxy", SECOND, str(PORT))
        proxy = lab.srv.popen(command, stdout=subprocess.PIPE, cwd=ROOT)
        assert proxy.stdout is not None, "it was started with a pipe"
        assert proxy.stdout.readline() == b"ready\n"
        lab.a.router.nft(ONLY_THE_PROXY)
        self.environment = {**self.turn.environment, "HTTPS_PROXY": PROXY}

    def relay(self, way: Way) -> str:
        """Return coturn by name."""
        return by_name(self.turn, way)


def by_name(turn: Turn, way: Way) -> str:
    return turn.ice_url(way).replace(f"@{SERVER}:", "@turn.lab.test:")


@pytest.fixture(scope="module")
def office() -> Iterator[Office]:
    require_lab()
    require_coturn()
    with Lab(a=Kind.PORT_RESTRICTED, b=Kind.PORT_RESTRICTED) as lab:
        lab.links(rtt_ms=40, rate_mbit=100)
        yield Office(lab)


@pytest.mark.parametrize("sends", [True, False], ids=["sends", "receives"])
def test_a_transfer_by_tls_through_the_proxy(office: Office, tmp_path: Path, sends: bool) -> None:
    lab = office.lab
    ways: tuple[Way, ...] = ("udp", "tcp", "tls-443")
    urls = (office.turn.stun_url(), *map(office.relay, ways))
    source = random_file(tmp_path / "film.iso", SIZE)
    transfer = Transfer(
        (lab.alice, lab.bob) if sends else (lab.bob, lab.alice),
        server=office.server,
        source=source,
        folder=tmp_path,
        options=[text for url in urls for text in ("--ice", url)],
        env=office.environment,
    )
    try:
        transfer.finish()
        (arrived,) = tmp_path.glob("*.out")
        assert arrived.read_bytes() == source.read_bytes()
        inside = transfer.sender if sends else transfer.receiver
        connected = next(event for event in inside.events if event["event"] == "connected")
        assert connected["route"] == "relay"
        assert connected["relay_protocol"] in ("tcp", "tls")
    finally:
        transfer.stop()


def ask_doctor(office: Office, *arguments: str) -> tuple[int, list[dict[str, Any]]]:
    kept = {name: text for name, text in os.environ.items() if not name.startswith("RTCSEND_")}
    process = office.lab.alice.popen(
        [sys.executable, "-m", "rtcsend", "doctor", "--json", "--no-throughput", *arguments],
        env={**kept, **office.environment, "RTCSEND_DISCOVERY": "local"},
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )
    out, _ = process.communicate(timeout=90)
    return process.returncode, [json.loads(line) for line in out.splitlines()]


def test_the_doctor_says_so(office: Office) -> None:
    urls = (office.turn.stun_url(), office.relay("tls-443"))
    ice = [text for url in urls for text in ("--ice", url)]
    code, lines = ask_doctor(office, "--timeout", "5", "--server", office.server, *ice)
    assert code == 0
    found = {(line["area"], line["check"]): line for line in lines if line["event"] == "check"}
    for area in ("rendezvous", "turn"):
        expected = f"goes through the proxy {SECOND}:{PORT}"
        assert found[area, "proxy"]["text"] == expected
    assert found["rendezvous", "round-trip"]["status"] == "ok"
    assert found["turn", "allocation"]["status"] == "ok"
    assert lines[-1]["relay"] == "works"
