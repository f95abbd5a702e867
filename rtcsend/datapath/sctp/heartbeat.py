"""Heartbeats: whether the other side is there, how far it is, and what packets it gets.

Pure. A heartbeat carries when it was sent, and comes back as it went: its round-trip time is
never ambiguous. With padding behind it, it probes the path's packet size. While nothing else is
heard, heartbeats decide whether the association lives.

Sources: RFC 9260 §8.1, §8.3; RFC 8899 §4.1, RFC 4820 (probes); values are HEARTBEAT_INFO
parameters of the size that is probed, 4 bytes, and of the time, 8 bytes.
"""

import math
import struct
from typing import Final, NamedTuple

from rtcsend.datapath.sctp.wire import (
    CHUNK_HEADER,
    HEADER_SIZE,
    ChunkType,
    Parameter,
    pack_chunk,
    pack_parameter,
    parameters_untrusted,
)

HEARTBEAT_INTERVAL: Final = 3.0  # seconds of silence; RFC 9260 §8.3 has 30, too slow to notice
HEARTBEAT_RETRY: Final = 1.0  # seconds; a few lost packets are not yet a dead path
FAILURE_TIMEOUT: Final = 15.0  # seconds without a word while one is due; RFC 9260 §8.1 counts

_INFO: Final = struct.Struct("!Ld")  # size that is probed, 0 for none; when it was sent


class Echo(NamedTuple):
    """A heartbeat that came back."""

    size: int
    """Bytes of the packet that it went in, when that was the question; else 0."""
    sent_at: float
    """When it was sent, as far as the other side left it alone."""
    rtt: float | None
    """Seconds; None when it is too old to say anything."""


class Heartbeats:
    """When to ask for a sign of life, and when to give up.

    Args:
        now: Seconds.
    """

    def __init__(self, *, now: float) -> None:
        self._next_at = math.inf
        self._asked_at = -math.inf
        self._heard_at = now
        self._unanswered = False

    def get_timer(self) -> float:
        """Return when to call :meth:`is_due`."""
        return self._next_at

    def on_heard(self, *, is_backed_off: bool = False, now: float) -> None:
        """Note a packet of the other side, whatever is in it.

        Args:
            is_backed_off: Data has timed out. Then this is perhaps a path that comes back, and
                whether it does so both ways is asked at once.
            now: Seconds.
        """
        self._heard_at = now
        again = self._asked_at + HEARTBEAT_RETRY
        self._next_at = max(now, again) if is_backed_off else now + HEARTBEAT_INTERVAL
        self._unanswered = False

    def is_due(self, *, now: float) -> bool:
        """Whether to send a heartbeat now."""
        if now < self._next_at:
            return False
        # Time in which we were not run is not the other side's silence.
        self._heard_at += now - self._next_at
        return True

    def heartbeat(self, *, now: float) -> bytes:
        """Return a chunk to send now."""
        self._asked_at = now
        self._next_at = now + HEARTBEAT_RETRY
        self._unanswered = True
        return _pack(0, now)

    def is_dead(self, *, is_waiting: bool, now: float) -> bool:
        """Whether an answer is due for too long.

        Args:
            is_waiting: Something else than a heartbeat should have been answered.
            now: Seconds.
        """
        silence = now - self._heard_at
        return (is_waiting or self._unanswered) and silence >= FAILURE_TIMEOUT


def probe(size: int, *, now: float) -> bytes:
    """Return the chunks of a packet of ``size`` bytes that asks whether it arrives."""
    heartbeat = _pack(size, now)
    padding = size - HEADER_SIZE - len(heartbeat) - CHUNK_HEADER.size
    return heartbeat + pack_chunk(ChunkType.PAD, 0, bytes(padding))


def parse_ack_untrusted(value: bytes, *, now: float) -> Echo | None:
    """Return what a HEARTBEAT ACK says; None when it does not come from a heartbeat of ours."""
    for kind, info in parameters_untrusted(value):
        if kind == Parameter.HEARTBEAT_INFO and len(info) == _INFO.size:
            size, sent_at = _INFO.unpack(info)
            rtt = now - sent_at
            return Echo(size, sent_at, rtt if 0 <= rtt < FAILURE_TIMEOUT else None)
    return None


def _pack(size: int, now: float) -> bytes:
    info = pack_parameter(Parameter.HEARTBEAT_INFO, _INFO.pack(size, now))
    return pack_chunk(ChunkType.HEARTBEAT, 0, info)
