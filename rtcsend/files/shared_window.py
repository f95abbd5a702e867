"""The newest part of a stream, kept for those who come a little later [pure].

::

    position:   0 ……………………… start ▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓ end ……………………… size
                read, forgotten       kept pieces      not read yet

Whoever is between ``start`` and ``end`` takes what is kept; who is behind has to read by itself.
Place in the flow: held by :mod:`rtcsend.files.shared_source`.
"""

from bisect import bisect_right
from typing import Final

from rtcsend.blocks import Data

WINDOW: Final = 32 << 20  # bytes; a second of a fast path between the first and the last
MAX_PIECES: Final = 1_024  # many small pieces are no reason to search for long


class SharedWindow:
    """Pieces of a stream in a row, ``capacity`` bytes at most; one at least, whatever its size.

    Args:
        capacity: Bytes.
    """

    def __init__(self, *, capacity: int = WINDOW) -> None:
        self._capacity = capacity
        self._positions: list[int] = []
        self._pieces: list[Data] = []
        self.end = 0
        """Position up to which the stream was read."""

    @property
    def start(self) -> int:
        """Position from which on everything is kept."""
        return self._positions[0] if self._positions else self.end

    def add(self, data: Data) -> None:
        """Take the next piece, and forget the oldest ones that there is no room for."""
        self._positions.append(self.end)
        self._pieces.append(data)
        self.end += len(data)
        spare = 0
        last = len(self._positions) - 1
        while spare < last and (
            self.end - self._positions[spare] > self._capacity or last - spare >= MAX_PIECES
        ):
            spare += 1
        del self._positions[:spare], self._pieces[:spare]

    def get(self, position: int) -> Data | None:
        """Return what is kept from a position on to the end of its piece; None: nothing is."""
        if not self.start <= position < self.end:
            return None
        index = bisect_right(self._positions, position) - 1
        inside = position - self._positions[index]
        piece = self._pieces[index]
        return memoryview(piece)[inside:] if inside else piece
