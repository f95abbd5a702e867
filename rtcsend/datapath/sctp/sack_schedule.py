"""When to acknowledge what has come.

Pure. To a peer of ours once a batch of packets, and a batch of one may wait a moment; to others
every second packet, as they count SACKs and not bytes. At once whenever the sender should know:
something is missing, came twice or filled a hole, or a SACK was asked for.

Sources: RFC 9260 §6.2 (delayed SACK), §6.7 (gaps); RFC 7053 §5 (the I bit).
"""

from typing import Final

from rtcsend.datapath.sctp.inbound import Inbound

SACK_DELAY: Final = 0.02  # seconds at most; RFC 9260 §6.2 allows 0.2
SACK_DELAY_RTTS: Final = 0.25  # on short paths; more would look like a longer path to the sender
SACK_EVERY: Final = 2  # packets; RFC 9260 §6.2; to a peer of ours, fewer wait for SACK_DELAY


class SackSchedule:
    """One timer.

    Args:
        own_peer: The other side takes a SACK a batch.
    """

    def __init__(self, *, own_peer: bool) -> None:
        self._own_peer = own_peer
        self._at: float | None = None

    def get_timer(self) -> float | None:
        """Return when to call :meth:`take_due`."""
        return self._at

    def take_due(self, *, now: float) -> bool:
        """Whether to send a SACK now."""
        if self._at is None or now < self._at:
            return False
        self._at = None
        return True

    def on_window_opened(self, inbound: Inbound, *, now: float) -> None:
        """There is room again, which the other side may be waiting to hear."""
        inbound.sack_due = True
        self._at = now

    def on_packet(self, inbound: Inbound) -> bool:
        """Whether to acknowledge in the middle of a batch, after one of its packets.

        aiortc and dcSCTP send four packets a SACK at most: one for a large batch would make
        the next batch small, whatever the congestion window. But while something is missing one
        a batch has to do: dcSCTP counts each that reports a gap, and those that left before its
        retransmission arrived make it retransmit again. Source: RFC 9260 §6.1 D, §6.2, §7.2.4.
        """
        if self._own_peer or inbound.has_gaps or inbound.packets_unacknowledged < SACK_EVERY:
            return False
        self._at = None
        return True

    def on_batch(self, inbound: Inbound, *, srtt: float, now: float) -> None:
        """Decide at the end of a batch.

        To others than ours nothing waits: aiortc begins no message before the last packet of
        the one before is acknowledged.

        Args:
            inbound: What has come.
            srtt: The smoothed RTT in seconds, 0 when it is not known.
            now: Seconds.
        """
        if not inbound.sack_due:
            return
        is_batch = inbound.packets_unacknowledged >= SACK_EVERY
        at_once = is_batch or inbound.sack_urgent or inbound.has_gaps or not self._own_peer
        delay = min(SACK_DELAY, SACK_DELAY_RTTS * srtt) if srtt else SACK_DELAY
        at = now if at_once else now + delay
        self._at = at if self._at is None else min(at, self._at)
