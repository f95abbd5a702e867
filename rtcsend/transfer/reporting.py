"""Progress as people and scripts see it: not more often than they can use.

Pure. Lives as long as the transfer, over all connections.
"""

from collections.abc import Iterable
from typing import Final

from rtcsend.events import Checking, Done, Progress, Resumed
from rtcsend.transfer.ports import Emit
from rtcsend.transfer.rate import RateMeter

REPORT_INTERVAL: Final = 0.1  # seconds between two events; a display draws about as often


class Reporter:
    """Turns counts of written bytes into events.

    Args:
        total: Bytes of the whole transfer; None: nobody knows.
        emit: Takes the events.
        now: When the transfer was accepted.
    """

    def __init__(self, total: int | None, *, emit: Emit, now: float) -> None:
        self._total = total
        self._emit = emit
        self._started = now
        self._last_report = now - REPORT_INTERVAL
        self._last_checking = now - REPORT_INTERVAL
        self._offered = 0
        self._position = 0
        self._is_over = False
        self._moved = 0
        self._meter = RateMeter()
        self._meter.update(0, now=now)

    def connected(self, *, start: int, offered: int, now: float) -> None:
        """A connection begins. The pause before it is no low rate.

        Args:
            start: Bytes that the transfer has brought already.
            offered: Position up to which an earlier run may have left something.
            now: Seconds.
        """
        self._meter = RateMeter()
        self._meter.update(self._moved, now=now)
        self._offered = offered
        if start:
            self._emit(Resumed(bytes=start))
        elif self._total is None:  # nobody knows when the first byte will come
            self._emit(Progress(bytes=0, total=None, bytes_per_s=0))

    def compared(self, position: int, *, kept: int, now: float) -> None:
        """The walk through the stream is at ``position``; ``kept`` bytes need not travel."""
        if not self._offered:
            return
        if position < self._offered:
            self.checking(position, now=now)
            return
        self._offered = 0
        if kept:
            self._emit(Resumed(bytes=kept))

    def checking(self, count: int, *, now: float) -> None:
        """``count`` bytes of what an earlier run has left are read."""
        if now - self._last_checking >= REPORT_INTERVAL:
            self._last_checking = now
            self._emit(Checking(bytes=count, total=self._offered))

    def progress(self, position: int, *, moved: int, now: float) -> None:
        """Note how far it is at the receiver.

        Args:
            position: Bytes of the stream that are there, kept ones included.
            moved: Bytes that have travelled, over all connections.
            now: Seconds.
        """
        # After a cut the other side may go back to what it knows for certain: this does not.
        self._position = max(self._position, position)
        self._moved = moved
        is_last = self._total is not None and self._position >= self._total
        if self._is_over or (now - self._last_report < REPORT_INTERVAL and not is_last):
            return
        self._is_over = is_last  # reported once, however often the other side repeats it
        self._last_report = now
        rate = self._meter.update(moved, now=now)
        self._emit(Progress(bytes=self._position, total=self._total, bytes_per_s=rate))

    def done(self, *, files: int, digest: str, paths: Iterable[str], wire: int, now: float) -> Done:
        """Return the final event of a transfer that succeeded."""
        size = self._position if self._total is None else self._total
        return Done(
            files=files,
            bytes=size,
            moved=min(self._moved, size),
            wire=wire,
            seconds=round(now - self._started, 3),
            blake3=digest,
            paths=tuple(paths),
            ended_at=now,
        )


def nothing_done() -> Done:
    """Return the final event of a transfer of which the receiver wanted nothing."""
    return Done(files=0, bytes=0, moved=0, seconds=0.0, blake3="", paths=())
