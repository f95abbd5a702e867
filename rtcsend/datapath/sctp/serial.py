"""Serial number arithmetic on 32 bits. Pure. Source: RFC 1982, RFC 9260 §1.6."""

from typing import Final

MASK: Final = 0xFFFF_FFFF
HALF: Final = 0x8000_0000


def add(serial: int, count: int) -> int:
    """Return the serial number ``count`` after (or, negative, before) another."""
    return (serial + count) & MASK


def distance(earlier: int, later: int) -> int:
    """Return how far ``later`` is after ``earlier``: from -2**31 to 2**31 - 1."""
    return ((later - earlier + HALF) & MASK) - HALF
