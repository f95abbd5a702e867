"""How fast it goes, and how fast it may go. Pure; time comes in as ``now``, in seconds."""

from collections import deque
from typing import Final

SLOWEST_FRAME: Final = 0.25  # seconds between two frames of a limited sender; steady to look at
SMALLEST_FRAME: Final = 1_024  # bytes; below, a frame would be mostly header
METER_WINDOW: Final = 3.0  # seconds over which the rate is averaged: steady to look at, not stale
BURST: Final = 0.1  # seconds' worth of bytes that a limited sender may send at once


class RateMeter:
    """The rate of something that grows, over the last METER_WINDOW seconds."""

    def __init__(self) -> None:
        self._samples: deque[tuple[float, int]] = deque()

    def update(self, total: int, *, now: float) -> int:
        """Note that ``total`` bytes are done; return the rate in bytes per second."""
        samples = self._samples
        samples.append((now, total))
        while len(samples) > 2 and now - samples[1][0] >= METER_WINDOW:  # noqa: PLR2004
            samples.popleft()
        started, first = samples[0]
        return int((total - first) / (now - started)) if now > started else 0


def frame_size_for(limit: int | None, largest: int) -> int:
    """Return the bytes of payload in a frame: at a low rate, smaller ones more often."""
    if not limit:
        return largest
    return max(min(largest, int(limit * SLOWEST_FRAME)), min(largest, SMALLEST_FRAME))


class RateLimiter:
    """A token bucket: says how long to wait before the next bytes may go.

    Args:
        bytes_per_s: None or 0: no limit.
        now: Seconds.
        pool: The limit of several together, of which this is one; None: there is none.
    """

    def __init__(
        self, bytes_per_s: int | None, *, now: float, pool: "RateLimiter | None" = None
    ) -> None:
        self._rate = bytes_per_s or 0
        self._free_at = now
        self._pool = pool

    def delay(self, size: int, *, now: float) -> float:
        """Take ``size`` bytes out of the bucket; return the seconds to wait before sending."""
        together = 0.0 if self._pool is None else self._pool.delay(size, now=now)
        if not self._rate:
            return together
        self._free_at = max(self._free_at, now - BURST) + size / self._rate
        return max(together, self._free_at - now)
