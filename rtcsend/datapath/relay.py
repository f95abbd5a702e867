"""What a TURN server sends, read in batches, and whether its connection has room.

A shell. aioice reads a TCP connection with a buffer whose cost grows with its square, raises
and catches an exception for each packet that is not STUN, and writes without asking whether
there is room. Once DTLS is up, a :class:`RelayTap` takes aioice's place as the protocol of
the connection to the server: DTLS goes straight to the data path, in batches; everything
else, requests and responses of STUN and TURN, goes on to aioice as before.

Place in the flow: between the socket and :mod:`rtcsend.datapath.batched`, made by
:mod:`rtcsend.datapath.carrier`.
"""

import asyncio
import logging
import socket
from collections.abc import Callable
from typing import Any, Final

from aioice.turn import TurnTransport

from rtcsend.datapath.gso import DTLS_FIRST_BYTES
from rtcsend.datapath.turn_frames import (
    HEADER,
    FrameReader,
    batches,
    maybe_channel_data_untrusted,
)
from rtcsend.datapath.udp import BatchedDatagramTransport
from rtcsend.datapath.udp_reader import Tap
from rtcsend.errors import PeerProtocolError
from rtcsend.events import RelayProtocol

# What waits unsent is only delay, and it hides from the data path how full a connection is.
HIGH_WATER: Final = 64 << 10  # bytes beyond the kernel's buffer; one batch, so none runs dry
LOW_WATER: Final = 16 << 10  # bytes; 1.3 ms at 100 Mbit/s, for the loop to come round
UNSENT: Final = 64 << 10  # bytes that the kernel takes beyond what TCP may send now

_INNER: Final = "_TurnTransport__inner_protocol"

logger = logging.getLogger("rtcsend.datapath")


def inner_protocol(relay: TurnTransport) -> Any:
    """Return aioice's client of the TURN server beneath a relayed transport."""
    return getattr(relay, _INNER)


def is_stream(relay: TurnTransport) -> bool:
    """Return whether the server is reached by TCP or TLS."""
    return not isinstance(inner_protocol(relay).transport, asyncio.DatagramTransport)


def relay_protocol(transport: object) -> RelayProtocol | None:
    """Return how the server of a relayed transport is reached; None for another one."""
    if not isinstance(transport, TurnTransport):
        return None
    if not is_stream(transport):
        return "udp"
    secure = inner_protocol(transport).transport.get_extra_info("sslcontext") is not None
    return "tls" if secure else "tcp"


class RelayTap(asyncio.Protocol, asyncio.DatagramProtocol):
    """Reads one connection to a TURN server, instead of aioice, until it is taken off.

    Args:
        relay: aioice's transport.
        take: Gets DTLS, as :data:`~rtcsend.datapath.udp_reader.Tap` has it.
        on_batch_end: Called once after what was received together.
        on_writable: Called when :attr:`writable` becomes True again.

    Attributes:
        writable: Whether there is room for a batch.
    """

    def __init__(
        self,
        relay: TurnTransport,
        *,
        take: Tap,
        on_batch_end: Callable[[], None],
        on_writable: Callable[[], None],
    ) -> None:
        self._inner = inner_protocol(relay)
        self._take = take
        self._on_batch_end = on_batch_end
        self._on_writable = on_writable
        self._frames = FrameReader()
        self._payloads: list[bytes] = []
        self._peer: tuple[str, int] | None = None
        self._alike = b""  # how a message begins that is as the last DTLS was
        self._alike_size = self._alike_end = -1
        self._server = self._inner.server
        self.writable = True
        self._install()

    def _install(self) -> None:
        transport = self._inner.transport
        if isinstance(transport, BatchedDatagramTransport):
            transport.on_batch_end = self._end_batch
            transport.on_writable = self._on_writable
            transport.set_protocol(self)
        elif isinstance(transport, asyncio.Transport):
            _keep_short(transport)
            transport.set_protocol(self)
            self._inner.buffer, rest = b"", getattr(self._inner, "buffer", b"")
            if rest:
                self.data_received(rest)

    def remove(self) -> None:
        """Give the connection back to aioice."""
        transport = self._inner.transport
        if isinstance(transport, BatchedDatagramTransport):
            transport.on_batch_end = transport.on_writable = None
        transport.set_protocol(self._inner)
        if rest := self._frames.rest():
            self._inner.data_received(rest)

    # asyncio's protocols

    def data_received(self, data: bytes) -> None:
        """Take what came by TCP or TLS; a server that sends garbage loses the connection."""
        try:
            frames = self._frames.receive_untrusted(data)
        except PeerProtocolError as exc:
            logger.warning("! %s", exc.message)
            self._inner.transport.abort()
            return
        for frame in frames:
            self._sort(frame)
        if frames:
            self._end_batch()

    def datagram_received(self, data: bytes, _addr: object) -> None:
        """Take one datagram of the server's; the transport says when the batch is over."""
        self._sort(data)

    def pause_writing(self) -> None:
        """The connection is full."""
        self.writable = False

    def resume_writing(self) -> None:
        """There is room again."""
        self.writable = True
        self._on_writable()

    def error_received(self, exc: Exception) -> None:
        """Pass on an error of a UDP socket."""
        self._inner.error_received(exc)

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell aioice, which closes what was above."""
        self.writable = False
        self._inner.connection_lost(exc)

    def eof_received(self) -> None:
        """Close, as aioice does, when the server has no more to say."""

    # Sorting

    def _sort(self, message: bytes) -> None:
        """Keep DTLS for the batch; hand everything else to whom it is for."""
        if len(message) == self._alike_size and message.startswith(self._alike):
            self._payloads.append(message[HEADER.size : self._alike_end])
            return
        found = maybe_channel_data_untrusted(message)
        if found is None:
            self._inner.datagram_received(message, self._server)
            return
        channel, payload = found
        peer = self._inner.channel_to_peer.get(channel)
        if peer is None:  # RFC 8656 §12.6: silently discarded
            return
        if payload[:1] and payload[0] in DTLS_FIRST_BYTES:
            if peer != self._peer:
                self._flush()
                self._peer = peer
            self._payloads.append(payload)
            # Most of what comes is of one size, and all but that is told by the first bytes.
            self._alike, self._alike_size = message[: HEADER.size + 1], len(message)
            self._alike_end = HEADER.size + len(payload)
        elif self._inner.receiver is not None:
            self._inner.receiver.datagram_received(payload, peer)

    def _flush(self) -> None:
        payloads, self._payloads = self._payloads, []
        if self._peer is not None:
            for batch, size in batches(payloads):
                self._take(memoryview(batch), size, self._peer)

    def _end_batch(self) -> None:
        self._flush()
        self._on_batch_end()


def _keep_short(transport: asyncio.Transport) -> None:
    """Let little wait unsent, here and in the kernel: the data path paces, TCP should not."""
    transport.set_write_buffer_limits(high=HIGH_WATER, low=LOW_WATER)
    sock = transport.get_extra_info("socket")
    if sock is not None and hasattr(socket, "TCP_NOTSENT_LOWAT"):  # Linux, macOS
        try:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, UNSENT)
        except OSError:  # an old kernel
            logger.debug("= no TCP_NOTSENT_LOWAT here")
