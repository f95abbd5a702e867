"""What was in flight when a packet was sent, looked up by the time it was sent.

BBR wants three figures of the moment at which a packet left: the bytes in flight, the bytes
delivered and the bytes lost until then. Kept for every packet they would cost memory and time
in proportion to the flight, so they are noted once a batch, and not more often than a small
part of a round trip.

Source: P.tx_in_flight, P.delivered and P.lost of draft-ietf-ccwg-bbr §2.3.
"""

from bisect import bisect_right
from typing import NamedTuple

MAX_ENTRIES = 1024  # entries; the older half goes when it is full
ENTRIES_PER_RTT = 128  # entries; an error of under 1 % of a round trip
SAME_TIME = 1e-9  # seconds; now - (now - sent_at) is not exactly sent_at


class SentState(NamedTuple):
    """Totals at the moment a batch had been sent, in bytes."""

    flight: int
    delivered: int
    lost: int


class FlightLog:
    """A bounded history of ``SentState``."""

    __slots__ = ("_next_at", "_states", "_times")

    def __init__(self) -> None:
        """Start empty."""
        self._times: list[float] = []
        self._states: list[SentState] = []
        self._next_at = float("-inf")

    def __len__(self) -> int:
        return len(self._times)

    def note(self, state: SentState, *, now: float, srtt: float) -> None:
        """Remember the state after a batch, unless the one before is recent enough.

        Args:
            state: Totals with the batch in flight.
            now: Seconds.
            srtt: Smoothed RTT in seconds, 0 when unknown.
        """
        if now < self._next_at:
            return
        self._next_at = now + srtt / ENTRIES_PER_RTT
        if len(self._times) >= MAX_ENTRIES:
            del self._times[: MAX_ENTRIES // 2]
            del self._states[: MAX_ENTRIES // 2]
        self._times.append(now)
        self._states.append(state)

    def at(self, sent_at: float) -> SentState | None:
        """Return the state as of ``sent_at``; the oldest when that is forgotten."""
        if not self._times:
            return None
        index = bisect_right(self._times, sent_at + SAME_TIME) - 1
        return self._states[max(index, 0)]
