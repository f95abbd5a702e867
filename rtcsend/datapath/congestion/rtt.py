"""Round-trip time: smoothed for the retransmission timer, and its recent minimum.

``RttEstimator`` is the timer's arithmetic (RFC 6298, which RFC 9260 §6.3.1 repeats) and its
back-off; ``MinRtt`` is the smallest sample of the last ten seconds, which reordering windows
and delivery-rate samples are judged by. Neither holds a timer or reads a clock.

Samples must come from chunks that were sent once only (Karn's rule, RFC 9260 §6.3.1 C5):
the association sees to that.
"""

import math

from rtcsend.datapath.congestion.windowed import WindowedMin

RTO_INITIAL = 1.0  # seconds; RFC 9260 §16
RTO_MIN = 0.2  # seconds; RFC 9260 §16 has 1 s, but a SACK is never held back for longer than that
RTO_MAX = 10.0  # seconds; RFC 9260 §16 has 60 s: a path that comes back is found within 10 s
RTT_MAX = 60.0  # seconds; a sample above it is a clock's fault, not a path
CLOCK_GRANULARITY = 0.001  # seconds; G of RFC 6298 §2.3, what an event loop's timers keep to
RTO_ALPHA = 1 / 8  # RFC 9260 §16
RTO_BETA = 1 / 4  # RFC 9260 §16
RTTVAR_FACTOR = 4  # K of RFC 6298 §2.2
BACKOFF_FACTOR = 2  # RFC 9260 §6.3.3 E2

MIN_RTT_WINDOW = 10.0  # seconds; draft-ietf-ccwg-bbr §2.15, MinRTTFilterLen
MIN_RTT_SLICES = 40  # ticks of a quarter of a second: the bound on what the filter keeps


class RttEstimator:
    """SRTT, RTTVAR and RTO of one association.

    Attributes:
        srtt: Smoothed RTT in seconds; 0 before the first sample.
        rttvar: Its mean deviation in seconds.
        rto: What to arm the retransmission timer with, in seconds, back-off included.
    """

    __slots__ = ("_rto_max", "_rto_min", "rto", "rttvar", "srtt")

    def __init__(
        self,
        *,
        rto_initial: float = RTO_INITIAL,
        rto_min: float = RTO_MIN,
        rto_max: float = RTO_MAX,
    ) -> None:
        """Start without a sample.

        Args:
            rto_initial: RTO before the first sample, in seconds.
            rto_min: Lower bound of the RTO, in seconds.
            rto_max: Upper bound of the RTO, in seconds, back-off included.
        """
        self._rto_min = rto_min
        self._rto_max = rto_max
        self.srtt = 0.0
        self.rttvar = 0.0
        self.rto = min(max(rto_initial, rto_min), rto_max)

    def on_sample(self, rtt: float) -> None:
        """Take in one sample, in seconds; ends the back-off.

        Source: RFC 9260 §6.3.1 C2, C3, C6 and C7.
        """
        rtt = min(max(rtt, 0.0), RTT_MAX)
        if self.srtt == 0.0:
            self.srtt = max(rtt, 1e-9)  # 0 means "no sample"
            self.rttvar = rtt / 2
        else:
            self.rttvar += RTO_BETA * (abs(self.srtt - rtt) - self.rttvar)
            self.srtt += RTO_ALPHA * (rtt - self.srtt)
        spread = max(CLOCK_GRANULARITY, RTTVAR_FACTOR * self.rttvar)
        self.rto = min(max(self.srtt + spread, self._rto_min), self._rto_max)

    def back_off(self) -> None:
        """Double the RTO after the timer expired (RFC 9260 §6.3.3 E2)."""
        self.rto = min(self.rto * BACKOFF_FACTOR, self._rto_max)


class MinRtt:
    """The smallest RTT sample of the last ten seconds.

    Attributes:
        value: Seconds; infinite before the first sample.
    """

    __slots__ = ("_filter", "_slice", "value")

    def __init__(self, *, window: float = MIN_RTT_WINDOW) -> None:
        """Start without a sample; ``window`` in seconds."""
        self._slice = window / MIN_RTT_SLICES
        self._filter = WindowedMin(MIN_RTT_SLICES + 1)
        self.value = math.inf

    def on_sample(self, rtt: float, *, now: float) -> float:
        """Take in one sample; return the minimum.

        A sample is forgotten between one window and one window and a slice after it came.
        """
        self.value = self._filter.update(rtt, at=int(now / self._slice))
        return self.value
