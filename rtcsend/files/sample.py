"""A fingerprint of a file's content that costs a few reads [pure].

A receiver finds by it what an earlier run of the same file has left, also under another name.
It proves nothing: two files with one sample may differ, and the digests of the blocks decide.
Source: docs/transfer-protocol.md.
"""

from collections.abc import Iterable
from typing import Final

from blake3 import blake3

SAMPLES: Final = 16  # reads: what a disk with heads does in a fifth of a second
SAMPLE_BYTES: Final = 16 << 10  # of each; costs a disk no more than one byte would
_SIZE_BYTES: Final = 8


def sample_ranges(size: int) -> list[tuple[int, int]]:
    """Return the (offset, length) of the samples: evenly spread; all of a small file."""
    if size <= SAMPLES * SAMPLE_BYTES:
        return [(0, size)] if size else []
    last = size - SAMPLE_BYTES
    return [(last * number // (SAMPLES - 1), SAMPLE_BYTES) for number in range(SAMPLES)]


def sample_digest(size: int, samples: Iterable[bytes]) -> str:
    """Return BLAKE3, in hexadecimal, of the size (8 bytes, big-endian) and the samples."""
    digest = blake3(size.to_bytes(_SIZE_BYTES, "big"))
    for sample in samples:
        digest.update(sample)
    return digest.hexdigest()
