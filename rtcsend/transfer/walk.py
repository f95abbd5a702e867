"""How far the sender has come on its walk through the file, as the receiver sees it.

Pure. The sender passes the file once, in order: data comes in frames, and what lies between two
of them, or up to where a message says, was *kept*: it is here from an earlier run. Messages and
frames travel in two streams that race, so a message counts from a sum of data on. What is kept
must be whole blocks that this side has offered, and whose digests it has said.

Place in the flow: held by :class:`~rtcsend.transfer.receiver.ReceiverMachine`, which knows what
may come when, and the window. Source: docs/transfer-protocol.md §5.
"""

import math

from rtcsend.blocks import block_count, block_size_for
from rtcsend.errors import PeerProtocolError


class Walk:
    """The walk over one connection; counts are of bytes.

    Args:
        size: Of the file.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self._block_size = block_size_for(size)
        self.position = 0
        """Everything before it has come or is kept."""
        self.received = 0
        """Payload that this connection has brought."""
        self.kept = 0
        """What an earlier run has left, and need not come."""
        self.offered_blocks = 0
        """Blocks, from the first on, that an earlier run has left."""
        self.said_blocks = 0
        """The first block whose digest was not yet said."""
        # After so much payload everything up to a position is kept.
        self._declared_after: float = math.inf
        self._declared_position = 0

    def begin(self, *, start: int, blocks: int) -> None:
        """Begin where this side says.

        Args:
            start: Bytes that this transfer has already brought.
            blocks: Blocks, from the first on, that an earlier run has left.
        """
        self.position = start
        self.said_blocks = block_count(start, self._block_size)
        self.offered_blocks = blocks

    @property
    def offered(self) -> int:
        """Bytes, from the first on, that an earlier run has left."""
        return min(self.offered_blocks * self._block_size, self.size)

    @property
    def said(self) -> int:
        """Bytes of these, from the first on, whose digests are said or not needed any more."""
        return min(self.said_blocks * self._block_size, self.size)

    @property
    def compared_blocks(self) -> int:
        """A count that grows with each digest that is said, and each block that is kept."""
        return self.kept // self._block_size + min(self.said_blocks, self.offered_blocks)

    def take(self, offset: int, size: int) -> None:
        """Go on by a frame; what its offset leaves out is kept.

        Raises:
            PeerProtocolError: It is out of order, or beyond what was proposed or said.
        """
        received = self.received + size
        if offset + size > self.size:
            raise PeerProtocolError("The sender sent more data than it had proposed.")
        if received > self._declared_after:
            raise PeerProtocolError("The sender sent more data than it had said.")
        if offset != self.position:
            self._keep_to(offset)
        self.received = received
        self.position = offset + size

    def declare(self, position: int, *, sent: int) -> None:
        """The sender says that after ``sent`` bytes of data all up to ``position`` is kept.

        The data may be behind, and then this waits for it; or ahead, and then its offsets have
        said the same.

        Raises:
            PeerProtocolError: They have not.
        """
        if sent >= self.received:
            self._declared_after, self._declared_position = sent, position
        elif position > self.position:
            raise PeerProtocolError("The sender keeps what it has sent.")

    @property
    def is_declaration_due(self) -> bool:
        """Whether all data has come from which on a declaration counts."""
        return self.received == self._declared_after

    def settle(self) -> bool:
        """Pass over what was declared, now that it is due; return whether that is anything.

        Raises:
            PeerProtocolError: It may not be kept.
        """
        self._declared_after = math.inf
        if self._declared_position == self.position:
            return False
        self._keep_to(self._declared_position)
        return True

    def _keep_to(self, position: int) -> None:
        """Pass over blocks that this side has offered.

        Raises:
            PeerProtocolError: They are not whole, or were not offered, or not yet said.
        """
        is_whole = not position % self._block_size or position == self.size
        if position < self.position or self.position % self._block_size or not is_whole:
            raise PeerProtocolError("The sender sent data for the wrong place.")
        if block_count(position, self._block_size) > min(self.said_blocks, self.offered_blocks):
            raise PeerProtocolError("The sender left out what is not here.")
        self.kept += position - self.position
        self.position = position
