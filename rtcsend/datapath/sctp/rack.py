"""Losses, found by time: RACK, and what is to be sent again.

Pure. A chunk is lost when one that was sent after it has arrived, and it has had a share of a
round trip longer to do so: the reordering window. What left in one burst left in the order of
its TSNs. Chunks of first transmission are in the order of time, and so are retransmitted ones,
in a queue of their own: two pointers move forward, and nothing is looked at twice.

A chunk is retransmitted once a loss: it counts as lost again only when something sent after its
retransmission has arrived, or on a timeout.

Source: RFC 8985 §6.2 (RACK), §7.3, §7.4 (the probe of the tail), RFC 9260 §6.3.3 (timeouts).
"""

import math
from collections import deque
from dataclasses import dataclass
from typing import Final

from rtcsend.datapath.sctp.delivery import Flight
from rtcsend.datapath.sctp.outstanding import Acked, Outstanding
from rtcsend.datapath.sctp.send_queue import Chunk

REORDER_SHARE: Final = 0.25  # of the minimum RTT that a chunk may be overtaken by; RFC 8985 §6.2
MAX_REORDER_STEPS: Final = 16  # of REORDER_SHARE: beyond, the smoothed RTT is the bound anyway
REORDER_PERSIST: Final = 16  # recoveries that a wide window outlives; RFC 8985 §6.2, step 4
PLAUSIBLE_RTT: Final = 0.9  # of the minimum RTT, which may be that of larger packets
STUBBORN_LOSSES: Final = 5  # of one chunk: at 10 % loss one in 100,000; else it is its size
_CLOCK_ERROR: Final = 1e-6  # seconds; a deadline is never missed by a rounding


@dataclass(slots=True)
class Lost:
    """What was newly declared lost."""

    size: int = 0
    """Bytes."""
    sent_at: float = 0.0
    """When the newest of it was sent."""
    stubborn: int = 0
    """The size of the largest chunk lost STUBBORN_LOSSES times or more."""


