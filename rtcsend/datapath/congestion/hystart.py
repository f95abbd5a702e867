"""HyStart++: leave slow start when the round-trip time rises, before the queue overflows.

Slow start ends in conservative slow start (CSS), which grows at a quarter of the speed for
five rounds and goes back to slow start if the rise was a false alarm. This class only
decides the phase and the growth; CUBIC owns the window.

Source: RFC 9406. L is unlimited, as §4.3 allows where the sender is paced.
"""

import enum
import math

MIN_RTT_THRESH = 0.004  # seconds; RFC 9406 §4.3
MAX_RTT_THRESH = 0.016  # seconds; RFC 9406 §4.3
MIN_RTT_DIVISOR = 8  # RFC 9406 §4.3
N_RTT_SAMPLE = 8  # samples of a round before it is judged; RFC 9406 §4.3
CSS_GROWTH_DIVISOR = 4  # RFC 9406 §4.3
CSS_ROUNDS = 5  # rounds; RFC 9406 §4.3


class Phase(enum.Enum):
    """Where slow start stands."""

    SLOW_START = enum.auto()
    CSS = enum.auto()
    DONE = enum.auto()


class HyStart:
    """The phase of slow start, from round-trip times.

    Attributes:
        phase: Where slow start stands; DONE means: go on with congestion avoidance.
    """

    __slots__ = ("_baseline", "_css_rounds", "_current", "_last", "_samples", "phase")

    def __init__(self) -> None:
        """Start in slow start."""
        self.restart()

    def restart(self) -> None:
        """Begin slow start anew, after a retransmission timeout."""
        self.phase = Phase.SLOW_START
        self._last = math.inf  # lastRoundMinRTT
        self._current = math.inf  # currentRoundMinRTT
        self._samples = 0  # rttSampleCount
        self._baseline = math.inf  # cssBaselineMinRtt
        self._css_rounds = 0

    def finish(self) -> None:
        """Leave slow start for good: a packet was lost."""
        self.phase = Phase.DONE

    def growth(self, acked: int) -> float:
        """Return by how many bytes the window grows for ``acked`` bytes."""
        return acked / CSS_GROWTH_DIVISOR if self.phase is Phase.CSS else float(acked)

    def on_ack(self, *, rtt: float | None, round_start: bool) -> None:
        """Take in one SACK.

        Args:
            rtt: Its RTT sample in seconds, if it has one.
            round_start: A new round begins with it.
        """
        if self.phase is Phase.DONE:
            return
        if round_start:
            self._start_round()
        if rtt is not None:
            self._current = min(self._current, rtt)
            self._samples += 1
        if self._samples < N_RTT_SAMPLE:
            return
        if self.phase is Phase.SLOW_START:
            self._check_rise()
        elif self.phase is Phase.CSS and self._current < self._baseline:
            # The rise was noise (RFC 9406 §4.2): slow start goes on.
            self._baseline = math.inf
            self.phase = Phase.SLOW_START

    def _start_round(self) -> None:
        self._last = self._current
        self._current = math.inf
        self._samples = 0
        if self.phase is Phase.CSS:
            self._css_rounds += 1
            if self._css_rounds >= CSS_ROUNDS:
                self.phase = Phase.DONE

    def _check_rise(self) -> None:
        if math.isinf(self._last):
            return
        threshold = min(max(self._last / MIN_RTT_DIVISOR, MIN_RTT_THRESH), MAX_RTT_THRESH)
        if self._current >= self._last + threshold:
            self._baseline = self._current
            self._css_rounds = 0
            self.phase = Phase.CSS
