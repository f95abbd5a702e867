"""How large a packet the path takes, found by asking it: datagram PLPMTUD.

Pure. A probe is a HEARTBEAT with padding; its acknowledgement proves the size, and a probe
that is lost costs nothing else. Sizes are of SCTP packets: what DTLS, UDP and IP add is the
caller's. Source: RFC 8899 §5; RFC 4820 §3 (padding).
"""

from typing import Final

BASE_PLPMTU: Final = 1_160  # bytes; with DTLS, UDP and IPv6 on top it stays under 1,280
MAX_PROBES: Final = 2  # of one size; RFC 8899 §5.1.2 has 3, but a size not found costs little
PROBE_TIMEOUT_RTTS: Final = 3.0
MIN_PROBE_TIMEOUT: Final = 0.3  # seconds
BLACK_HOLE_PAUSE: Final = 10.0  # seconds until it is asked again: outages look the same
RAISE_INTERVAL: Final = 600.0  # seconds; RFC 8899 §5.1.1, PMTU_RAISE_TIMER
SIZES: Final = (1_240, 1_360, 1_400, 1_432, 3_900, 8_872, 15_900)
"""Sizes worth asking for: tunnels, 1,500-byte Ethernet under IPv6 and under IPv4, jumbo
frames, and the most that a DTLS record holds (16,384 bytes, less what is around the packet)."""


class PathMtu:
    """The search, upwards from the base.

    Args:
        maximum: Bytes of the largest packet that the other side can take.
        now: Seconds; the first probe is due at once.
    """

    def __init__(self, *, maximum: int, now: float) -> None:
        self.size = min(BASE_PLPMTU, maximum)
        """Bytes that a packet may have."""
        self._maximum = maximum
        self._probing = 0
        self._tries = 0
        self._next_at: float | None = now
        self._next_size()

    @property
    def is_base(self) -> bool:
        """Whether packets are as small as they ever are."""
        return self.size <= BASE_PLPMTU

    def probe_to_send(self, *, now: float, rtt: float) -> int | None:
        """Return the size to probe now; None when there is nothing to ask yet."""
        if self._next_at is None or now < self._next_at:
            return None
        if self._tries == MAX_PROBES:
            # RFC 8899 §5.3: larger sizes would be lost as well; ask again much later.
            self._tries = 0
            self._next_at = now + RAISE_INTERVAL
            return None
        self._tries += 1
        self._next_at = now + max(MIN_PROBE_TIMEOUT, PROBE_TIMEOUT_RTTS * rtt)
        return self._probing

    def on_probe_acknowledged(self, size: int, *, now: float) -> None:
        """The path takes packets of ``size`` bytes."""
        if size != self._probing:
            return  # an answer from before the path shrank
        self.size = size
        self._next_at = now
        self._next_size()

    def on_black_hole(self, *, now: float) -> None:
        """Packets of this size do not arrive any more. Source: RFC 8899 §4.3."""
        if self.is_base:
            return  # there is nothing smaller
        self.size = min(BASE_PLPMTU, self._maximum)
        self._next_at = now + BLACK_HOLE_PAUSE
        self._next_size()

    def get_timer(self) -> float | None:
        """Return when to call :meth:`probe_to_send` next."""
        return self._next_at

    def _next_size(self) -> None:
        self._tries = 0
        larger = [size for size in SIZES if self.size < size <= self._maximum]
        if larger:
            self._probing = larger[0]
        else:
            self._next_at = None
