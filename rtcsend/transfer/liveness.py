"""Noticing that the other side is gone, and letting it notice that we are not.

Pure. Every message counts as a sign of life, in both directions; a ping fills the gaps.
aiortc alone sees a killed peer after 23 to 39 seconds, and a peer whose process hangs never.
"""

from typing import Final

from rtcsend.errors import ConnectionLost

PING_INTERVAL: Final = 4.0  # seconds of our own silence after which a ping is due
SILENCE_LIMIT: Final = 20.0  # seconds; a queue of 1 MiB drains in 7 at the 0.14 MB/s of a bad path


class Liveness:
    """Two clocks: when the other side was heard, and when it last heard us."""

    def __init__(self, *, now: float) -> None:
        self._heard = now
        self._said = now

    def heard(self, *, now: float) -> None:
        """Something came from the other side."""
        self._heard = now

    def said(self, *, now: float) -> None:
        """Something went to the other side."""
        self._said = now

    def get_timer(self) -> float:
        """Return when :meth:`is_ping_due` is to be asked next, on the caller's clock."""
        return min(self._said + PING_INTERVAL, self._heard + SILENCE_LIMIT)

    def is_ping_due(self, *, now: float) -> bool:
        """Return whether a ping is to be sent now.

        Raises:
            ConnectionLost: The other side has been silent for SILENCE_LIMIT seconds.
        """
        if now >= self._heard + SILENCE_LIMIT:
            raise ConnectionLost(
                f"Nothing has come from the other side for {SILENCE_LIMIT:.0f} seconds."
            )
        return now >= self._said + PING_INTERVAL
