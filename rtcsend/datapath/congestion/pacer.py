"""Pacing: a leaky bucket that spreads packets at a rate, in batches worth sending.

A batch may leave as soon as the bytes of the batches before it have drained at the pacing
rate. The batch grows with the rate, so that one system call carries many segments (UDP
segmentation offload takes up to 64) while a slow link sees two packets at a time. A timer
that fires late is made up for, within a bound: an event loop's timers are a millisecond or
two late, and a pacer that forgot that time would never reach a high rate.

On a busy machine a process waits for its turn for tens of milliseconds. What was due meanwhile
may leave at once when it runs again. Else less leaves than the rate, less is delivered, and a
controller that takes its rate from what is delivered falls with each round: simulated, BBR on
a path of 1 GB/s came to 20 kB/s in a process that runs every 0.1 s, and to 60 MB/s with this.

Over any window no more leaves than ``rate * window`` and one burst, which is ``quantum`` and
what drains in ``TIMER_SLACK``, or in ``MAX_LATENESS`` for one who was told to wait. Pure:
``now`` comes in, the caller arms the timer.

Source: draft-ietf-ccwg-bbr §5.6.2 and §5.6.3; RFC 9002 §7.7.
"""

import math

from rtcsend.datapath.congestion.base import MAX_CWND

QUANTUM_TIME = 0.001  # seconds of the rate in one batch; draft-ietf-ccwg-bbr §5.6.3
QUANTUM_MIN_SEGMENTS = 2  # segments; draft-ietf-ccwg-bbr §5.6.3: pairs, so that SACKs stay rare
QUANTUM_MAX_SEGMENTS = 64  # segments; UDP_MAX_SEGMENTS, what one segmented send takes
TIMER_SLACK = 0.002  # seconds; epoll rounds a wait up to the next ms, and a scheduler adds one
MAX_LATENESS = 0.1  # seconds that one who was told to wait may come too late, and lose nothing


def send_quantum(rate: float, *, mss: int) -> int:
    """Return the bytes of one batch at ``rate`` bytes per second."""
    return int(
        min(max(rate * QUANTUM_TIME, QUANTUM_MIN_SEGMENTS * mss), QUANTUM_MAX_SEGMENTS * mss)
    )


class Pacer:
    """When the next batch may leave, and how large it may be.

    Attributes:
        rate: Bytes per second; infinite when nothing is held back.
        quantum: Bytes of one batch at this rate.
    """

    __slots__ = ("_debt", "_is_awaited", "_mss", "_stamp", "quantum", "rate")

    def __init__(self, *, mss: int, now: float, rate: float = math.inf) -> None:
        """Start with an empty bucket.

        Args:
            mss: Bytes of one full packet.
            now: Seconds.
            rate: Bytes per second, more than 0.
        """
        self._mss = mss
        self._stamp = now  # the time that _debt is of
        self._debt = 0.0  # bytes sent that have yet to drain; negative: time left unused
        self._is_awaited = False  # somebody has more to send, and waits for the debt to drain
        self.rate = rate
        self.quantum = send_quantum(rate, mss=mss)

    def set_rate(self, rate: float, *, now: float) -> None:
        """Drain at a new rate, in bytes per second, from now on."""
        if rate == self.rate:
            return
        if math.isinf(self.rate):
            self._debt = 0.0
            self._stamp = now
        else:
            self._drain(now)
        self.rate = rate
        self.quantum = send_quantum(rate, mss=self._mss)

    def set_mss(self, mss: int) -> None:
        """Adopt a new packet size."""
        self._mss = mss
        self.quantum = send_quantum(self.rate, mss=mss)

    def budget(self, now: float) -> int:
        """Return how many bytes may leave now; 0 means: wait for ``next_send_time``."""
        if math.isinf(self.rate):
            return MAX_CWND
        self._drain(now)
        self._is_awaited = self._debt > 0
        return 0 if self._is_awaited else int(self.quantum - self._debt)

    def on_sent(self, sent: int, now: float) -> None:
        """Note that ``sent`` bytes left now."""
        if math.isinf(self.rate):
            return
        self._drain(now)
        self._debt += sent

    def next_send_time(self, now: float) -> float:
        """Return when ``budget`` is more than 0 again: ``now`` when it is already.

        Who asks has more to send: he loses nothing by coming late.
        """
        if math.isinf(self.rate):
            return now
        self._drain(now)
        self._is_awaited = self._debt > 0
        # A hair later than exact, so that rounding never wakes the caller for nothing.
        return now + self._debt / self.rate + 1e-9 if self._is_awaited else now

    def _drain(self, now: float) -> None:
        elapsed = now - self._stamp
        if elapsed <= 0:  # a clock that stood still
            return
        self._stamp = now
        # Unused time is kept for TIMER_SLACK only: idleness earns no burst.
        slack = MAX_LATENESS if self._is_awaited else TIMER_SLACK
        self._debt = max(self._debt - self.rate * elapsed, -self.rate * slack)
