"""What leaves together: packets in groups that one call of segmented UDP can carry.

Pure. Place in the flow: between the association and :mod:`~rtcsend.datapath.records`.
"""

from collections.abc import Iterator

from rtcsend.datapath.gso import batch_size
from rtcsend.datapath.records import Part
from rtcsend.datapath.sctp.wire import Packets


def batches(packets: list[Packets], *, around: int) -> Iterator[tuple[list[Part], int]]:
    """Group packets, in order, into what one call of segmented UDP can carry when sealed.

    Args:
        packets: Neighbours of one size go together.
        around: Bytes that sealing adds to each.

    Yields:
        Parts, and the bytes of each packet in them.
    """
    parts: list[Part] = []
    size = room = 0
    for data, each in packets:
        if each != size:
            if parts:
                yield parts, size
            parts, size, room = [], each, _most(each + around)
        start = 0
        while start < len(data):
            stop = min(start + room * size, len(data))
            parts.append((data, start, stop))
            room -= (stop - start) // size
            start = stop
            if not room:
                yield parts, size
                parts, room = [], _most(size + around)
    if parts:
        yield parts, size


def _most(size: int) -> int:
    """Return how many datagrams of a size one call can carry."""
    return max(1, batch_size(size) // size)
