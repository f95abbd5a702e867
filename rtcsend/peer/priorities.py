"""What a candidate and a pair are worth: priorities for the wire, grades for the choice.

Pure. ICE orders the checks by priorities, which both sides compute alike. Which pair carries the
data is then the choice of the controlling side, and there the difference between a relay by UDP
and one by TLS matters, which type preferences do not have. So the local preference tells it: each
kind of network has a band of its own, which the other side reads out of the priority again, also
from that of a check whose candidate it has not been told of.

Source: RFC 8445 §5.1.2 (priorities), §6.1.2.3 (pairs).
"""

import enum
from typing import Final

from rtcsend.events import RelayProtocol

MAX_LOCAL_PREFERENCE: Final = 0xFFFF
_TYPE_PREFERENCES: Final = {
    "host": 126,
    "prflx": 110,
    "srflx": 100,
    "relay": 0,
}  # RFC 8445 §5.1.2.2
_LEAST_LAN: Final = 0x4000
_LEAST_TUNNEL: Final = 0x1000
_BASES: Final = {"lan": 0xFFFF, "tunnel": 0x3FFF, "bridge": 0x2FFF}
_RELAY_BASES: Final = {"udp": 0x0CFF, "tcp": 0x08FF, "tls": 0x04FF}
_RELAY_BAND: Final = 0x0400
_SPREAD: Final = 0xFF  # places within a band


class Network(enum.Enum):
    """What an address of this machine belongs to, as far as its interface's name tells."""

    LAN = "lan"
    TUNNEL = "tunnel"
    """A VPN: what goes there may go far, or nowhere."""
    BRIDGE = "bridge"
    """Of containers and virtual machines: nobody outside can use it."""


class Grade(enum.IntEnum):
    """What a pair is worth to the data; a higher one is worth moving to."""

    RELAY_TLS = 0
    RELAY_TCP = 1
    RELAY_UDP = 2
    TUNNEL = 3
    REFLEXIVE = 4
    LAN = 5

    @property
    def is_relayed(self) -> bool:
        """Whether a TURN server carries it."""
        return self <= Grade.RELAY_UDP


def host_preference(network: Network, place: int) -> int:
    """Return the local preference of the ``place``-th address of this machine."""
    return _BASES[network.value] - min(place, _SPREAD)


def relay_preference(protocol: RelayProtocol, place: int) -> int:
    """Return the local preference of a relay of the ``place``-th server, reached so."""
    return _RELAY_BASES[protocol] - min(place, _SPREAD)


def priority(kind: str, local_preference: int) -> int:
    """Return the priority of a candidate of component 1. Source: RFC 8445 §5.1.2.1."""
    return (_TYPE_PREFERENCES[kind] << 24) + (local_preference << 8) + 255


def as_peer_reflexive(candidate_priority: int) -> int:
    """Return what a check says of the candidate it comes from. Source: RFC 8445 §7.1.1."""
    return priority("prflx", (candidate_priority >> 8) & MAX_LOCAL_PREFERENCE)


def grade(kind: str, candidate_priority: int, *, is_own: bool) -> Grade:
    """Return what one end of a pair is worth.

    Args:
        kind: The candidate's type.
        candidate_priority: As the other side, or this one, has computed it.
        is_own: It was computed here or by this very code, so that its bands mean something.
    """
    preference = (candidate_priority >> 8) & MAX_LOCAL_PREFERENCE
    if kind == "relay" or (is_own and kind == "prflx" and preference < _LEAST_TUNNEL):
        band = preference // _RELAY_BAND if is_own else Grade.RELAY_UDP + 1
        return Grade(min(max(band - 1, Grade.RELAY_TLS), Grade.RELAY_UDP))
    if is_own and preference < _LEAST_LAN:
        return Grade.TUNNEL
    return Grade.LAN if kind == "host" else Grade.REFLEXIVE


def is_vpn(kind: str, candidate_priority: int) -> bool:
    """Return whether one end of a pair sends by a tunnel's interface; of our own priorities."""
    preference = (candidate_priority >> 8) & MAX_LOCAL_PREFERENCE
    return kind != "relay" and _BASES["bridge"] < preference <= _BASES["tunnel"]


def pair_priority(local: int, remote: int, *, is_controlling: bool) -> int:
    """Return the priority of a pair. Source: RFC 8445 §6.1.2.3."""
    controlling, controlled = (local, remote) if is_controlling else (remote, local)
    smaller, larger = sorted((controlling, controlled))
    return (smaller << 32) + 2 * larger + (controlling > controlled)
