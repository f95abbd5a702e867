"""What the parts of BBR share: the newest sample, the rounds, and volumes of data.

``BbrFlow`` holds the estimators of ``bbr_model`` and the state, keeps count of rounds, and
computes from both how many bytes belong in flight. It decides nothing: the cycle of probes is
in ``bbr_probe``, the probe for the round trip in ``bbr_probe_rtt``, the rest in ``bbr``.

What the interface does not carry is told by time: a packet was sent in the current round if
it was sent after the round began, and what was in flight then is in ``flight_log``.

Source: draft-ietf-ccwg-bbr-06 §5.5.1, §5.6.4 and §2; names are the draft's.
"""

import math

from rtcsend.datapath.congestion.base import AckSample, CongestionController, initial_window
from rtcsend.datapath.congestion.bbr_model import AckAggregation, FullPipe, MinRttProbe, PathModel
from rtcsend.datapath.congestion.bbr_states import (
    GAINS,
    PROBE_RTT_CWND_GAIN,
    STARTUP_PACING_GAIN,
    State,
)
from rtcsend.datapath.congestion.flight_log import SAME_TIME, FlightLog, SentState
from rtcsend.datapath.congestion.pacer import QUANTUM_MIN_SEGMENTS, send_quantum

MIN_PIPE_SEGMENTS = 4  # segments; BBR.MinPipeCwnd, draft §2.7
OFFLOAD_QUANTA = 3  # batches on their way through sender and receiver; draft §5.5.8.1
RTT_BEFORE_SAMPLE = 0.001  # seconds, to pace the first window by; draft §5.6.2
# Of the minimum RTT, by the lowest sample of a round or two: one late packet is no queue.
QUEUE_RTT = 1.25  # more means that a queue stands, and loss is its overflow
EMPTY_RTT = 1.1  # less means that none stands


class BbrFlow(CongestionController):
    """The state of one flow, and what follows from it.

    Attributes:
        state: Where the state machine stands.
        model: What is known of the path.
        min_rtt: The round trip without a queue, and when it is due.
        full_pipe: Whether the path's rate has been reached.
        aggregation: How much is acknowledged at once.
        delivered: Bytes delivered so far.
        lost: Bytes lost so far.
        srtt: Smoothed RTT in seconds.
        rate: Bytes per second of the newest sample, the draft's RS.delivery_rate.
        app_limited: The newest sample was limited by the application.
        tx: Totals when the newest acknowledged packet was sent.
        round_start: The newest sample began a round.
        round_count: Rounds so far.
        cwnd_limited: The window held the flow back in the last round or this one.
    """

    def __init__(self, *, mss: int, now: float) -> None:
        """Start in Startup, knowing nothing.

        Args:
            mss: Bytes of one full packet.
            now: Seconds.
        """
        super().__init__(mss=mss, now=now)
        self.model = PathModel()
        self.min_rtt = MinRttProbe(now=now)
        self.full_pipe = FullPipe()
        self.aggregation = AckAggregation(now=now)
        self.delivered = 0
        self.lost = 0
        self.srtt = 0.0
        self.rate = 0.0
        self.app_limited = False
        self.tx = SentState(0, 0, 0)
        self.round_start = False
        self.round_count = 0
        self.cwnd_limited = False
        self._cwnd_limited_now = False
        self._round_started = -math.inf
        self._lowest_rtt = math.inf  # of this round
        self._lowest_rtt_before = math.inf  # of the round before
        self._log = FlightLog()
        self.state = State.STARTUP
        self.pacing_rate = STARTUP_PACING_GAIN * self.cwnd / RTT_BEFORE_SAMPLE

    # Samples and rounds.

    def note_sent(self, *, now: float, flight: int) -> None:
        """Note what is in flight after sending (draft §2.3)."""
        self._log.note(SentState(flight, self.delivered, self.lost), now=now, srtt=self.srtt)
        if flight + self.mss > self.cwnd:
            self.cwnd_limited = self._cwnd_limited_now = True

    def sent_state(self, sent_at: float) -> SentState | None:
        """Return the totals when a packet was sent; None if nothing is known of the time."""
        return self._log.at(sent_at)

    def take_sample(self, sample: AckSample) -> float:
        """Take what later steps need from a sample; return when its newest packet was sent."""
        self.srtt = sample.srtt
        self.delivered = sample.delivered
        self.app_limited = sample.app_limited
        self.rate = sample.delivery_rate
        self.round_start = False
        rtt = sample.rtt
        if rtt is None:
            # Retransmissions only: no send time, so neither a round nor a volume.
            self.tx = SentState(0, self.delivered, self.lost)
            return -math.inf
        self._lowest_rtt = min(self._lowest_rtt, rtt)
        sent_at = sample.now - rtt + SAME_TIME
        self.tx = self._log.at(sent_at) or SentState(0, self.delivered, self.lost)
        if sent_at >= self._round_started:
            self.start_round(sample.now)
            self.round_count += 1
            self.round_start = True
            self.cwnd_limited, self._cwnd_limited_now = self._cwnd_limited_now, False
            self._lowest_rtt_before, self._lowest_rtt = self._lowest_rtt, rtt
        return sent_at

    def start_round(self, now: float) -> None:
        """Begin a round: packets sent from now on end it."""
        self._round_started = now

    def queue_stands(self) -> bool:
        """Return whether every packet of this round and the last one waited in a queue."""
        lowest = min(self._lowest_rtt, self._lowest_rtt_before)
        return lowest > QUEUE_RTT * self.min_rtt.min_rtt

    def queue_was_empty(self) -> bool:
        """Return whether some packet of the last round found no queue."""
        return self._lowest_rtt_before <= EMPTY_RTT * self.min_rtt.min_rtt

    # Volumes, in bytes.

    def min_pipe_cwnd(self) -> int:
        """Return the smallest window."""
        return MIN_PIPE_SEGMENTS * self.mss

    def bdp(self, gain: float, *, bw: float | None = None) -> float:
        """Return what the path holds without a queue, times ``gain``, at ``bw`` or our rate."""
        if math.isinf(self.min_rtt.min_rtt):
            return float(initial_window(self.mss))
        return gain * (self.model.bw if bw is None else bw) * self.min_rtt.min_rtt

    def quantized(self, volume: float) -> float:
        """Return a volume that keeps batches, and at least four packets, on their way."""
        volume = max(volume, float(self.min_pipe_cwnd()))
        quantum = send_quantum(self.pacing_rate, mss=self.mss)
        if quantum > QUANTUM_MIN_SEGMENTS * self.mss:  # a slow link has no batches to keep
            volume = max(volume, float(OFFLOAD_QUANTA * quantum))
        if self.state is State.PROBE_BW_UP:
            volume += 2 * self.mss
        return volume

    def inflight(self, gain: float, *, bw: float | None = None) -> float:
        """Return the flight that a gain asks for."""
        return self.quantized(self.bdp(gain, bw=bw))

    def wanted_cwnd(self) -> float:
        """Return the window that the state asks for (draft §5.6.4.2)."""
        return self.quantized(self.bdp(GAINS[self.state][1]) + self.aggregation.extra_acked)

    def target_inflight(self) -> float:
        """Return what should be in flight: the path's volume, unless loss cut the window."""
        return min(self.bdp(1.0), float(self.cwnd))

    def probe_rtt_cwnd(self) -> int:
        """Return the window of ProbeRTT; one batch adds a millisecond of queue at most."""
        quantum = send_quantum(self.pacing_rate, mss=self.mss)
        return int(max(self.bdp(PROBE_RTT_CWND_GAIN), quantum, self.min_pipe_cwnd()))
