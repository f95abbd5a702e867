"""Zeros that a disk need not keep: how many a file has, and which are left out when it is written.

Pure. A receiver leaves holes where runs of zeros come, and needs no space for them.
"""

from typing import Final, Protocol

HOLE: Final = 1 << 16  # bytes; a run of zeros of that length is not written
LEAST: Final = 1 << 20  # bytes; less is the odd block of a file system, and not worth a word
_UNIT: Final = 512  # bytes; of st_blocks, POSIX <sys/stat.h>
_ZEROS: Final = bytes(HOLE)


class Facts(Protocol):
    """Of a file, like :class:`os.stat_result`; ``st_blocks`` is not there on every system."""

    @property
    def st_size(self) -> int:
        """Bytes."""
        ...


def holes_of(facts: Facts) -> int:
    """Return how many bytes of a file take no space on its disk; 0 where the system does not say.

    Where a file system compresses, what that saves counts as well: who asks for space should take
    it for a hint.
    """
    blocks = getattr(facts, "st_blocks", None)
    if blocks is None:
        return 0
    missing = facts.st_size - _UNIT * int(blocks)
    return missing if missing >= LEAST else 0


def is_hole(piece: memoryview) -> bool:
    """Return whether a piece is HOLE bytes long, and all of them are zero."""
    return len(piece) == HOLE and not (piece[0] or piece[-1]) and bytes(piece) == _ZEROS


def next_run(data: memoryview) -> tuple[int, bool]:
    """Return how long the first run of data is, in bytes, and whether it is a hole.

    Args:
        data: Not empty.
    """
    hole = is_hole(data[:HOLE])
    at = HOLE
    while at < len(data) and is_hole(data[at : at + HOLE]) is hole:
        at += HOLE
    return min(at, len(data)), hole
