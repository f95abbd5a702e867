"""Addresses are told apart by number, and by what their interface is called."""

import pytest

from rtcsend.doctor.interfaces import NOTES, Address, Kind, kind_of


@pytest.mark.parametrize(
    ("interface", "address", "kind"),
    [
        ("lo", "127.0.0.1", "loopback"),
        ("lo", "::1", "loopback"),
        ("eth0", "169.254.1.2", "link-local"),
        ("docker0", "fe80::1", "link-local"),
        ("eth0", "192.168.1.7", "private"),
        ("wlp3s0", "fd00::1", "private"),
        ("rmnet0", "100.64.0.9", "private"),
        ("eth0", "8.8.8.8", "global"),
        ("en0", "2600::1", "global"),
        ("docker0", "172.17.0.1", "container"),
        ("br-1f2e3d4c5b6a", "172.18.0.1", "container"),
        ("vEthernet (WSL)", "172.20.0.1", "container"),
        ("VMware Network Adapter VMnet8", "192.168.80.1", "container"),
        ("br-lan", "192.168.1.1", "private"),
        ("tun0", "10.8.0.2", "vpn"),
        ("utun4", "100.101.102.103", "vpn"),
        ("wg0", "10.0.0.2", "vpn"),
        ("tailscale0", "100.64.0.1", "vpn"),
    ],
)
def test_kinds(interface: str, address: str, kind: Kind) -> None:
    found = Address(interface=interface, address=address)
    assert kind_of(found) == kind
    assert NOTES[kind]
    assert found.version == (6 if ":" in address else 4)
