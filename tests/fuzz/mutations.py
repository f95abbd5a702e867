"""Edits that make hostile input out of valid: flips, cuts, splices, lengths, huge numbers.

An edit is data, so that Hypothesis can make it smaller, and the runner can draw it.
"""

import random
import re
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

MAX_SIZE: Final = 70_000  # bytes; more than every decoder takes
LENGTHS: Final = (0, 1, 3, 4, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF, 2**64 - 1)
TOKENS: Final = (
    b"\x00", b"\xff", b"\n", b"\r\n", b" ", b'"', b"\\", b"\\u0000", b"\\ud800", b"{", b"[", b"]",
    b"}", b",", b":", b"null", b"true", b"-1", b"0", b"1e999", b"NaN", b"Infinity", b"1.5",
    b"9007199254740993", b"9" * 400, b"..", b"/", b"%", b"%00", b"@", b"-", b"~1", b"=", b"\xc3",
    b"\xed\xa0\x80", b"\xe2\x80\xae", b"e\xcc\x81", b"\xf3\xa0\x81\x81", b"\xef\xbc\x91",
)  # fmt: skip
_NUMBER: Final = re.compile(rb"[0-9]+")


class Edit(NamedTuple):
    """One change."""

    kind: int
    position: float
    """From 0 to 1: where in the input."""
    value: int
    other: bytes
    """Another valid input."""


def mutated(data: bytes, edits: Sequence[Edit]) -> bytes:
    """Return the input with the edits made one after the other."""
    for edit in edits:
        at = min(int(edit.position * (len(data) + 1)), len(data))
        data = KINDS[edit.kind % len(KINDS)](data, at, edit.value, edit.other)[:MAX_SIZE]
    return data


def drawn(rng: random.Random, seeds: Sequence[bytes]) -> bytes:
    """Return random input: mostly a valid one that is mutated, at times pure noise."""
    if rng.random() < 0.05:
        return rng.randbytes(int(rng.expovariate(0.02)))
    edits = [
        Edit(rng.randrange(len(KINDS)), rng.random(), rng.getrandbits(16), rng.choice(seeds))
        for _ in range(1 + int(rng.expovariate(0.6)))
    ]
    return mutated(rng.choice(seeds), edits)


def _flip(data: bytes, at: int, value: int, _other: bytes) -> bytes:
    return (
        data[:at] + bytes([data[at] ^ 1 << value % 8]) + data[at + 1 :] if at < len(data) else b""
    )


def _replace(data: bytes, at: int, value: int, _other: bytes) -> bytes:
    return data[:at] + bytes([value % 256]) + data[at + 1 :]


def _insert(data: bytes, at: int, value: int, _other: bytes) -> bytes:
    return data[:at] + TOKENS[value % len(TOKENS)] + data[at:]


def _truncate(data: bytes, at: int, _value: int, _other: bytes) -> bytes:
    return data[:at]


def _behead(data: bytes, at: int, _value: int, _other: bytes) -> bytes:
    return data[at:]


def _remove(data: bytes, at: int, value: int, _other: bytes) -> bytes:
    return data[:at] + data[at + 1 + value % 16 :]


def _repeat(data: bytes, at: int, value: int, _other: bytes) -> bytes:
    span = data[at : at + 1 + value % 32]
    return data[:at] + span * (2 + value % 100) + data[at:]


def _splice(data: bytes, at: int, value: int, other: bytes) -> bytes:
    return data[:at] + other[value % (len(other) + 1) :]


def _append(data: bytes, _at: int, _value: int, other: bytes) -> bytes:
    return data + other


def _set_length(data: bytes, at: int, value: int, _other: bytes) -> bytes:
    """Overwrite what may be a length field, big-endian, of 1 to 8 bytes."""
    size = (1, 2, 4, 8)[value % 4]
    number = LENGTHS[value // 4 % len(LENGTHS)] % (1 << 8 * size)
    return data[:at] + number.to_bytes(size) + data[at + size :]


def _set_number(data: bytes, at: int, value: int, _other: bytes) -> bytes:
    """Overwrite the next decimal number."""
    match = _NUMBER.search(data, at)
    if match is None:
        return data
    digits = (b"-1", b"0", b"00", b"1.0", b"1e400", b"9" * 20, b"9" * 5_000)[value % 7]
    return data[: match.start()] + digits + data[match.end() :]


KINDS: Final[tuple[Callable[[bytes, int, int, bytes], bytes], ...]] = (
    _flip,
    _replace,
    _insert,
    _truncate,
    _behead,
    _remove,
    _repeat,
    _splice,
    _append,
    _set_length,
    _set_number,
)
