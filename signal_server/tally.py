"""What is counted of each source, and of each site that may have many of them.

An IPv4 address is a source, and so is a /64 of IPv6. But who gets one /64 for the asking often
gets a /48, with 65,536 of them. So a /48 is a *site*, with a few times the limits of a source.

Pure. Place in the flow: kept by :mod:`signal_server.admission`. Source: RFC 6177 section 2.
"""

from signal_server.buckets import GrowingDelays, TokenBuckets
from signal_server.limits import Limits

CUT_FACTOR = 2  # over so many times a limit of sockets nobody is answered any more
SPARE_PER_MINUTE = 240  # connections besides those of sockets: health, metrics

PER_MINUTE = (
    "new_sockets_per_minute",
    "nameplates_per_minute",
    "claims_per_minute",
    "meetings_per_minute",
    "frames_per_minute",
)


class Tally:
    """The counts of one kind of key: of sources, or of sites.

    Args:
        limits: Of a source.
        factor: How many times as much a key of this kind may take.

    Attributes:
        connections: Open ones, bounded by what the server accepts.
        new_connections: By the minute, whatever becomes of them.
        sockets: Open ones, likewise.
        mailboxes: Those that were opened and are kept, likewise.
        buckets: For what is counted by the minute, by the name of the limit.
        failures: Of claims.
    """

    def __init__(self, limits: Limits, *, factor: int) -> None:
        self._max_sockets = limits.sockets_per_source * factor
        self._max_mailboxes = limits.mailboxes_per_source * factor
        self.connections = Counts()
        per_minute = CUT_FACTOR * limits.new_sockets_per_minute + SPARE_PER_MINUTE
        self.new_connections = TokenBuckets(
            per_minute=per_minute * factor, max_sources=limits.max_sources
        )
        self.sockets = Counts()
        self.mailboxes = Counts()
        self.buckets = {
            name: TokenBuckets(
                per_minute=getattr(limits, name) * factor, max_sources=limits.max_sources
            )
            for name in PER_MINUTE
        }
        self.failures = GrowingDelays(
            free=limits.failed_claims * factor,
            first_seconds=limits.failed_claim_seconds,
            max_seconds=limits.failed_claim_max_seconds,
            forgive_seconds=limits.forgive_seconds / factor,
            max_sources=limits.max_sources,
        )

    def takes_connection(self, key: str, *, now: float) -> bool:
        """Return whether there may be one more, with CUT_FACTOR times as many as sockets.

        Those by the minute are counted here, also when another limit is in the way.
        """
        there_is_room = self.connections[key] < CUT_FACTOR * max(self._max_sockets, 1)
        return not self.new_connections.take(key, now=now) and there_is_room

    def has_socket(self, key: str) -> bool:
        """Return whether there may be one more."""
        return self.sockets[key] < self._max_sockets

    def has_mailbox(self, key: str) -> bool:
        """Return whether there may be one more."""
        return self.mailboxes[key] < self._max_mailboxes


class Counts:
    """Counts of keys, of which those that are 0 take no memory."""

    def __init__(self) -> None:
        self._counts: dict[str, int] = {}

    def __len__(self) -> int:
        """Return how many keys have a count."""
        return len(self._counts)

    def __getitem__(self, key: str) -> int:
        """Return the count of ``key``."""
        return self._counts.get(key, 0)

    def up(self, key: str) -> None:
        """Count one more."""
        self._counts[key] = self[key] + 1

    def down(self, key: str) -> None:
        """Count one less."""
        left = self[key] - 1
        if left > 0:
            self._counts[key] = left
        else:
            self._counts.pop(key, None)
