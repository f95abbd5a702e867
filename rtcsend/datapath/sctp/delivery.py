"""How fast the path delivers: what a burst takes with it, and the sample that its SACK gives.

Pure. Each burst notes how much was delivered when it left; when it is acknowledged, what was
delivered since, over the time that it took, is a sample for the congestion controller.

Source: draft-ietf-ccwg-bbr §4.1 (delivery rate samples).
"""

from dataclasses import dataclass
from typing import Final

_SHORTEST_INTERVAL: Final = 0.99  # of the minimum RTT; shorter rate samples are bursts, not rates


@dataclass(slots=True)
class Flight:
    """What the chunks of one burst have in common. Source: draft-ietf-ccwg-bbr §4.1.2."""

    sent_at: float
    delivered: int
    """Bytes delivered when it was sent."""
    delivered_at: float
    """When the last of those was delivered."""
    first_sent_at: float
    """When the first chunk of the then current sample was sent."""
    app_limited: bool


class Delivery:
    """Counts what was delivered.

    Args:
        now: Seconds.
    """

    def __init__(self, *, now: float) -> None:
        self.delivered = 0
        """Bytes that the other side has."""
        self._delivered_at = now
        self._first_sent_at = now
        self._app_limited_until = 0
        self._round_end = 0

    def begin_burst(self, *, is_idle: bool, now: float) -> Flight:
        """Return what the chunks that leave now have in common.

        Args:
            is_idle: Nothing is outstanding before them. What counts as lost may be on its way
                all the same: its SACK would look like the fastest ever.
            now: Seconds.
        """
        if is_idle:
            # draft-ietf-ccwg-bbr §4.1.2.2: a sample begins anew after idle.
            self._first_sent_at = self._delivered_at = now
        return Flight(
            sent_at=now,
            delivered=self.delivered,
            delivered_at=self._delivered_at,
            first_sent_at=self._first_sent_at,
            app_limited=0 < self._app_limited_until >= self.delivered,
        )

    def on_delivered(self, size: int, newest: Flight, *, now: float) -> None:
        """Note what a SACK has acknowledged, and the newest burst of it."""
        self.delivered += size
        self._delivered_at = now
        self._first_sent_at = newest.sent_at

    def rate(self, newest: Flight, *, min_rtt: float, now: float) -> float:
        """Return a sample in bytes per second; 0 when it would say nothing.

        It is the slower of sending and acknowledging: draft-ietf-ccwg-bbr §4.1.1.
        """
        interval = max(newest.sent_at - newest.first_sent_at, now - newest.delivered_at)
        if interval <= 0 or interval < min_rtt * _SHORTEST_INTERVAL:
            return 0.0
        return (self.delivered - newest.delivered) / interval

    def is_round_start(self, newest: Flight) -> bool:
        """Whether what was sent in the last round has been acknowledged; a new one begins."""
        if newest.delivered < self._round_end:
            return False
        self._round_end = self.delivered
        return True

    def note_app_limit(self, *, flight_size: int) -> None:
        """Samples of what is now in flight say how fast the application is, not the path."""
        self._app_limited_until = self.delivered + flight_size
