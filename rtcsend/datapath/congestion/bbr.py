"""BBR, version 3: sends at the rate that the path delivers, and does not take loss for its end.

BBR measures the path's rate and its round trip, paces at the rate, keeps about what fits into
the path in flight, and tests the model from time to time: a little faster to find more
bandwidth, a little slower to let the queue drain (``bbr_probe``), and every five seconds with
half the flight to see the round trip without a queue (``bbr_probe_rtt``). The estimators are
in ``bbr_model``, what all parts share in ``bbr_flow``.

Here are the interface, Startup and Drain, the reaction to loss between probes, and the two
numbers that the association reads.

Where it leaves the draft, each with its reason in place: after a queue's overflow the flight
is bounded as CUBIC's would be (``bbr_share``), a few packets are no sign of too much
(``LOSS_MARGIN_SEGMENTS``), little loss without a queue changes nothing (``_adapt_to_loss``),
a path of over 0.5 s is probed for its round trip less often, the window never falls under four
packets, and the undo of spurious loss (draft §5.5.11) is left out: nobody detects it.

Source: draft-ietf-ccwg-bbr-06 §5; names are the draft's.
"""

import math

from rtcsend.datapath.congestion.base import MAX_CWND, AckSample, initial_window
from rtcsend.datapath.congestion.bbr_flow import MIN_PIPE_SEGMENTS, BbrFlow
from rtcsend.datapath.congestion.bbr_model import LossShare
from rtcsend.datapath.congestion.bbr_probe import LOSS_THRESH, BandwidthProbe
from rtcsend.datapath.congestion.bbr_probe_rtt import RttProbe
from rtcsend.datapath.congestion.bbr_states import (
    GAINS,
    PROBE_BW_STATES,
    PROBING_STATES,
    STARTUP_PACING_GAIN,
    State,
)

__all__ = ["LOSS_THRESH", "MIN_PIPE_SEGMENTS", "Bbr"]

PACING_MARGIN = 0.99  # BBR.PacingMarginPercent of 1 %; draft §2.5
STARTUP_FULL_LOSS_COUNT = 6  # segments lost in a round; draft §5.3.1.3
DRAIN_MAX_ROUNDS = 3  # rounds; draft §5.3.2
MIN_RATE_SEGMENTS = 1  # segments a second: a model that collapsed must still be able to probe


