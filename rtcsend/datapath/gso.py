"""What batched UDP counts, sorts and queues: the pure part of :mod:`rtcsend.datapath.udp`.

A *batch* is one buffer that holds datagrams of equal size one after another; only the last
one may be shorter. Linux sends a batch with one system call (generic segmentation offload,
``UDP_SEGMENT``) and hands one out with one (generic receive offload, ``UDP_GRO``), see
udp(7) and segmentation-offloads in the documentation of Linux. Nothing here touches a
socket.

Place in the flow: DTLS records of equal size become a batch, :func:`batch_size` says how
much of it one call may carry, :class:`SendQueue` holds what the socket did not take; on the
other side :func:`coalesced_size` and :func:`dtls_runs` take a received batch apart.
"""

import errno
import struct
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby
from typing import Any, Final

Address = tuple[Any, ...]
"""Whatever the socket module takes and gives: (host, port), for IPv6 with two more."""

SOL_UDP: Final = 17  # level of both options and of their control messages; linux/udp.h
UDP_SEGMENT: Final = 103  # uint16: the size of the segments to send; linux/udp.h
UDP_GRO: Final = 104  # int: the size of the segments received; linux/udp.h

MAX_SEGMENT_SIZE: Final = 65_535  # bytes; what the uint16 of UDP_SEGMENT holds
MAX_SEGMENTS: Final = 64  # in one call; UDP_MAX_SEGMENTS of older kernels, newer ones take 128
MAX_BATCH: Final = 65_000  # bytes; with IP, UDP, link and tunnel headers under the 65,536 above
# which the kernel segments early (65,487 bytes over IPv6 on loopback came out one by one)

# What says that segmentation is not to be had: EIO, a device without checksum offload or a
# route through IPsec; the others, a kernel or a driver that does not know the option.
REFUSALS: Final = frozenset(
    {errno.EIO, errno.EINVAL, errno.ENOPROTOOPT, errno.ENOTSUP, errno.EOPNOTSUPP}
)

DTLS_FIRST_BYTES: Final = bytes(range(20, 64))  # RFC 7983 §7: 20 to 63 is DTLS

HIGH_WATER: Final = 256 << 10  # bytes queued above which the user shall pause; four batches
LOW_WATER: Final = 64 << 10  # bytes queued at which it goes on; one batch, so none runs dry
MAX_QUEUED_BATCHES: Final = 1 << 20  # bytes; what a user who looks only now and then may add
MAX_QUEUED_DATAGRAMS: Final = 512 << 10  # bytes; over HIGH_WATER, so that pausing comes first
ENTRY_COST: Final = 128  # bytes; the objects around a queued buffer, so that tiny ones count

_SEGMENT_SIZE: Final = struct.Struct("=H")
_GRO_SIZE: Final = struct.Struct("=i")


