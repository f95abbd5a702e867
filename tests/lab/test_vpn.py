"""A VPN between two machines that turn out to be in one LAN: moved to, told, nothing lost."""

from pathlib import Path

import pytest

from tests.e2e.processes import random_file
from tests.lab.lab import Lab
from tests.lab.namespace import Namespace, cable
from tests.lab.required import require_lab
from tests.lab.transfer import Transfer

pytestmark = pytest.mark.lab

VPN = "10.99.0"
SIZE = 24_000_000  # bytes
LIMIT = "3M"  # a second: eight seconds, in which the better path is found


def not_by_lan(other: str) -> str:
    """Return rules for a machine that does not hear another one in its LAN."""
    return f"""
table ip only_by_vpn {{
    chain input {{
        type filter hook input priority 0; policy accept;
        iifname "eth0" ip saddr {other} drop
    }}
}}
"""


def test_a_lan_is_taken_in_place_of_a_vpn(tmp_path: Path) -> None:
    require_lab()
    with Lab() as lab:
        server = lab.rendezvous()
        cable(lab.alice, "tun0", lab.carol, "tun0")
        pair: tuple[tuple[Namespace, str, str], ...] = (
            (lab.alice, f"{VPN}.1", lab.carol.address),
            (lab.carol, f"{VPN}.2", lab.alice.address),
        )
        for host, address, other in pair:
            host.ip(f"address add {address}/24 dev tun0")
            host.nft(not_by_lan(other))
        source = random_file(tmp_path / "moving.bin", SIZE)
        transfer = Transfer(
            (lab.alice, lab.carol),
            server=server,
            source=source,
            folder=tmp_path,
            options=("--limit", LIMIT),
        )
        try:
            transfer.wait_until_moving()
            for host, _, _ in pair:
                host.nft("delete table ip only_by_vpn\n")
            assert transfer.wait()[0] == 0
            assert transfer.arrived.read_bytes() == source.read_bytes()
        finally:
            transfer.stop()
        for command in (transfer.sender, transfer.receiver):
            names = [event["event"] for event in command.events]
            by_name = {event["event"]: event for event in command.events}
            before, after = by_name["connected"], by_name["route"]
            assert (before["route"], before["vpn"]) == ("direct", True)
            assert (after["route"], after["vpn"]) == ("direct", False)
            assert (after["local"], after["remote"]) == ("host", "host")
            assert names.index("connected") < names.index("route") < names.index("done")
            assert "reconnecting" not in names
            assert VPN not in str(before)
