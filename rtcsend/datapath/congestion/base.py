"""The one interface between the association and a congestion controller.

The association tells a controller what a SACK acknowledged (``on_ack``), what it gave up as
lost (``on_loss``, ``on_rto``) and when it sent (``on_sent``, ``on_idle``); the controller
answers with two numbers that the association reads before it sends: ``cwnd``, the bytes that
may be in flight, and ``pacing_rate``, the bytes per second at which they may leave.

A controller knows no chunk, no TSN and no timer. It keeps no reference to a sample, so that
the association can reuse one object for every SACK.

Order for one SACK: ``on_loss`` first when the SACK declared bytes lost, then ``on_ack``.

Source: RFC 9260 §7 (what cwnd limits), RFC 9002 §7 for the shape of the interface.
"""

import abc
import math
from dataclasses import dataclass

INITIAL_WINDOW_SEGMENTS = 10  # segments; RFC 6928 §2
INITIAL_WINDOW_BYTES = 14_600  # bytes; RFC 6928 §2, the cap that large segments meet
INITIAL_WINDOW_JUMBO_SEGMENTS = 2  # segments; RFC 6928 §2, what a jumbo segment gets anyway
MAX_CWND = 64 * 1024 * 1024  # bytes; 10 Gbit/s at 50 ms, and a bound on what a peer makes us keep


@dataclass(slots=True)
class AckSample:
    """What one SACK told the association. Mutable and reused: do not keep a reference.

    Attributes:
        now: When the SACK arrived, in seconds.
        acked: Bytes newly acknowledged by this SACK, cumulatively or by gap ack blocks.
        flight: Bytes in flight after it.
        prior_flight: Bytes in flight before it.
        rtt: Newest RTT sample, of a chunk never retransmitted, in seconds; None without one.
        min_rtt: The association's windowed minimum (10 s); infinite before the first sample.
        srtt: Smoothed RTT in seconds; 0 before the first sample.
        delivered: Total bytes delivered so far.
        delivery_rate: Bytes per second of this sample (draft-ietf-ccwg-bbr §4.1); 0 if unknown.
        app_limited: The sample was taken while the application had nothing to send.
        round_start: A packet sent in the previous round was acknowledged: a new round begins.
        lost: Bytes newly declared lost since the last sample.
    """

    now: float
    acked: int
    flight: int
    prior_flight: int
    rtt: float | None
    min_rtt: float
    srtt: float
    delivered: int
    delivery_rate: float
    app_limited: bool
    round_start: bool
    lost: int


class CongestionController(abc.ABC):
    """How many bytes may be in flight, and how fast they may leave.

    Attributes:
        cwnd: Bytes that may be in flight.
        pacing_rate: Bytes per second; infinite when the sender is not paced.
        mss: Bytes of one full packet as the association counts them.
    """

    def __init__(self, *, mss: int, now: float) -> None:
        """Start with the initial window.

        Args:
            mss: Bytes of one full packet, as counted in flight.
            now: Seconds.
        """
        self.mss = mss
        self.cwnd = initial_window(mss)
        self.pacing_rate = math.inf

    @abc.abstractmethod
    def on_ack(self, sample: AckSample) -> None:
        """Take in one SACK that acknowledged something."""

    @abc.abstractmethod
    def on_loss(self, *, now: float, lost: int, flight: int, sent_at: float) -> None:
        """React to bytes declared lost; called once for a SACK (or timer) that found some.

        Args:
            now: Seconds.
            lost: Bytes newly declared lost.
            flight: Bytes in flight without them.
            sent_at: When the newest of the lost packets was sent: one reaction a round trip.
        """

    @abc.abstractmethod
    def on_rto(self, *, now: float) -> None:
        """React to an expired retransmission timer: everything in flight counts as lost."""

    @abc.abstractmethod
    def on_sent(self, *, now: float, flight: int) -> None:
        """Note that a batch was sent; ``flight`` is the bytes in flight with it."""

    @abc.abstractmethod
    def on_idle(self, *, now: float) -> None:
        """Prepare for sending again after idle, before the first packet (RFC 9260 §7.2.1)."""

    @abc.abstractmethod
    def set_mss(self, mss: int) -> None:
        """Adopt a new packet size, after path MTU discovery found one."""


def initial_window(mss: int) -> int:
    """Return the initial congestion window in bytes for packets of ``mss`` bytes.

    Source: RFC 6928 §2.
    """
    return min(
        INITIAL_WINDOW_SEGMENTS * mss,
        max(INITIAL_WINDOW_JUMBO_SEGMENTS * mss, INITIAL_WINDOW_BYTES),
    )