class Rack:
    """Declares chunks lost, and hands them out to be sent again.

    Args:
        outstanding: What may be lost.
        now: Seconds.
    """

    def __init__(self, outstanding: Outstanding, *, now: float) -> None:
        self._outstanding = outstanding
        self.reorder_deadline: float | None = None
        """When to look for losses again; None while nothing hangs in the balance."""
        self.least_steps = 1
        """Of :attr:`reorder_steps`; more where packets are known to overtake one another."""
        self.reorder_steps = 1
        """Shares of the minimum RTT that the reordering window has."""
        self._persist = 0
        self._spurious_until = 0
        self._recovery_until: int | None = None
        # The newest transmission that arrived: (when it was sent, its order), and when it did.
        self._newest = (-math.inf, -1)
        self._newest_at = now
        # First transmissions before this order are looked at; the others stand in the queue.
        self._scan = 0
        self._again: deque[tuple[int, Chunk, Flight]] = deque()
        self._to_retransmit: deque[tuple[int, Chunk]] = deque()
        # The chunk that probed the tail: its order, its size, and when it had been sent before.
        self._probe: tuple[int, int, float] | None = None

    @property
    def has_retransmissions(self) -> bool:
        """Whether something lost waits to be sent again."""
        return bool(self._to_retransmit)

    def expect_reordering(self, *, expected: bool) -> None:
        """Give what is overtaken all the time that RFC 8985 allows, a smoothed RTT, or not."""
        self.least_steps = self.reorder_steps = MAX_REORDER_STEPS if expected else 1

    @property
    def newest_sent_at(self) -> float:
        """When the newest transmission that arrived was sent; minus infinity before the first."""
        return self._newest[0]

    def on_acked(self, acked: Acked, *, min_rtt: float, now: float) -> float | None:
        """Note what has arrived; return when the newest of it was sent, for an RTT sample.

        None when that is ambiguous (Karn), or older than what had arrived before: a chunk whose
        block did not fit into the last SACK had arrived long ago. Source: RFC 8985 §6.2, step 2.
        """
        rtt_sent_at = None
        for order, chunk in acked.runs:
            sent_at = chunk.flight.sent_at
            if (sent_at, order) <= self._newest:
                continue
            if chunk.retransmitted and now - sent_at < PLAUSIBLE_RTT * min_rtt:
                continue  # it was the transmission before that arrived
            if sent_at > self._newest[0]:
                rtt_sent_at = None if chunk.retransmitted else sent_at
            self._newest = (sent_at, order)
            self._newest_at = now
        return rtt_sent_at

    def adapt_window(self, *, has_duplicates: bool) -> None:
        """Widen the reordering window while losses turn out to be none, and narrow it later.

        Once a round trip at most; and back to one step after as many recoveries without a
        duplicate as REORDER_PERSIST says. To be called for each SACK, after it was taken.
        Source: RFC 8985 §6.2, step 4.
        """
        reached = self._outstanding.cumulative_order
        if has_duplicates and reached >= self._spurious_until:
            self._spurious_until = self._outstanding.next_order
            self.reorder_steps = min(self.reorder_steps + 1, MAX_REORDER_STEPS)
            self._persist = REORDER_PERSIST
        if self._recovery_until is not None and reached >= self._recovery_until:
            self._recovery_until = None
            self._persist -= 1
            if self._persist <= 0:
                self.reorder_steps = self.least_steps

    def repaired(self, *, has_duplicates: bool) -> Lost | None:
        """Return what a probe of the tail has made up for, if it did: a loss like any other.

        It is told by what came afterwards: a duplicate says that the chunk had not been lost.
        To be called for each SACK, after it was taken. Source: RFC 8985 §7.4.2.
        """
        if self._probe is None:
            return None
        order, size, sent_at = self._probe
        if has_duplicates:
            self._probe = None
        elif self._outstanding.cumulative_order > order + 1:
            self._probe = None
            return Lost(size=size, sent_at=sent_at)
        return None

    def detect(self, *, min_rtt: float, srtt: float, now: float) -> Lost:
        """Declare lost what was overtaken by enough. Source: RFC 8985 §6.2, step 5.

        To be called after a SACK that acknowledged something, and at ``reorder_deadline``.
        Without an RTT (``srtt`` is 0) nothing is known, and the retransmission timer decides.
        """
        lost = Lost()
        if not srtt:
            return lost
        window = min(self.reorder_steps * REORDER_SHARE * min_rtt, srtt)
        self.reorder_deadline = None
        self._detect_first(lost, window=window, now=now)
        self._detect_again(lost, window=window, now=now)
        if lost.size and self._recovery_until is None:
            self._recovery_until = self._outstanding.next_order
        return lost

    def _detect_first(self, lost: Lost, *, window: float, now: float) -> None:
        outstanding = self._outstanding
        chunks, first_order = outstanding.chunks, outstanding.first_order
        scan, end = max(self._scan, outstanding.cumulative_order) - first_order, len(chunks)
        while scan < end:
            chunk = chunks[scan]
            if not chunk.acked and not chunk.retransmitted and not chunk.lost:
                order = first_order + scan
                if not self._is_overdue(chunk.flight.sent_at, order, window=window, now=now):
                    break
                self._lose(order, outstanding.own(order), lost)
            scan += 1
        self._scan = first_order + scan

    def _detect_again(self, lost: Lost, *, window: float, now: float) -> None:
        again = self._again
        while again:
            order, chunk, flight = again[0]
            if not chunk.acked and chunk.flight is flight and not chunk.lost:
                if not self._is_overdue(flight.sent_at, order, window=window, now=now):
                    break
                self._lose(order, chunk, lost)
            again.popleft()

    def _is_overdue(self, sent_at: float, order: int, *, window: float, now: float) -> bool:
        """Whether a transmission was overtaken, long enough ago; if not yet, look again then."""
        if (sent_at, order) >= self._newest:
            return False
        deadline = self._newest_at + (sent_at + window - self._newest[0])
        if now >= deadline:
            return True
        deadline += _CLOCK_ERROR
        if self.reorder_deadline is None or deadline < self.reorder_deadline:
            self.reorder_deadline = deadline
        return False

    def _lose(self, order: int, chunk: Chunk, lost: Lost) -> None:
        chunk.lost = True
        self._probe = None  # it repaired nothing, or not everything, and this is reacted to
        self._outstanding.flight_size -= chunk.size
        self._to_retransmit.append((order, chunk))
        lost.size += chunk.size
        if chunk.retransmitted >= STUBBORN_LOSSES - 1:
            lost.stubborn = max(lost.stubborn, chunk.size)
        lost.sent_at = max(lost.sent_at, chunk.flight.sent_at)

    def retransmission(self, *, flight: Flight) -> bytes | None:
        """Return the packet of a lost chunk to send again now; None when there is none."""
        while self._to_retransmit:
            order, chunk = self._to_retransmit.popleft()
            if not chunk.lost:
                continue  # acknowledged in the meantime
            chunk.lost = False
            self._outstanding.flight_size += chunk.size
            return self._send_again(order, chunk, flight)
        return None

    def probe(self, *, flight: Flight) -> bytes | None:
        """Return the packet of the last chunk in flight, for a probe. Source: RFC 8985 §7.3."""
        outstanding = self._outstanding
        for index in range(len(outstanding.chunks) - 1, outstanding.head - 1, -1):
            chunk = outstanding.chunks[index]
            if not chunk.acked and not chunk.lost:
                order = outstanding.first_order + index
                if self._probe is None:
                    self._probe = (order, chunk.size, chunk.flight.sent_at)
                return self._send_again(order, outstanding.own(order), flight)
        return None

    def _send_again(self, order: int, chunk: Chunk, flight: Flight) -> bytes:
        chunk.retransmitted += 1
        chunk.flight = flight
        self._again.append((order, chunk, flight))
        return chunk.packet

    def send_reneged(self, chunks: list[tuple[int, Chunk]]) -> None:
        """Have those sent again that had arrived and were dropped: no sign of congestion."""
        self._to_retransmit.extend(chunks)

    def lose_everything(self, *, even_acknowledged: bool) -> None:
        """A retransmission timeout: nothing in flight is believed to arrive. RFC 9260 §6.3.3.

        Args:
            even_acknowledged: Not even what gap blocks have acknowledged: the other side may
                have dropped it for want of room (RFC 9260 §6.2).
        """
        outstanding = self._outstanding
        if even_acknowledged:
            outstanding.unacknowledge()
        self._again.clear()
        self._to_retransmit.clear()
        self._probe = None
        for order in range(outstanding.cumulative_order, outstanding.next_order):
            chunk = outstanding.own(order)
            if not chunk.acked:
                chunk.lost = True
                self._to_retransmit.append((order, chunk))
        outstanding.flight_size = 0
        self._scan = self._recovery_until = outstanding.next_order
        self.reorder_deadline = None
