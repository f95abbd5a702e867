"""Handing sealed batches to whatever ICE has selected: UDP, or a TURN server by UDP, TCP or TLS.

A shell. aioice makes a task for each packet that goes through a relay, and writes to a TCP
relay without looking at its buffer. Here a batch is framed as ChannelData at once (RFC 8656
§12.4), leaves with one call, and waits while the relay's connection is full. aioice still binds
the channels, when it gets the first packet; :mod:`rtcsend.peer.turn_client` keeps them.

A relay by TCP or TLS gets lanes beside it (:mod:`rtcsend.peer.lanes`), at once: the congestion
control looks for the capacity of the path in its first ten round trips. Batches take turns on
those that have room, and each gets as many bytes as the others: a server drops what comes for a
client whose socket is full, and the first lane that is full decides for all.
"""

import asyncio
from collections.abc import Callable
from typing import Final

from aioice.turn import TurnTransport

from rtcsend.datapath.relay import RelayTap, inner_protocol, is_stream
from rtcsend.datapath.turn_frames import HEADER, channel_data
from rtcsend.datapath.udp import BatchedDatagramTransport
from rtcsend.datapath.udp_reader import Tap
from rtcsend.peer.ice import IceConnection, Way

LANE_BURST: Final = 16 << 10  # bytes that go to one lane before the next has its turn: a server's
# sockets hold 64 KiB, and a burst of the data path is as large
LANE_FLIGHT: Final = 96 << 10  # bytes in flight for each lane: coturn's socket to a client holds up
# to 95 KB, it keeps 32 KiB more, and drops the rest


class Carrier:
    """The way out of one connection; looks at the selected pair each time, since it may change.

    Args:
        ice: Before it is connected.
        lanes: The peer is our own: the pair may change, and more than one TCP connection to
            a relay be used.
    """

    def __init__(self, ice: IceConnection, *, lanes: bool) -> None:
        self._ice = ice
        ice.own_peer = lanes
        self._taps: dict[object, RelayTap] = {}
        self._take: Tap = _nothing
        self._on_batch_end: Callable[[], None] = _nothing
        self._on_writable: Callable[[], None] = _nothing
        self._fragments = False
        self._turn = 0  # whose turn it is, of the ways with room
        self._left = 0  # bytes of that turn

    def open(
        self, *, take: Tap, on_batch_end: Callable[[], None], on_writable: Callable[[], None]
    ) -> None:
        """Begin to receive: all DTLS goes to ``take``, in batches.

        Args:
            take: As :meth:`~rtcsend.datapath.udp.BatchedDatagramTransport.set_tap` has it.
            on_batch_end: Called once after what was received together.
            on_writable: Called when there is room again, after :meth:`room` was False.
        """
        self._take, self._on_batch_end, self._on_writable = take, on_batch_end, on_writable
        for transport in self._ice.transports():
            self._tap(transport)
        self._ice.on_transport = self._tap
        self._ice.widen()

    def close(self) -> None:
        """Receive no more."""
        self._ice.on_transport = None
        for tap in self._taps.values():
            tap.remove()
        self._taps.clear()
        for transport in self._ice.transports():
            if isinstance(transport, BatchedDatagramTransport):
                transport.set_tap(None)
                transport.on_batch_end = transport.on_writable = None

    def _tap(self, transport: asyncio.DatagramTransport) -> None:
        if isinstance(transport, TurnTransport):
            self._taps[transport] = RelayTap(
                transport,
                take=self._take,
                on_batch_end=self._on_batch_end,
                on_writable=self._on_writable,
            )
        elif isinstance(transport, BatchedDatagramTransport):
            transport.set_tap(self._take)
            transport.on_batch_end = self._on_batch_end
            transport.on_writable = self._on_writable
        if self._fragments:
            self.allow_fragmentation(allowed=True)

    def allow_fragmentation(self, *, allowed: bool) -> None:
        """Let IP cut what is larger than the path takes, or forbid it."""
        self._fragments = allowed
        for transport in self._ice.transports():
            allow_fragmentation(transport, allowed=allowed)

    def room(self) -> bool:
        """Return whether there is room for a batch; where not, ``on_writable`` will tell."""
        ways = self._ways()
        return not ways or any(self._has_room(way) for way, _ in ways)

    def width(self) -> int:
        """Return on how many ways batches take turns; on several they overtake one another."""
        return len(self._ways())

    def _ways(self) -> list[Way]:
        selected = self._ice.selected_transport()
        return [] if selected is None else [selected, *self._ice.lanes()]

    def _has_room(self, transport: asyncio.DatagramTransport) -> bool:
        inner = _inner_transport(transport)
        if isinstance(inner, BatchedDatagramTransport):
            return inner.writable
        tap = self._taps.get(transport)
        return tap is None or tap.writable

    def send(self, records: bytes | memoryview, size: int) -> None:
        """Send records of ``size`` bytes each, joined, the last perhaps shorter."""
        ways = self._ways()
        if len(ways) <= 1:
            for way in ways:
                self._send_on(way, records, size)
            return
        start = 0
        while start < len(records):
            room = [way for way in ways if self._has_room(way[0])] or ways[:1]
            if self._left < size:
                self._turn += 1
                self._left = max(LANE_BURST, size)
            stop = min(start + self._left // size * size, len(records))
            self._send_on(room[self._turn % len(room)], records[start:stop], size)
            self._left -= stop - start
            start = stop

    def _send_on(self, way: Way, records: bytes | memoryview, size: int) -> None:
        transport, address = way
        if isinstance(transport, BatchedDatagramTransport):
            transport.send_segments(records, size, address)
        elif isinstance(transport, TurnTransport):
            self._send_by_relay(transport, records, size, address)
        else:
            for start in range(0, len(records), size):
                transport.sendto(records[start : start + size], address)

    def _send_by_relay(
        self, relay: TurnTransport, records: bytes | memoryview, size: int, address: tuple[str, int]
    ) -> None:
        inner = inner_protocol(relay)
        channel = inner.peer_to_channel.get(address)
        if channel is None:
            for start in range(0, len(records), size):
                relay.sendto(bytes(records[start : start + size]), address)
            return
        stream = is_stream(relay)
        framed = channel_data(records, size, channel, padded=stream)
        if stream:
            if not inner.transport.is_closing():
                inner.transport.write(framed)
        elif isinstance(inner.transport, BatchedDatagramTransport):
            inner.transport.send_segments(framed, size + HEADER.size)
        else:
            step = size + HEADER.size
            for start in range(0, len(framed), step):
                inner.transport.sendto(framed[start : start + step])


def allow_fragmentation(transport: asyncio.DatagramTransport, *, allowed: bool) -> None:
    """Let IP cut what is too large, or forbid it, where the socket of a way is one of ours."""
    inner = _inner_transport(transport)
    if isinstance(inner, BatchedDatagramTransport):
        inner.allow_fragmentation(allowed=allowed)


def _inner_transport(transport: object) -> object:
    return (
        inner_protocol(transport).transport if isinstance(transport, TurnTransport) else transport
    )


def _nothing(*_arguments: object) -> None:
    """Stand in until the data path is opened."""
