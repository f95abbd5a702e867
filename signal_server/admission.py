"""Who may do what at a server: asked before anything is granted.

What it does: counts sockets, mailboxes and requests of each source and site, lets who guesses
nameplates wait, asks for the token where one is needed, and refuses what is new while the server
drains.
What it does not: know mailboxes; who holds one is told by :mod:`signal_server.directory` when it
ends, and what may be in one is decided by :mod:`signal_server.decisions`.

Pure: the clock comes in as ``now``. Each process has its own; where several share a store, a
source has these limits at each of them. Source: docs/rendezvous-protocol.md, "Limits".
"""

import hashlib
import hmac
from collections.abc import Callable, Sequence

from signal_server.limits import Limits
from signal_server.metrics import Counters
from signal_server.outputs import CLOSE_TRY_LATER, RequestRefused
from signal_server.permits import Permits
from signal_server.sources import site_of
from signal_server.tally import Tally

SPARE_CONNECTIONS = 256  # besides max_sockets: plain HTTP, and handshakes that will be refused
SITE_FACTOR = 8  # times as much as a source; households of one street, offices of one company
DRAIN_RETRY = 5.0  # seconds; by then a load balancer, or the next process, has taken over
SOCKET_RETRY = 30.0  # seconds; when a source's other sockets close cannot be known
MAILBOX_RETRY = 30.0  # seconds; likewise when its mailboxes end


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
        self._sources = Tally(limits, factor=1)
        self._sites = Tally(limits, factor=SITE_FACTOR)

    def set_auth_tokens(self, tokens: Sequence[str]) -> None:
        """Ask for one of these from now on; none: everybody may allocate."""
        self._auth_digests = tuple(_digest(token) for token in tokens)
        self._permits = Permits(tokens)

    # Connections

    def accept(self, source: str, *, now: float, exempt: bool = False) -> bool:
        """Count a new connection; False: cut it at once, without a word, and do not count it.

        That is for floods, and costs next to nothing; who is a little over a limit gets an
        answer, from :meth:`open_socket`.

        Args:
            source: Of the connection, whatever a proxy may say later.
            now: On any clock, always the same one.
            exempt: It is a trusted proxy: only the total counts.
        """
        levels = self._levels(source)
        allowed = exempt or all(tally.takes_connection(key, now=now) for tally, key in levels)
        most = self._limits.max_sockets + SPARE_CONNECTIONS
        if not allowed or self._counters.connections >= most:
            self._counters.limited("connections")
            return False
        for tally, key in levels:
            tally.connections.up(key)
        self._counters.connections += 1
        return True

    def closed(self, source: str) -> None:
        """Take note that a connection that was accepted is gone."""
        self._counters.connections -= 1
        for tally, key in self._levels(source):
            tally.connections.down(key)

    def open_socket(self, source: str, *, now: float) -> None:
        """Count a new WebSocket.

        Raises:
            RequestRefused: The source has too many, or opened too many; it is not counted.
        """
        levels = self._levels(source)
        if not all(tally.has_socket(key) for tally, key in levels):
            raise self._too_many("sockets_per_source", SOCKET_RETRY, close=CLOSE_TRY_LATER)
        self._take("new_sockets_per_minute", source, close=CLOSE_TRY_LATER, now=now)
        for tally, key in levels:
            tally.sockets.up(key)

    def close_socket(self, source: str) -> None:
        """Take note that a WebSocket that was opened is gone."""
        for tally, key in self._levels(source):
            tally.sockets.down(key)

    def pace(self, source: str, units: int, *, now: float) -> float:
        """Count what a source has said, and return for how long it should not be read.

        Args:
            source: Of an open socket.
            units: Frames, large ones counted several times; 0 only asks.
            now: On any clock, always the same one.
        """
        wait = max(
            tally.buckets["frames_per_minute"].spend(key, units, now=now)
            for tally, key in self._levels(source)
        )
        if wait:
            self._counters.limited("frames_per_minute")
        return wait

    # Requests; not those of sides that come again, which their side or token proves

    def allocate(self, source: str, *, auth: str | None, now: float) -> None:
        """Admit a new nameplate.

        Raises:
            RequestRefused: Too many, the server drains, or a token is missing or wrong.
        """
        self._check_draining()
        # First: it bounds guesses of a token as well.
        self._take("nameplates_per_minute", source, now=now)
        if not self._is_authorised(auth):
            raise RequestRefused("unauthorized")

    def claim(self, source: str, *, now: float) -> None:
        """Admit a claim, or an allocation of one's own nameplate, which tells as much.

        Raises:
            RequestRefused: Too many of them, or too many have failed.
        """
        self.guess(source, now=now)
        self._take("claims_per_minute", source, now=now)

    def guess(self, source: str, *, now: float) -> None:
        """Check that a source need not wait; again when a claim, once admitted, is decided on.

        Claims that came together wait for a store together: had each been looked at before the
        first one failed, they would all be free.

        Raises:
            RequestRefused: Too many have failed.
        """
        wait = max(tally.failures.wait(key, now=now) for tally, key in self._levels(source))
        if wait:
            raise self._too_many("failed_claims", wait)

    def claim_failed(self, source: str, *, now: float) -> None:
        """Take note that a claim that was admitted hit nothing, or a full mailbox."""
        for tally, key in self._levels(source):
            tally.failures.fail(key, now=now)

    def meet(
        self, source: str, *, permit: str | None = None, auth: str | None = None, now: float
    ) -> None:
        """Admit a new side of a meeting.

        Raises:
            RequestRefused: Too many of them, or a permit is missing or no good, and so is a token.
        """
        self._take("meetings_per_minute", source, now=now)
        if self._permits.is_good_untrusted(permit, now=self._unix_time()):
            return
        if auth is not None:  # a guess costs as much as with a nameplate
            self._take("nameplates_per_minute", source, now=now)
        if not self._is_authorised(auth):
            raise RequestRefused("unauthorized")

    def permit(self) -> str | None:
        """Return a permit to meet, for a side that has come to the other one."""
        return self._permits.give(now=self._unix_time())

    def check_mailbox(self, source: str) -> None:
        """Check that a source may open one more mailbox.

        Raises:
            RequestRefused: It has opened too many that are still kept.
        """
        if not all(tally.has_mailbox(key) for tally, key in self._levels(source)):
            raise self._too_many("mailboxes_per_source", MAILBOX_RETRY)

    def hold_mailbox(self, source: str) -> Callable[[], None]:
        """Count a mailbox that a source has opened; call what is returned once, when it is over."""
        levels = self._levels(source)
        for tally, key in levels:
            tally.mailboxes.up(key)

        def free() -> None:
            for tally, key in levels:
                tally.mailboxes.down(key)

        return free

    def _levels(self, source: str) -> tuple[tuple[Tally, str], ...]:
        """Return where a source counts: for itself, and for the site that it is of."""
        site = site_of(source)
        if site is None:
            return ((self._sources, source),)
        return (self._sources, source), (self._sites, site)

    def _take(self, limit: str, source: str, *, now: float, close: int | None = None) -> None:
        # The source first: what it is refused does not count against its neighbours.
        for tally, key in self._levels(source):
            wait = tally.buckets[limit].take(key, now=now)
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
