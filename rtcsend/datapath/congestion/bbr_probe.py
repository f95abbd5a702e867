"""ProbeBW: the cycle of Down, Cruise, Refill and Up, and what each probe teaches.

Every few seconds a flow fills its bounds for a round (Refill), sends a quarter faster until
the rate stops growing or too much is lost (Up), lets the queue drain (Down) and keeps the
rate (Cruise). Too much is over 2 % of what was in flight; where that was becomes
inflight_longterm, and later probes raise it again. When the loss was a queue's overflow,
``bbr_share`` says how far it falls, and how fast it may grow.

Source: draft-ietf-ccwg-bbr-06 §5.3.3 and §5.5.10.2; names are the draft's.
"""

import math

from rtcsend.datapath.congestion.base import AckSample
from rtcsend.datapath.congestion.bbr_flow import BbrFlow
from rtcsend.datapath.congestion.bbr_model import BETA
from rtcsend.datapath.congestion.bbr_share import SharedQueue
from rtcsend.datapath.congestion.bbr_states import PROBE_BW_STATES, AckPhase, State

LOSS_THRESH = 0.02  # of the bytes in flight; BBR.LossThresh, draft §2.4
# Segments lost beyond the share. Of a small flight two packets are 2 %: without a margin the
# smaller of two flows ends every probe first, and never catches up (simulated: 16:84).
LOSS_MARGIN_SEGMENTS = 4
HEADROOM = 0.15  # of inflight_longterm; BBR.Headroom, draft §2.4
PROBE_WAIT_BASE = 2.0  # seconds between probes, and up to 1 s more; draft §5.3.3.8
MAX_RENO_ROUNDS = 63  # rounds between probes at most; draft §5.3.3.8.2
MAX_PROBE_UP_ROUNDS = 30  # doublings of the slope; draft §5.3.3.9


