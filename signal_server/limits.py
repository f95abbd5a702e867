"""What one client, one mailbox and the whole server may take, and who tried too often.

Pure: the clock comes in as ``now``. Place in the flow: asked by
:mod:`signal_server.mailbox` before it grants anything.
Source: docs/rendezvous-protocol.md, "Limits".
"""

import ipaddress
from dataclasses import dataclass

IPV6_SITE_BITS = 64  # one subscriber owns at least a /64, so that is one source; RFC 6177


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """All limits of a server; the defaults suit a small public one."""

    max_messages: int = 1_000
    """Messages kept for one direction of a mailbox; a session sends a few dozen."""
    max_bytes: int = 2**20
    """Bytes of bodies kept for one direction of a mailbox."""
    max_mailboxes: int = 10_000
    max_sockets: int = 20_000
    max_total_bytes: int = 256 * 2**20
    """Bytes of bodies kept in all: bounds the memory, whatever the other limits are."""

    unclaimed_seconds: float = 24 * 3600.0
    """How long a nameplate waits for the other side while its owner is attached."""
    away_seconds: float = 120.0
    """How long a side without a socket keeps its place."""
    ended_seconds: float = 120.0
    """How long what the side that left has said is kept for the other one."""
    unattached_seconds: float = 120.0
    """How long a socket may stay without asking for a mailbox."""

    failed_claims: int = 10
    """Failed claims that a source address has at first: a person mistypes a few times."""
    failed_claims_per_s: float = 0.1
    """How fast they come back: one source scans at most 8,640 nameplates a day."""
    max_sources: int = 10_000
    """Source addresses remembered; the one that failed longest ago is forgotten first."""


class TokenBuckets:
    """A token bucket for each source address.

    Args:
        capacity: Tokens that a source has at first, and at most.
        refill_per_s: Tokens that come back a second.
        max_sources: Sources remembered; unknown ones have a full bucket.
    """

    def __init__(self, *, capacity: int, refill_per_s: float, max_sources: int) -> None:
        self._capacity = float(capacity)
        self._refill_per_s = refill_per_s
        self._max_sources = max_sources
        # source -> (tokens, when that was true), least recently changed first
        self._buckets: dict[str, tuple[float, float]] = {}

    def has_token(self, source: str, *, now: float) -> bool:
        """Return whether ``source`` may try again."""
        return self._level(source, now=now) >= 1.0

    def take(self, source: str, *, now: float) -> None:
        """Take a token from ``source``: it tried and failed."""
        level = max(self._level(source, now=now) - 1.0, 0.0)
        self._buckets.pop(source, None)
        self._buckets[source] = (level, now)
        if len(self._buckets) > self._max_sources:
            del self._buckets[next(iter(self._buckets))]

    def _level(self, source: str, *, now: float) -> float:
        tokens, since = self._buckets.get(source, (self._capacity, now))
        return min(tokens + (now - since) * self._refill_per_s, self._capacity)


def source_of(address: str) -> str:
    """Return what counts as one source: an IPv4 address, or the /64 of an IPv6 address.

    Args:
        address: As the socket has it, with or without a zone; anything else is its own source.
    """
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(parsed, ipaddress.IPv4Address):
        return str(parsed)
    if parsed.ipv4_mapped is not None:  # what a dual-stack socket shows of IPv4
        return str(parsed.ipv4_mapped)
    return str(ipaddress.ip_network((parsed, IPV6_SITE_BITS), strict=False))
