"""Which of many files differ, found by a few checksums of their digests. Pure.

The files of a stream are written into a table, row by row, 1,024 in each. Each row and each
column has a checksum, made of the digests in it. Where a file differs on the two sides, its row
does, and its column: it is where they cross. Up to 1,024 files are one row, and each has a column
to itself; of more, one that differs is found among any number, and several are at least confined.

At most 16 KiB say it for a million files, and making them costs milliseconds, at the end.
Source: docs/transfer-protocol.md §6.
"""

from array import array
from typing import Final, NamedTuple

from blake3 import blake3

WIDTH: Final = 1_024  # files in a row
SUM_BYTES: Final = 8  # of each digest that are taken, and of each checksum
MAX_SUMS: Final = 1_024  # of rows, and of columns: as many as a million files have


class FileSums(NamedTuple):
    """The checksums of one side."""

    rows: bytes
    """SUM_BYTES of each."""
    columns: bytes
    """SUM_BYTES of each; fewer than WIDTH where there are fewer files."""

    def fit(self, files: int) -> bool:
        """Return whether they can be those of so many files."""
        count = len(self.rows) // SUM_BYTES, len(self.columns) // SUM_BYTES
        return count == (-(-files // WIDTH), min(files, WIDTH))


class Differing(NamedTuple):
    """Files of the stream. All others are the same on both sides."""

    files: list[int]
    """Their numbers, ascending."""
    is_certain: bool
    """Whether each of them differs; else some do, and the checksums cannot tell which."""


def sums_of(prefixes: bytes | bytearray) -> FileSums:
    """Return the checksums of files.

    Args:
        prefixes: The first SUM_BYTES of the digest of each, joined.
    """
    digests = array("Q", bytes(prefixes))
    rows = (digests[at : at + WIDTH] for at in range(0, len(digests), WIDTH))
    columns = (digests[at::WIDTH] for at in range(min(len(digests), WIDTH)))
    return FileSums(b"".join(map(_sum, rows)), b"".join(map(_sum, columns)))


def differing(prefixes: bytes | bytearray, theirs: FileSums) -> Differing:
    """Return which files differ from those of the other side.

    Args:
        prefixes: As for :func:`sums_of`, of this side's files.
        theirs: Of as many.
    """
    count, ours = len(prefixes) // SUM_BYTES, sums_of(prefixes)
    rows, columns = _others(ours.rows, theirs.rows), _others(ours.columns, theirs.columns)
    crossings = (row * WIDTH + column for row in rows for column in columns)
    files = [file for file in crossings if file < count]
    return Differing(files, is_certain=1 in (len(rows), len(columns)))


def _sum(digests: "array[int]") -> bytes:
    return blake3(digests.tobytes()).digest(SUM_BYTES)


def _others(ours: bytes, theirs: bytes) -> list[int]:
    """Return the numbers of the checksums that are not the same."""
    return [
        at // SUM_BYTES
        for at in range(0, len(ours), SUM_BYTES)
        if ours[at : at + SUM_BYTES] != theirs[at : at + SUM_BYTES]
    ]
