"""Text messages in one frame each: how nearly everything comes and goes.

What it does: frames what the server says, and takes what is exactly one masked text frame.
What it does not: anything else; the package websockets has the rest of RFC 6455, and is
asked whenever something is not as simple as that. It would do these as well, but takes a
sixth of all the time of a pairing for it.

Pure, but for the package's function in C that takes masks off (ten times as fast as ours).
Place in the flow: below :mod:`signal_server.websocket`. Source: RFC 6455 section 5.2.
"""

import struct

try:
    from websockets.speedups import apply_mask
except ImportError:  # no wheel for this machine, and no compiler
    from websockets.utils import apply_mask

TEXT_FIN = 0x81  # FIN, no RSV bits, opcode 1: a whole text message in one frame
MASKED = 0x80  # in the byte of the length
MASK_SIZE = 4  # bytes
SHORT, LONG = 125, 65_535  # bytes, up to which a length takes no more, or two more bytes
IN_TWO, IN_EIGHT = 126, 127  # a length that follows in so many bytes


def text_frame(data: bytes) -> bytes:
    """Return a whole text message as a server frames it."""
    size = len(data)
    if size <= SHORT:
        return bytes((TEXT_FIN, size)) + data
    if size <= LONG:
        return struct.pack("!BBH", TEXT_FIN, IN_TWO, size) + data
    return struct.pack("!BBQ", TEXT_FIN, IN_EIGHT, size) + data


def only_text_untrusted(data: bytes) -> bytes | None:
    """Return the text, UTF-8 or not, where ``data`` is one whole frame of it; else None.

    Args:
        data: Read where a frame begins, outside of a fragmented message.
    """
    if data[0] != TEXT_FIN or len(data) < 2 + MASK_SIZE or data[1] == MASKED | IN_EIGHT:
        return None
    length, start = data[1] - MASKED, 2
    if length == IN_TWO:
        length, start = int.from_bytes(data[2:4], "big"), 4
    start += MASK_SIZE
    # A length below 0 is one without a mask.
    if length < 0 or len(data) != start + length:
        return None
    return apply_mask(data[start:], data[start - MASK_SIZE : start])


def ends_with_a_frame_untrusted(data: bytes) -> bool:
    """Return whether ``data``, read where a frame begins, ends where one does."""
    at, size = 0, len(data)
    while at + 2 <= size:
        length = data[at + 1] & ~MASKED
        mask = MASK_SIZE if data[at + 1] & MASKED else 0
        more = {IN_TWO: 2, IN_EIGHT: 8}.get(length, 0)
        if more:
            length = int.from_bytes(data[at + 2 : at + 2 + more], "big")
        at += 2 + more + mask + length
    return at == size