class BandwidthProbe:
    """The cycle of one flow.

    Attributes:
        wait: Seconds from one probe to the next, at most.
    """

    def __init__(self, flow: BbrFlow, *, now: float, seed: int) -> None:
        """Start before the first cycle.

        Args:
            flow: Whose state changes.
            now: Seconds.
            seed: Spreads the probes of several flows.
        """
        self.wait = PROBE_WAIT_BASE
        self._flow = flow
        self._share = SharedQueue()
        self._random = seed & 0xFFFFFFFF
        self._ack_phase = AckPhase.INIT
        self._cycle_stamp = now
        self._rounds_since_probe = 0
        self._is_probe_sample = False
        self._too_high = False
        self._precautionary = False
        self._up_rounds = 0
        self._up_acked = 0
        self._up_acked_per_inc = math.inf

    # What the controller calls.

    def on_round(self, now: float) -> None:
        """Count a round, and let a bound grow that an overflow has left."""
        flow = self._flow
        self._rounds_since_probe += 1
        if not self._share.is_active:
            return
        self._share.on_round(
            now=now,
            rtt=flow.srtt,
            is_empty=flow.state in PROBE_BW_STATES and flow.queue_was_empty(),
            is_cruising=flow.state is State.PROBE_BW_CRUISE,
        )
        self._adopt_bound()

    def update(self, sample: AckSample) -> None:
        """Advance the cycle by one SACK (draft §5.3.3.9)."""
        flow, now = self._flow, sample.now
        if self._adapt_long_term_model(sample) or flow.state not in PROBE_BW_STATES:
            return
        if flow.state in (State.PROBE_BW_DOWN, State.PROBE_BW_CRUISE):
            if self._is_time_to_probe(now):
                self._start_refill(now)
            elif flow.state is State.PROBE_BW_DOWN and self._is_time_to_cruise(sample.flight):
                flow.state = State.PROBE_BW_CRUISE
        elif flow.state is State.PROBE_BW_REFILL:
            if flow.round_start:
                self._is_probe_sample = True
                self._start_up(now)
        elif self._is_time_to_go_down(sample.flight):
            self._too_high = False  # no high loss so far
            self.start_down(now)

    def on_loss(self, *, now: float, lost: int, sent_at: float) -> None:
        """While probing, see whether too much was in flight (HandleLostPacket)."""
        flow = self._flow
        sent = flow.sent_state(sent_at)
        if not self._is_probe_sample or sent is None:
            return
        lost_since = flow.lost - sent.lost
        if not self._is_too_much(lost_since, flight=sent.flight):
            return
        # At what flight did the loss pass the threshold? (InflightAtLoss)
        flight_before = max(sent.flight - lost, 0)
        allowed = LOSS_THRESH * flight_before + LOSS_MARGIN_SEGMENTS * flow.mss
        prefix = (allowed - (lost_since - lost)) / (1 - LOSS_THRESH)
        self._handle_inflight_too_high(flight_before + max(prefix, 0.0), now=now)

    def on_overflow(self, *, now: float, flight: float) -> None:
        """Give way after a queue overflowed with ``flight`` bytes of ours on their way.

        The floor is what the path holds at the present rate: giving way empties the queue,
        but not the path.
        """
        flow = self._flow
        rate = min(flow.rate, flow.model.bw)
        self._share.overflow(now=now, flight=flight, floor=flow.bdp(1.0, bw=rate), rtt=flow.srtt)
        self._adopt_bound()

    def inflight_with_headroom(self) -> float:
        """Return the bound while not probing: it leaves room to others.

        The bound that an overflow left is no higher than what a loss-based flow takes, so
        nothing is taken off it.
        """
        flow = self._flow
        longterm = flow.model.inflight_longterm
        if math.isinf(longterm) or self._share.is_active:
            return longterm
        headroom = max(float(flow.mss), HEADROOM * longterm)
        return max(longterm - headroom, float(flow.min_pipe_cwnd()))

    def start_down(self, now: float) -> None:
        """Let the queue drain, and pick when to probe again."""
        flow = self._flow
        flow.model.reset_signals()
        self._up_acked_per_inc = math.inf
        self._rounds_since_probe = int(self._entropy() * 2)
        self.wait = PROBE_WAIT_BASE + self._entropy()
        self._cycle_stamp = now
        self.stop(now)
        flow.state = State.PROBE_BW_DOWN

    def stop(self, now: float) -> None:
        """Begin the round in which a probe's last acknowledgements come."""
        self._ack_phase = AckPhase.PROBE_STOPPING
        self._flow.start_round(now)

    def resume(self, now: float) -> None:
        """Go on after ProbeRTT, which left nothing to drain (ExitProbeRTT)."""
        self.start_down(now)
        self._flow.state = State.PROBE_BW_CRUISE

    # What acknowledgements of a probe teach.

    def _adapt_long_term_model(self, sample: AckSample) -> bool:
        """Learn from a probe's acknowledgements; return whether that changed the state."""
        flow = self._flow
        if flow.round_start and self._ack_phase is AckPhase.PROBE_STARTING:
            self._ack_phase = AckPhase.PROBE_FEEDBACK
        elif flow.round_start and self._ack_phase is AckPhase.PROBE_STOPPING:
            self._is_probe_sample = False
            self._ack_phase = AckPhase.INIT
            if self._end_probe(sample.now):
                return True
        if self._is_too_much(flow.lost - flow.tx.lost, flight=flow.tx.flight):
            if self._is_probe_sample:
                self._handle_inflight_too_high(flow.tx.flight, now=sample.now)
                return True
        elif math.isfinite(flow.model.inflight_longterm) and not self._share.is_active:
            model = flow.model
            model.inflight_longterm = max(model.inflight_longterm, flow.tx.flight)
            if flow.state is State.PROBE_BW_UP:
                self._raise_inflight_longterm(sample.acked)
        return False

    def _end_probe(self, now: float) -> bool:
        """Take leave of a probe's last samples; return whether the next begins at once."""
        flow = self._flow
        if flow.state not in PROBE_BW_STATES:
            return False
        if not flow.app_limited:
            flow.model.advance_max_bw()
        if self._precautionary and not self._too_high:
            # The short probe was free of loss: now a whole one (draft §5.3.3.6).
            self._start_refill(now)
            return True
        return False

    def _is_too_much(self, lost: int, *, flight: int) -> bool:
        return lost > flight * LOSS_THRESH + LOSS_MARGIN_SEGMENTS * self._flow.mss

    def _handle_inflight_too_high(self, flight: float, *, now: float) -> None:
        """Bound the flight by what a probe has just found to be too much."""
        flow = self._flow
        self._too_high = True
        self._is_probe_sample = False  # one reaction a probe
        if not flow.app_limited:
            if flow.queue_stands():
                self.on_overflow(now=now, flight=flight)
            else:
                floor = flow.target_inflight() * BETA
                flow.model.inflight_longterm = int(max(flight, floor))
        if flow.state is State.PROBE_BW_UP:
            self.start_down(now)

    def _adopt_bound(self) -> None:
        if self._share.is_active:
            self._flow.model.inflight_longterm = int(self._share.bound)

    def _raise_inflight_longterm(self, acked: int) -> None:
        """Raise the bound while it holds the flow back (ProbeInflightLongtermUpward)."""
        flow = self._flow
        model = flow.model
        if not flow.cwnd_limited or flow.cwnd < model.inflight_longterm:
            return
        self._up_acked += acked
        if self._up_acked >= self._up_acked_per_inc:
            steps = int(self._up_acked / self._up_acked_per_inc)
            self._up_acked -= int(steps * self._up_acked_per_inc)
            model.inflight_longterm += steps * flow.mss
        if flow.round_start:
            self._raise_slope()

    def _raise_slope(self) -> None:
        growth = 1 << self._up_rounds
        self._up_rounds = min(self._up_rounds + 1, MAX_PROBE_UP_ROUNDS)
        self._up_acked_per_inc = max(self._flow.cwnd / growth, float(self._flow.mss))

    # When to change the state.

    def _is_time_to_probe(self, now: float) -> bool:
        if now > self._cycle_stamp + self.wait:
            return True
        # As often as Reno would have lost a packet, to share with it (draft §5.3.3.8.2).
        reno_rounds = min(self._flow.target_inflight() / self._flow.mss, MAX_RENO_ROUNDS)
        return self._rounds_since_probe >= reno_rounds

    def _is_time_to_cruise(self, flight: int) -> bool:
        return flight <= self.inflight_with_headroom() and flight <= self._flow.inflight(
            1.0, bw=self._flow.model.max_bw
        )

    def _is_time_to_go_down(self, flight: int) -> bool:
        flow = self._flow
        longterm = flow.model.inflight_longterm
        if self._share.is_active:
            return flow.full_pipe.now  # the bound grows by its own clock: nothing to wait for
        if self._too_high and flight >= longterm:
            self._precautionary = True
            return True
        if flow.cwnd_limited and flow.cwnd >= longterm:
            # The bound, not the path, holds the rate back: the search starts over.
            flow.full_pipe.reset(baseline=flow.rate)
            return False
        return flow.full_pipe.now

    def _start_refill(self, now: float) -> None:
        flow = self._flow
        self._share.on_probe_due()
        flow.model.reset_short_term()
        self._up_rounds = 0
        self._up_acked = 0
        self._precautionary = False
        self._ack_phase = AckPhase.REFILLING
        flow.start_round(now)
        flow.state = State.PROBE_BW_REFILL

    def _start_up(self, now: float) -> None:
        flow = self._flow
        self._ack_phase = AckPhase.PROBE_STARTING
        flow.start_round(now)
        flow.full_pipe.reset(baseline=flow.rate)
        flow.state = State.PROBE_BW_UP
        self._raise_slope()

    def _entropy(self) -> float:
        """Return a number of [0, 1): unlike those of other flows, and need be no more."""
        # The 32-bit linear congruential generator of Numerical Recipes.
        self._random = (self._random * 1664525 + 1013904223) & 0xFFFFFFFF
        return self._random / 2**32
