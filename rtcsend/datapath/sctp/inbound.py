"""The receiving half of an association: TSNs, reassembly, SACKs, a true receive window.

Pure. Chunks are handed on in the order of their TSNs: the fragments of a message have
consecutive TSNs, and within a stream later messages have later TSNs, so this order is the
order of every stream. A lost chunk holds up the other stream as well, for one retransmission;
what that buys is that an arriving chunk costs next to nothing.

What is kept is bounded in memory, not only in bytes of user data: a small chunk or message
counts as MIN_CHARGE bytes. RECEIVE_BUFFER of them may wait for the application, as many again
for a lost chunk; with Python's own overhead that is four times RECEIVE_BUFFER at the very
most, and little more than the data where messages have kilobytes.

The buffer is for two round trips: what follows a lost chunk waits for one more of them until it
has been sent again, and with random loss something always is. So 32 MiB are 56 MB/s at 300 ms with
loss, and 112 without.

Sources: RFC 9260 §6.2 (acknowledgement), §6.3.3, §6.9 (reassembly), RFC 3758 §3.6, RFC 7053 §5.
"""

import struct
from collections.abc import MutableSequence
from functools import lru_cache
from typing import Any, Final, NamedTuple

from rtcsend.datapath.sctp.ranges import Ranges
from rtcsend.datapath.sctp.serial import MASK, add, distance
from rtcsend.datapath.sctp.wire import (
    DATA_HEADER,
    DATA_OVERHEAD,
    FLAG_BEGIN,
    FLAG_END,
    FLAG_IMMEDIATE,
    HEADER_SIZE,
    MAX_GAP_BLOCKS,
    WORTH_A_VIEW,
    ChunkType,
    Data,
    pack_sack,
)
from rtcsend.errors import PeerProtocolError

RECEIVE_BUFFER: Final = 32 << 20  # bytes that wait for the application or for a lost chunk
MIN_CHARGE: Final = 512  # bytes that a chunk or message counts as: Python's objects around it
MAX_OUT_OF_ORDER: Final = 65_535  # TSNs ahead; the reach of a gap block (RFC 9260 §3.3.4)
MAX_REPORTED_DUPLICATES: Final = 16  # per SACK; one would do to show a spurious retransmission
_LENGTH_AND_TSN: Final = struct.Struct("!HL")  # of a DATA chunk
_LENGTH_OFFSET: Final = HEADER_SIZE + 2  # bytes, in a packet
MAX_FRAGMENTS: Final = 1024  # objects of one message; beyond, they are joined on the way


@lru_cache(maxsize=256)
def _run_layout(size: int, count: int) -> struct.Struct:
    """Return how to read packets of one DATA chunk each.

    Of each: header, type and flags, length, TSN, user data; what is left out is the stream, its
    sequence number and the PPID.
    """
    return struct.Struct("!" + f"{HEADER_SIZE}sHHL8x{size - DATA_OVERHEAD}s" * count)


class Message(NamedTuple):
    """A user message, whole."""

    stream: int
    ppid: int
    data: bytes


