"""What travels between a TURN client and its server: ChannelData, and the framing of a stream.

Over UDP a datagram is a message. Over TCP and TLS messages follow one another: ChannelData,
padded to four bytes, and STUN messages, told apart by their first two bits (RFC 8656 §12.5).
The server is not trusted: a length is 16 bits, so that no message is larger than MAX_FRAME,
and what can be neither ends the stream.

It does not know which channel is bound to whom, and does not look into STUN messages.

Pure. Place in the flow: :mod:`rtcsend.datapath.relay` reads with it, and
:mod:`rtcsend.datapath.carrier` writes.
"""

import struct
from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Final

from rtcsend.errors import PeerProtocolError

HEADER: Final = struct.Struct("!HH")  # ChannelData: number and length; STUN: type and length
STUN_HEADER_SIZE: Final = 20  # bytes; RFC 8489 §5
MAX_FRAME: Final = STUN_HEADER_SIZE + 65_535 + 3  # bytes; the largest length, with padding

_ALIGNMENT: Final = 4  # bytes; RFC 8656 §12.5 for ChannelData, RFC 8489 §5 for STUN
_COOKIE: Final = 0x2112_A442  # RFC 8489 §5
_COOKIE_END: Final = 8  # bytes of a STUN message that tell whether it is one
_COOKIE_FIELD: Final = struct.Struct("!I")
_CHANNEL_DATA: Final = 0b01  # the first two bits; RFC 8656 §12
_STUN: Final = 0b00


def channel_data(records: bytes | memoryview, size: int, channel: int, *, padded: bool) -> bytes:
    """Frame each record, and join the frames.

    Args:
        records: Of ``size`` bytes each, joined, the last perhaps shorter.
        size: Bytes, 1 to 65,535.
        channel: Its number.
        padded: To multiples of four bytes, as TCP and TLS need it.
    """
    whole = len(records) // size * size
    framed = _framed([records[at : at + size] for at in range(0, whole, size)], channel, padded)
    return framed + _framed([records[whole:]], channel, padded) if whole < len(records) else framed


def _framed(records: Sequence[bytes | memoryview], channel: int, padded: bool) -> bytes:
    """Frame records of one size, and join the frames: all have the same bytes in between."""
    if not records:
        return b""
    header = HEADER.pack(channel, len(records[0]))
    padding = bytes(-len(records[0]) % _ALIGNMENT) if padded else b""
    return b"".join((header, (padding + header).join(records), padding))


def maybe_channel_data_untrusted(message: bytes) -> tuple[int, bytes] | None:
    """Return the channel and the payload of a ChannelData message; None of anything else.

    Padding may follow the payload. Source: RFC 8656 §12.4.
    """
    if len(message) < HEADER.size or message[0] >> 6 != _CHANNEL_DATA:
        return None
    channel, length = HEADER.unpack_from(message)
    end = HEADER.size + length
    return (channel, message[HEADER.size : end]) if end <= len(message) else None


def batches(payloads: list[bytes]) -> Iterator[tuple[bytes, int]]:
    """Join neighbours of one size; yield each batch and that size."""
    for size, group in groupby(payloads, len):
        yield b"".join(group), size


class FrameReader:
    """Takes a stream apart into messages, each byte looked at once.

    At most MAX_FRAME bytes are kept from one call to the next.
    """

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._needed = HEADER.size  # bytes without which there is nothing to do

    def receive_untrusted(self, data: bytes) -> list[bytes]:
        """Take what came; return the messages that are complete by now, padding included.

        Raises:
            PeerProtocolError: It can be no TURN stream. Nothing after it can be read.
        """
        self._buffer += data
        if len(self._buffer) < self._needed:
            return []
        block = bytes(self._buffer)
        frames: list[bytes] = []
        start = 0
        while (needed := _needed_untrusted(block, start)) <= len(block) - start:
            frames.append(block[start : start + needed])
            start += needed
        del self._buffer[:start]
        self._needed = needed
        return frames

    def rest(self) -> bytes:
        """Return what has come of the message that is not whole yet; begin anew."""
        rest, self._buffer, self._needed = bytes(self._buffer), bytearray(), HEADER.size
        return rest


def _needed_untrusted(block: bytes, start: int) -> int:
    """Return the size of the message at ``start``, or how many bytes it takes to tell.

    It is there as a whole if, and only if, so many bytes are.

    Raises:
        PeerProtocolError: No message begins so.
    """
    available = len(block) - start
    if available < HEADER.size:
        return HEADER.size
    kind: int
    length: int
    kind, length = HEADER.unpack_from(block, start)
    if kind >> 14 == _CHANNEL_DATA:
        return HEADER.size + length + -length % _ALIGNMENT
    if kind >> 14 != _STUN or length % _ALIGNMENT:
        raise PeerProtocolError("The relay sent what is neither STUN nor ChannelData.")
    if available < _COOKIE_END:
        return _COOKIE_END
    if _COOKIE_FIELD.unpack_from(block, start + HEADER.size)[0] != _COOKIE:
        raise PeerProtocolError("The relay sent what is neither STUN nor ChannelData.")
    return STUN_HEADER_SIZE + length
