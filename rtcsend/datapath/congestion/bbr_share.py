"""A queue that overflowed: BBR's flight is bounded as CUBIC's window would be.

BBR probes for room every few seconds and takes all it finds within a few rounds; a loss-based
flow needs many seconds to grow, and halves what it has at every overflow that BBR causes. So
after an overflow the bound on the flight falls, and grows again along CUBIC's curve and no
faster. Both flows then take equally long for equal room. When the queue stays empty nobody
competes: the bound is lifted, and BBR's own search is unlimited again.

What counts as an overflow or as an empty queue the caller decides; here is only the bound.

The draft has no such bound: it takes the flight of the overflow for safe and goes on probing
every 2 to 3 s, or 63 rounds. Falling as CUBIC does but growing at the draft's pace is not enough:
simulated at 100 Mbit/s, 40 ms and a queue of one BDP, over 60 s, CUBIC got 22 %, or 33 % when it
was first; with this bound 51 to 53 %, or 48 to 61 %.

Source: RFC 9438 §4 for the curve; the place in BBR is that of inflight_longterm of
draft-ietf-ccwg-bbr-06 §5.5.10.2.
"""

import math

from rtcsend.datapath.congestion.base import MAX_CWND
from rtcsend.datapath.congestion.cubic import BETA, Curve

SEGMENT = 1448  # bytes; a segment of the TCP that we share with: the curve is one of segments
# Of the flight that overflowed: where the curve is flat. RFC 9438 §4.7 takes as much after an
# overflow below the last one, so that new flows get room; here always, as the probes of a
# larger flow overflow the queue too. On the RFC's condition a late CUBIC flow got 32 to 45 %,
# always 52 % (simulated, two seeds).
CONVERGENCE = (1 + BETA) / 2
# Rounds without a queue until nobody competes. With 3 the flow that sees it first takes all
# (simulated, segments of 1,200 bytes, three seeds: two BBR flows at up to 71:29, not 59:41).
EMPTY_ROUNDS = 8
EMPTY_ROUNDS_PROBING = 3  # the same when a probe is due, which would fill the queue again


class SharedQueue:
    """The bound on the flight after an overflow.

    Attributes:
        bound: Bytes; infinite when nothing bounds.
    """

    __slots__ = ("_curve", "_empty_rounds", "_overflow_at", "_segments", "bound")

    def __init__(self) -> None:
        """Start without a bound."""
        self.bound = math.inf
        self._curve: Curve | None = None
        self._segments = 0.0
        self._empty_rounds = 0
        self._overflow_at = -math.inf

    @property
    def is_active(self) -> bool:
        """Whether the flight is bounded."""
        return self._curve is not None

    def overflow(self, *, now: float, flight: float, floor: float, rtt: float) -> None:
        """Lower the bound, once a round trip.

        Args:
            now: Seconds.
            flight: Bytes in flight that were too many.
            floor: Bytes to keep: what the path takes at the present rate without a queue.
            rtt: Smoothed RTT in seconds.
        """
        if self._curve is not None and now < self._overflow_at + rtt:
            return
        self._overflow_at = now
        self._empty_rounds = 0
        segments = flight / SEGMENT
        self._segments = max(BETA * segments, floor / SEGMENT)
        self._curve = Curve(
            now=now,
            cwnd=self._segments,
            w_max=CONVERGENCE * segments,
            cwnd_prior=max(segments, self._segments),
        )
        self._publish()

    def on_round(self, *, now: float, rtt: float, is_empty: bool, is_cruising: bool) -> None:
        """Let the bound grow by a round, or lift it.

        Args:
            now: Seconds.
            rtt: Smoothed RTT in seconds.
            is_empty: No queue stood in the last round.
            is_cruising: The flow neither probes nor drains, so that an empty queue says something.
        """
        if self._curve is None:
            return
        self._empty_rounds = self._empty_rounds + 1 if is_empty else 0
        if is_cruising and self._empty_rounds >= EMPTY_ROUNDS:
            self._lift()
            return
        self._segments = self._curve.grow(self._segments, acked=self._segments, now=now, rtt=rtt)
        self._publish()

    def on_probe_due(self) -> None:
        """Lift the bound before a probe if the queue has been empty for a while."""
        if self._empty_rounds >= EMPTY_ROUNDS_PROBING:
            self._lift()

    def _lift(self) -> None:
        self._curve = None
        self.bound = math.inf

    def _publish(self) -> None:
        self._segments = min(self._segments, MAX_CWND / SEGMENT)
        self.bound = self._segments * SEGMENT
