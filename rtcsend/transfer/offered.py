"""What the receiver says to have of the stream, as the sender sees it. Pure.

Digests of blocks come in order, with gaps where nothing is there; a block of which nothing was
said yet may still be there, up to the end of what was offered. Memory: 36 bytes for each digest
that has come and not served yet, some 45 MB for a million small files that are all there.
"""

from array import array
from bisect import bisect_left

from rtcsend.blocks import DIGEST_BYTES, block_digest
from rtcsend.errors import PeerProtocolError
from rtcsend.manifest.layout import Layout


class Offered:
    """The blocks that an earlier run may have left.

    Args:
        layout: Of the stream.
        start: Position from which on they matter.
        end: The end (exclusive) of the blocks.
    """

    def __init__(self, layout: Layout, *, start: int = 0, end: int = 0) -> None:
        self._layout = layout
        self._end = end
        self.end_position = layout.block_start(end)
        """Up to where in the stream there may be any."""
        self._known = layout.next_block(start)  # the first of which nothing was said
        self._blocks = array("I")  # ascending
        self._digests = bytearray()
        self.said = 0
        """Digests that have come."""

    def add_untrusted(self, first: int, digests: bytes, *, position: int) -> None:
        """Take digests.

        Args:
            first: Of their blocks; what lies between it and the last one is not there.
            digests: DIGEST_BYTES bytes each.
            position: What lies before it in the stream does not matter any more.

        Raises:
            PeerProtocolError: They are of other blocks than were offered.
        """
        count = len(digests) // DIGEST_BYTES
        end = first + count
        if not (self._known <= first and self._known < end <= self._end):
            raise PeerProtocolError("The receiver sent digests of other blocks than it offered.")
        if self._blocks and self._blocks[-1] < self._layout.block_at(position):
            self._blocks, self._digests = array("I"), bytearray()  # they have served
        self._blocks.extend(range(first, end))
        self._digests += digests
        self._known = end
        self.said += count

    def is_open(self, block: int) -> bool:
        """Return whether a block may be there, and it is not yet said."""
        return self._known <= block < self._end

    def is_same(self, block: int, data: memoryview) -> bool:
        """Return whether a block, with which ``data`` begins, is there, and the same."""
        at = bisect_left(self._blocks, block)
        if at == len(self._blocks) or self._blocks[at] != block:
            return False
        content = data[: self._layout.block_end(block) - self._layout.block_start(block)]
        return block_digest(content) == self._digests[at * DIGEST_BYTES : (at + 1) * DIGEST_BYTES]
