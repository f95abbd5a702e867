"""The addresses of this machine that are worth offering, and what each belongs to.

A shell over the package ifaddr, with the judgement in :func:`choose`. IPv6 link-local
addresses need a zone that means nothing on another machine, and are left out (RFC 8445
§5.1.1.1), as loopback is: two processes on one machine reach each other by its other addresses.
"""

import ipaddress
import socket
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Final

import ifaddr

from rtcsend.peer.interface_names import network_of_name
from rtcsend.peer.priorities import Network

MAX_ADDRESSES: Final = 12  # of one machine; each pairs with each of the other side's
MAX_PER_INTERFACE: Final = 3  # of one family: IPv6 gives a stable one and temporary ones
_SOMEWHERE: Final = {
    socket.AF_INET: ("192.0.2.1", 9),
    socket.AF_INET6: ("2001:db8::1", 9),
}
"""For documentation (RFC 5737, RFC 3849): only the default route leads there."""
LOOPBACK: Final = ("127.0.0.1", "::1")


@dataclass(frozen=True, slots=True)
class HostAddress:
    """An address to bind to."""

    address: str
    network: Network


def host_addresses() -> list[HostAddress]:
    """Return the addresses of this machine, the most promising first."""
    found = []
    for adapter in ifaddr.get_adapters():
        for ip in adapter.ips:
            # IPv6 comes as (address, flow, scope); the scope of a global one is 0.
            if isinstance(ip.ip, str):
                found.append((adapter.nice_name, ip.ip))
            elif ip.ip[2] == 0:
                found.append((adapter.nice_name, ip.ip[0]))
    return choose(found, used=_default_sources())


def _default_sources() -> list[str]:
    """Return the addresses from which the default routes lead away; nothing is sent."""
    sources = []
    for family, somewhere in _SOMEWHERE.items():
        try:
            with socket.socket(family, socket.SOCK_DGRAM) as sock:
                sock.connect(somewhere)
                sources.append(sock.getsockname()[0])
        except OSError:
            continue  # no such route
    return sources


def choose(found: Iterable[tuple[str, str]], *, used: Collection[str] = ()) -> list[HostAddress]:
    """Return what is worth offering, the most promising first, MAX_ADDRESSES at most.

    Args:
        found: Interfaces' names with an address each, in the system's order.
        used: Those of the default routes; they are offered however many others there are.
    """
    counts: dict[tuple[str, int], int] = {}
    chosen: dict[str, HostAddress] = {}
    for name, text in sorted(found, key=lambda one: one[1] not in used):
        address = ipaddress.ip_address(text)
        if address.is_loopback or (
            isinstance(address, ipaddress.IPv6Address) and address.is_link_local
        ):
            continue
        key = name, address.version
        counts[key] = counts.get(key, 0) + 1
        if counts[key] <= MAX_PER_INTERFACE:
            chosen.setdefault(text, HostAddress(text, network_of(name, text)))
    order = list(Network)
    ranked = sorted(chosen.values(), key=lambda host: order.index(host.network))
    kept = sorted(ranked, key=lambda host: host.address not in used)[:MAX_ADDRESSES]
    return [host for host in ranked if host in kept]


def network_of(name: str, address: str) -> Network:
    """Return what an interface of that name leads to.

    An address that a machine gave itself for want of a better one counts as a bridge's.
    """
    if ipaddress.ip_address(address).is_link_local:
        return Network.BRIDGE
    return network_of_name(name)
