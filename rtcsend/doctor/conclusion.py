"""From what was found to what it means: two sentences and an exit code, as a table.

Which NATs can reach each other is RFC 5128 §3 and the project's own laboratory: a peer that
gets another port for each of its peers (symmetric) can be reached directly by those who let
in any port of an address that they have sent to, and by nobody else.

Pure. Place in the flow: the last step of :mod:`rtcsend.doctor.run`.
"""

import enum
from dataclasses import dataclass
from typing import Final

from rtcsend.doctor.findings import Conclusion
from rtcsend.errors import NoRoute, RendezvousUnreachable


class Rendezvous(enum.Enum):
    """Whether the named server can bring two sides together."""

    WORKS = "works"
    FAILED = "failed"
    NOT_NAMED = "not-named"


class Udp(enum.Enum):
    """Whether UDP leaves this network, and comes back."""

    WORKS = "works"
    BLOCKED = "blocked"
    """The same servers answer by TCP."""
    SILENT = "silent"
    """No server answers at all: they are dead, or everything is blocked."""
    NOT_ASKED = "not-asked"


class Mapping(enum.Enum):
    """How a port of this machine is seen by several peers. Source: RFC 4787 §4.1."""

    NONE = "none"
    INDEPENDENT = "endpoint-independent"
    ADDRESS = "address-dependent"
    ADDRESS_AND_PORT = "address-and-port-dependent"
    DEPENDENT = "dependent"
    """On the address, the port or both: two servers that cannot change theirs do not tell."""
    UNKNOWN = "unknown"


class Filtering(enum.Enum):
    """Who may send to a port of this machine. Source: RFC 4787 §5."""

    INDEPENDENT = "endpoint-independent"
    ADDRESS = "address-dependent"
    ADDRESS_AND_PORT = "address-and-port-dependent"
    UNKNOWN = "unknown"


class Relay(enum.Enum):
    """Whether there is a TURN server to go through."""

    WORKS = "works"
    FAILED = "failed"
    NOT_NAMED = "not-named"


class Reach(enum.Enum):
    """Which peers can be reached directly: what the NAT's behaviour comes down to."""

    ANY = enum.auto()
    """Also those with a symmetric NAT."""
    MOST = enum.auto()
    FEW = enum.auto()
    """This machine's own NAT is the symmetric one."""
    ONLY_IPV6 = enum.auto()
    """This machine has no way to IPv4, which is what many peers have alone."""
    UNSURE = enum.auto()
    """UDP works, and nobody could tell the kind of the NAT."""
    BLOCKED = enum.auto()
    SILENT = enum.auto()
    NOT_ASKED = enum.auto()


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """What was found, without its details."""

    rendezvous: Rendezvous
    udp: Udp
    mapping: Mapping
    filtering: Filtering
    relay: Relay
    only_ipv6: bool = False
    """There is a default route by IPv6, and none by IPv4."""


_GIVE_TURN: Final = "A TURN relay would help: give one with --ice, or to the rendezvous server."
_FIX_TURN: Final = "A TURN relay that works would help: see its line above for what is wrong."
_NOTHING: Final = "Nothing needs to be done."
_NAMED_ONLY: Final = "Give --server or --ice to find out more than what is on this machine."
_MORE_TURN: Final = "A TURN server that can be reached by TCP or TLS on port 443 would help."