def batch_size(segment_size: int) -> int:
    """Say how many bytes of a batch one call may carry: whole segments, at least one."""
    return segment_size * max(1, min(MAX_SEGMENTS, MAX_BATCH // segment_size))


def segment_control(segment_size: int) -> list[tuple[int, int, bytes]]:
    """Make the control message with which one call sends a batch.

    Args:
        segment_size: Bytes, 1 to :data:`MAX_SEGMENT_SIZE`.
    """
    return [(SOL_UDP, UDP_SEGMENT, _SEGMENT_SIZE.pack(segment_size))]


def coalesced_size(control: Iterable[tuple[int, int, bytes]], *, received: int) -> int:
    """Read the size of the segments in a received buffer.

    Args:
        control: The control messages that came with it.
        received: Bytes in the buffer: the answer where it holds a single datagram.

    Returns:
        Bytes, at least 1.
    """
    for level, kind, data in control:
        if level == SOL_UDP and kind == UDP_GRO and len(data) >= _GRO_SIZE.size:
            (size,) = _GRO_SIZE.unpack_from(data)
            if size > 0:
                return min(int(size), max(received, 1))
    return max(received, 1)


class ReadRun:
    """Datagrams of one size from one address that were read one after another into one buffer.

    Where the kernel has nothing to coalesce (a relay sends a datagram at a time, and so do some
    devices), this does it: what is above takes many with one call all the same. Pure.

    Attributes:
        start: Where in the buffer it begins.
        end: Where it ends, and where the next datagram is read to.
        segment_size: Bytes of each but the last, which may be shorter.
        address: Of the sender; None: there is no run.
    """

    __slots__ = ("address", "end", "segment_size", "start")

    def __init__(self) -> None:
        """Start without a run, at the beginning of the buffer."""
        self.reset()

    def reset(self) -> None:
        """Go back to the beginning of the buffer."""
        self.start = self.end = self.segment_size = 0
        self.address: Address | None = None

    def takes(self, segment_size: int, address: Address) -> bool:
        """Return whether datagrams of this size from this address may follow."""
        return (
            segment_size == self.segment_size
            and address == self.address
            and not (self.end - self.start) % segment_size
        )

    def begin(self, segment_size: int, address: Address) -> None:
        """Begin another one, where the one before has ended."""
        self.start = self.end
        self.segment_size, self.address = segment_size, address


def dtls_runs(first_bytes: bytes | bytearray) -> Iterator[tuple[bool, int, int]]:
    """Split the segments of a batch into runs of DTLS and of everything else.

    Args:
        first_bytes: The first byte of each segment.

    Yields:
        Whether the run is DTLS, its first segment, and the one after its last.
    """
    others = first_bytes.translate(None, DTLS_FIRST_BYTES)
    if len(others) in {0, len(first_bytes)}:  # the usual case, told by one pass in C
        if first_bytes:
            yield not others, 0, len(first_bytes)
        return
    start = 0
    for is_dtls, run in groupby(first_bytes, DTLS_FIRST_BYTES.__contains__):
        stop = start + sum(1 for _ in run)
        yield is_dtls, start, stop
        start = stop


@dataclass(frozen=True, slots=True, kw_only=True)
class Unsent:
    """A buffer that the socket did not take; nobody else may write to it."""

    data: memoryview
    segment_size: int
    address: Address | None
    """None: the socket is connected."""
    is_batch: bool
    """False: a datagram of its own, which goes before all batches."""

    @property
    def cost(self) -> int:
        """Bytes of memory that it stands for."""
        return len(self.data) + ENTRY_COST


class SendQueue:
    """What the socket did not take, bounded in bytes, in two lanes.

    Datagrams of their own (STUN, the DTLS handshake) go before batches, so that a consent
    check (RFC 7675) never waits behind bulk data. Each lane has a bound of its own: bulk
    data cannot crowd out the others.
    """

    def __init__(self) -> None:
        self._lanes: dict[bool, deque[Unsent]] = {False: deque(), True: deque()}
        self._sizes = {False: 0, True: 0}

    def __bool__(self) -> bool:
        return bool(self._lanes[False] or self._lanes[True])

    @property
    def size(self) -> int:
        """Bytes queued, the objects around them counted in."""
        return self._sizes[False] + self._sizes[True]

    def holds(self, *, batches: bool) -> bool:
        """Say whether something waits in one lane."""
        return bool(self._lanes[batches])

    def fits(self, size: int, *, batch: bool) -> bool:
        """Say whether one more buffer of ``size`` bytes stays within the bound of its lane."""
        bound = MAX_QUEUED_BATCHES if batch else MAX_QUEUED_DATAGRAMS
        return self._sizes[batch] + size + ENTRY_COST <= bound

    def append(self, unsent: Unsent) -> None:
        """Add to the end of its lane. Ask :meth:`fits` first."""
        self._lanes[unsent.is_batch].append(unsent)
        self._sizes[unsent.is_batch] += unsent.cost

    def pop(self) -> Unsent:
        """Take what goes next.

        Raises:
            IndexError: Nothing is queued.
        """
        unsent = (self._lanes[False] or self._lanes[True]).popleft()
        self._sizes[unsent.is_batch] -= unsent.cost
        return unsent

    def put_back(self, unsent: Unsent) -> None:
        """Return what :meth:`pop` gave, or the rest of it, to the front of its lane."""
        self._lanes[unsent.is_batch].appendleft(unsent)
        self._sizes[unsent.is_batch] += unsent.cost

    def clear(self) -> None:
        """Forget everything."""
        for lane in self._lanes.values():
            lane.clear()
        self._sizes = {False: 0, True: 0}
