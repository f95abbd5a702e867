"""Two SCTP associations and a bad network between them, on virtual time. Seeded, so repeatable.

The link knows loss (single and in bursts), corruption, reordering, duplication, a rate with a
queue, a packet size that may shrink, and silence. A damaged packet is a lost one: with a
checksum the association would drop it, and without one DTLS does.
"""

import heapq
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import groupby

from rtcsend.datapath.congestion.base import CongestionController
from rtcsend.datapath.congestion.cubic import Cubic
from rtcsend.datapath.sctp.association import (
    Association,
    AssociationConfig,
    AssociationEvent,
    Closed,
    Established,
)
from rtcsend.datapath.sctp.inbound import Message
from rtcsend.datapath.sctp.introduction import Identity, parse_introduction_untrusted

MAX_MESSAGE = 262_144
MAX_STEPS_AT_ONCE = 5_000  # without time moving: an association that never rests
PATH_MTU = 1_500
MAX_BURST_TIME = 0.5  # seconds
_DATA, _HEADER = 0, 12


@dataclass(frozen=True, kw_only=True)
class Conditions:
    """One direction of a path. Times are seconds, shares are between 0 and 1."""

    delay: float = 0.02
    rate: float = 12.5e6
    """Bytes per second."""
    queue: float = 1e6
    """Bytes that wait at most."""
    loss: float = 0.0
    corruption: float = 0.0
    burst: float = 0.0
    """Share of packets that begin a phase of losing nearly everything."""
    burst_length: float = 8.0
    duplication: float = 0.0
    reordering: float = 0.0
    reordering_delay: float = 0.05
    mtu: int = PATH_MTU
    shrinks_at: float = float("inf")
    shrinks_to: int = 1_200
    silence: tuple[float, float] = (float("inf"), float("inf"))


class Link:
    """One direction."""

    def __init__(self, conditions: Conditions, rng: random.Random) -> None:
        self._conditions = conditions
        self._rng = rng
        self._free_at = 0.0
        self._burst_until = 0.0
        self.drop: Callable[[int, bytes], bool] | None = None
        """Drops packet number n of this direction, from 0."""
        self.sent = 0
        self.dropped = 0
        self.data_dropped = 0
        self.transmissions: dict[int, int] = {}
        """How often each TSN was sent."""
        self.largest = 0

    @property
    def retransmissions(self) -> int:
        """DATA chunks sent again."""
        return sum(self.transmissions.values()) - len(self.transmissions)

    def arrivals(self, packet: bytes, *, now: float, fragmentable: bool) -> list[float]:
        """Return when copies of the packet come out; none when it is lost."""
        self.sent += 1
        self.largest = max(self.largest, len(packet))
        is_data = packet[_HEADER] == _DATA
        if is_data:
            tsn = int.from_bytes(packet[16:20], "big")
            self.transmissions[tsn] = self.transmissions.get(tsn, 0) + 1
        times = self._travel(packet, now=now, fragmentable=fragmentable)
        if not times:
            self.dropped += 1
            self.data_dropped += is_data
        return times

    def _travel(self, packet: bytes, *, now: float, fragmentable: bool) -> list[float]:
        how, rng = self._conditions, self._rng
        if self.drop is not None and self.drop(self.sent - 1, packet):
            return []
        mtu = how.shrinks_to if now >= how.shrinks_at else how.mtu
        if len(packet) > mtu and not fragmentable:
            return []
        starts = max(now, self._free_at)
        if (starts - now) * how.rate > how.queue:
            return []
        self._free_at = starts + len(packet) / how.rate
        if how.silence[0] <= now < how.silence[1] or self._is_lost(now):
            return []
        arrival = self._free_at + how.delay
        if rng.random() < how.reordering:
            arrival += rng.random() * how.reordering_delay
        if rng.random() < how.duplication:
            return [arrival, arrival + rng.random() * how.reordering_delay]
        return [arrival]

    def _is_lost(self, now: float) -> bool:
        how, rng = self._conditions, self._rng
        if self._burst_until > now:
            if rng.random() < 1 / how.burst_length:
                self._burst_until = now
            return rng.random() < 0.9
        if rng.random() < how.burst:
            self._burst_until = now + MAX_BURST_TIME
        return rng.random() < how.loss or rng.random() < how.corruption


@dataclass
class End:
    """One association with its application."""

    association: Association
    link: Link
    """What it sends goes here."""
    starts_at: float = 0.0
    takes_from: float = 0.0
    """Until then the application takes nothing."""
    started: bool = False
    to_send: list[tuple[float, int, bytes]] = field(default_factory=list)
    """Time, stream, message: in the order of time."""
    max_queued: int = 1 << 20
    received: dict[int, list[bytes]] = field(default_factory=dict)
    events: list[AssociationEvent] = field(default_factory=list)
    untaken: int = 0
    established_at: float | None = None
    closed: Closed | None = None
    closed_at: float | None = None
    most_flight: int = 0
    most_stored: int = 0


