"""Noticing that the other side is gone, and letting it notice that we are not.

Pure. Every message counts as a sign of life, in both directions, and so does whatever the
channels heard below the messages: on a slow path a ping waits behind the data that is on its
way, while acknowledgements of that data keep coming. A ping fills the gaps.
"""

from typing import Final

from rtcsend.errors import ConnectionLost

PING_INTERVAL: Final = 2.0  # seconds of our own silence after which a ping is due
SILENCE_LIMIT: Final = 9.0  # seconds; four pings, and a round trip of a path that is overloaded


class Liveness:
    """Two clocks: when the other side was heard, and when it last heard us."""

    def __init__(self, *, now: float) -> None:
        self.heard_at = now
        """When the other side was last heard."""
        self._said = now

    def heard(self, *, now: float) -> None:
        """Something came from the other side."""
        self.heard_at = max(now, self.heard_at)

    def said(self, *, now: float) -> None:
        """Something went to the other side."""
        self._said = now

    def get_timer(self) -> float:
        """Return when :meth:`is_ping_due` is to be asked next, on the caller's clock."""
        return min(self._said + PING_INTERVAL, self.heard_at + SILENCE_LIMIT)

    def is_ping_due(self, *, now: float) -> bool:
        """Return whether a ping is to be sent now.

        Raises:
            ConnectionLost: The other side has been silent for SILENCE_LIMIT seconds.
        """
        if now >= self.heard_at + SILENCE_LIMIT:
            raise ConnectionLost(
                f"Nothing has come from the other side for {SILENCE_LIMIT:.0f} seconds."
            )
        return now >= self._said + PING_INTERVAL
