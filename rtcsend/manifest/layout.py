"""Files in a row: the stream that they form, and the blocks in which it is compared. Pure.

The contents of all files, in their order, are one stream of bytes. Blocks never span files:
each file is cut from its own start, its last block is shorter, and an empty file has none.
How large a block is depends on the size of the stream. Source: docs/transfer-protocol.md §5.
"""

from array import array
from bisect import bisect_right
from collections.abc import Iterable
from itertools import accumulate, chain
from typing import Final

from rtcsend.blocks import MAX_BLOCKS, block_size_for
from rtcsend.manifest.entry import MAX_ENTRIES
from rtcsend.strict_json import MAX_INTEGER

MAX_STREAM_BLOCKS: Final = MAX_BLOCKS + MAX_ENTRIES
"""Blocks of any stream at most: the last block of each file may be one more."""


class Layout:
    """Where each file and each block lies in a stream. A million files take some 16 MB.

    Args:
        sizes: Of the files, in bytes.
    """

    is_open = False
    """Whether it is not known yet where the stream ends."""

    def __init__(self, sizes: Iterable[int]) -> None:
        lengths = array("Q", sizes)
        ends = accumulate(lengths)
        # Both have one item more than there are files.
        self._starts = array("Q", chain((0,), ends))
        self.files = len(lengths)
        self.size = self._starts[-1]
        """Of the stream, in bytes."""
        self.block_size = block_size = block_size_for(self.size)
        counts = (-(-length // block_size) for length in lengths)
        self._blocks = array("I", chain((0,), accumulate(counts)))
        self.blocks = self._blocks[-1]
        """Of all files."""

    def file_at(self, position: int) -> tuple[int, int]:
        """Return the number of the file that has the byte at a position, and where in it.

        The end of the stream lies in no file: it gives the number of files, and 0.
        """
        if position >= self.size:
            return self.files, 0
        index = bisect_right(self._starts, position) - 1
        return index, position - self._starts[index]

    def file_blocks(self, index: int) -> range:
        """Return the numbers of a file's blocks."""
        return range(self._blocks[index], self._blocks[index + 1])

    def block_at(self, position: int) -> int:
        """Return the block that has the byte at a position; at the end, the number of blocks."""
        index, offset = self.file_at(position)
        return self._blocks[index] + offset // self.block_size

    def block_start(self, block: int) -> int:
        """Return where a block begins; for the number of blocks, where the stream ends."""
        if block >= self.blocks:
            return self.size
        index = bisect_right(self._blocks, block) - 1
        return self._starts[index] + (block - self._blocks[index]) * self.block_size

    def block_end(self, block: int) -> int:
        """Return where a block ends."""
        index = bisect_right(self._blocks, block) - 1
        end = self._starts[index] + (block - self._blocks[index] + 1) * self.block_size
        return min(end, self._starts[index + 1])

    def is_boundary(self, position: int) -> bool:
        """Return whether a block begins at a position, or the stream ends there."""
        return not self.file_at(position)[1] % self.block_size

    def next_block(self, position: int) -> int:
        """Return the first block that begins at a position or later."""
        block = self.block_at(position)
        return block if self.is_boundary(position) else block + 1


class OpenLayout(Layout):
    """Of one stream of which nobody knows where it ends: before MAX_INTEGER, that is all.

    It has no blocks: nobody has it already, so that nothing of it is compared or kept.
    """

    is_open = True

    def __init__(self) -> None:
        super().__init__((MAX_INTEGER,))
        self.blocks = 0

    def block_start(self, block: int) -> int:
        """Return where the first block would begin."""
        return 0

    def is_boundary(self, position: int) -> bool:
        """Return that no block begins there."""
        return False

    def next_block(self, position: int) -> int:
        """Return the number of blocks."""
        return 0