class Pair:
    """Two ends, and the time between them."""

    def __init__(
        self,
        seed: int,
        there: Conditions | None = None,
        back: Conditions | None = None,
        *,
        own_peer: bool = True,
        controller: Callable[..., CongestionController] = Cubic,
        first_tsn: int | None = None,
        introduced: bool = False,
    ) -> None:
        rng = random.Random(seed)
        there = there or Conditions()
        self.now = 0.0
        self._controller = controller
        self._own_peer = own_peer
        self._introduced = introduced
        self._introductions: list[bytes] = []
        self._count = 0
        self._steps = 0
        self._on_the_way: list[tuple[float, int, int, bytes]] = []
        self.taps: list[Callable[[int, bytes], None]] = []
        """Each sees every packet that is sent, with the number of its end."""
        self.ends = tuple(
            End(self._association(rng, first_tsn), Link(conditions, random.Random(seed + number)))
            for number, conditions in enumerate((there, back or there))
        )

    def _association(self, rng: random.Random, first_tsn: int | None) -> Association:
        make = self._controller
        tag = rng.randrange(1, 2**32)
        tsn = rng.randrange(2**32) if first_tsn is None else first_tsn
        self._introductions.append(Identity(tag=tag, initial_tsn=tsn).introduction())
        config = AssociationConfig(
            tag=tag,
            initial_tsn=tsn,
            cookie=rng.randbytes(16),
            own_peer=self._own_peer,
            max_message_size=MAX_MESSAGE,
            controller=lambda mss, now: make(mss=mss, now=now),
        )
        return Association(config, now=0.0)

    def inject(self, number: int, packet: bytes, *, at: float | None = None) -> None:
        """Let a packet arrive at an end."""
        self._count += 1
        entry = (self.now if at is None else at, self._count, number, packet)
        heapq.heappush(self._on_the_way, entry)

    def run(self, until: float, done: Callable[[], bool] = lambda: False) -> bool:
        """Let time pass until ``done`` or ``until``; return whether it is done."""
        for number in range(2):
            self._pump(number)
        while not done():
            at = self._next_time()
            if at is None or at > until:
                self.now = until
                return done()
            self._steps = self._steps + 1 if at <= self.now else 0
            assert self._steps < MAX_STEPS_AT_ONCE, f"no rest at {self.now}"
            self.now = max(at, self.now)
            self._step()
        return True

    def _next_time(self) -> float | None:
        times = [self._on_the_way[0][0]] if self._on_the_way else []
        for end in self.ends:
            timer = end.association.get_timer() if end.started else end.starts_at
            if timer is not None:
                times.append(timer)
            if end.to_send and end.established_at is not None and self._has_room(end):
                times.append(end.to_send[0][0])
            if end.untaken and end.takes_from > self.now:
                times.append(end.takes_from)
        return min(times, default=None)

    @staticmethod
    def _has_room(end: End) -> bool:
        return end.association.queued < end.max_queued and end.closed is None

    def _step(self) -> None:
        batches: tuple[list[bytes], list[bytes]] = ([], [])
        while self._on_the_way and self._on_the_way[0][0] <= self.now + 1e-5:
            _, _, number, packet = heapq.heappop(self._on_the_way)
            batches[number].append(packet)
        for number, end in enumerate(self.ends):
            if not end.started and self.now < end.starts_at:
                continue
            timer = end.association.get_timer()
            if timer is not None and timer <= self.now:
                end.association.handle_timer(now=self.now)
            if batches[number]:
                self._receive(end.association, batches[number])
            self._pump(number)

    def _receive(self, association: Association, packets: list[bytes]) -> None:
        """Hand over what came together: neighbours of one size at once, as the data path does."""
        for size, group in groupby(packets, len):
            if size:  # DTLS has no empty ones
                association.receive_equal_untrusted(b"".join(group), size, now=self.now)
        association.end_batch(now=self.now)

    def _pump(self, number: int) -> None:
        end = self.ends[number]
        if not end.started:
            if self.now < end.starts_at:
                return
            end.started = True
            other = parse_introduction_untrusted(self._introductions[1 - number])
            introduced = other if self._introduced else None
            end.association.connect(now=self.now, introduced=introduced)
        self._drain(end)
        if end.established_at is not None:
            while end.to_send and end.to_send[0][0] <= self.now and self._has_room(end):
                _, stream, data = end.to_send.pop(0)
                end.association.send(stream, 53, data)
        association = end.association
        before = association._outbound.queue.next_tsn
        packets = association.packets_to_send(now=self.now)
        self._check_window(end, before)
        for packet in packets:
            for tap in self.taps:
                tap(number, packet)
            fragmentable = association.needs_fragmentation
            for at in end.link.arrivals(packet, now=self.now, fragmentable=fragmentable):
                self.inject(1 - number, packet, at=at)

    def _drain(self, end: End) -> None:
        while (event := end.association.next_event()) is not None:
            assert end.closed is None, "an event after the end"
            end.events.append(event)
            match event:
                case Established():
                    end.established_at = self.now
                case Message(stream, _, data):
                    end.received.setdefault(stream, []).append(data)
                    end.untaken += len(data)
                case Closed():
                    end.closed, end.closed_at = event, self.now
                case _:
                    pass
        if end.untaken and self.now >= end.takes_from:
            end.association.taken(end.untaken, now=self.now)
            end.untaken = 0
        inbound = end.association._tcb.inbound
        if inbound is not None:
            stored = inbound.untaken + inbound._waiting_size + inbound._fragments_size
            end.most_stored = max(end.most_stored, stored)

    @staticmethod
    def _check_window(end: End, before: int) -> None:
        """RFC 9260 §6.1 A: what is new fits into the peer's window, or is alone in flight."""
        association = end.association
        outbound = association._outbound
        outstanding = outbound.outstanding
        end.most_flight = max(end.most_flight, outstanding.flight_size)
        if outbound.queue.next_tsn != before and len(outstanding) > 1:
            assert outstanding.flight_size <= outbound.peer_rwnd, "sent beyond the peer's window"
        assert outstanding.flight_size >= 0
