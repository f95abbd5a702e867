"""The time on another machine's clock, as far as question and answer can tell.

The answer is as old as its way back took, which nobody knows; so an estimate is wrong by half of
the round trip at most, and the shortest one of the last few is the best. Older ones are forgotten,
since clocks run at different speeds and are set.

Pure. Place in the flow: kept by :mod:`signal_server.store.redis_link`. Source: RFC 5905 section 8.
"""

from collections import deque

KEPT = 8  # answers, of which the quickest one counts; with a heartbeat every 2 s, of 16 s


class ClockEstimate:
    """How far another clock is before the own one."""

    def __init__(self) -> None:
        self._answers: deque[tuple[float, float]] = deque(maxlen=KEPT)  # round trip, offset

    @property
    def offset(self) -> float:
        """Seconds to add to the own clock; 0.0 before any answer."""
        return min(self._answers, default=(0.0, 0.0))[1]

    def answered(self, theirs: float, *, asked: float, now: float) -> None:
        """Take an answer.

        Args:
            theirs: Seconds on the other clock.
            asked: When it was asked, on the own clock.
            now: On the own clock.
        """
        self._answers.append((now - asked, theirs - (asked + now) / 2))
