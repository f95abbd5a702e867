"""Messages that wait to be sent, and how they are cut into DATA chunks.

Pure. There is a queue a stream, and they take turns, so that a word on the control stream does
not wait for a megabyte of data; the fragments of one message stay together (RFC 9260 §6.9).
Each chunk has a packet of its own, made once: retransmissions are the same bytes. Neighbours of
one size are made together, and stay together as a :class:`Run` until one of them is lost.
"""

import struct
from collections import deque
from functools import lru_cache
from typing import Final

from rtcsend.datapath.sctp.delivery import Flight
from rtcsend.datapath.sctp.serial import MASK
from rtcsend.datapath.sctp.wire import (
    DATA_HEADER,
    DATA_OVERHEAD,
    FLAG_BEGIN,
    FLAG_END,
    FLAG_IMMEDIATE,
    FLAGS_OFFSET,
    HEADER_SIZE,
    U32,
    Packets,
)

_DATA: Final = 0
_PACKET_HEAD: Final = struct.Struct("!12sBBHLHHL")  # common header, DATA chunk header
_TSN_OFFSET: Final = HEADER_SIZE + 4  # bytes, in a packet
_PADDING: Final = (b"", b"\0\0\0", b"\0\0", b"\0")  # by length modulo 4


class Chunk:
    """A DATA chunk that was sent."""

    __slots__ = ("acked", "flight", "lost", "packet", "retransmitted", "size")

    count = 1

    def __init__(self, packet: bytes, size: int, flight: Flight) -> None:
        self.packet = packet
        """The packet that it goes in, the same each time."""
        self.size = size
        """Bytes of user data."""
        self.flight = flight
        """Its last transmission."""
        self.acked = False
        self.lost = False
        """Declared lost, and not yet sent again."""
        self.retransmitted = 0

    def ask_for_sack(self) -> None:
        """Ask the other side not to hold its SACK back, before it is sent. Source: RFC 7053 §4."""
        self.packet = _with_flag(self.packet, FLAGS_OFFSET)

    def packets(self) -> Packets:
        """Return its packet as one of many."""
        return self.packet, len(self.packet)


class Run:
    """DATA chunks with neighbouring TSNs and packets of one size, in flight for the first time.

    They are alike in everything that is asked of a :class:`Chunk`. One that is acknowledged by
    itself, lost or sent again becomes a chunk of its own, and so do the others then.
    """

    __slots__ = ("count", "data", "first_order", "flight", "size", "stride")

    acked = lost = False
    retransmitted = 0

    def __init__(self, data: bytes, count: int, size: int, flight: Flight) -> None:
        self.data = data
        """Their packets, joined."""
        self.count = count
        self.stride = len(data) // count
        """Bytes of a packet."""
        self.size = size
        """Bytes of user data of each."""
        self.flight = flight
        self.first_order = -1
        """Set by whoever keeps it."""

    def chunks(self) -> list[Chunk]:
        """Return them one by one."""
        data, stride = self.data, self.stride
        return [
            Chunk(data[start : start + stride], self.size, self.flight)
            for start in range(0, len(data), stride)
        ]

    def ask_for_sack(self) -> None:
        """Ask for a SACK by the last of them, as :meth:`Chunk.ask_for_sack`."""
        self.data = _with_flag(self.data, len(self.data) - self.stride + FLAGS_OFFSET)

    def packets(self) -> Packets:
        """Return all packets."""
        return self.data, self.stride


def _with_flag(packets: bytes, offset: int) -> bytes:
    changed = bytearray(packets)
    changed[offset] |= FLAG_IMMEDIATE
    return bytes(changed)


