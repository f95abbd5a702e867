"""The last flight of a DTLS handshake, sent again sooner than DTLS would.

Pure. OpenSSL waits a whole second before it sends a flight again, for paths of which nothing is
known; here ICE has just measured the round trip. The very same datagrams are sent: what has
arrived before is a replay, which DTLS drops (RFC 9147 §4.5.1), and what was lost comes now. A
flight that the other side repeats says that it lacks this side's answer (RFC 6347 §4.2.4).

Does not: know DTLS. A flight is what is sent after something new was heard.
"""

from collections import deque
from typing import Final

MAX_FLIGHT: Final = 16  # datagrams; a certificate takes three
MAX_REPEATS: Final = 3  # of one flight; then it is DTLS's matter
MAX_HEARD: Final = 32  # datagrams that are known again
LEAST_WAIT: Final = 0.1  # seconds
WAIT_RTTS: Final = 2.5  # the other side may have to compute
UNKNOWN_RTT: Final = 0.1  # seconds


class Flight:
    """What one side has said last.

    Args:
        rtt: Seconds of a round trip; None: not known.
    """

    def __init__(self, rtt: float | None) -> None:
        self._wait = max(LEAST_WAIT, WAIT_RTTS * (UNKNOWN_RTT if rtt is None else rtt))
        self._datagrams: list[bytes] = []
        self._heard: deque[int] = deque(maxlen=MAX_HEARD)
        self._is_answered = True
        self._repeats = 0
        self._due_at: float | None = None

    def on_sent(self, datagram: bytes, *, now: float) -> None:
        """Take a datagram that was sent."""
        if self._is_answered:
            self._is_answered = False
            self._datagrams.clear()
            self._repeats = 0
        if len(self._datagrams) < MAX_FLIGHT:
            self._datagrams.append(datagram)
        self._due_at = now + self._wait

    def on_heard(self, datagram: bytes, *, now: float) -> None:
        """Take a datagram of the other side's."""
        digest = hash(datagram)
        if digest not in self._heard:
            self._heard.append(digest)
            self._is_answered = True
            self._due_at = None
        elif not self._is_answered and self._repeats < MAX_REPEATS:
            self._due_at = now

    def get_timer(self) -> float | None:
        """Return when to call :meth:`datagrams_to_send`."""
        return self._due_at

    def datagrams_to_send(self, *, now: float) -> list[bytes]:
        """Return what to send again now."""
        if self._due_at is None or now < self._due_at:
            return []
        self._repeats += 1
        waits = self._wait * 2**self._repeats
        self._due_at = now + waits if self._repeats < MAX_REPEATS else None
        return list(self._datagrams)
