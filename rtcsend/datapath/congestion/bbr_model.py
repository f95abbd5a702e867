"""What BBR believes about the path: its rate, its round trip, and what fits into it.

Small estimators that the state machine in ``bbr`` feeds and asks:

- ``PathModel``: the maximum bandwidth of two probing cycles, and what loss says about the
  moment (short-term bounds) and about the path (the long-term bound);
- ``MinRttProbe``: the minimum round trip, and when it must be measured anew;
- ``LossShare``: how much of a round was lost;
- ``FullPipe``: whether sending faster still delivers more;
- ``AckAggregation``: how much more than expected is acknowledged at once.

No estimator knows the state machine, sends anything or reads a clock.

Source: draft-ietf-ccwg-bbr-06 §5.5 and §5.3.1.2; names are the draft's.
"""

import math

from rtcsend.datapath.congestion.windowed import WindowedMax

BETA = 0.7  # BBR.Beta; draft §2.4
MAX_BW_FILTER_LEN = 2  # cycles; BBR.MaxBwFilterLen, draft §2.10
EXTRA_ACKED_FILTER_LEN = 10  # rounds; BBR.ExtraAckedFilterLen, draft §2.11
FULL_BW_GROWTH = 1.25  # of the rate, else it has stopped growing; draft §5.3.1.2
FULL_BW_ROUNDS = 3  # rounds without growth; draft §5.3.1.2
MIN_RTT_FILTER_LEN = 10.0  # seconds; BBR.MinRTTFilterLen, draft §2.15
PROBE_RTT_INTERVAL = 5.0  # seconds; BBR.ProbeRTTInterval, a MUST of draft §5.3.4.2
# Round trips between probes at least. A probe takes two, so at 2 s every 5 s would be half of
# the time (simulated: 34 of 90 s). Changes nothing up to 0.5 s, where others' probes coincide.
PROBE_RTT_MIN_ROUNDS = 10


class PathModel:
    """Bandwidth and volume of the path.

    Attributes:
        bw: Bytes per second to go by: the maximum, or less when loss says so.
        max_bw: The maximum of two cycles.
        bw_shortterm: Bound from loss while not probing; infinite without.
        inflight_shortterm: The same for the bytes in flight.
        inflight_longterm: Bytes in flight that a probe found to be the most; infinite without.
        inflight_latest: Most bytes delivered within a round trip, of the last round.
        loss_in_round: Something was lost in the current loss round.
    """

    __slots__ = (
        "_bw_latest",
        "_cycle",
        "_filter",
        "_loss_round_ended",
        "_loss_round_started",
        "bw",
        "bw_shortterm",
        "inflight_latest",
        "inflight_longterm",
        "inflight_shortterm",
        "loss_in_round",
        "max_bw",
    )

    def __init__(self) -> None:
        """Start knowing nothing."""
        self._filter = WindowedMax(MAX_BW_FILTER_LEN)
        self._cycle = 0
        self.bw = 0.0
        self.max_bw = 0.0
        self.inflight_longterm = math.inf
        self._loss_round_started = -math.inf
        self._loss_round_ended = False
        self.reset_short_term()
        self.reset_signals()

    def reset_short_term(self) -> None:
        """Forget what loss said about the moment (ResetShortTermModel)."""
        self.bw_shortterm = math.inf
        self.inflight_shortterm = math.inf

    def reset_signals(self) -> None:
        """Forget the current round's signals (ResetCongestionSignals)."""
        self.loss_in_round = False
        self._bw_latest = 0.0
        self.inflight_latest = 0

    def note_loss(self, *, now: float) -> None:
        """Note that something was lost; the first loss begins a loss round (NoteLoss)."""
        if not self.loss_in_round:
            self._loss_round_started = now
        self.loss_in_round = True

    def update(
        self, *, now: float, sent_at: float, rate: float, delivered: int, app_limited: bool
    ) -> bool:
        """Take in a delivery-rate sample.

        Args:
            now: Seconds.
            sent_at: When the newest acknowledged packet was sent, in seconds.
            rate: Bytes per second; 0 when unknown.
            delivered: Bytes delivered since that packet was sent.
            app_limited: The application had nothing more to send then.

        Returns:
            Whether a loss round ended: the time to adapt the short-term bounds.
        """
        self._bw_latest = max(self._bw_latest, rate)
        self.inflight_latest = max(self.inflight_latest, delivered)
        self._loss_round_ended = sent_at >= self._loss_round_started
        if self._loss_round_ended:
            self._loss_round_started = now
        # A sample that the application limited counts only if it is higher all the same.
        if rate > 0 and (rate >= self.max_bw or not app_limited):
            self.max_bw = self._filter.update(rate, at=self._cycle)
        return self._loss_round_ended

    def finish_update(self, *, rate: float, delivered: int) -> None:
        """Begin the next loss round if one ended, and settle ``bw``."""
        if self._loss_round_ended:
            self._bw_latest = rate
            self.inflight_latest = delivered
        self.bw = min(self.max_bw, self.bw_shortterm)

    def advance_max_bw(self) -> None:
        """Count a probing cycle: maxima of two cycles ago expire (AdvanceMaxBwFilter)."""
        self._cycle += 1

    def adapt_lower_bounds(self, *, cwnd: int) -> None:
        """Tighten the short-term bounds at the end of a round with loss.

        Source: draft §5.5.10.3, InitLowerBounds and LossLowerBounds.
        """
        if math.isinf(self.bw_shortterm):
            self.bw_shortterm = self.max_bw
        if math.isinf(self.inflight_shortterm):
            self.inflight_shortterm = float(cwnd)
        self.bw_shortterm = max(self._bw_latest, BETA * self.bw_shortterm)
        self.inflight_shortterm = max(self.inflight_latest, BETA * self.inflight_shortterm)