class SendQueue:
    """What was handed over and is not yet sent.

    Args:
        initial_tsn: Of the first chunk.
    """

    def __init__(self, initial_tsn: int) -> None:
        self.next_tsn = initial_tsn
        self.size = 0
        """Bytes of user data that wait."""
        self._queues: dict[int, deque[tuple[int, bytes]]] = {}
        self._sizes: dict[int, int] = {}
        self._turn: deque[int] = deque()
        self._sequence: dict[int, int] = {}
        # The message that is being cut, and how far.
        self._current: tuple[int, int, bytes, int] | None = None
        self._position = 0

    @property
    def is_half_sent(self) -> bool:
        """Whether a message was begun and not ended: RFC 9260 §6.9 has it go on at once."""
        return self._current is not None

    def size_of(self, stream: int) -> int:
        """Return the bytes of one stream that wait."""
        return self._sizes.get(stream, 0)

    def add(self, stream: int, ppid: int, data: bytes) -> None:
        """Queue a message of at least one byte."""
        queue = self._queues.get(stream)
        if queue is None:
            queue = self._queues[stream] = deque()
            self._sizes.setdefault(stream, 0)
        if not queue:
            self._turn.append(stream)
        queue.append((ppid, data))
        self.size += len(data)
        self._sizes[stream] += len(data)

    def forget(self, stream: int) -> None:
        """Drop what is not yet sent of a stream that ends, whole messages only."""
        queue = self._queues.pop(stream, None)
        if queue is None:
            return
        if queue:
            self._turn.remove(stream)
        size = sum(len(data) for _, data in queue)
        self.size -= size
        self._sizes[stream] -= size
        self._sequence.pop(stream, None)

    def cut(
        self, budget: int, *, payload: int, header: bytes, flight: Flight, runs: bool = True
    ) -> list[Chunk | Run]:
        """Return new chunks of about ``budget`` bytes of user data, with their packets.

        Args:
            budget: Bytes that congestion and flow control allow; the last chunk may go over.
            payload: Bytes of user data that a packet holds; a multiple of 4.
            header: The common header of each packet.
            flight: Of this burst.
            runs: Neighbours may stand together; not where each packet has a checksum.
        """
        made: list[Chunk | Run] = []
        used = 0
        while used < budget:
            if self._current is None and not self._next_message():
                break
            assert self._current is not None, "there is a next message"
            message, position = self._current[2], self._position
            full = min((len(message) - position) // payload, -(-(budget - used) // payload))
            if full > 1 and runs:
                made.append(Run(self._full_packets(full, payload, header), full, payload, flight))
                size = full * payload
            else:
                size = min(payload, len(message) - position)
                made.append(Chunk(self._packet(size, header), size, flight))
            used += size
            self._move_on(size, count=full if full > 1 and runs else 1)
        self.size -= used
        return made

    def _packet(self, size: int, header: bytes) -> bytes:
        """Return the packet of the next ``size`` bytes."""
        assert self._current is not None, "a message is being cut"
        stream, ppid, message, sequence = self._current
        start, length = self._position, DATA_HEADER.size + size
        flags = self._flags(start, start + size)
        head = _PACKET_HEAD.pack(
            header, _DATA, flags, length, self.next_tsn, stream, sequence, ppid
        )
        return b"".join((head, memoryview(message)[start : start + size], _PADDING[size & 3]))

    def _full_packets(self, count: int, payload: int, header: bytes) -> bytes:
        """Return the next ``count`` packets, joined: the hottest of the sender.

        All are alike but for the TSN and, at either end, the flags. So the heads are made
        by repetition and filled in by columns, which costs a third of making each.
        """
        assert self._current is not None, "a message is being cut"
        stream, ppid, message, sequence = self._current
        start, stop = self._position, self._position + count * payload
        length, width = DATA_HEADER.size + payload, _PACKET_HEAD.size
        heads = bytearray(
            count * _PACKET_HEAD.pack(header, _DATA, 0, length, 0, stream, sequence, ppid)
        )
        first = self.next_tsn
        tsns = range(first, first + count)
        column = _numbers(count).pack(*(tsns if tsns[-1] <= MASK else (n & MASK for n in tsns)))
        for index in range(U32.size):
            heads[_TSN_OFFSET + index :: width] = column[index :: U32.size]
        heads[FLAGS_OFFSET] |= self._flags(start, 0)
        heads[-width + FLAGS_OFFSET] |= self._flags(1, stop)
        data = memoryview(message)
        pieces: list[bytes | memoryview] = [b""] * (2 * count)
        pieces[::2] = _heads(count).unpack(heads)
        pieces[1::2] = [data[at : at + payload] for at in range(start, stop, payload)]
        return b"".join(pieces)

    def _flags(self, start: int, stop: int) -> int:
        assert self._current is not None, "a message is being cut"
        begin = 0 if start else FLAG_BEGIN
        return begin | FLAG_END if stop == len(self._current[2]) else begin

    def _move_on(self, size: int, *, count: int) -> None:
        assert self._current is not None, "a message is being cut"
        stream, _, message, _ = self._current
        self.next_tsn = (self.next_tsn + count) & MASK
        self._sizes[stream] -= size
        self._position += size
        if self._position == len(message):
            self._current = None

    def _next_message(self) -> bool:
        if not self._turn:
            return False
        stream = self._turn.popleft()
        queue = self._queues[stream]
        ppid, data = queue.popleft()
        if queue:
            self._turn.append(stream)
        sequence = self._sequence.get(stream, 0)
        self._sequence[stream] = (sequence + 1) & 0xFFFF
        self._current = (stream, ppid, data, sequence)
        self._position = 0
        return True


@lru_cache(maxsize=512)  # as many counts as a burst can have, and more
def _numbers(count: int) -> struct.Struct:
    return struct.Struct(f"!{count}L")


@lru_cache(maxsize=512)
def _heads(count: int) -> struct.Struct:
    return struct.Struct(f"{_PACKET_HEAD.size}s" * count)


def payload_for(packet_size: int) -> int:
    """Return how many bytes of user data a packet of that size holds; a multiple of 4."""
    return (packet_size - DATA_OVERHEAD) & ~3