_TABLE: Final[dict[tuple[Reach, Relay], tuple[str, str]]] = {
    (Reach.ANY, Relay.WORKS): (
        "Direct connections will work with nearly every peer; the relay is there for the rest.",
        _NOTHING,
    ),
    (Reach.ANY, Relay.FAILED): (
        "Direct connections will work with nearly every peer, but the relay does not work.",
        _FIX_TURN,
    ),
    (Reach.ANY, Relay.NOT_NAMED): (
        "Direct connections will work with nearly every peer, except where UDP is blocked.",
        _NOTHING,
    ),
    (Reach.MOST, Relay.WORKS): (
        "Direct connections will work with most peers; symmetric NATs will be relayed.",
        _NOTHING,
    ),
    (Reach.MOST, Relay.FAILED): (
        "Direct connections will work with most peers, but not with symmetric NATs: "
        "the relay does not work.",
        _FIX_TURN,
    ),
    (Reach.MOST, Relay.NOT_NAMED): (
        "Direct connections will work with most peers, but not with symmetric NATs.",
        _GIVE_TURN,
    ),
    (Reach.FEW, Relay.WORKS): (
        "This network has a symmetric NAT: some peers will be direct, most will be relayed.",
        "A router whose NAT is endpoint-independent, or IPv6, would make more of them direct.",
    ),
    (Reach.FEW, Relay.FAILED): (
        "This network has a symmetric NAT and the relay does not work: most peers cannot be "
        "reached.",
        _FIX_TURN,
    ),
    (Reach.FEW, Relay.NOT_NAMED): (
        "This network has a symmetric NAT and there is no relay: most peers cannot be reached.",
        _GIVE_TURN,
    ),
    (Reach.ONLY_IPV6, Relay.WORKS): (
        "This network has IPv6 only: peers with IPv6 will be direct, others will be relayed.",
        _NOTHING,
    ),
    (Reach.ONLY_IPV6, Relay.FAILED): (
        "This network has IPv6 only and the relay does not work: peers without IPv6 cannot be "
        "reached.",
        _FIX_TURN,
    ),
    (Reach.ONLY_IPV6, Relay.NOT_NAMED): (
        "This network has IPv6 only and there is no relay: peers without IPv6 cannot be reached.",
        _GIVE_TURN,
    ),
    (Reach.UNSURE, Relay.WORKS): (
        "UDP works, so direct connections are likely; peers that cannot be reached so will be "
        "relayed.",
        "A STUN server with two addresses (RFC 5780), or a second STUN server, would tell the "
        "kind of NAT.",
    ),
    (Reach.UNSURE, Relay.FAILED): (
        "UDP works, so direct connections are likely, but the relay does not work.",
        _FIX_TURN,
    ),
    (Reach.UNSURE, Relay.NOT_NAMED): (
        "UDP works, so direct connections are likely; there is no relay for the others.",
        _GIVE_TURN,
    ),
    (Reach.BLOCKED, Relay.WORKS): (
        "UDP is blocked here: every transfer beyond the LAN will be relayed.",
        "Letting UDP out of this network would make transfers direct and faster.",
    ),
    (Reach.BLOCKED, Relay.FAILED): (
        "UDP is blocked here and no relay works: no peer beyond the LAN can be reached.",
        _MORE_TURN,
    ),
    (Reach.BLOCKED, Relay.NOT_NAMED): (
        "UDP is blocked here and there is no relay: no peer beyond the LAN can be reached.",
        _MORE_TURN,
    ),
    (Reach.SILENT, Relay.WORKS): (
        "No STUN server answers: every transfer beyond the LAN will be relayed.",
        "Another STUN server would tell whether UDP is blocked here or the server is dead.",
    ),
    (Reach.SILENT, Relay.FAILED): (
        "None of the STUN and TURN servers can be used: no peer beyond the LAN can be reached.",
        "Check their addresses and this machine's network, or give others with --ice.",
    ),
    (Reach.SILENT, Relay.NOT_NAMED): (
        "No STUN server answers: no peer beyond the LAN can be reached.",
        "Check its address and this machine's network, or give another with --ice.",
    ),
    (Reach.NOT_ASKED, Relay.WORKS): (
        "Transfers will be relayed at least; without a STUN server nobody can tell whether "
        "they can be direct.",
        "Give a STUN server with --ice.",
    ),
    # A relay by TCP or TLS that fails says nothing of UDP.
    (Reach.NOT_ASKED, Relay.FAILED): (
        "The relay does not work, and no STUN server was asked: no peer beyond the LAN can be "
        "reached.",
        _FIX_TURN,
    ),
    (Reach.NOT_ASKED, Relay.NOT_NAMED): (
        "Transfers on this machine and in the LAN need no server; beyond it nothing was asked.",
        _NAMED_ONLY,
    ),
}

_NO_RENDEZVOUS: Final = (
    "The rendezvous server that was named cannot be used, so that no two sides can meet there.",
    "See its lines above; check the address given by --server or RTCSEND_SERVER, and the network.",
)

_RENDEZVOUS_ALONE: Final = (
    "The rendezvous server works, and names no STUN or TURN server: whether two sides can "
    "connect beyond this machine and the LAN was not asked.",
    "Give a STUN or TURN server with --ice, or to the rendezvous server.",
)


def conclude(summary: Summary) -> Conclusion:
    """Say what was found means, for a transfer with these servers."""
    reach = reach_of(summary)
    meaning, helps = _TABLE[reach, summary.relay]
    if summary.rendezvous is Rendezvous.FAILED:
        meaning, helps = _NO_RENDEZVOUS
    elif helps == _NAMED_ONLY and summary.rendezvous is Rendezvous.WORKS:
        meaning, helps = _RENDEZVOUS_ALONE
    return Conclusion(
        exit=_exit_code(summary, reach),
        meaning=meaning,
        help=helps,
        rendezvous=summary.rendezvous.value,
        udp=summary.udp.value,
        mapping=summary.mapping.value,
        filtering=summary.filtering.value,
        relay=summary.relay.value,
    )


_OTHERWISE: Final = {
    Udp.BLOCKED: Reach.BLOCKED,
    Udp.SILENT: Reach.SILENT,
    Udp.NOT_ASKED: Reach.NOT_ASKED,
}
_SYMMETRIC: Final = (Mapping.ADDRESS, Mapping.ADDRESS_AND_PORT, Mapping.DEPENDENT)
_GENEROUS: Final = (Filtering.INDEPENDENT, Filtering.ADDRESS)


def reach_of(summary: Summary) -> Reach:
    """Return whom this machine can reach without a relay."""
    if summary.udp is not Udp.WORKS:
        return _OTHERWISE[summary.udp]
    if summary.mapping in _SYMMETRIC:
        return Reach.FEW
    if summary.only_ipv6:
        return Reach.ONLY_IPV6
    if summary.mapping is Mapping.UNKNOWN:
        return Reach.UNSURE
    return Reach.ANY if summary.filtering in _GENEROUS else Reach.MOST


def _exit_code(summary: Summary, reach: Reach) -> int:
    if summary.rendezvous is Rendezvous.FAILED:
        return RendezvousUnreachable.exit_code
    cut_off = reach in (Reach.BLOCKED, Reach.SILENT) or (
        reach is Reach.NOT_ASKED and summary.relay is Relay.FAILED
    )
    return NoRoute.exit_code if cut_off and summary.relay is not Relay.WORKS else 0
