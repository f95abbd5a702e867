"""What is sent and not acknowledged, and what a SACK changes in it.

Pure. The work for a SACK is in proportion to what it changes, never to what is in flight: what
is outstanding is a list in the order of its TSNs, so that a TSN is an index; and what gap
blocks have acknowledged is kept as ranges, so that a block which says it again is not visited.
A :class:`~.send_queue.Run` stands in the list once for each of its chunks, and is acknowledged
at one stroke, until something is to be noted of one of them.

Chunks are numbered from 0, in the order of their TSNs: their *order*, which never wraps.

Source: RFC 9260 §6.2.1 (processing a SACK), §6.3.3 (all is lost).
"""

from dataclasses import dataclass, field
from typing import Final

from rtcsend.datapath.sctp.delivery import Flight
from rtcsend.datapath.sctp.ranges import Ranges
from rtcsend.datapath.sctp.send_queue import Chunk, Run
from rtcsend.datapath.sctp.serial import add, distance
from rtcsend.datapath.sctp.wire import Sack
from rtcsend.errors import PeerProtocolError

_TRIM: Final = 4096  # entries acknowledged at the front before the list is cut


@dataclass(slots=True)
class Acked:
    """What a SACK has changed."""

    advanced: bool = False
    """The cumulative TSN moved."""
    size: int = 0
    """Bytes newly acknowledged."""
    runs: list[tuple[int, Chunk | Run]] = field(default_factory=list)
    """Of each run of newly acknowledged chunks of one burst, the last, with its order."""
    reneged: list[tuple[int, Chunk]] = field(default_factory=list)
    """What an earlier SACK acknowledged and the other side has dropped since: lost, by order."""

    @property
    def newest(self) -> Flight | None:
        """The burst that left last, of those that something was acknowledged of."""
        flights = [chunk.flight for _, chunk in self.runs]
        return max(reversed(flights), key=lambda flight: flight.sent_at, default=None)


