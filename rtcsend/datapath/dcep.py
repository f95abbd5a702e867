"""What a peer's wish to open a DataChannel in-band is answered with.

Pure. Our two channels are agreed on beforehand; a peer may open them in-band all the same, and
some do not send before that was acknowledged. There are no other channels: one that a peer opens
is closed at once, so that it does not send into nothing.

A DATA_CHANNEL_OPEN is: message type, 1 byte; channel type, 1; priority, 2; reliability
parameter, 4; length of the label, 2; of the protocol, 2; label; protocol.

Source: RFC 8832 §5.1, §5.2, §6; RFC 8831 §6.7.
"""

import struct
from collections.abc import Collection
from enum import Enum, auto
from typing import Final

PPID_DCEP: Final = 50  # RFC 8832 §8.1
DATA_CHANNEL_ACK: Final = b"\x02"  # RFC 8832 §8.2.1
MAX_CLOSED: Final = 64  # channels of a peer that are closed; it will have understood

_DATA_CHANNEL_OPEN: Final = 3
_CHANNEL_TYPES: Final = frozenset((0x00, 0x01, 0x02, 0x80, 0x81, 0x82))  # RFC 8832 §8.2.2
_OPEN: Final = struct.Struct("!BBHLHH")


class Answer(Enum):
    """What to do on the stream on which a message came."""

    ACKNOWLEDGE = auto()
    """Send :data:`DATA_CHANNEL_ACK`."""
    CLOSE = auto()
    """Reset our direction; the other side then does the same."""
    NOTHING = auto()


class Openings:
    """The messages of one association; each stream is answered once.

    Args:
        streams: Those of our own channels.
    """

    def __init__(self, streams: Collection[int]) -> None:
        self._expected = set(streams)
        self._ours = frozenset(streams)
        self._closed: set[int] = set()

    def receive_untrusted(self, stream: int, data: bytes) -> Answer:
        """Take a message; anything but a first DATA_CHANNEL_OPEN of a stream is read over."""
        if data[:1] != bytes((_DATA_CHANNEL_OPEN,)):
            return Answer.NOTHING
        if stream in self._ours:
            if stream not in self._expected or not _is_valid(data):
                return Answer.NOTHING  # it is open, and in use
            self._expected.discard(stream)
            return Answer.ACKNOWLEDGE
        if stream in self._closed or len(self._closed) >= MAX_CLOSED:
            return Answer.NOTHING
        self._closed.add(stream)
        return Answer.CLOSE


def _is_valid(data: bytes) -> bool:
    if len(data) < _OPEN.size:
        return False
    _, channel_type, _, _, label, protocol = _OPEN.unpack_from(data)
    return channel_type in _CHANNEL_TYPES and len(data) == _OPEN.size + label + protocol
