"""A ring of memory between frames and the disk [shell].

A byte of the file has its place in the ring by its position: so what is aligned in the file is
aligned in memory, as O_DIRECT wants it, and nothing is allocated or moved while a file arrives.
"""

import mmap
from typing import Final

from rtcsend.blocks import Data

RING_SIZE: Final = 8 << 20  # bytes; two jobs of the disk, and what comes meanwhile


class Ring:
    """Holds the bytes of a file from ``start`` to ``end``, at most ``size``.

    Args:
        position: In the file, of the first byte that will come.
        size: In bytes.
    """

    def __init__(self, position: int = 0, *, size: int = RING_SIZE) -> None:
        self.size = size
        self._memory = memoryview(mmap.mmap(-1, size))  # begins at a page; no page is used yet
        self.start = position
        self.end = position

    def put(self, data: memoryview) -> int:
        """Copy as much as there is room for, and return how much that is."""
        taken = 0
        while taken < len(data) and (room := self.size - (self.end - self.start)):
            at = self.end % self.size
            count = min(room, len(data) - taken, self.size - at)
            self._memory[at : at + count] = data[taken : taken + count]
            self.end += count
            taken += count
        return taken

    def view(self, position: int, limit: int) -> memoryview:
        """Return the bytes from a position to a limit, or to where the memory ends before."""
        at = position % self.size
        return self._memory[at : min(at + limit - position, self.size)]

    def move(self, position: int) -> None:
        """Go on at another position of the file; only while it is empty."""
        assert self.start == self.end, "bytes would be lost"
        self.start = self.end = position


def as_bytes(data: Data) -> memoryview:
    """Return the bytes of any buffer."""
    view = memoryview(data)
    return view if view.format == "B" and view.ndim == 1 else view.cast("B")
