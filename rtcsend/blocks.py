"""Blocks: the unit in which an interrupted file is compared and sent again.

Pure, and shared by the transfer and the files: both must cut a file in the same way. Only what
is whole and equal counts as there, so a torn or altered block costs one block, not the file.
Source: docs/transfer-protocol.md.
"""

from typing import Final

from blake3 import blake3

BLOCK_SIZE: Final = 1 << 20  # bytes; what a cut may cost, and one job for a disk
MAX_BLOCKS: Final = 1 << 18  # of a stream, besides one a file; their digests take 8 MiB
DIGEST_BYTES: Final = 32  # of BLAKE3

Data = bytes | bytearray | memoryview


def block_size_for(size: int) -> int:
    """Return the bytes of a block of a stream of ``size`` bytes: 1 MiB, doubled for huge ones."""
    block_size = BLOCK_SIZE
    while block_count(size, block_size) > MAX_BLOCKS:
        block_size *= 2
    return block_size


def block_count(size: int, block_size: int) -> int:
    """Return how many blocks ``size`` bytes have; the last may be shorter."""
    return -(-size // block_size)


def block_digest(data: Data) -> bytes:
    """Return the BLAKE3 digest of one block: DIGEST_BYTES bytes."""
    return blake3(data).digest()
