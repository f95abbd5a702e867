"""Handing sealed batches to whatever ICE has selected: UDP, or a TURN server by UDP, TCP or TLS.

A shell. aioice makes a task for each packet that goes through a relay, and writes to a TCP
relay without looking at its buffer. Here a batch is framed as ChannelData at once (RFC 8656
§12.4), leaves with one call, and waits while the relay's connection is full. aioice still binds
and refreshes the channels: where there is none yet, or it is due, it gets the first packet.
"""

import asyncio
import struct
import time
from typing import Any, Final

from aioice.turn import TurnTransport

from rtcsend.datapath.udp import BatchedDatagramTransport
from rtcsend.peer.ice import IceConnection

MAX_STREAM_BUFFER: Final = 256 * 1024  # bytes in a TCP relay's write buffer; 20 ms at 100 Mbit/s
POLL_INTERVAL: Final = 0.005  # seconds until a full TCP buffer is looked at again

_CHANNEL_DATA: Final = struct.Struct("!HH")  # channel number, length
_INNER: Final = "_TurnTransport__inner_protocol"


class Carrier:
    """The way out of one connection; looks at the selected pair each time, since it may change."""

    def __init__(self, ice: IceConnection) -> None:
        self._ice = ice

    def batched_transports(self) -> list[BatchedDatagramTransport]:
        """Return all transports that can be used in batches, those to relays included."""
        transports = [_inner_transport(transport) for transport in self._ice.transports()]
        return [item for item in transports if isinstance(item, BatchedDatagramTransport)]

    def allow_fragmentation(self, *, allowed: bool) -> None:
        """Let IP cut what is larger than the path takes, or forbid it."""
        for transport in self.batched_transports():
            transport.allow_fragmentation(allowed=allowed)

    def room_in(self) -> float | None:
        """Return when there is room for a batch: 0 for now, seconds to wait, None: it will tell."""
        selected = self._ice.selected_transport()
        if selected is None:
            return 0.0
        transport = _inner_transport(selected[0])
        if isinstance(transport, BatchedDatagramTransport):
            return 0.0 if transport.writable else None
        if isinstance(transport, asyncio.WriteTransport):
            full = transport.get_write_buffer_size() > MAX_STREAM_BUFFER
            return POLL_INTERVAL if full else 0.0
        return 0.0

    def send(self, records: bytes, size: int) -> None:
        """Send records of ``size`` bytes each, joined, the last perhaps shorter."""
        selected = self._ice.selected_transport()
        if selected is None:
            return
        transport, address = selected
        if isinstance(transport, BatchedDatagramTransport):
            transport.send_segments(records, size, address)
        elif isinstance(transport, TurnTransport):
            self._send_by_relay(transport, records, size, address)
        else:
            for start in range(0, len(records), size):
                transport.sendto(records[start : start + size], address)

    def _send_by_relay(
        self, relay: TurnTransport, records: bytes, size: int, address: tuple[str, int]
    ) -> None:
        inner: Any = getattr(relay, _INNER)
        channel = inner.peer_to_channel.get(address)
        first = 0
        # aioice's clock for channels is the wall clock.
        if channel is None or time.time() > inner.channel_refresh_at[channel]:  # noqa: TID251
            relay.sendto(records[:size], address)
            first = size
        if channel is None:
            for start in range(first, len(records), size):
                relay.sendto(records[start : start + size], address)
            return
        is_stream = not isinstance(inner.transport, asyncio.DatagramTransport)
        framed = _channel_data(records[first:], size, channel, padded=is_stream)
        if is_stream:
            inner.transport.write(framed)
        elif isinstance(inner.transport, BatchedDatagramTransport):
            inner.transport.send_segments(framed, size + _CHANNEL_DATA.size)
        else:
            step = size + _CHANNEL_DATA.size
            for start in range(0, len(framed), step):
                inner.transport.sendto(framed[start : start + step])


def _inner_transport(transport: object) -> object:
    if isinstance(transport, TurnTransport):
        return getattr(transport, _INNER).transport
    return transport


def _channel_data(records: bytes, size: int, channel: int, *, padded: bool) -> bytes:
    """Frame each record; over TCP and TLS to multiples of 4 bytes. Source: RFC 8656 §12.5."""
    parts: list[bytes] = []
    for start in range(0, len(records), size):
        record = records[start : start + size]
        parts += (_CHANNEL_DATA.pack(channel, len(record)), record)
        if padded:
            parts.append(bytes(-len(record) % 4))
    return b"".join(parts)
