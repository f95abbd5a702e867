"""CUBIC: the loss-based controller that shares a queue as TCP does.

The window follows a cubic curve of the time since the last reduction: fast towards the
window that was last too large, flat around it, fast again beyond it, and never slower than
Reno would be. Slow start is HyStart++'s. It takes every loss for congestion: on a long path
with random loss it is slow, and ``bbr`` is the better choice.

The curve is computed in segments of ``mss`` bytes, as the RFC writes it; the window is kept
in bytes.

Source: RFC 9438; minimum windows and the retransmission timeout from RFC 9260 §7.2.
"""

import math

from rtcsend.datapath.congestion.base import (
    MAX_CWND,
    AckSample,
    CongestionController,
    initial_window,
)
from rtcsend.datapath.congestion.hystart import HyStart, Phase
from rtcsend.datapath.congestion.rtt import RTO_MIN

BETA = 0.7  # what a loss leaves of the window; RFC 9438 §4.6
C = 0.4  # segments per second cubed; RFC 9438 §4.1
ALPHA = 3 * (1 - BETA) / (1 + BETA)  # segments a round, of an equally fast Reno; RFC 9438 §4.3
MAX_GROWTH = 1.5  # of the window in one round; RFC 9438 §4.2
MIN_SEGMENTS = 4  # segments after a loss; RFC 9260 §7.2.3
RTO_SEGMENTS = 1  # segments after a timeout; RFC 9260 §7.2.3
IDLE_ROUNDS = 2  # round trips; about an RTO
IDLE_SSTHRESH = 0.75  # of the window before; RFC 7661
PACING_SLOW_START = 2.0  # times cwnd a round: the window doubles in a round, so must the rate
PACING_AVOIDANCE = 1.25  # times cwnd a round; RFC 9002 §7.7


def cubic_k(*, w_max: float, cwnd_epoch: float) -> float:
    """Return the seconds that the curve takes from ``cwnd_epoch`` to ``w_max`` segments.

    Source: RFC 9438 §4.2, Figure 2.
    """
    return math.cbrt((w_max - cwnd_epoch) / C)


def cubic_window(t: float, *, k: float, w_max: float) -> float:
    """Return the window, in segments, ``t`` seconds after the reduction.

    Source: RFC 9438 §4.2, Figure 1.
    """
    return C * (t - k) ** 3 + w_max


class Curve:
    """One epoch of congestion avoidance; all windows in segments."""

    __slots__ = ("_cwnd_prior", "k", "start", "w_est", "w_max")

    def __init__(self, *, now: float, cwnd: float, w_max: float, cwnd_prior: float) -> None:
        """Begin an epoch at window ``cwnd``; ``w_max`` and ``cwnd_prior`` are RFC 9438's."""
        self.start = now
        # An epoch that begins above w_max (after slow start) is at its origin already.
        self.w_max = max(w_max, cwnd)
        self.k = cubic_k(w_max=self.w_max, cwnd_epoch=cwnd)
        self.w_est = cwnd
        self._cwnd_prior = cwnd_prior

    def grow(self, cwnd: float, *, acked: float, now: float, rtt: float) -> float:
        """Return the window after ``acked`` segments were acknowledged."""
        # Past the window of before the reduction Reno itself would grow by 1 (RFC 9438 §4.3).
        alpha = ALPHA if self.w_est < self._cwnd_prior else 1.0
        self.w_est += alpha * acked / cwnd
        t = now - self.start
        if cubic_window(t, k=self.k, w_max=self.w_max) < self.w_est:
            return max(cwnd, self.w_est)
        target = cubic_window(t + rtt, k=self.k, w_max=self.w_max)
        target = min(max(target, cwnd), MAX_GROWTH * cwnd)
        return cwnd + min((target - cwnd) * acked / cwnd, target - cwnd)


