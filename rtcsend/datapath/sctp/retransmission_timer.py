"""When to believe that the other side's silence means something: the probe, then the timeout.

Pure. After the newest data has had two round trips to be acknowledged, its last chunk is sent
again to provoke a SACK, which shows what was lost (a tail-loss probe). When that brings
nothing either, the retransmission timeout declares everything lost.

A probe allows for no delayed SACK: the last chunk of what there was to send asks for an
immediate one (RFC 7053), and peers of ours, dcSCTP and usrsctp heed it; aiortc never waits.

Source: RFC 8985 §7.2 (probe timeout), RFC 9260 §6.1 A (closed window), §6.3 (timeout).
"""

import enum
from typing import Final

PROBE_RTTS: Final = 2.0  # smoothed RTTs until the tail is probed; RFC 8985 §7.2
MIN_PROBE_DELAY: Final = 0.01  # seconds; on short paths what is late is a process, not a packet
UNANSWERED_PROBES: Final = 3  # of a closed window, in a row, until the path is doubted
BLACK_HOLE_TIMEOUTS: Final = 2  # timeouts in a row that make us doubt the packets' size


class Due(enum.Enum):
    """What the passing of time asks for."""

    NOTHING = "nothing"
    PROBE = "probe"
    TIMEOUT = "timeout"


class RetransmissionTimer:
    """One timer with two stages."""

    def __init__(self) -> None:
        self.timeouts = 0
        """In a row, without anything acknowledged in between."""
        self.probes_window = False
        """What is sent after the last timeout only asks whether the window has opened."""
        self._timeout_at: float | None = None
        self._probe_at: float | None = None
        self._has_probed = False
        self._unanswered = 0

    @property
    def is_running(self) -> bool:
        """Whether something outstanding is waited for."""
        return self._timeout_at is not None

    @property
    def is_backed_off(self) -> bool:
        """Whether data has timed out, and not because there is no room for it."""
        return self.timeouts > 0 and not self.probes_window

    @property
    def is_black_hole(self) -> bool:
        """Whether packets as large as these seem not to arrive at all."""
        return self.is_backed_off and self.timeouts >= BLACK_HOLE_TIMEOUTS

    def get_timer(self) -> float | None:
        """Return when to call :meth:`take_due`."""
        return self._timeout_at if self._probe_at is None else self._probe_at

    def stop(self) -> None:
        """Nothing is outstanding."""
        self._timeout_at = self._probe_at = None

    def restart(self, *, rto: float, srtt: float, now: float) -> None:
        """Something was acknowledged, or sent while nothing was outstanding. RFC 9260 §6.3.2."""
        self._timeout_at = now + rto
        self._probe_at = None
        self._has_probed = False
        self.restart_probe(srtt=srtt, now=now)

    def restart_probe(self, *, srtt: float, now: float) -> None:
        """New data was sent, which the probe has to leave time for. Source: RFC 8985 §7.2.

        It is put off by what is sent, but no further than to the timeout, in whose place it
        comes then: a steady path has a timeout shorter than two round trips, and to lose all
        for one packet would be rash. Between timeouts there is none, nor a second one before
        anything is acknowledged (RFC 8985 §7.3): who sends a little all the time would never
        come to a timeout.
        """
        if self._timeout_at is None or not srtt or self.timeouts or self._has_probed:
            return
        self._probe_at = min(now + max(PROBE_RTTS * srtt, MIN_PROBE_DELAY), self._timeout_at)

    def hasten(self, *, rto: float, now: float) -> None:
        """The path answers, after timeouts: wait for what it lost no longer than at first.

        The back-off has counted the seconds in which the path was gone. Left alone, it would
        keep a path that has healed idle for as many again. Source: RFC 6069 §4, where the sign
        of life is another one.
        """
        if self.timeouts and self._timeout_at is not None:
            self._timeout_at = min(self._timeout_at, now + rto)

    def take_due(self, *, rto: float, now: float) -> Due:
        """Return what is due; a probe's timeout begins anew with it."""
        if self._probe_at is not None:
            if now < self._probe_at:
                return Due.NOTHING
            self._probe_at = None
            self._has_probed = True
            self._timeout_at = now + rto
            return Due.PROBE
        if self._timeout_at is not None and now >= self._timeout_at:
            return Due.TIMEOUT
        return Due.NOTHING

    def on_timeout(self, *, is_window_closed: bool) -> None:
        """Count a timeout, before the timer is restarted.

        A receiver without room drops the probe of its window, and says so: that is neither
        congestion nor the path (RFC 9260 §6.1 A).
        """
        self.timeouts += 1
        self.probes_window = is_window_closed and self._unanswered < UNANSWERED_PROBES
        self._unanswered += 1

    def on_sack(self, *, acked: int) -> None:
        """The other side has said something, and acknowledged so many bytes."""
        self._unanswered = 0
        if acked:
            self.timeouts = 0
