"""What the server counts: sums over everybody, and nothing that tells who talks to whom.

Counting costs an addition, also in the server that a sender embeds; the text that ``/metrics``
answers is made by :mod:`signal_server.exposition`, only where it is asked for.

Pure. Source: docs/operations.md, "Metrics", has every name.
"""

from bisect import bisect_left
from typing import Final, get_args

from signal_server.messages import ErrorCode, ReportedRoute

OUTCOMES: Final = ("released", "away", "unclaimed", "replaced")
"""How mailboxes end: a side released it, a side stayed away, nobody claimed the nameplate, or a
third side came to the meeting."""

LIMITS: Final = (
    "connections",
    "sockets_per_source",
    "mailboxes_per_source",
    "new_sockets_per_minute",
    "nameplates_per_minute",
    "claims_per_minute",
    "meetings_per_minute",
    "frames_per_minute",
    "failed_claims",
    "slow_reader",
    "handshake_seconds",
)
"""What a client ran into; what a mailbox or the whole server ran into is an error ``full``."""

WAIT_BOUNDS: Final = (1.0, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3_600.0)  # seconds; people
SIZE_BOUNDS: Final = (64.0, 256.0, 1_024.0, 4_096.0, 16_384.0, 48_000.0)  # bytes of a body
LAG_BOUNDS: Final = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5, 1.0)  # seconds


class Histogram:
    """How many values were at most each of some bounds.

    Attributes:
        bounds: Upper bounds, rising; what is above the last one counts in one more place.
        counts: How many values fell between two bounds, as many as bounds and one more.
        total: The sum of the values.
    """

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def observe(self, value: float) -> None:
        """Count a value."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value


class Counters:
    """The numbers of one process.

    Attributes:
        sockets: WebSockets that are open now.
        connections: TCP connections that are open now, those included.
        queued_bytes: What waits for clients that read slowly, now.
        mailboxes_opened: Since the start; likewise everything below.
        waits: Seconds from the opening of a mailbox to its second side.
        endings: Mailboxes, by outcome; :data:`OUTCOMES`.
        messages: Bytes of bodies.
        refusals: Errors that were sent, by code.
        limits: How often a client ran into a limit, by its name; :data:`LIMITS`.
        reports: What clients said of their connection, by route.
        loop_lag: Seconds that the event loop was late.
    """

    def __init__(self) -> None:
        self.sockets = 0
        self.connections = 0
        self.queued_bytes = 0
        self.mailboxes_opened = 0
        self.waits = Histogram(WAIT_BOUNDS)
        self.endings = dict.fromkeys(OUTCOMES, 0)
        self.messages = Histogram(SIZE_BOUNDS)
        self.refusals: dict[ErrorCode, int] = dict.fromkeys(get_args(ErrorCode), 0)
        self.limits = dict.fromkeys(LIMITS, 0)
        self.reports: dict[ReportedRoute, int] = dict.fromkeys(get_args(ReportedRoute), 0)
        self.loop_lag = Histogram(LAG_BOUNDS)

    @property
    def pairings(self) -> int:
        """How many mailboxes a second side has come to."""
        return sum(self.waits.counts)

    def opened(self) -> None:
        """Count a mailbox that somebody opened."""
        self.mailboxes_opened += 1

    def paired(self, seconds: float) -> None:
        """Count a second side that came, ``seconds`` after the first one."""
        self.waits.observe(max(seconds, 0.0))  # clocks of two processes may differ a little

    def ended(self, outcome: str) -> None:
        """Count a mailbox that ended; ``outcome`` is one of OUTCOMES."""
        self.endings[outcome] += 1

    def message(self, size: int) -> None:
        """Count a message with a body of ``size`` bytes."""
        self.messages.observe(size)

    def refused(self, code: ErrorCode) -> None:
        """Count an error that was sent."""
        self.refusals[code] += 1

    def limited(self, limit: str) -> None:
        """Count a client that ran into a limit; ``limit`` is one of LIMITS."""
        self.limits[limit] += 1

    def report(self, route: ReportedRoute) -> None:
        """Count what a client said of its connection."""
        self.reports[route] += 1
