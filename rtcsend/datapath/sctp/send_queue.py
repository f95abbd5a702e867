"""Messages that wait to be sent, and how they are cut into DATA chunks.

Pure. There is a queue a stream, and they take turns, so that a word on the control stream does
not wait for a megabyte of data; the fragments of one message stay together (RFC 9260 §6.9).
Each chunk has a packet of its own, made once: retransmissions are the same bytes.
"""

import struct
from collections import deque
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
)

_DATA: Final = 0
_PACKET_HEAD: Final = struct.Struct("!12sBBHLHHL")  # common header, DATA chunk header
_PADDING: Final = (b"", b"\0\0\0", b"\0\0", b"\0")  # by length modulo 4


class Chunk:
    """A DATA chunk that was sent."""

    __slots__ = ("acked", "flight", "lost", "packet", "retransmitted", "size")

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
        packet = bytearray(self.packet)
        packet[FLAGS_OFFSET] |= FLAG_IMMEDIATE
        self.packet = bytes(packet)


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

    def cut(self, budget: int, *, payload: int, header: bytes, flight: Flight) -> list[Chunk]:
        """Return new chunks of about ``budget`` bytes of user data, each with its packet.

        Args:
            budget: Bytes that congestion and flow control allow; the last chunk may go over.
            payload: Bytes of user data that a packet holds; a multiple of 4.
            header: The common header of each packet.
            flight: Of this burst.
        """
        made: list[Chunk] = []
        pack, append = _PACKET_HEAD.pack, made.append
        full = DATA_HEADER.size + payload
        tsn, used = self.next_tsn, 0
        while used < budget:
            if self._current is None and not self._next_message():
                break
            assert self._current is not None, "there is a next message"
            stream, ppid, message, sequence = self._current
            data = memoryview(message)
            started = position = self._position
            end, flags = len(data), 0 if position else FLAG_BEGIN
            # All fragments but the last are alike; this loop is the hottest of the sender.
            while position + payload < end and used < budget:
                head = pack(header, _DATA, flags, full, tsn, stream, sequence, ppid)
                append(Chunk(head + data[position : position + payload], payload, flight))
                flags = 0
                tsn = (tsn + 1) & MASK
                position += payload
                used += payload
            if position + payload >= end and used < budget:
                size = end - position
                length = DATA_HEADER.size + size
                head = pack(header, _DATA, flags | FLAG_END, length, tsn, stream, sequence, ppid)
                packet = b"".join((head, data[position:], _PADDING[size & 3]))
                append(Chunk(packet, size, flight))
                tsn = (tsn + 1) & MASK
                position = end
                used += size
                self._current = None
            self._sizes[stream] -= position - started
            self._position = position
        self.next_tsn = tsn
        self.size -= used
        return made

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


def payload_for(packet_size: int) -> int:
    """Return how many bytes of user data a packet of that size holds; a multiple of 4."""
    return (packet_size - DATA_OVERHEAD) & ~3
