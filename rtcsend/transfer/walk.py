"""How far the sender has come on its walk through the stream, as the receiver sees it.

Pure. The sender passes the stream once, in order: data comes in frames, and what lies between
two of them, or up to where a message says, was *kept*: it is here from an earlier run. Messages
and frames travel in two streams of SCTP that race, so a message counts from a sum of data on.
What is kept must be whole blocks that this side has offered, and whose digests it has said.

Place in the flow: held by :class:`~rtcsend.transfer.receiver.ReceiverMachine`, which knows what
may come when, and the window. Source: docs/transfer-protocol.md §5.
"""

import math

from rtcsend.errors import PeerProtocolError
from rtcsend.manifest.layout import Layout

_SAID = b"\1"


class Walk:
    """The walk over one connection; counts are of bytes.

    Args:
        layout: Of the stream.
        start: Bytes that this transfer has already brought.
        blocks: End (exclusive) of the blocks that an earlier run may have left.
        size: Where an open stream ends, when that was said before; None: as the layout says.
    """

    def __init__(
        self, layout: Layout, *, start: int = 0, blocks: int = 0, size: int | None = None
    ) -> None:
        self.size = layout.size if size is None else size
        self.is_open = layout.is_open and size is None
        """Whether only the end will say where it is."""
        self.files = layout.files
        """That the stream has."""
        self._start = start
        self._layout = layout
        self.position = start
        """Everything before it has come or is kept."""
        self.received = 0
        """Payload that this connection has brought."""
        self.kept = 0
        """What an earlier run has left, and need not come."""
        self.offered_blocks = blocks
        """End of the blocks that an earlier run may have left."""
        self.said_blocks = layout.next_block(start)
        """The first block of which nothing was said yet."""
        self.compared_blocks = 0
        """A count that grows with each digest that is said, and each block that is kept."""
        self._said = bytearray(blocks)  # for each block whether its digest was said
        # After so much payload everything up to a position is kept.
        self._declared_after: float = math.inf
        self._declared_position = 0

    @property
    def offered(self) -> int:
        """Position up to which an earlier run may have left something."""
        return self._layout.block_start(self.offered_blocks)

    @property
    def said(self) -> int:
        """Position up to which it is said, or not needed any more, what that is."""
        return self._layout.block_start(min(self.said_blocks, self.offered_blocks))

    def say(self, first: int, count: int) -> None:
        """Note that the digests of some blocks are said, and that none before is there."""
        self._said[first : first + count] = _SAID * count
        self.said_blocks = first + count
        self.compared_blocks += count

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

    def end_after(self, sent: int) -> int:
        """Return where the stream ends, when it does so after ``sent`` bytes of data."""
        return self._start + sent if self.is_open else self.size

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
        layout = self._layout
        if position < self.position or not (
            layout.is_boundary(self.position) and layout.is_boundary(position)
        ):
            raise PeerProtocolError("The sender sent data for the wrong place.")
        first, end = layout.block_at(self.position), layout.block_at(position)
        if self._said.count(_SAID, first, end) != end - first:
            raise PeerProtocolError("The sender left out what is not here.")
        self.compared_blocks += end - first
        self.kept += position - self.position
        self.position = position