class Inbound:
    """What has come, and what to say about it.

    Args:
        initial_tsn: The first TSN that the other side will send.
        max_message_size: Bytes of a message at most.
    """

    def __init__(self, initial_tsn: int, *, max_message_size: int) -> None:
        self._max_message_size = max_message_size
        self.cumulative_tsn = add(initial_tsn, -1)
        self.sack_due = False
        self.sack_urgent = False
        """The sender should know at once, even if one packet is no batch."""
        self.packets_unacknowledged = 0
        self.untaken = 0
        """Bytes of messages that the application has not taken."""
        self._surcharge = 0  # what those count as beyond their bytes
        # Out of order: TSN → chunk, and the same as ranges of positions. These count on from a
        # base, which is the cumulative TSN while anything waits: never half the numbers away.
        self._waiting: dict[int, Data] = {}
        self._waiting_size = 0
        self._ranges = Ranges()
        self._base = self.cumulative_tsn
        self._base_position = 0
        self._duplicates: list[int] = []
        # The message that is being put together.
        self._fragments: list[bytes | memoryview] = []
        self._fragments_size = 0

    @property
    def has_gaps(self) -> bool:
        """Whether something is missing: the sender should know at once."""
        return bool(self._waiting)

    @property
    def a_rwnd(self) -> int:
        """Bytes that there is room for: what nobody has taken yet is not free."""
        used = self.untaken + self._surcharge + self._waiting_size + self._fragments_size
        return max(0, RECEIVE_BUFFER - used)

    def taken(self, size: int) -> None:
        """The application has taken a message of ``size`` bytes.

        Several in one call free their bytes at once, and what small ones count as beyond that
        when everything is taken.
        """
        self.untaken -= size
        if size < MIN_CHARGE:
            self._surcharge -= MIN_CHARGE - size
        if self.untaken <= 0 or self._surcharge < 0:
            self._surcharge = 0

    def receive(self, data: Data, messages: MutableSequence[Any]) -> None:
        """Take a DATA chunk; append the messages that are whole now.

        Raises:
            PeerProtocolError: Its flags contradict what came before, or a message is too long:
                the association cannot go on.
        """
        self.sack_due = True
        tsn, flags, _, _, payload = data
        if tsn != (self.cumulative_tsn + 1) & MASK:
            self._receive_early(data)
            return
        size = self._fragments_size + len(payload)
        # What waits out of order is not counted: to drop this one for it would be for ever.
        if self.untaken + self._surcharge + size > RECEIVE_BUFFER:
            return  # RFC 9260 §6.2: without room it is dropped, and comes again
        self.cumulative_tsn = tsn
        fragments = self._fragments
        if not flags and fragments and size <= self._max_message_size:
            # Most chunks are from the middle of a message.
            fragments.append(payload)
            self._fragments_size = size
            if len(fragments) >= MAX_FRAGMENTS:
                self._join_fragments()
        else:
            if flags & FLAG_IMMEDIATE:
                self.sack_urgent = True
            self._assemble(data, messages)
        if self._waiting:
            self.sack_urgent = True
            self._take_waiting(messages)

    def maybe_middle(self, packet: bytes) -> bool:
        """Take a packet that is the next piece of the middle of a message; the hottest of all.

        Args:
            packet: With a valid common header, then a DATA chunk without a flag.

        Returns:
            False, and nothing is taken, when it is not just that, or when there is no room.
        """
        length = len(packet) - DATA_OVERHEAD
        fragments = self._fragments
        size = self._fragments_size + length
        if (
            length <= 0
            or not 0 < len(fragments) < MAX_FRAGMENTS - 1
            or self._waiting
            or size > self._max_message_size
            or self.untaken + self._surcharge + size > RECEIVE_BUFFER
            or _LENGTH_AND_TSN.unpack_from(packet, _LENGTH_OFFSET)
            != (length + DATA_HEADER.size, (self.cumulative_tsn + 1) & MASK)
        ):
            return False
        self.cumulative_tsn = (self.cumulative_tsn + 1) & MASK
        self.sack_due = True
        self.packets_unacknowledged += 1
        self._fragments_size = size
        is_large = length >= WORTH_A_VIEW
        # A large piece is copied once, when its message is joined; a small one is cheaper copied.
        fragments.append((memoryview(packet) if is_large else packet)[DATA_OVERHEAD:])
        return True

    def receive_run(
        self,
        packets: bytes | memoryview,
        size: int,
        *,
        header: bytes,
        messages: MutableSequence[Any],
    ) -> int:
        """Take packets in order, as far as nothing is the matter with them; the fastest way.

        Args:
            packets: Of ``size`` bytes each, joined.
            size: Bytes.
            header: What each has to begin with.
            messages: Gets the messages that are whole now.

        Returns:
            How many were taken; the others are to be taken one by one.

        Raises:
            PeerProtocolError: As :meth:`receive`.
        """
        count = len(packets) // size
        first = (self.cumulative_tsn + 1) & MASK
        if count < 2 or self._waiting or size <= DATA_OVERHEAD or first + count > MASK:  # noqa: PLR2004 - it says so
            return 0
        fields = _run_layout(size, count).unpack_from(packets)
        if (
            fields[::5] != (header,) * count
            or fields[2::5] != (size - HEADER_SIZE,) * count
            or fields[3::5] != tuple(range(first, first + count))
        ):
            return 0
        kinds, pieces, start = fields[1::5], fields[4::5], 0
        for at in [index for index, kind in enumerate(kinds) if kind]:
            if (
                kinds[at] >> 8 != ChunkType.DATA
                or not self._take_middles(pieces[start:at])
                or not self._take_end(packets, at * size, pieces[at], messages)
            ):
                return (self.cumulative_tsn - first + 1) & MASK
            start = at + 1
        self._take_middles(pieces[start:])
        return (self.cumulative_tsn - first + 1) & MASK

    def _take_middles(self, pieces: tuple[bytes, ...]) -> bool:
        """Take the next pieces of a message that was begun; False and none if it is not so."""
        fragments = self._fragments
        size = self._fragments_size + sum(map(len, pieces))
        if pieces and (
            not 0 < len(fragments) < MAX_FRAGMENTS - len(pieces)
            or size > self._max_message_size
            or self.untaken + self._surcharge + size > RECEIVE_BUFFER
        ):
            return False
        fragments += pieces
        self._fragments_size = size
        self.cumulative_tsn = (self.cumulative_tsn + len(pieces)) & MASK
        self.packets_unacknowledged += len(pieces)
        self.sack_due = True
        return True

    def _take_end(
        self,
        packets: bytes | memoryview,
        start: int,
        payload: bytes,
        messages: MutableSequence[Any],
    ) -> bool:
        """Take a piece with a flag, in its turn; False when there was no room for it."""
        _, flags, _, tsn, stream, _, ppid = DATA_HEADER.unpack_from(packets, start + HEADER_SIZE)
        self.receive((tsn, flags, stream, ppid, payload), messages)
        if self.cumulative_tsn != tsn:
            return False
        self.packets_unacknowledged += 1
        return True

    def _receive_early(self, data: Data) -> None:
        """Take a chunk whose turn it is not; too late is possible, too."""
        self.sack_urgent = True
        tsn, size = data[0], max(len(data[4]), MIN_CHARGE)
        ahead = distance(self.cumulative_tsn, tsn)
        if ahead <= 0 or tsn in self._waiting:
            if len(self._duplicates) < MAX_REPORTED_DUPLICATES:
                self._duplicates.append(tsn)
            return
        if ahead > MAX_OUT_OF_ORDER or size > self.a_rwnd:
            return  # nor is there room for this one
        if not self._waiting:
            self._base, self._base_position = self.cumulative_tsn, 0
        position = self._position(tsn)
        self._waiting[tsn] = data
        self._waiting_size += size
        self._ranges.add(position, position)

    def _position(self, tsn: int) -> int:
        return self._base_position + distance(self._base, tsn)

    def forward(self, new_cumulative_tsn: int, messages: MutableSequence[Any]) -> None:
        """Skip what the other side has given up. Source: RFC 3758 §3.6.

        The work is in proportion to what is skipped and waited, whatever the other side claims.

        Raises:
            PeerProtocolError: As :meth:`receive`.
        """
        self.sack_due = self.sack_urgent = True
        if distance(self.cumulative_tsn, new_cumulative_tsn) <= 0:
            return
        base, base_position = self._base, self._base_position
        for first, last in self._ranges.drop_to(self._position(new_cumulative_tsn)):
            for position in range(first, last + 1):
                tsn = add(base, position - base_position)
                self._skip_to(add(tsn, -1))
                self.cumulative_tsn = tsn
                chunk = self._pop_waiting(tsn)
                if self._fragments or chunk[1] & FLAG_BEGIN:
                    self._assemble(chunk, messages)
        self._skip_to(new_cumulative_tsn)
        self._take_waiting(messages)

    def _skip_to(self, tsn: int) -> None:
        """Give up the message that a missing chunk belongs to."""
        if tsn != self.cumulative_tsn:
            self.cumulative_tsn = tsn
            self._fragments.clear()
            self._fragments_size = 0

    def sack(self) -> bytes:
        """Return a SACK chunk that says it all."""
        self.sack_due = self.sack_urgent = False
        self.packets_unacknowledged = 0
        duplicates, self._duplicates = self._duplicates, []
        if not self._waiting:
            return pack_sack(self.cumulative_tsn, self.a_rwnd, [], duplicates)
        at = self._position(self.cumulative_tsn)
        gaps = [(first - at, last - at) for first, last in self._ranges.head(MAX_GAP_BLOCKS)]
        return pack_sack(self.cumulative_tsn, self.a_rwnd, gaps, duplicates)

    def _take_waiting(self, messages: MutableSequence[Any]) -> None:
        """Hand on what is not out of order any more."""
        while (tsn := (self.cumulative_tsn + 1) & MASK) in self._waiting:
            self.cumulative_tsn = tsn
            self._assemble(self._pop_waiting(tsn), messages)
        self._base_position = self._position(self.cumulative_tsn)
        self._base = self.cumulative_tsn
        self._ranges.drop_to(self._base_position)

    def _pop_waiting(self, tsn: int) -> Data:
        chunk = self._waiting.pop(tsn)
        self._waiting_size -= max(len(chunk[4]), MIN_CHARGE)
        return chunk

    def _assemble(self, data: Data, messages: MutableSequence[Any]) -> None:
        _, flags, stream, ppid, payload = data
        fragments = self._fragments
        if bool(flags & FLAG_BEGIN) == bool(fragments):
            raise PeerProtocolError("The fragments of an SCTP message contradict each other.")
        size = self._fragments_size + len(payload)
        if size > self._max_message_size:
            raise PeerProtocolError("The other side sent a message that is too large.")
        if not flags & FLAG_END:
            fragments.append(payload)
            self._fragments_size = size
            if len(fragments) >= MAX_FRAGMENTS:
                self._join_fragments()
            return
        if fragments:
            fragments.append(payload)
            payload = b"".join(fragments)
            fragments.clear()
            self._fragments_size = 0
        self.untaken += size
        if size < MIN_CHARGE:
            self._surcharge += MIN_CHARGE - size
        messages.append(Message(stream, ppid, payload))

    def _join_fragments(self) -> None:
        self._fragments = [b"".join(self._fragments)]