class LossShare:
    """What part of a stretch of time was lost.

    Attributes:
        lost: Bytes declared lost.
        delivered: Bytes acknowledged.
    """

    __slots__ = ("delivered", "lost")

    def __init__(self) -> None:
        """Start a first stretch."""
        self.reset()

    def reset(self) -> None:
        """Start a new stretch."""
        self.lost = 0
        self.delivered = 0

    def exceeds(self, share: float) -> bool:
        """Return whether more than ``share`` (0 to 1) of the bytes was lost."""
        return self.lost > share * (self.lost + self.delivered)


class MinRttProbe:
    """The minimum round trip, and whether it is due to be measured (UpdateMinRTT).

    Attributes:
        min_rtt: Seconds; infinite before the first sample.
        expired: No sample was below the minimum for PROBE_RTT_INTERVAL, or longer on long paths.
    """

    __slots__ = ("_delay", "_delay_stamp", "_min_rtt_stamp", "expired", "min_rtt")

    def __init__(self, *, now: float) -> None:
        """Start without a sample."""
        self.min_rtt = math.inf
        self.expired = False
        self._min_rtt_stamp = now
        self._delay = math.inf  # probe_rtt_min_delay
        self._delay_stamp = now

    def update(self, *, now: float, rtt: float | None) -> None:
        """Take in a sample, in seconds, if there is one."""
        interval = PROBE_RTT_INTERVAL
        if self.min_rtt < math.inf:
            interval = max(interval, PROBE_RTT_MIN_ROUNDS * self.min_rtt)
        self.expired = now > self._delay_stamp + interval
        if rtt is not None and (rtt < self._delay or self.expired):
            self._delay = rtt
            self._delay_stamp = now
        window = max(MIN_RTT_FILTER_LEN, 2 * interval)
        if self._delay < self.min_rtt or now > self._min_rtt_stamp + window:
            self.min_rtt = self._delay
            self._min_rtt_stamp = self._delay_stamp

    def schedule(self, *, now: float) -> None:
        """Start the wait for the next probe: one has just been made."""
        self._delay_stamp = now


class FullPipe:
    """Whether the rate has stopped growing although we send faster.

    Attributes:
        now: The pipe is full as of this search.
        reached: It was full at some time of the connection.
    """

    __slots__ = ("_bw", "_rounds", "now", "reached")

    def __init__(self) -> None:
        """Start a first search."""
        self.reached = False
        self.reset()

    def reset(self, *, baseline: float = 0.0) -> None:
        """Start a new search from ``baseline``, in bytes per second."""
        self._bw = baseline
        self._rounds = 0
        self.now = False

    def check(self, *, rate: float, round_start: bool, app_limited: bool) -> None:
        """Take in a delivery-rate sample, in bytes per second.

        Growth counts on any SACK, a round without it only at the round's end: judged by the
        one sample that happens to end a round, as the draft's text has it, a noisy link would
        look full too early.
        """
        if self.now or app_limited:
            return
        if rate >= self._bw * FULL_BW_GROWTH and rate > 0:
            self.reset(baseline=rate)
        elif round_start:
            self._rounds += 1
            if self._rounds >= FULL_BW_ROUNDS:
                self.now = True
                self.reached = True


class AckAggregation:
    """How many bytes are acknowledged beyond what the rate explains (UpdateACKAggregation).

    Attributes:
        extra_acked: Bytes, the most of the last ten rounds.
    """

    __slots__ = ("_delivered", "_filter", "_start", "extra_acked")

    def __init__(self, *, now: float) -> None:
        """Start with nothing seen."""
        self._filter = WindowedMax(1)
        self._start = now
        self._delivered = 0.0
        self.extra_acked = 0.0

    def restart(self, *, now: float) -> None:
        """Start a new interval: what was before it is no aggregation."""
        self._start = now
        self._delivered = 0.0

    def update(
        self, *, now: float, acked: int, bw: float, cwnd: int, round_count: int, full: bool
    ) -> None:
        """Take in one SACK.

        Args:
            now: Seconds.
            acked: Bytes that it acknowledged.
            bw: Bytes per second that are expected.
            cwnd: The congestion window in bytes, a bound on what can be extra.
            round_count: Rounds so far, the filter's time.
            full: The pipe was full once: remember ten rounds, not one.
        """
        expected = bw * (now - self._start)
        if self._delivered <= expected:
            self.restart(now=now)
            expected = 0.0
        self._delivered += acked
        extra = min(self._delivered - expected, float(cwnd))
        self._filter.length = EXTRA_ACKED_FILTER_LEN if full else 1
        self.extra_acked = self._filter.update(extra, at=round_count)
