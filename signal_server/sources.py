"""Who a client is, for limits: an IPv4 address, or the /64 of an IPv6 address.

Behind a reverse proxy the address of the connection is the proxy's. What it says of its client
(``Forwarded``, ``X-Forwarded-For``) is believed only where the connection comes from a network
that the operator trusts, and only as far back as that trust goes: whoever writes such a header
into the request himself stands left of what the proxy adds.

Pure. Source: RFC 7239; RFC 6177 (a subscriber has a /64 at least).
"""

import ipaddress
import re
from collections.abc import Sequence
from functools import lru_cache

IPV6_SITE_BITS = 64  # one subscriber owns at least a /64, so that is one source; RFC 6177
IPV6_ORGANISATION_BITS = 48  # what tunnels and hosters give away for the asking; RFC 6177
CACHED = 4_096  # addresses; the same clients come again and again
MAX_HOPS = 32  # entries of a header that are looked at; a real chain has two or three
MAX_HEADER = 4_096  # characters of all such headers together; longer ones are nobody's proxy

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

# RFC 7239 §4: for=192.0.2.1, for="[2001:db8::1]:4711", among other parameters.
_FOR = re.compile(r'(?:^|;)\s*for=(?:"([^"]*)"|([^\s;,"]+))', re.ASCII | re.IGNORECASE)
_WITH_PORT = re.compile(r"\[([0-9A-Fa-f:.%]+)\](?::\d{1,5})?|([0-9.]+):\d{1,5}", re.ASCII)


@lru_cache(maxsize=CACHED)
def source_of(address: str) -> str:
    """Return what counts as one source: an IPv4 address, or the /64 of an IPv6 address.

    Args:
        address: As the socket has it, with or without a zone; anything else is its own source.
    """
    parsed = parse_address(address)
    if parsed is None:
        return address
    if isinstance(parsed, ipaddress.IPv4Address):
        return str(parsed)
    return str(ipaddress.ip_network((parsed, IPV6_SITE_BITS), strict=False))


@lru_cache(maxsize=CACHED)
def site_of(source: str) -> str | None:
    """Return the /48 of IPv6 that a source is of; None for what is no IPv6 network.

    Args:
        source: As :func:`source_of` returns it.
    """
    if ":" not in source:
        return None
    try:
        network = ipaddress.IPv6Network(source)
    except ValueError:
        return None
    return str(network.supernet(new_prefix=IPV6_ORGANISATION_BITS))


def parse_address(text: str) -> Address | None:
    """Return an IP address without its zone; an IPv4 one also for what is mapped into IPv6."""
    try:
        parsed = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    if isinstance(parsed, ipaddress.IPv6Address) and parsed.ipv4_mapped is not None:
        return parsed.ipv4_mapped  # what a dual-stack socket shows of IPv4
    return parsed


def is_trusted(address: str, trusted: Sequence[Network]) -> bool:
    """Return whether ``address`` is in one of the networks."""
    if not trusted:
        return False
    parsed = parse_address(address)
    return parsed is not None and any(
        parsed.version == network.version and parsed in network for network in trusted
    )


def client_address_untrusted(
    peer: str,
    *,
    forwarded: Sequence[str],
    x_forwarded_for: Sequence[str],
    trusted: Sequence[Network],
) -> str:
    """Return the address of the client that a request comes from.

    From the nearest hop on, as long as the hops are trusted proxies; the first one that is not
    is the client. What does not parse ends the search at the hop before.

    Proxies add to one of the two headers, and pass on the other as the client wrote it. Which is
    which cannot be seen here: so where both are there and say different things, neither counts.

    Args:
        peer: Of the connection.
        forwarded: The ``Forwarded`` headers, in order.
        x_forwarded_for: The ``X-Forwarded-For`` headers, in order.
        trusted: Networks of proxies.
    """
    if not is_trusted(peer, trusted):
        return peer
    clients = set()
    if forwarded:
        clients.add(_client_behind(peer, _forwarded_hops(forwarded), trusted))
    if x_forwarded_for:
        clients.add(_client_behind(peer, _listed_hops(x_forwarded_for), trusted))
    return clients.pop() if len(clients) == 1 else peer


def _client_behind(peer: str, hops: Sequence[str], trusted: Sequence[Network]) -> str:
    """Return the client that one kind of header names, or the last hop that can be believed."""
    address = peer
    for hop in reversed(hops[-MAX_HOPS:]):
        parsed = parse_address(_without_port(hop))
        if parsed is None:  # "unknown", or obfuscated (RFC 7239 section 6.3)
            return address
        address = str(parsed)
        if not is_trusted(address, trusted):
            return address
    return address


def _listed_hops(headers: Sequence[str]) -> list[str]:
    text = ",".join(headers)
    return [] if len(text) > MAX_HEADER else [hop.strip() for hop in text.split(",")]


def _forwarded_hops(headers: Sequence[str]) -> list[str]:
    hops = []
    for element in _listed_hops(headers):
        match = _FOR.search(element)
        hops.append((match[1] or match[2] or "") if match else "")
    return hops


def _without_port(hop: str) -> str:
    match = _WITH_PORT.fullmatch(hop)
    return (match[1] or match[2]) if match else hop
