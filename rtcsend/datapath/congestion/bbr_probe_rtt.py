"""ProbeRTT: half the flight for a fifth of a second, to see the round trip without a queue.

Enters, holds and leaves the state; when it is due says ``bbr_model.MinRttProbe``. On the way
out the cycle of bandwidth probes goes on where it was, as nothing is left to drain.

Source: draft-ietf-ccwg-bbr-06 §5.3.4; names are the draft's.
"""

from rtcsend.datapath.congestion.base import AckSample
from rtcsend.datapath.congestion.bbr_flow import BbrFlow
from rtcsend.datapath.congestion.bbr_probe import BandwidthProbe
from rtcsend.datapath.congestion.bbr_states import State

PROBE_RTT_DURATION = 0.2  # seconds; BBR.ProbeRTTDuration, draft §2.15


class RttProbe:
    """The visits of one flow to ProbeRTT."""

    def __init__(self, flow: BbrFlow, bandwidth: BandwidthProbe) -> None:
        """Start outside of it."""
        self._flow = flow
        self._bandwidth = bandwidth
        self._done_at = 0.0  # 0: the flight has not fallen yet
        self._round_done = False
        self._prior_cwnd = 0

    def forget_window(self) -> None:
        """Go back to no window after ProbeRTT: a timeout cut it off."""
        self._prior_cwnd = 0

    def check(self, sample: AckSample, *, is_restart: bool) -> None:
        """Enter, hold and leave ProbeRTT (draft §5.3.4.3).

        Args:
            sample: The newest SACK.
            is_restart: It follows an idle time, when nothing needs to be drained.
        """
        flow = self._flow
        if flow.state is not State.PROBE_RTT:
            if not flow.min_rtt.expired or is_restart:
                return
            flow.state = State.PROBE_RTT
            self._prior_cwnd = flow.cwnd
            self._done_at = 0.0
            self._bandwidth.stop(sample.now)
        self._hold(sample.now, sample.flight)

    def check_done(self, now: float) -> None:
        """Leave when the time is over (CheckProbeRTTDone)."""
        flow = self._flow
        if not self._done_at or now <= self._done_at:
            return
        flow.min_rtt.schedule(now=now)
        flow.cwnd = max(flow.cwnd, self._prior_cwnd)
        flow.model.reset_short_term()
        if flow.full_pipe.reached:
            self._bandwidth.resume(now)
        else:
            flow.state = State.STARTUP

    def _hold(self, now: float, flight: int) -> None:
        flow = self._flow
        if not self._done_at:
            if flight <= flow.probe_rtt_cwnd():
                self._done_at = now + PROBE_RTT_DURATION
                self._round_done = False
                flow.start_round(now)
            return
        self._round_done = self._round_done or flow.round_start
        if self._round_done:
            self.check_done(now)
