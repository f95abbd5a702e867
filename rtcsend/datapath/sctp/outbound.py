"""The sending half of an association: messages into chunks, SACKs, losses, retransmission.

Pure. The work for a SACK is in proportion to what it changes, never to what is in flight:

- What is outstanding is a list in the order of its TSNs, so a TSN is an index.
- Gap blocks are compared with those of the SACK before; only what is new is visited.
- Losses are found by time (RACK, RFC 8985): a chunk is lost when one that was sent
  sufficiently later has arrived. Chunks of first transmission are in the order of time, and so
  are retransmitted ones, in a queue of their own. Two pointers move forward, and nothing is
  looked at twice.

A chunk is retransmitted once a loss: it counts as lost again only when something sent after its
retransmission has arrived, or on a timeout.
"""

import struct
from collections import deque
from dataclasses import dataclass
from typing import Final

from rtcsend.datapath.sctp.serial import MASK, add, distance
from rtcsend.datapath.sctp.wire import (
    DATA_HEADER,
    DATA_OVERHEAD,
    FLAG_BEGIN,
    FLAG_END,
    Sack,
)
from rtcsend.errors import PeerProtocolError

REORDER_SHARE: Final = 0.25  # of the minimum RTT that a chunk may be overtaken by; RFC 8985 §6.2
MAX_REORDER_STEPS: Final = 16  # RFC 8985 §6.2: doubles as fast as spurious losses are reported
_CLOCK_ERROR: Final = 1e-6  # seconds; a deadline is never missed by a rounding
_TRIM: Final = 4096  # entries acknowledged at the front before the list is cut
STUBBORN_LOSSES: Final = 5  # of one chunk: at 10 % loss one in 100,000; else it is its size
_NO_BLOCK: Final = (1 << 32, 1 << 32)  # beyond any block
_DATA: Final = 0
_PACKET_HEAD: Final = struct.Struct("!12sBBHLHHL")  # common header, DATA chunk header
_PADDING: Final = (b"", b"\0\0\0", b"\0\0", b"\0")  # by length modulo 4


@dataclass(slots=True)
class Flight:
    """What the chunks of one burst have in common. Source: draft-ietf-ccwg-bbr §4.1.2."""

    sent_at: float
    delivered: int
    """Bytes delivered when it was sent."""
    delivered_at: float
    """When the last of those was delivered."""
    first_sent_at: float
    """When the first chunk of the then current sample was sent."""
    app_limited: bool


class Chunk:
    """An outstanding DATA chunk."""

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


@dataclass(slots=True)
class Acked:
    """What a SACK has changed."""

    size: int = 0
    """Bytes newly acknowledged."""
    lost: int = 0
    """Bytes newly declared lost."""
    lost_sent_at: float = 0.0
    """When the newest of those was sent."""
    newest: Flight | None = None
    """The transmission of the newest chunk that was acknowledged."""
    rtt_sent_at: float | None = None
    """When the newest of those was sent that was sent once only (Karn)."""
    stubborn: int = 0
    """The size of the largest chunk lost STUBBORN_LOSSES times or more."""
    advanced: bool = False
    """The cumulative TSN moved."""
    at: float = 0.0
    """When the SACK came."""


