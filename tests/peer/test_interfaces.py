import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtcsend.peer.interfaces import (
    MAX_ADDRESSES,
    MAX_PER_INTERFACE,
    choose,
    host_addresses,
    network_of,
)
from rtcsend.peer.priorities import Network


@pytest.mark.parametrize(
    ("name", "network"),
    [
        *((name, Network.LAN) for name in ("eth0", "enp3s0", "wlan0", "en0", "Ethernet", "bond0")),
        *((name, Network.LAN) for name in ("br-lan", "br-dmz", "bridge0", "br0", "wwan0")),
        *((name, Network.TUNNEL) for name in ("tun0", "wg0", "utun4", "tailscale0", "ppp0", "wt0")),
        *((name, Network.TUNNEL) for name in ("mullvad", "OpenVPN TAP", "WireGuard Tunnel")),
        *(
            (name, Network.BRIDGE)
            for name in ("docker0", "br-1f2e3d4c5b6a", "virbr0", "veth9", "vmnet8")
        ),
        *(
            (name, Network.BRIDGE)
            for name in ("vEthernet (WSL)", "bridge100", "Hyper-V Virtual Ethernet")
        ),
    ],
)
def test_what_a_name_tells(name: str, network: Network) -> None:
    assert network_of(name, "192.0.2.1") is network


def test_the_order_and_what_is_left_out() -> None:
    found = choose(
        [
            ("lo", "127.0.0.1"),
            ("lo", "::1"),
            ("docker0", "172.17.0.1"),
            ("wg0", "10.9.0.2"),
            ("eth0", "fe80::1"),
            ("eth0", "192.0.2.1"),
            ("eth0", "2001:db8::1"),
            ("eth1", "169.254.7.7"),
            ("eth0", "192.0.2.1"),
        ]
    )
    assert [(host.address, host.network) for host in found] == [
        ("192.0.2.1", Network.LAN),
        ("2001:db8::1", Network.LAN),
        ("10.9.0.2", Network.TUNNEL),
        ("172.17.0.1", Network.BRIDGE),
        ("169.254.7.7", Network.BRIDGE),
    ]


def test_the_addresses_of_the_default_routes_are_offered_among_many_others() -> None:
    # VLANs, bridges of virtual machines, temporary IPv6 addresses that are not used any more.
    found = [
        *((f"vlan{number}", f"10.0.{number}.1") for number in range(MAX_ADDRESSES + 2)),
        *(("eth0", f"2001:db8::{number}") for number in range(MAX_PER_INTERFACE + 2)),
        ("eth0", "192.0.2.1"),
    ]
    used = ["192.0.2.1", f"2001:db8::{MAX_PER_INTERFACE + 1}"]
    chosen = [host.address for host in choose(found, used=used)]
    assert len(chosen) == MAX_ADDRESSES
    assert set(chosen[:2]) == set(used)


def test_a_vpn_that_has_the_default_route_comes_after_the_lans_all_the_same() -> None:
    lans = [(f"vlan{number}", f"10.0.{number}.1") for number in range(MAX_ADDRESSES)]
    chosen = choose([*lans, ("wg0", "10.9.0.2")], used=["10.9.0.2"])
    assert len(chosen) == MAX_ADDRESSES
    assert chosen[-1].address == "10.9.0.2"


ADDRESSES = st.one_of(st.ip_addresses(v=4), st.ip_addresses(v=6)).map(str)
NAMES = st.sampled_from(["eth0", "wg0", "docker0", "lo"])


@given(st.lists(st.tuples(NAMES, ADDRESSES), max_size=60))
def test_hosts_with_many_addresses(found: list[tuple[str, str]]) -> None:
    chosen = [host.address for host in choose(found)]
    assert len(chosen) == len(set(chosen)) <= MAX_ADDRESSES
    for name in ("eth0", "wg0", "docker0", "lo"):
        own = {address for interface, address in found if interface == name}
        for version in (4, 6):
            same = [a for a in chosen if a in own and ipaddress.ip_address(a).version == version]
            shared = {a for other, a in found if other != name}
            assert len([a for a in same if a not in shared]) <= MAX_PER_INTERFACE


def test_this_machine_is_asked() -> None:
    assert all(not ipaddress.ip_address(host.address).is_loopback for host in host_addresses())
