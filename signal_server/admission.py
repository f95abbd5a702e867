"""Who may do what at a server: asked before anything is granted.

What it does: counts sockets and requests of each source, lets who guesses nameplates wait, asks
for the token where one is needed, and refuses what is new while the server drains.
What it does not: know mailboxes; their limits are kept by :mod:`signal_server.mailbox`.

Pure: the clock comes in as ``now``. Each process has its own; where several share a store, a
source has these limits at each of them. Source: docs/rendezvous-protocol.md, "Limits".
"""

import hashlib
import hmac
from collections.abc import Callable, Sequence

from signal_server.buckets import GrowingDelays, TokenBuckets
from signal_server.limits import Limits
from signal_server.metrics import Counters
from signal_server.outputs import CLOSE_TRY_LATER, RequestRefused
from signal_server.permits import Permits

CUT_FACTOR = 2  # over so many times a source's limit of sockets nobody is answered any more
SPARE_CONNECTIONS = 256  # besides max_sockets: plain HTTP, and handshakes that will be refused
PER_MINUTE = (
    "new_sockets_per_minute",
    "nameplates_per_minute",
    "claims_per_minute",
    "meetings_per_minute",
)
DRAIN_RETRY = 5.0  # seconds; by then a load balancer, or the next process, has taken over
SOCKET_RETRY = 30.0  # seconds; when a source's other sockets close cannot be known


class Admission:
    """The limits of all sources, and who holds the token.

    Args:
        limits: What a source may take.
        auth_tokens: Who allocates has to name one of them; empty: everybody may.
        counters: Told of each limit that somebody ran into.
        unix_time: Returns seconds since the epoch, for permits.

    Attributes:
        draining: No new nameplates or meetings any more: the server is about to end.
    """

    def __init__(
        self,
        limits: Limits,
        *,
        auth_tokens: Sequence[str] = (),
        counters: Counters | None = None,
        unix_time: Callable[[], float] = float,
    ) -> None:
        self._limits = limits
        self._counters = counters or Counters()
        self._unix_time = unix_time
        self.draining = False
        self._auth_digests: tuple[bytes, ...] = ()
        self.set_auth_tokens(auth_tokens)
        # Connections, from accept on, and WebSockets: bounded by what the server accepts.
        self._connections: dict[str, int] = {}
        self._sockets: dict[str, int] = {}
        # Requests.
        self._buckets = {
            name: TokenBuckets(per_minute=getattr(limits, name), max_sources=limits.max_sources)
            for name in PER_MINUTE
        }
        self._failures = GrowingDelays(
            free=limits.failed_claims,
            first_seconds=limits.failed_claim_seconds,
            max_seconds=limits.failed_claim_max_seconds,
            forgive_seconds=limits.forgive_seconds,
            max_sources=limits.max_sources,
        )

    def set_auth_tokens(self, tokens: Sequence[str]) -> None:
        """Ask for one of these from now on; none: everybody may allocate."""
        self._auth_digests = tuple(_digest(token) for token in tokens)
        self._permits = Permits(tokens)

    # Connections

    def accept(self, source: str, *, exempt: bool = False) -> bool:
        """Count a new connection; False: cut it at once, without a word, and do not count it.

        That is for floods, and costs next to nothing; who is a little over a limit gets an
        answer, from :meth:`open_socket`.

        Args:
            source: Of the connection, whatever a proxy may say later.
            exempt: It is a trusted proxy: only the total counts.
        """
        own = self._connections.get(source, 0)
        too_many = not exempt and own >= CUT_FACTOR * max(self._limits.sockets_per_source, 1)
        if too_many or self._counters.connections >= self._limits.max_sockets + SPARE_CONNECTIONS:
            self._counters.limited("connections")
            return False
        self._connections[source] = own + 1
        self._counters.connections += 1
        return True

    def closed(self, source: str) -> None:
        """Take note that a connection that was accepted is gone."""
        self._counters.connections -= 1
        _count_down(self._connections, source)

    def open_socket(self, source: str, *, now: float) -> None:
        """Count a new WebSocket.

        Raises:
            RequestRefused: The source has too many, or opened too many; it is not counted.
        """
        own = self._sockets.get(source, 0)
        if own >= self._limits.sockets_per_source:
            raise self._too_many("sockets_per_source", SOCKET_RETRY, close=CLOSE_TRY_LATER)
        self._take("new_sockets_per_minute", source, close=CLOSE_TRY_LATER, now=now)
        self._sockets[source] = own + 1

    def close_socket(self, source: str) -> None:
        """Take note that a WebSocket that was opened is gone."""
        _count_down(self._sockets, source)

    # Requests; not those of sides that come again, which their side or token proves

    def allocate(self, source: str, *, auth: str | None, now: float) -> None:
        """Admit a new nameplate.

        Raises:
            RequestRefused: Too many, the server drains, or a token is missing or wrong.
        """
        self._check_draining()
        self._take(
            "nameplates_per_minute", source, now=now
        )  # first: it bounds guesses of a token too
        if not self._is_authorised(auth):
            raise RequestRefused("unauthorized")

    def claim(self, source: str, *, now: float) -> None:
        """Admit a claim, or an allocation of one's own nameplate, which tells as much.

        Raises:
            RequestRefused: Too many of them, or too many have failed.
        """
        wait = self._failures.wait(source, now=now)
        if wait:
            raise self._too_many("failed_claims", wait)
        self._take("claims_per_minute", source, now=now)

    def claim_failed(self, source: str, *, now: float) -> None:
        """Take note that a claim that was admitted hit nothing, or a full mailbox."""
        self._failures.fail(source, now=now)

    def meet(self, source: str, *, permit: str | None = None, now: float) -> None:
        """Admit a new side of a meeting.

        Raises:
            RequestRefused: Too many of them, or a permit is missing or no good.
        """
        self._take("meetings_per_minute", source, now=now)
        if not self._permits.is_good_untrusted(permit, now=self._unix_time()):
            raise RequestRefused("unauthorized")

    def permit(self) -> str | None:
        """Return a permit to meet, for a side that has come to the other one."""
        return self._permits.give(now=self._unix_time())

    def _take(self, limit: str, source: str, *, now: float, close: int | None = None) -> None:
        wait = self._buckets[limit].take(source, now=now)
        if wait:
            raise self._too_many(limit, wait, close=close)

    def _too_many(self, limit: str, wait: float, *, close: int | None = None) -> RequestRefused:
        self._counters.limited(limit)
        return RequestRefused("rate-limited", close=close, retry_after=wait)

    def _check_draining(self) -> None:
        if self.draining:
            raise RequestRefused("full", retry_after=DRAIN_RETRY)

    def _is_authorised(self, auth: str | None) -> bool:
        if not self._auth_digests:
            return True
        digest = _digest(auth or "")
        matches = 0
        for known in self._auth_digests:  # all of them, each in constant time
            matches += hmac.compare_digest(digest, known)
        return matches > 0


def _digest(token: str) -> bytes:
    """Return what is kept and compared: of one length, whatever the token's is."""
    return hashlib.sha256(token.encode()).digest()


def _count_down(counts: dict[str, int], source: str) -> None:
    left = counts.get(source, 0) - 1
    if left > 0:
        counts[source] = left
    else:
        counts.pop(source, None)
