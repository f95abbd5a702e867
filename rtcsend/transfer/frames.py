"""Frames: what the data channel carries.

Pure. A frame is one DataChannel message (docs/transfer-protocol.md §4), big-endian:

- kind, 1 byte: ``0x01``, data
- flags, 1 byte: bit 0: the payload is packed (:mod:`rtcsend.transfer.compression`); others 0
- reserved, 6 bytes: 0
- offset, 8 bytes: of the payload in the stream
- payload: 1 byte to 64 KiB, and the whole frame never over the peer's max-message-size
"""

import struct
from collections.abc import Callable
from typing import Final, NamedTuple

from rtcsend.errors import PeerProtocolError

FRAME_HEADER: Final = struct.Struct("!BBHIQ")
MAX_PAYLOAD: Final = 64 * 1024  # bytes; aiortc's reassembly is quadratic in the message size
MAX_FRAME: Final = FRAME_HEADER.size + MAX_PAYLOAD
_DATA: Final = 1
_PACKED: Final = 1  # a flag


class Frame(NamedTuple):
    """A piece of the stream."""

    offset: int
    """In bytes from the start of the stream."""
    payload: memoryview


def serialize_frame(*, offset: int, payload: bytes | memoryview, is_packed: bool = False) -> bytes:
    """Return a frame. ``payload`` is copied; it must have 1 to MAX_PAYLOAD bytes."""
    if not 0 < len(payload) <= MAX_PAYLOAD:
        raise ValueError(f"a frame cannot hold {len(payload)} bytes")
    return b"".join((FRAME_HEADER.pack(_DATA, is_packed, 0, 0, offset), payload))


def parse_frame_untrusted(
    message: bytes, *, unpack: Callable[[memoryview], memoryview] | None = None
) -> Frame:
    """Return the frame in a message; its payload is a view into the message, if not packed.

    Args:
        message: Of the data channel.
        unpack: Makes a packed payload plain, within MAX_PAYLOAD; None: none may be packed.

    Raises:
        PeerProtocolError: It is malformed.
    """
    if not FRAME_HEADER.size < len(message) <= MAX_FRAME:
        raise PeerProtocolError("The other side sent a frame of an impossible size.")
    kind, flags, reserved, more, offset = FRAME_HEADER.unpack_from(message)
    known = 0 if unpack is None else _PACKED
    if kind != _DATA or flags & ~known or reserved or more:
        raise PeerProtocolError("The other side sent a frame of an unknown kind.")
    payload = memoryview(message)[FRAME_HEADER.size :]
    return Frame(offset, unpack(payload) if unpack is not None and flags else payload)


def payload_filling(packet_payload: int, *, largest: int) -> int:
    """Return the bytes of payload of a frame that fills whole packets.

    A packet that is half empty costs as much as a full one, and breaks a batch of equal ones.

    Args:
        packet_payload: Bytes of a message that a packet carries; 0 when nobody knows.
        largest: Bytes of payload that a frame may have; it is never more.
    """
    packets = (largest + FRAME_HEADER.size) // packet_payload if packet_payload else 0
    return packets * packet_payload - FRAME_HEADER.size if packets else largest


def payload_size(max_message_size: int) -> int:
    """Return how many bytes of payload a frame may have for a peer that takes such messages."""
    return min(MAX_PAYLOAD, max_message_size - FRAME_HEADER.size)
