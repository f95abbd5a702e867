"""What each kind of NAT or firewall does, as rules of nftables. Text only; no kernel is asked.

The words are those of RFC 4787. A mapping is endpoint-independent when a host's port is seen
as one and the same port by everybody; filtering says who may send to that port.

| kind            | mapping                 | filtering                      |
|-----------------|-------------------------|--------------------------------|
| open            | none: public addresses  | none                           |
| firewall        | none: public addresses  | address and port: only answers |
| full cone       | endpoint-independent    | none, once the port is mapped  |
| restricted      | endpoint-independent    | address                        |
| port-restricted | endpoint-independent    | address and port               |
| symmetric       | another for each peer   | address and port               |
| udp-blocked     | TCP only, to two ports  | answers only                   |
| tls-only        | TCP only, to port 443   | answers only                   |
| proxy-only      | none: one TCP port      | answers only                   |

Linux itself is the port-restricted kind: it keeps the host's port where it can, and lets in what
it knows. The more generous kinds learn each mapping as it leaves, and let others use it.
``tls-only`` also looks inside, and drops what is STUN and not TLS (or HTTP, which the rendezvous
speaks here). ``proxy-only`` lets hosts talk to an HTTP proxy and to nobody else. IPv6 is never
translated: what translates IPv4 is a firewall for IPv6.

None passes packets from the inside to its own outside address (no hairpinning). Two hosts behind
one NAT that use the same port at the same time are the one case in which a mapping is not
endpoint-independent.
"""

from enum import StrEnum
from typing import Final

OPEN_TCP_PORTS: Final = (443, 3478)  # what a strict firewall lets out
TLS_PORT: Final = 443  # what a stricter one does
PROXY_PORT: Final = 3128  # what the strictest one does
# Behind a TCP header with time stamps and nothing else, as Linux sends most: a type of a message of
# STUN or TURN, its length, and the magic cookie (RFC 8489 §5).
IS_STUN: Final = "tcp doff 8 @th,256,8 < 4 @th,288,32 0x2112a442"
MAPPING_TIME: Final = 300  # seconds without use; RFC 4787 REQ-5 recommends five minutes
RENUMBERED: Final = 37  # odd: generation after generation other ports
GENERATIONS: Final = 1024  # bits that are changed stay below the ephemeral range's size


class Kind(StrEnum):
    """What stands between a LAN and the net."""

    OPEN = "open"
    FIREWALL = "firewall"
    FULL_CONE = "full-cone"
    RESTRICTED = "restricted"
    PORT_RESTRICTED = "port-restricted"
    SYMMETRIC = "symmetric"
    UDP_BLOCKED = "udp-blocked"
    TLS_ONLY = "tls-only"
    PROXY_ONLY = "proxy-only"

    @property
    def translates(self) -> bool:
        """Whether the hosts behind it have private addresses."""
        return self not in (Kind.OPEN, Kind.FIREWALL)

    @property
    def learns(self) -> bool:
        """Whether others than the peer may use a mapping."""
        return self in (Kind.FULL_CONE, Kind.RESTRICTED)


def rules(kind: Kind, *, generation: int) -> str:
    """Return the rules of a router between ``lan`` and ``wan``, in place of older ones.

    Args:
        kind: What it is to be.
        generation: With another number every mapping gets another port.
    """
    chains = "" if kind is Kind.OPEN else _chains(kind, generation)
    filters = "" if kind is Kind.OPEN else _forward(kind)
    return _table("ip", chains) + _table("ip6", filters)


def _table(family: str, chains: str) -> str:
    """Return what puts a table in place of an older one."""
    name = f"table {family} lab"
    return f"{name} {{}}\ndelete {name}\n{name} {{\n{chains}}}\n"


def _chains(kind: Kind, generation: int) -> str:
    parts = [_forward(kind), _input()]
    if kind.translates:
        how = " fully-random" if kind is Kind.SYMMETRIC else ""
        parts.append(_chain("outside", "nat", "postrouting", 100, f'oifname "wan" masquerade{how}'))
        parts.append(_renumbering(generation * RENUMBERED % GENERATIONS))
    if kind.learns:
        parts.append(_learning(restricted=kind is Kind.RESTRICTED))
    return "".join(parts)


def _forward(kind: Kind) -> str:
    lines = ["ct state established,related accept", "ct state invalid drop"]
    if kind is Kind.TLS_ONLY:
        lines.insert(0, f'iifname "lan" tcp dport {TLS_PORT} {IS_STUN} drop')
    lines.append(f'iifname "lan" oifname "wan" {_allowed(kind)}accept')
    if kind.learns:
        lines.append('iifname "wan" oifname "lan" ct status dnat accept')
    return _chain("through", "filter", "forward", 0, *lines, policy="drop")


def _allowed(kind: Kind) -> str:
    """Return what hosts may begin."""
    match kind:
        case Kind.UDP_BLOCKED:
            ports = ", ".join(map(str, OPEN_TCP_PORTS))
            return f"tcp dport {{ {ports} }} "
        case Kind.TLS_ONLY:
            return f"tcp dport {TLS_PORT} "
        case Kind.PROXY_ONLY:
            return f"tcp dport {PROXY_PORT} "
        case _:
            return ""


def _input() -> str:
    """Drop what comes to the router itself.

    Were it accepted, it would be a known connection; a host that later sends to the same peer
    from that port could not have it, and got another: every hole punched would be a miss.
    """
    lines = ("ct state established,related accept", "icmp type echo-request accept")
    return _chain("self", "filter", "input", 0, *lines, policy="drop")


def _renumbering(bits: int) -> str:
    """Change the hosts' UDP ports before anything else sees them, and back at the very end."""
    if not bits:
        return ""
    inward = f'oifname "lan" udp dport set udp dport ^ {bits}'
    outward = f'iifname "lan" udp sport set udp sport ^ {bits}'
    return _chain("outward", "filter", "prerouting", -300, outward) + _chain(
        "inward", "filter", "postrouting", 300, inward
    )


def _learning(*, restricted: bool) -> str:
    """Note each mapping when it has been made, and use it for whoever comes in."""
    kept = f"flags dynamic,timeout; timeout {MAPPING_TIME}s; size 65535;"
    note = [
        'oifname "wan" update @mappings '
        "{ udp sport : ct original ip saddr . ct original proto-src }"
    ]
    text = f"map mappings {{ type inet_service : ipv4_addr . inet_service; {kept} }}\n"
    if restricted:
        text += f"set heard {{ type inet_service . ipv4_addr; {kept} }}\n"
        note.append('oifname "wan" update @heard { udp sport . ip daddr }')
        strange = 'iifname "wan" ct state new udp dport . ip saddr != @heard drop'
        text += _chain("strangers", "filter", "prerouting", -150, strange)
    use = 'iifname "wan" dnat ip to udp dport map @mappings'
    text += _chain("learnt", "nat", "prerouting", -100, use)
    return text + _chain("learning", "filter", "postrouting", 110, *note)


def _chain(
    name: str, kind: str, hook: str, priority: int, *lines: str, policy: str = "accept"
) -> str:
    head = f"type {kind} hook {hook} priority {priority}; policy {policy};"
    return "\n".join((f"chain {name} {{ {head}", *lines, "}\n"))