class Outbound:
    """Everything that was handed over and is not acknowledged.

    Args:
        initial_tsn: Of the first chunk.
        now: Seconds.
    """

    def __init__(self, initial_tsn: int, *, now: float) -> None:
        # Not yet sent: a queue a stream, served in turn, so that a word on the control stream
        # does not wait for a megabyte of data.
        self._queues: dict[int, deque[tuple[int, bytes]]] = {}
        self._turn: deque[int] = deque()
        self._sequence: dict[int, int] = {}
        self._current: tuple[int, int, bytes, int] | None = None
        self._position = 0
        self.queued = 0
        """Bytes of user data handed over and not yet sent."""
        self._queued: dict[int, int] = {}
        # Outstanding: chunk i has the TSN first_tsn + i; those before head are done.
        self._chunks: list[Chunk] = []
        self._first_tsn = initial_tsn
        self._head = 0
        self._gaps: tuple[tuple[int, int], ...] = ()
        self._gaps_from = add(initial_tsn, -1)
        self.next_tsn = initial_tsn
        self.flight_size = 0
        # Loss detection.
        self._scan = 0
        self._again: deque[tuple[Chunk, Flight]] = deque()
        self._to_retransmit: deque[Chunk] = deque()
        self._newest_delivered = float("-inf")
        self._newest_delivered_at = now
        self._min_rtt = 0.0
        self.reorder_steps = 1
        self.reorder_deadline: float | None = None
        # Delivery rate.
        self.delivered = 0
        self.delivered_at = now
        self.first_sent_at = now
        self.app_limited_until = 0

    @property
    def cumulative_tsn(self) -> int:
        """The last TSN up to which everything is acknowledged."""
        return add(self._first_tsn, self._head - 1)

    @property
    def outstanding(self) -> bool:
        """Whether anything sent is not yet acknowledged."""
        return self._head < len(self._chunks)

    @property
    def has_retransmissions(self) -> bool:
        """Whether something lost waits to be sent again."""
        return bool(self._to_retransmit)

    def send(self, stream: int, ppid: int, data: bytes) -> None:
        """Queue a message of at least one byte."""
        queue = self._queues.get(stream)
        if queue is None:
            queue = self._queues[stream] = deque()
            self._queued.setdefault(stream, 0)
        if not queue:
            self._turn.append(stream)
        queue.append((ppid, data))
        self.queued += len(data)
        self._queued[stream] += len(data)

    @property
    def is_half_sent(self) -> bool:
        """Whether a message was begun and not ended: RFC 9260 §6.9 has it go on at once."""
        return self._current is not None

    def forget(self, stream: int) -> None:
        """Drop what is not yet sent of a stream that ends, whole messages only."""
        queue = self._queues.pop(stream, None)
        if queue is None:
            return
        if queue:
            self._turn.remove(stream)
        size = sum(len(data) for _, data in queue)
        self.queued -= size
        self._queued[stream] -= size
        self._sequence.pop(stream, None)

    def queued_on(self, stream: int) -> int:
        """Return the bytes of one stream that are not yet sent."""
        return self._queued.get(stream, 0)

    def retransmission(self, *, flight: Flight) -> bytes | None:
        """Return the packet of a lost chunk to send again now; None when there is none."""
        while self._to_retransmit:
            chunk = self._to_retransmit.popleft()
            if not chunk.lost:
                continue  # acknowledged in the meantime
            chunk.lost = False
            chunk.retransmitted += 1
            chunk.flight = flight
            self.flight_size += chunk.size
            self._again.append((chunk, flight))
            return chunk.packet
        return None

    def new_chunks(
        self, budget: int, *, payload: int, header: bytes, flight: Flight
    ) -> list[Chunk]:
        """Return new chunks of about ``budget`` bytes of user data, each with its packet.

        Args:
            budget: Bytes that congestion and flow control allow; the last chunk may go over.
            payload: Bytes of user data that a packet holds; a multiple of 4.
            header: The common header of each packet.
            flight: Of this burst.
        """
        made: list[Chunk] = []
        pack, append, join = _PACKET_HEAD.pack, made.append, b"".join
        tsn, used = self.next_tsn, 0
        while used < budget:
            if self._current is None and not self._next_message():
                break
            assert self._current is not None, "there is a next message"
            stream, ppid, data, sequence = self._current
            started = position = self._position
            end, flags = len(data), 0 if position else FLAG_BEGIN
            full = DATA_HEADER.size + payload
            # All fragments but the last are alike; this loop is the hottest of the sender.
            while position + payload < end and used < budget:
                head = pack(header, _DATA, flags, full, tsn, stream, sequence, ppid)
                append(Chunk(join((head, data[position : position + payload])), payload, flight))
                flags = 0
                tsn = (tsn + 1) & MASK
                position += payload
                used += payload
            if position + payload >= end and used < budget:
                size = end - position
                length = DATA_HEADER.size + size
                head = pack(header, _DATA, flags | FLAG_END, length, tsn, stream, sequence, ppid)
                packet = join((head, data[position:], _PADDING[size & 3]))
                append(Chunk(packet, size, flight))
                tsn = (tsn + 1) & MASK
                position = end
                used += size
                self._current = None
            self._queued[stream] -= position - started
            self._position = position
        self._chunks += made
        self.next_tsn = tsn
        self.queued -= used
        self.flight_size += used
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

    def receive_sack(self, sack: Sack, *, now: float) -> Acked | None:
        """Take a SACK; None when it is older than what is known.

        Raises:
            PeerProtocolError: It acknowledges what was never sent.
        """
        advance = distance(self.cumulative_tsn, sack.cumulative_tsn)
        if advance < 0:
            return None
        last = sack.gaps[-1][1] if sack.gaps else 0
        if advance + last > len(self._chunks) - self._head:
            raise PeerProtocolError("The other side acknowledged what was never sent.")
        acked = Acked(advanced=advance > 0, at=now)
        newest_before = self._newest_delivered
        chunks, head = self._chunks, self._head
        for chunk in chunks[head : head + advance]:
            if not chunk.acked:
                self._acknowledge(chunk, acked)
            chunk.packet = b""  # it will not be sent again; the entry is cut off later
        self._head = head + advance
        self._scan = max(self._scan, self._head)
        self._acknowledge_gaps(sack, acked)
        if self._newest_delivered > newest_before:
            self._newest_delivered_at = now
        if acked.size:
            self.delivered += acked.size
            self.delivered_at = now
            if acked.newest is not None:
                self.first_sent_at = acked.newest.sent_at
        if self._head >= _TRIM:
            self._trim()
        return acked

    def _acknowledge_gaps(self, sack: Sack, acked: Acked) -> None:
        """Acknowledge what is in this SACK's blocks and was not in the last one's."""
        base = self._head - 1
        offset = distance(sack.cumulative_tsn, self._gaps_from)
        known = iter([(first + offset, last + offset) for first, last in self._gaps])
        known_first, known_last = next(known, _NO_BLOCK)
        for first, last in sack.gaps:
            at = first
            while at <= last:
                while known_last < at:
                    known_first, known_last = next(known, _NO_BLOCK)
                if known_first <= at:
                    at = known_last + 1
                    continue
                stop = min(last, known_first - 1)
                for index in range(base + at, base + stop + 1):
                    chunk = self._chunks[index]
                    if not chunk.acked:
                        self._acknowledge(chunk, acked)
                at = stop + 1
        self._gaps, self._gaps_from = sack.gaps, sack.cumulative_tsn

    def _acknowledge(self, chunk: Chunk, acked: Acked) -> None:
        chunk.acked = True
        size = chunk.size
        acked.size += size
        if chunk.lost:
            chunk.lost = False
        else:
            self.flight_size -= size
        flight = chunk.flight
        if flight is acked.newest:
            return  # of the same burst as the one before
        sent_at = flight.sent_at
        if acked.newest is None or sent_at >= acked.newest.sent_at:
            acked.newest = flight
        if sent_at > self._newest_delivered:
            if chunk.retransmitted and acked.at - sent_at < self._min_rtt:
                return  # RFC 8985 §6.2, step 2: it was the transmission before that arrived
            self._newest_delivered = sent_at
            # Only what is newer than all before is a sample: a chunk whose block did not fit
            # into the last SACK had arrived long ago.
            if not chunk.retransmitted:
                acked.rtt_sent_at = sent_at

    def detect_losses(self, acked: Acked, *, min_rtt: float, srtt: float, now: float) -> None:
        """Declare lost what was overtaken by enough. Source: RFC 8985 §6.2, step 5.

        To be called after a SACK that acknowledged something, and at ``reorder_deadline``.
        What left at the same time as the newest that arrived was not overtaken. Without an RTT
        (``srtt`` is 0) nothing is known, and the retransmission timer decides.
        """
        if not srtt:
            return
        self._min_rtt = min_rtt
        window = min(self.reorder_steps * REORDER_SHARE * min_rtt, srtt)
        newest = self._newest_delivered
        limit = newest - window + now - self._newest_delivered_at
        self.reorder_deadline = None
        chunks, scan, end = self._chunks, self._scan, len(self._chunks)
        while scan < end:
            chunk = chunks[scan]
            if not chunk.acked and not chunk.retransmitted and not chunk.lost:
                if chunk.flight.sent_at > limit or chunk.flight.sent_at >= newest:
                    self._note_reordering(chunk.flight.sent_at, window)
                    break
                self._lose(chunk, acked)
            scan += 1
        self._scan = scan
        again = self._again
        while again:
            chunk, flight = again[0]
            if not chunk.acked and chunk.flight is flight and not chunk.lost:
                if flight.sent_at > limit or flight.sent_at >= newest:
                    self._note_reordering(flight.sent_at, window)
                    break
                self._lose(chunk, acked)
            again.popleft()

    def _note_reordering(self, sent_at: float, window: float) -> None:
        """Look again when the reordering window of a chunk that was overtaken has passed."""
        if sent_at < self._newest_delivered:
            left = sent_at + window - self._newest_delivered
            deadline = self._newest_delivered_at + left + _CLOCK_ERROR
            if self.reorder_deadline is None or deadline < self.reorder_deadline:
                self.reorder_deadline = deadline

    def _lose(self, chunk: Chunk, acked: Acked) -> None:
        chunk.lost = True
        self.flight_size -= chunk.size
        self._to_retransmit.append(chunk)
        acked.lost += chunk.size
        if chunk.retransmitted >= STUBBORN_LOSSES - 1:
            acked.stubborn = max(acked.stubborn, chunk.size)
        acked.lost_sent_at = max(acked.lost_sent_at, chunk.flight.sent_at)

    def lose_everything(self, *, even_acknowledged: bool) -> None:
        """A retransmission timeout: nothing in flight is believed to arrive. RFC 9260 §6.3.3.

        Args:
            even_acknowledged: Not even what gap blocks have acknowledged: the other side may
                have dropped it for want of room (RFC 9260 §6.2).
        """
        self._to_retransmit.clear()
        self._again.clear()
        if even_acknowledged:
            self._gaps = ()
        for index in range(self._head, len(self._chunks)):
            chunk = self._chunks[index]
            if even_acknowledged:
                chunk.acked = False
            if not chunk.acked:
                chunk.lost = True
                self._to_retransmit.append(chunk)
        self.flight_size = 0
        self._scan = len(self._chunks)
        self.reorder_deadline = None

    def probe_chunk(self, *, flight: Flight) -> bytes | None:
        """Return the packet of the last chunk in flight, for a probe. Source: RFC 8985 §7.3."""
        for index in range(len(self._chunks) - 1, self._head - 1, -1):
            chunk = self._chunks[index]
            if not chunk.acked and not chunk.lost:
                chunk.retransmitted += 1
                chunk.flight = flight
                self._again.append((chunk, flight))
                return chunk.packet
        return None

    def _trim(self) -> None:
        del self._chunks[: self._head]
        self._first_tsn = add(self._first_tsn, self._head)
        self._scan -= self._head
        self._head = 0


def payload_for(packet_size: int) -> int:
    """Return how many bytes of user data a packet of that size holds; a multiple of 4."""
    return (packet_size - DATA_OVERHEAD) & ~3
