"""Progress as people and scripts see it: not more often than they can use.

Pure.
"""

from typing import Final

from rtcsend.events import Done, Progress
from rtcsend.transfer.ports import Emit
from rtcsend.transfer.rate import RateMeter

REPORT_INTERVAL: Final = 0.1  # seconds between two events; a display draws about as often


class Reporter:
    """Turns counts of written bytes into events.

    Args:
        total: Bytes of the whole transfer.
        emit: Takes the events.
        now: When the transfer was accepted.
    """

    def __init__(self, total: int, *, emit: Emit, now: float) -> None:
        self._total = total
        self._emit = emit
        self._started = now
        self._last_report = now - REPORT_INTERVAL
        self._is_over = False
        self._meter = RateMeter()
        self._meter.update(0, now=now)

    def written(self, count: int, *, now: float) -> None:
        """Note that ``count`` bytes are written at the receiver."""
        is_last = count >= self._total
        if self._is_over or (now - self._last_report < REPORT_INTERVAL and not is_last):
            return
        self._is_over = is_last  # reported once, however often the other side repeats it
        self._last_report = now
        rate = self._meter.update(count, now=now)
        self._emit(Progress(bytes=count, total=self._total, bytes_per_s=rate))

    def done(self, *, digest: str, path: str, now: float) -> Done:
        """Return the final event of a transfer that succeeded."""
        return Done(
            files=1,
            bytes=self._total,
            seconds=round(now - self._started, 3),
            blake3=digest,
            paths=(path,),
        )


def nothing_done() -> Done:
    """Return the final event of a transfer of which the receiver wanted nothing."""
    return Done(files=0, bytes=0, seconds=0.0, blake3="", paths=())