class Outstanding:
    """Everything that was sent and is not acknowledged.

    Args:
        initial_tsn: Of the first chunk.
    """

    def __init__(self, initial_tsn: int) -> None:
        self.flight_size = 0
        """Bytes that are believed to be under way: neither acknowledged nor lost."""
        self.chunks: list[Chunk | Run] = []
        """In order; those before ``head`` are acknowledged, and have no packet any more."""
        self.head = 0
        self.first_order = 0
        """The order of ``chunks[0]``."""
        self._first_tsn = initial_tsn
        self._acked_beyond = Ranges()

    def __len__(self) -> int:
        return len(self.chunks) - self.head

    @property
    def cumulative_tsn(self) -> int:
        """The last TSN up to which everything is acknowledged."""
        return add(self._first_tsn, self.head - 1)

    @property
    def cumulative_order(self) -> int:
        """The order of the first chunk that the cumulative TSN does not cover."""
        return self.first_order + self.head

    @property
    def next_order(self) -> int:
        """The order of the next new chunk."""
        return self.first_order + len(self.chunks)

    def add(self, chunks: list[Chunk | Run], *, size: int) -> None:
        """Note chunks that are sent for the first time, ``size`` bytes of user data."""
        for chunk in chunks:
            if isinstance(chunk, Run):
                chunk.first_order = self.next_order
                self.chunks += [chunk] * chunk.count
            else:
                self.chunks.append(chunk)
        self.flight_size += size

    def own(self, order: int) -> Chunk:
        """Return the chunk of an order that is outstanding, to note something of it."""
        chunk = self.chunks[order - self.first_order]
        if isinstance(chunk, Chunk):
            return chunk
        start = chunk.first_order - self.first_order
        ahead = max(self.head - start, 0)  # acknowledged, and let go of
        singles = chunk.chunks()
        self.chunks[start + ahead : start + chunk.count] = singles[ahead:]
        return singles[order - chunk.first_order]

    def receive_sack(self, sack: Sack) -> Acked | None:
        """Take a SACK; None when it is older than what is known.

        Raises:
            PeerProtocolError: It acknowledges what was never sent.
        """
        advance = distance(self.cumulative_tsn, sack.cumulative_tsn)
        if advance < 0:
            return None
        last = sack.gaps[-1][1] if sack.gaps else 0
        if advance + last > len(self):
            raise PeerProtocolError("The other side acknowledged what was never sent.")
        acked = Acked(advanced=advance > 0)
        if advance:
            self._advance(advance, acked)
            # A receiver that has the next one says so with its cumulative TSN.
            if self.head < len(self.chunks) and self.chunks[self.head].acked:
                acked.reneged = self._take_back(sack)
        if sack.gaps:
            base = self.cumulative_order - 1
            know = self._acked_beyond.add
            for first, last in sack.gaps:
                for start, stop in know(base + first, base + last):
                    self._acknowledge_beyond(start, stop + 1, acked)
        if self.head >= _TRIM:
            self._trim()
        return acked

    def _advance(self, count: int, acked: Acked) -> None:
        """Acknowledge the first ``count``, and let go of their packets."""
        chunks, start, stop = self.chunks, self.head, self.head + count
        index = start
        while index < stop:
            chunk = chunks[index]
            if isinstance(chunk, Run):
                index = self._acknowledge_run(chunk, index, stop, acked)
            else:
                index = self._acknowledge(index, stop, acked)
        self.head = stop
        self._acked_beyond.drop_to(self.cumulative_order - 1)
        chunks[start:stop] = [_DONE] * count  # the entries are cut off later

    def _acknowledge_run(self, run: Run, start: int, stop: int, acked: Acked) -> int:
        """Acknowledge what is left of a run, from ``start`` on; return the index behind it."""
        stop = min(stop, run.first_order + run.count - self.first_order)
        size = (stop - start) * run.size
        acked.size += size
        self.flight_size -= size
        first, runs = self.first_order + start, acked.runs
        if runs and runs[-1][0] == first - 1 and runs[-1][1].flight is run.flight:
            runs.pop()
        runs.append((self.first_order + stop - 1, run))
        return stop

    def _acknowledge(self, start: int, stop: int, acked: Acked) -> int:
        """Acknowledge the chunks of these indices up to a run, as far as they are not; hot.

        Returns:
            The index at which it ended.
        """
        size = was_lost = last = 0
        previous: Chunk | None = None
        index = start
        for index, chunk in enumerate(self.chunks[start:stop], start):
            if isinstance(chunk, Run):
                break
            if chunk.acked:
                continue
            chunk.acked = True
            size += chunk.size
            if chunk.lost:
                chunk.lost = False
                was_lost += chunk.size
            if previous is not None and chunk.flight is not previous.flight:
                acked.runs.append((last, previous))
            previous, last = chunk, self.first_order + index
        else:
            index = stop
        if previous is not None:
            acked.runs.append((last, previous))
        acked.size += size
        self.flight_size -= size - was_lost
        return index

    def _acknowledge_beyond(self, start: int, stop: int, acked: Acked) -> None:
        """Acknowledge what a gap block says, by orders: what is before them is not."""
        while start < stop:
            self.own(start)  # of a run
            start = self._acknowledge(start - self.first_order, stop - self.first_order, acked)
            start += self.first_order

    def _take_back(self, sack: Sack) -> list[tuple[int, Chunk]]:
        """Count as lost what earlier gap blocks acknowledged and those of this SACK do not.

        The other side may drop what is not under its cumulative TSN. Source: RFC 9260 §6.2,
        §6.2.1 D iii.
        """
        reported, kept = Ranges(), Ranges()
        reneged: list[tuple[int, Chunk]] = []
        base = self.cumulative_order - 1
        for first, last in sack.gaps:
            reported.add(base + first, base + last)
        for first, last in self._acked_beyond.drop_to(self.next_order):
            at = first
            for start, stop in reported.add(first, last):
                if at < start:
                    kept.add(at, start - 1)
                reneged += [(order, self.own(order)) for order in range(start, stop + 1)]
                at = stop + 1
            if at <= last:
                kept.add(at, last)
        self._acked_beyond = kept
        for _, chunk in reneged:
            chunk.acked, chunk.lost = False, True
        return reneged

    def unacknowledge(self) -> None:
        """Believe no gap block any more: the other side may have dropped what it reported.

        Source: RFC 9260 §6.2.
        """
        self._acked_beyond.clear()
        for chunk in self.chunks[self.head :]:
            if isinstance(chunk, Chunk):
                chunk.acked = False

    def _trim(self) -> None:
        del self.chunks[: self.head]
        self._first_tsn = add(self._first_tsn, self.head)
        self.first_order += self.head
        self.head = 0


_NO_FLIGHT: Final = Flight(
    sent_at=0.0, delivered=0, delivered_at=0.0, first_sent_at=0.0, app_limited=False
)
_DONE: Final = Chunk(b"", 0, _NO_FLIGHT)
_DONE.acked = True
