from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtcsend.events import RelayProtocol
from rtcsend.peer.candidate import MAX_PRIORITY
from rtcsend.peer.priorities import (
    Grade,
    Network,
    as_peer_reflexive,
    grade,
    host_preference,
    is_vpn,
    pair_priority,
    priority,
    relay_preference,
)

PLACES = st.integers(0, 1000)
NETWORKS = st.sampled_from(list(Network))
PROTOCOLS: tuple[RelayProtocol, ...] = ("udp", "tcp", "tls")


def test_the_order_of_candidates() -> None:
    order = [
        *(priority("host", host_preference(network, 0)) for network in Network),
        priority("srflx", host_preference(Network.LAN, 0)),
        *(priority("relay", relay_preference(protocol, 0)) for protocol in PROTOCOLS),
    ]
    assert all(better > worse for better, worse in pairwise(order))


@given(NETWORKS, PLACES)
def test_what_an_address_belongs_to_is_read_out_of_its_priority(
    network: Network, place: int
) -> None:
    own = priority("host", host_preference(network, place))
    assert 0 < own <= MAX_PRIORITY
    expected = Grade.LAN if network is Network.LAN else Grade.TUNNEL
    assert grade("host", own, is_own=True) is expected
    reflexive = Grade.REFLEXIVE if network is Network.LAN else Grade.TUNNEL
    assert grade("prflx", as_peer_reflexive(own), is_own=True) is reflexive
    for kind, number in (("host", own), ("prflx", as_peer_reflexive(own))):
        assert is_vpn(kind, number) == (network is Network.TUNNEL)


@given(st.sampled_from(PROTOCOLS), PLACES)
def test_how_a_relay_is_reached_is_read_out_of_its_priority(
    protocol: RelayProtocol, place: int
) -> None:
    own = priority("relay", relay_preference(protocol, place))
    assert 0 < own <= MAX_PRIORITY
    expected = {"udp": Grade.RELAY_UDP, "tcp": Grade.RELAY_TCP, "tls": Grade.RELAY_TLS}[protocol]
    assert expected.is_relayed
    assert grade("relay", own, is_own=True) is expected
    assert grade("prflx", as_peer_reflexive(own), is_own=True) is expected
    assert not is_vpn("relay", own)
    assert not is_vpn("prflx", as_peer_reflexive(own))


@given(st.sampled_from(["host", "srflx", "prflx", "relay"]), st.integers(0, 2**32 - 1))
def test_any_number_of_a_peer_has_a_grade(kind: str, number: int) -> None:
    grade(kind, number, is_own=True)
    others = {"host": Grade.LAN, "relay": Grade.RELAY_UDP}.get(kind, Grade.REFLEXIVE)
    assert grade(kind, number, is_own=False) is others, "its bands mean something else"


@pytest.mark.parametrize(("local", "remote"), [(5, 7), (7, 5), (7, 7)])
def test_both_sides_compute_the_same_priority_of_a_pair(local: int, remote: int) -> None:
    ours = pair_priority(local, remote, is_controlling=True)
    assert ours == pair_priority(remote, local, is_controlling=False)
    assert ours == 2**32 * min(local, remote) + 2 * max(local, remote) + (local > remote)
