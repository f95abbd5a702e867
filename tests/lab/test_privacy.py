"""``--relay-only`` on the wire: no packet goes straight between the two sites, at any time."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.processes import random_file
from tests.fakes.coturn import require_coturn
from tests.lab import Kind, Lab
from tests.lab.required import require_lab
from tests.lab.transfer import Transfer
from tests.lab.turn import Turn

pytestmark = [pytest.mark.lab, pytest.mark.coturn]

SPY = """
table ip spy {
counter straight {}
counter relayed {}
chain through { type filter hook forward priority 0; policy accept;
iifname { "a", "b" } oifname { "a", "b" } counter name straight
iifname { "a", "b" } oifname "srv" udp dport 3478 counter name relayed
}
}
"""
SIZE = 2_000_000  # bytes


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    require_lab()
    require_coturn()
    with Lab(a=Kind.OPEN, b=Kind.OPEN) as lab:  # nothing but the option keeps them apart
        lab.links(rtt_ms=20, rate_mbit=100)
        yield lab


@pytest.fixture(scope="module")
def turn(lab: Lab) -> Turn:
    return lab.turn()


@pytest.fixture(scope="module")
def server(lab: Lab) -> str:
    return lab.rendezvous()


def counted(lab: Lab) -> dict[str, int]:
    """Return the packets that the middle of the net has seen, by their way."""
    listing = json.loads(lab.net.run(["nft", "--json", "list", "counters", "table", "ip", "spy"]))
    counters = [entry["counter"] for entry in listing["nftables"] if "counter" in entry]
    return {counter["name"]: counter["packets"] for counter in counters}


def spy(lab: Lab) -> None:
    """Count from now on."""
    lab.net.nft("table ip spy {}\ndelete table ip spy\n" + SPY)


def make(lab: Lab, turn: Turn, server: str, folder: Path, *options: str) -> Transfer:
    source = folder / "film.iso"
    if not source.exists():
        random_file(source, SIZE)
    return Transfer(
        (lab.alice, lab.bob),
        server=server,
        source=source,
        folder=folder,
        options=("--ice", turn.stun_url(), "--ice", turn.ice_url(), *options),
        env=turn.environment,
    )


def test_they_go_straight_where_they_may(lab: Lab, turn: Turn, server: str, tmp_path: Path) -> None:
    spy(lab)
    transfer = make(lab, turn, server, tmp_path)
    try:
        transfer.finish()
    finally:
        transfer.stop()
    assert counted(lab)["straight"] > SIZE / 65_536


def test_no_packet_goes_straight(lab: Lab, turn: Turn, server: str, tmp_path: Path) -> None:
    spy(lab)
    transfer = make(lab, turn, server, tmp_path, "--relay-only", "--limit", "1M")
    try:
        transfer.wait_until_moving()
        # The relay dies, and both meet again: by a relay again.
        lab.kill("turn")
        lab.start_again("turn")
        transfer.finish()
        for side in (transfer.sender, transfer.receiver):
            connected = [event for event in side.events if event["event"] == "connected"]
            assert len(connected) > 1
            assert {event["local"] for event in connected} == {"relay"}
            assert {event["remote"] for event in connected} == {"relay"}
    finally:
        transfer.stop()
    assert counted(lab)["straight"] == 0
    assert counted(lab)["relayed"] > 0