class Bbr(BbrFlow):
    """BBR as one flow's controller."""

    def __init__(self, *, mss: int, now: float, seed: int | None = None) -> None:
        """Start in Startup.

        Args:
            mss: Bytes of one full packet.
            now: Seconds.
            seed: Spreads the probes of several flows; by default taken from ``now``.
        """
        super().__init__(mss=mss, now=now)
        self._probe = BandwidthProbe(self, now=now, seed=hash(now) if seed is None else seed)
        self._rtt_probe = RttProbe(self, self._probe)
        self._round_loss = LossShare()
        self._loss_round_loss = LossShare()
        self._drain_start_round = 0
        self._idle_restart = False

    # The interface.

    def on_ack(self, sample: AckSample) -> None:
        """Update the model, the state machine and the two numbers (draft §5.2.3)."""
        now = sample.now
        if self.srtt == 0.0 and sample.srtt > 0.0:
            # The first window was paced by a guess of 1 ms (InitPacingRate).
            self.pacing_rate = STARTUP_PACING_GAIN * initial_window(self.mss) / sample.srtt
        self._round_loss.delivered += sample.acked
        self._loss_round_loss.delivered += sample.acked
        sent_at = self.take_sample(sample)
        if self.round_start:
            self._probe.on_round(now)
        delivered = sample.delivered - self.tx.delivered
        loss_round_ended = self.model.update(
            now=now,
            sent_at=sent_at,
            rate=self.rate,
            delivered=delivered,
            app_limited=self.app_limited,
        )
        if loss_round_ended:
            self._adapt_to_loss(now)
        self.aggregation.update(
            now=now,
            acked=sample.acked,
            bw=self.model.bw,
            cwnd=self.cwnd,
            round_count=self.round_count,
            full=self.full_pipe.reached,
        )
        self._advance_state(sample)
        self.min_rtt.update(now=now, rtt=sample.rtt)
        self._rtt_probe.check(sample, is_restart=self._idle_restart)
        self._idle_restart = False
        self.model.finish_update(rate=self.rate, delivered=delivered)
        self._set_pacing_rate(GAINS[self.state][0])
        self._set_cwnd(sample.acked)

    def on_loss(self, *, now: float, lost: int, flight: int, sent_at: float) -> None:
        """Note the loss; while probing, see whether too much was in flight (draft §5.5.10.2)."""
        self.lost += lost
        self._round_loss.lost += lost
        self._loss_round_loss.lost += lost
        self.model.note_loss(now=now)
        self._probe.on_loss(now=now, lost=lost, sent_at=sent_at)

    def on_rto(self, *, now: float) -> None:
        """Fall back to the smallest window; the model stays, and ACKs open the window again.

        The draft (§5.6.4.4) allows one segment; four keep two SACKs coming.
        """
        self.model.note_loss(now=now)
        self._rtt_probe.forget_window()
        self.cwnd = self.min_pipe_cwnd()

    def on_sent(self, *, now: float, flight: int) -> None:
        """Note what is in flight (draft §2.3)."""
        self.note_sent(now=now, flight=flight)

    def on_idle(self, *, now: float) -> None:
        """Start again at the path's rate; a finished ProbeRTT ends (draft §5.4.1)."""
        self._idle_restart = True
        self.aggregation.restart(now=now)
        if self.state in PROBE_BW_STATES:
            self._set_pacing_rate(1.0)
        elif self.state is State.PROBE_RTT:
            self._rtt_probe.check_done(now)

    def set_mss(self, mss: int) -> None:
        """Adopt a new packet size; only the floors are in packets."""
        self.mss = mss
        self.cwnd = max(self.cwnd, self.min_pipe_cwnd())

    # Loss between probes.

    def _adapt_to_loss(self, now: float) -> None:
        """Tighten the bounds after a round whose loss looks like congestion.

        The draft does so after any loss. Simulated, one packet in a thousand then cost a path
        of 300 ms a fifth of its rate: the bound is what the last round delivered, and that
        round may have followed a pause. Loss of under 2 % without a queue is not congestion.
        Loss with a queue is its overflow, whoever caused it.
        """
        model = self.model
        much = self._loss_round_loss.exceeds(LOSS_THRESH)
        self._loss_round_loss.reset()
        if model.loss_in_round and self.state not in PROBING_STATES:
            is_overflow = self.queue_stands()
            if is_overflow and self.state is not State.PROBE_RTT:
                flight = max(self.tx.flight, model.inflight_latest)
                self._probe.on_overflow(now=now, flight=flight)
            if much or is_overflow:
                model.adapt_lower_bounds(cwnd=self.cwnd)
        model.loss_in_round = False

    # The state machine.

    def _advance_state(self, sample: AckSample) -> None:
        if self.state is not State.PROBE_RTT:
            self.full_pipe.check(
                rate=self.rate, round_start=self.round_start, app_limited=self.app_limited
            )
        if self.state is State.STARTUP:
            self._check_startup_done()
        if self.state is State.DRAIN:
            rounds = self.round_count - self._drain_start_round
            if sample.flight <= self.inflight(1.0) or rounds > DRAIN_MAX_ROUNDS:
                self._probe.start_down(sample.now)
        if self.full_pipe.reached:
            self._probe.update(sample)

    def _check_startup_done(self) -> None:
        if self.round_start:
            self._check_startup_high_loss()
            self._round_loss.reset()
        if self.full_pipe.reached:
            self.state = State.DRAIN
            self._drain_start_round = self.round_count

    def _check_startup_high_loss(self) -> None:
        """Leave Startup when a whole round lost too much (draft §5.3.1.3).

        The draft counts lost ranges to tell a burst from congestion; the interface counts
        bytes, so that a burst of six packets in a round of under 300 ends Startup too.
        """
        loss = self._round_loss
        if loss.lost < STARTUP_FULL_LOSS_COUNT * self.mss or not loss.exceeds(LOSS_THRESH):
            return
        self.full_pipe.reached = self.full_pipe.now = True
        self.model.inflight_longterm = max(int(self.bdp(1.0)), self.model.inflight_latest)

    # The two numbers.

    def _set_pacing_rate(self, gain: float) -> None:
        if self.model.bw <= 0:
            return
        rate = max(gain * self.model.bw * PACING_MARGIN, float(MIN_RATE_SEGMENTS * self.mss))
        if self.full_pipe.reached or rate > self.pacing_rate:
            self.pacing_rate = rate

    def _set_cwnd(self, acked: int) -> None:
        """Move the window towards what the model allows (draft §5.6.4.6)."""
        wanted = self.wanted_cwnd()
        cwnd = self.cwnd
        if self.full_pipe.reached:
            cwnd = int(min(cwnd + acked, wanted))
        elif cwnd < wanted or self.delivered < initial_window(self.mss):
            cwnd += acked
        if self.state is State.PROBE_RTT:
            cwnd = min(cwnd, self.probe_rtt_cwnd())
        self.cwnd = int(
            min(max(min(cwnd, self._model_cap()), self.min_pipe_cwnd()), float(MAX_CWND))
        )

    def _model_cap(self) -> float:
        """Return what recent loss allows in flight (BoundCwndForModel)."""
        cap = math.inf
        if self.state in (State.PROBE_RTT, State.PROBE_BW_CRUISE):
            cap = self._probe.inflight_with_headroom()
        elif self.state in PROBE_BW_STATES:
            cap = self.model.inflight_longterm
        return min(cap, self.model.inflight_shortterm)
