"""The receiving half of an association: TSNs, reassembly, SACKs, a true receive window.

Pure. Chunks are handed on in the order of their TSNs: the fragments of a message have
consecutive TSNs, and within a stream later messages have later TSNs, so this order is the
order of every stream. A lost chunk holds up the other stream as well, for one retransmission;
what that buys is that an arriving chunk costs next to nothing.

Sources: RFC 9260 §6.2 (acknowledgement), §6.3.3, §6.9 (reassembly), RFC 3758 §3.6.
"""

from bisect import bisect_left
from collections.abc import MutableSequence
from typing import Any, Final, NamedTuple

from rtcsend.datapath.sctp.serial import MASK, add, distance
from rtcsend.datapath.sctp.wire import FLAG_BEGIN, FLAG_END, MAX_GAP_BLOCKS, Data, pack_sack
from rtcsend.errors import PeerProtocolError

RECEIVE_BUFFER: Final = 8 << 20  # bytes that wait for the application or for a lost chunk
MAX_OUT_OF_ORDER: Final = 65_535  # TSNs ahead; the reach of a gap block (RFC 9260 §3.3.4)
MAX_REPORTED_DUPLICATES: Final = 16  # per SACK; one would do to show a spurious retransmission


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
        self.packets_unacknowledged = 0
        self.untaken = 0
        # Out of order: TSN → chunk, and the same as ranges of distances, [first, last], sorted
        # and disjoint, from a base that stays where it is while there are any.
        self._waiting: dict[int, Data] = {}
        self._waiting_size = 0
        self._ranges: list[list[int]] = []
        self._base = self.cumulative_tsn
        self._duplicates: list[int] = []
        # The message that is being put together.
        self._fragments: list[bytes] = []
        self._fragments_size = 0

    @property
    def has_gaps(self) -> bool:
        """Whether something is missing: the sender should know at once."""
        return bool(self._ranges)

    @property
    def a_rwnd(self) -> int:
        """Bytes that there is room for: what nobody has taken yet is not free."""
        used = self.untaken + self._waiting_size + self._fragments_size
        return max(0, RECEIVE_BUFFER - used)

    def receive(self, data: Data, messages: MutableSequence[Any]) -> None:
        """Take a DATA chunk; append the messages that are whole now.

        Raises:
            PeerProtocolError: Its flags contradict what came before, or a message is too long:
                the association cannot go on.
        """
        self.sack_due = True
        tsn = data[0]
        if tsn == (self.cumulative_tsn + 1) & MASK:
            # What waits out of order is not counted: to drop this one for it would be for ever.
            if self.untaken + self._fragments_size + len(data[4]) > RECEIVE_BUFFER:
                return  # RFC 9260 §6.2: without room it is dropped, and comes again
            self.cumulative_tsn = tsn
            self._assemble(data, messages)
            if self._ranges:
                self._take_waiting(messages)
            return
        ahead = distance(self.cumulative_tsn, tsn)
        if ahead <= 0 or tsn in self._waiting:
            if len(self._duplicates) < MAX_REPORTED_DUPLICATES:
                self._duplicates.append(tsn)
            return
        size = len(data[4])
        if ahead > MAX_OUT_OF_ORDER or size > self.a_rwnd:
            return  # nor is there room for this one
        self._waiting[tsn] = data
        self._waiting_size += size
        self._add_range(tsn)

    def forward(self, new_cumulative_tsn: int, messages: MutableSequence[Any]) -> None:
        """Skip what the other side has given up. Source: RFC 3758 §3.6.

        The work is in proportion to what waits, whatever the other side claims.

        Raises:
            PeerProtocolError: As :meth:`receive`.
        """
        self.sack_due = True
        skipped = distance(self.cumulative_tsn, new_cumulative_tsn)
        if skipped <= 0:
            return
        start = self.cumulative_tsn
        for tsn in sorted(self._waiting, key=lambda tsn: distance(start, tsn)):
            if distance(start, tsn) > skipped:
                break
            self._skip_to(add(tsn, -1))
            self.cumulative_tsn = tsn
            chunk = self._waiting.pop(tsn)
            self._waiting_size -= len(chunk[4])
            if self._fragments or chunk[1] & FLAG_BEGIN:
                self._assemble(chunk, messages)
        self._skip_to(new_cumulative_tsn)
        self._ranges = []
        for tsn in sorted(self._waiting, key=lambda tsn: distance(start, tsn)):
            self._add_range(tsn)
        self._take_waiting(messages)

    def _skip_to(self, tsn: int) -> None:
        """Give up the message that a missing chunk belongs to."""
        if tsn != self.cumulative_tsn:
            self.cumulative_tsn = tsn
            self._fragments.clear()
            self._fragments_size = 0

    def sack(self) -> bytes:
        """Return a SACK chunk that says it all."""
        self.sack_due = False
        self.packets_unacknowledged = 0
        duplicates, self._duplicates = self._duplicates, []
        if not self._ranges:
            return pack_sack(self.cumulative_tsn, self.a_rwnd, [], duplicates)
        offset = distance(self.cumulative_tsn, self._base)
        gaps = [(first + offset, last + offset) for first, last in self._ranges[:MAX_GAP_BLOCKS]]
        return pack_sack(self.cumulative_tsn, self.a_rwnd, gaps, duplicates)

    def _take_waiting(self, messages: MutableSequence[Any]) -> None:
        """Hand on what is not out of order any more."""
        while (tsn := (self.cumulative_tsn + 1) & MASK) in self._waiting:
            chunk = self._waiting.pop(tsn)
            self._waiting_size -= len(chunk[4])
            self.cumulative_tsn = tsn
            self._assemble(chunk, messages)
        reached = distance(self._base, self.cumulative_tsn)
        while self._ranges and self._ranges[0][1] <= reached:
            del self._ranges[0]

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
            return
        if fragments:
            fragments.append(payload)
            payload = b"".join(fragments)
            fragments.clear()
            self._fragments_size = 0
        self.untaken += size
        messages.append(Message(stream, ppid, payload))

    def _add_range(self, tsn: int) -> None:
        """Note a TSN in the ranges; most often it extends the last one."""
        ranges = self._ranges
        if not ranges:
            self._base = self.cumulative_tsn
        at = distance(self._base, tsn)
        if ranges and ranges[-1][1] + 1 == at:
            ranges[-1][1] = at
            return
        index = bisect_left(ranges, [at])
        joins_before = index > 0 and ranges[index - 1][1] + 1 == at
        joins_after = index < len(ranges) and ranges[index][0] == at + 1
        if joins_before and joins_after:
            ranges[index - 1][1] = ranges[index][1]
            del ranges[index]
        elif joins_before:
            ranges[index - 1][1] = at
        elif joins_after:
            ranges[index][0] = at
        else:
            ranges.insert(index, [at, at])