class Cubic(CongestionController):
    """CUBIC with fast convergence, the Reno-friendly region and HyStart++."""

    def __init__(self, *, mss: int, now: float) -> None:
        """Start with the initial window, in slow start."""
        super().__init__(mss=mss, now=now)
        self.ssthresh = math.inf  # bytes
        self._window = float(self.cwnd)  # cwnd with its fraction of a byte
        self._hystart = HyStart()
        self._curve: Curve | None = None
        self._w_max = 0.0  # segments; the window before the last reduction
        self._cwnd_prior = 0.0  # segments
        self._recovery_start = -math.inf  # a loss of a packet sent before it is the same event
        self._last_ack = now
        self._last_sent = now
        self._srtt = 0.0

    @property
    def in_slow_start(self) -> bool:
        """Whether the window grows by what is acknowledged."""
        return self._window < self.ssthresh

    def on_ack(self, sample: AckSample) -> None:
        """Grow the window, unless it is not what limits the sender."""
        now = sample.now
        if sample.app_limited or 2 * sample.prior_flight < self.cwnd:
            # A window that was not used was not tested (RFC 9438 §5.8): it stays, and the
            # curve's clock stands still meanwhile.
            if self._curve is not None:
                self._curve.start += now - self._last_ack
        elif self.in_slow_start:
            self._slow_start(sample)
        elif sample.now - (sample.rtt or sample.srtt) >= self._recovery_start:
            # While in recovery the acknowledged packets are of before the reduction.
            self._avoid_congestion(sample)
        self._last_ack = now
        self._srtt = sample.srtt
        self._publish(srtt=sample.srtt)

    def on_loss(self, *, now: float, lost: int, flight: int, sent_at: float) -> None:
        """Reduce the window, once a round trip (RFC 9438 §4.6 and §4.7)."""
        if sent_at <= self._recovery_start:
            return
        self._recovery_start = now
        self._reduce(now=now, used=min(self._window, float(flight + lost)))
        self._window = float(self.ssthresh)
        self._hystart.finish()
        self._publish(srtt=None)

    def on_rto(self, *, now: float) -> None:
        """Begin again with one segment, in slow start up to the reduced window."""
        # A second timeout in a row finds one segment, and no reason to lower ssthresh again.
        if self._window > RTO_SEGMENTS * self.mss:
            self._reduce(now=now, used=self._window)
        self._window = float(RTO_SEGMENTS * self.mss)
        self._curve = None
        self._recovery_start = now
        self._hystart.finish()  # ssthresh is known: no guessing where the queue begins
        self._publish(srtt=None)

    def on_sent(self, *, now: float, flight: int) -> None:
        """Note when something was sent: idleness is counted from there."""
        self._last_sent = now

    def on_idle(self, *, now: float) -> None:
        """Fall back to the initial window after a long pause; ssthresh remembers the old one.

        RFC 9260 §7.2.1 halves the window for each RTO without data. Here it falls at once, after
        a pause of an RTO; in a shorter one the path is still as it was. The curve's clock does
        not run in either.
        """
        if now - self._last_sent < max(RTO_MIN, IDLE_ROUNDS * self._srtt):
            return
        restart = float(initial_window(self.mss))
        if self._window > restart:
            if math.isfinite(self.ssthresh):
                self.ssthresh = max(self.ssthresh, IDLE_SSTHRESH * self._window)
            self._window = restart
        self._curve = None
        self._last_ack = now
        self._publish(srtt=None)

    def set_mss(self, mss: int) -> None:
        """Adopt a new packet size; windows in segments are rescaled, bytes stay."""
        scale = self.mss / mss
        self._w_max *= scale
        self._cwnd_prior *= scale
        self._curve = None
        self.mss = mss
        self._window = max(self._window, float(MIN_SEGMENTS * mss))
        self._publish(srtt=None)

    def _slow_start(self, sample: AckSample) -> None:
        self._hystart.on_ack(rtt=sample.rtt, round_start=sample.round_start)
        if math.isinf(self.ssthresh) and self._hystart.phase is Phase.DONE:
            self.ssthresh = self._window
            return
        self._window = min(self._window + self._hystart.growth(sample.acked), self.ssthresh)

    def _avoid_congestion(self, sample: AckSample) -> None:
        mss = self.mss
        window = self._window / mss
        if self._curve is None:
            self._curve = Curve(
                now=sample.now,
                cwnd=window,
                w_max=self._w_max,
                cwnd_prior=max(self._cwnd_prior, window),
            )
        window = self._curve.grow(window, acked=sample.acked / mss, now=sample.now, rtt=sample.srtt)
        self._window = window * mss

    def _reduce(self, *, now: float, used: float) -> None:
        """Lower ssthresh to the part BETA of what was in use, and remember the old window."""
        cwnd = self._window / self.mss
        # Fast convergence: a flow that did not get back to its last maximum gives way to
        # newer ones (RFC 9438 §4.7).
        self._w_max = cwnd * (1 + BETA) / 2 if cwnd < self._w_max else cwnd
        self._cwnd_prior = cwnd
        self.ssthresh = max(BETA * used, float(MIN_SEGMENTS * self.mss))
        self._curve = Curve(
            now=now, cwnd=self.ssthresh / self.mss, w_max=self._w_max, cwnd_prior=cwnd
        )

    def _publish(self, *, srtt: float | None) -> None:
        """Set what the association reads; without an RTT the pacing rate keeps its ratio."""
        self._window = min(self._window, float(MAX_CWND))
        before, self.cwnd = self.cwnd, int(self._window)
        if srtt:
            gain = PACING_SLOW_START if self.in_slow_start else PACING_AVOIDANCE
            self.pacing_rate = gain * self._window / srtt
        elif math.isfinite(self.pacing_rate):
            self.pacing_rate *= self.cwnd / before
