"""How often a source may do something, and how long one waits that fails again and again.

Both remember a bounded number of sources, and forget the one heard of longest ago first. Who
owns more sources than that gains what one unknown source has, for each of them: it has that
anyway.

Pure: the clock comes in as ``now``, in seconds. It may be the one of a store on another machine,
which may be set back: then nothing has come back meanwhile, and nobody waits longer than without
that. Place in the flow: kept by
:mod:`signal_server.admission`.
"""

import math
from collections import OrderedDict

MAX_DOUBLINGS = 32  # beyond it every delay is at its maximum, and 2.0**n still a float


class TokenBuckets:
    """A token bucket for each source.

    Args:
        per_minute: Tokens that a source has at first, at most, and gets back in a minute.
        max_sources: Sources remembered; unknown ones have a full bucket.
    """

    def __init__(self, *, per_minute: int, max_sources: int) -> None:
        self._capacity = float(per_minute)
        self._refill_per_s = per_minute / 60.0
        self._max_sources = max_sources
        # source -> (tokens, when that was true), least recently changed first
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def __len__(self) -> int:
        """Return how many sources are remembered."""
        return len(self._buckets)

    def take(self, source: str, *, now: float) -> float:
        """Take a token; return 0.0, or without one the seconds until there is one."""
        tokens = self._filled(source, now=now)
        wait = 0.0 if tokens >= 1.0 else self._seconds_for(1.0 - tokens)
        self._keep(source, tokens if wait else tokens - 1.0, now=now)
        return wait

    def spend(self, source: str, amount: float, *, now: float) -> float:
        """Take what has been used already; return the seconds until nothing is owed.

        More than a full bucket is never owed, so that nobody waits longer than a minute.
        """
        tokens = max(self._filled(source, now=now) - amount, -self._capacity)
        self._keep(source, tokens, now=now)
        return 0.0 if tokens >= 0.0 else self._seconds_for(-tokens)

    def _filled(self, source: str, *, now: float) -> float:
        tokens, since = self._buckets.get(source, (self._capacity, now))
        return min(tokens + max(now - since, 0.0) * self._refill_per_s, self._capacity)

    def _seconds_for(self, tokens: float) -> float:
        if not self._refill_per_s:
            return 60.0  # a limit of none a minute: it will not change
        return tokens / self._refill_per_s

    def _keep(self, source: str, tokens: float, *, now: float) -> None:
        self._buckets[source] = (tokens, now)
        self._buckets.move_to_end(source)
        if len(self._buckets) > self._max_sources:
            self._buckets.popitem(last=False)


class GrowingDelays:
    """Some failures are free; after them each costs a delay twice as long as the one before.

    A failure is forgotten every ``forgive_seconds``, so that who fails on and on ends with about
    one try in that time.

    Args:
        free: Failures without a delay.
        first_seconds: The first delay.
        max_seconds: The longest.
        forgive_seconds: After so long one failure is forgotten.
        max_sources: Sources remembered; unknown ones have not failed.
    """

    def __init__(
        self,
        *,
        free: int,
        first_seconds: float,
        max_seconds: float,
        forgive_seconds: float,
        max_sources: int,
    ) -> None:
        self._free = free
        self._first_seconds = first_seconds
        self._max_seconds = max_seconds
        self._forgive_seconds = forgive_seconds
        self._max_sources = max_sources
        # source -> (failures, when that was true, how long it waits then), oldest change first
        self._failures: OrderedDict[str, tuple[float, float, float]] = OrderedDict()

    def __len__(self) -> int:
        """Return how many sources are remembered."""
        return len(self._failures)

    def wait(self, source: str, *, now: float) -> float:
        """Return for how many seconds ``source`` still has to wait."""
        count, since, delay = self._failures.get(source, (0.0, now, 0.0))
        if now < since:  # it was set back: the delay begins anew
            self._failures[source] = (count, now, delay)
        return max(delay - max(now - since, 0.0), 0.0)

    def fail(self, source: str, *, now: float) -> None:
        """Count a failure of ``source``."""
        count, since, _ = self._failures.get(source, (0.0, now, 0.0))
        delay = self.wait(source, now=now)
        passed = max(now - since, 0.0)
        forgiven = passed / self._forgive_seconds if self._forgive_seconds else math.inf
        count = max(count - forgiven, 0.0) + 1.0
        over = math.ceil(count - self._free)
        if over > 0:
            own = self._first_seconds * 2.0 ** min(over - 1, MAX_DOUBLINGS)
            delay = max(delay, min(own, self._max_seconds))
        self._failures[source] = (count, now, delay)
        self._failures.move_to_end(source)
        if len(self._failures) > self._max_sources:
            self._failures.popitem(last=False)
