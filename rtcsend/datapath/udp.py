"""Batched UDP: an asyncio datagram transport with segmentation and coalescing offload.

To aioice it is the transport that asyncio would have made. To the data path it offers more:
:meth:`~BatchedDatagramTransport.send_segments` sends many datagrams with one system call
where the kernel has ``UDP_SEGMENT``, and a tap receives all DTLS of one ``UDP_GRO`` buffer
with one call. Where kernel or device has neither (macOS, old kernels, a device without
checksum offload), both work a datagram at a time: that is noticed once, remembered for the
socket, and what was under way is sent again plainly. Needs a loop with ``add_reader`` and
``add_writer``; all calls belong on that loop.

It does not pace, retransmit or fragment, since path MTU discovery (RFC 8899) depends on that; IP
may where :meth:`~BatchedDatagramTransport.allow_fragmentation` lets it. And it knows nothing of
DTLS but its first byte (RFC 7983 §7).

Place in the flow: made by :mod:`rtcsend.datapath.loop`, below ICE; over the sending half,
:mod:`rtcsend.datapath.udp_socket`, and the receiving one, :mod:`rtcsend.datapath.udp_reader`,
with :mod:`rtcsend.datapath.gso` as their pure part.
"""

import asyncio
import socket
import warnings
from typing import TYPE_CHECKING, cast

from rtcsend.datapath import gso
from rtcsend.datapath.gso import Address, Unsent
from rtcsend.datapath.udp_reader import DatagramReader, Tap
from rtcsend.datapath.udp_socket import (
    SegmentSender,
    allow_fragmentation,
    peername,
    prepare_socket,
)

if TYPE_CHECKING:
    from collections.abc import Callable

Data = bytes | bytearray | memoryview


def _wake(waiter: "asyncio.Future[None]") -> None:
    if not waiter.done():  # who waited may have been cancelled
        waiter.set_result(None)


class BatchedDatagramTransport(asyncio.DatagramTransport):
    """A UDP socket as an asyncio transport, and batches of datagrams both ways.

    ``get_extra_info`` knows ``sockname`` and ``peername``, but no ``socket``: aioice would
    shrink its receive buffer to 262,144 bytes.

    Args:
        loop: With ``add_reader`` and ``add_writer``.
        sock: Bound or connected UDP socket, IPv4 or IPv6; becomes the transport's.
        protocol: As asyncio wants it; ``connection_made`` is called soon.
        offload: False: a datagram at a time even where the kernel could do better.
        waiter: Gets None as its result after ``connection_made``.

    Attributes:
        on_writable: Called when :attr:`writable` becomes True again.
        on_batch_end: Called once a wake-up, after the last of what it received.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        sock: socket.socket,
        protocol: asyncio.BaseProtocol,
        *,
        offload: bool = True,
        waiter: "asyncio.Future[None] | None" = None,
    ) -> None:
        prepare_socket(sock)
        self._peer = peername(sock)
        super().__init__({"sockname": sock.getsockname(), "peername": self._peer})
        self._loop = loop
        self._sock: socket.socket | None = sock
        self._protocol = cast("asyncio.DatagramProtocol", protocol)
        # sending
        self._sender = SegmentSender(sock, offload=offload, on_error=self._on_error)
        self._queue = gso.SendQueue()
        self._paused = False
        self.on_writable: Callable[[], None] | None = None
        # receiving
        self._reader = DatagramReader(
            sock, offload=offload, give=self._give, on_error=self._on_error
        )
        self.on_batch_end: Callable[[], None] | None = None
        # ending
        self._closing = False
        self._lost = False  # connection_lost is on its way
        # As asyncio does: reading begins, and the waiter wakes, after connection_made, even if
        # that raised.
        loop.call_soon(protocol.connection_made, self)
        loop.call_soon(self._start_reading)
        if waiter is not None:
            loop.call_soon(_wake, waiter)

    def __repr__(self) -> str:
        state = "closed" if self._sock is None else "closing" if self._closing else "open"
        return f"<{type(self).__name__} {state}, {self._queue.size} bytes queued>"

    def __del__(self) -> None:
        if getattr(self, "_sock", None) is not None:
            warnings.warn(
                f"unclosed transport {self!r}", ResourceWarning, stacklevel=2, source=self
            )
            cast("socket.socket", self._sock).close()

    def _start_reading(self) -> None:
        if not self._closing:
            self._loop.add_reader(self._live_socket(), self._on_readable)

    def _live_socket(self) -> socket.socket:
        sock = self._sock
        assert sock is not None, "the socket lives until connection_lost"
        return sock

    # Facts

    @property
    def segmentation(self) -> bool:
        """Whether batches are sent with one call each, as far as is known by now."""
        return self._sender.segmentation

    @property
    def coalescing(self) -> bool:
        """Whether the kernel may hand out many datagrams with one call."""
        return self._reader.coalescing

    @property
    def dropped(self) -> int:
        """How many datagrams were given up here: errors, and queues at their bound."""
        return self._sender.dropped

    @property
    def writable(self) -> bool:
        """Whether there is room: ask before :meth:`send_segments`."""
        return not (self._paused or self._closing)

    def get_write_buffer_size(self) -> int:
        """Return how many bytes are queued, the objects around them counted in."""
        return self._queue.size

    def allow_fragmentation(self, *, allowed: bool) -> None:
        """Let IP cut datagrams that are larger than the path takes; at first it may not."""
        if self._sock is not None:
            allow_fragmentation(self._sock, allowed=allowed)

    def get_protocol(self) -> asyncio.BaseProtocol:
        """Return the protocol in use."""
        return self._protocol

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        """Replace the protocol."""
        self._protocol = cast("asyncio.DatagramProtocol", protocol)

    def is_closing(self) -> bool:
        """Return True once :meth:`close` or :meth:`abort` was called."""
        return self._closing

    # Sending

    # The stubs of asyncio also take the str of a UNIX socket, which this is not.
    def sendto(  # type: ignore[override]
        self, data: Data, addr: Address | None = None
    ) -> None:
        """Send one datagram now if the socket takes it, else before all queued batches.

        At the bound of its queue it is dropped. An empty one is ignored.

        Args:
            data: At most what UDP carries.
            addr: Where to; None, or the connected address, on a connected socket.

        Raises:
            ValueError: No address, or another one than the socket is connected to.
        """
        view = memoryview(data).cast("B")
        address = self._target(addr)
        if view and not self._closing:
            self._send_or_queue(view, len(view), address, is_batch=False)

    def send_segments(self, data: Data, segment_size: int, addr: Address | None = None) -> bool:
        """Send a concatenation of equal datagrams in as few system calls as possible.

        Args:
            data: Datagrams one after another; may be reused when this returns. At most
                :data:`~rtcsend.datapath.gso.MAX_QUEUED_BATCHES` less one entry's cost.
            segment_size: Bytes of each but the last, which may be shorter.
            addr: As for :meth:`sendto`.

        Returns:
            True if all was sent or queued, or dropped by an error that was reported. False if
            nothing was taken: the queue is full (:attr:`writable` was False for long before),
            or the transport closes.

        Raises:
            ValueError: A size or an address that can never work.
        """
        if not 0 < segment_size <= gso.MAX_SEGMENT_SIZE:
            raise ValueError("segment_size must be 1 to 65,535")
        view = memoryview(data).cast("B")
        if len(view) > gso.MAX_QUEUED_BATCHES - gso.ENTRY_COST:
            raise ValueError("more data than the queue could ever hold")
        address = self._target(addr)
        if self._closing:
            return False
        return self._send_or_queue(view, segment_size, address, is_batch=True)

    def _target(self, addr: Address | None) -> Address | None:
        """Check an address; return what the socket wants to hear: None when connected."""
        if self._peer is not None:
            if addr is not None and tuple(addr[:2]) != self._peer[:2]:
                raise ValueError("the socket is connected to another address")
            return None
        if addr is None:
            raise ValueError("an address is needed: the socket is not connected")
        return addr

    def _send_or_queue(
        self, view: memoryview, segment_size: int, address: Address | None, *, is_batch: bool
    ) -> bool:
        """Send what can be sent, queue the rest; False and nothing sent if it has no room."""
        # What waits in the same lane goes first; a datagram need not wait for batches.
        waits = self._queue.holds(batches=False) or (is_batch and bool(self._queue))
        if waits and not self._queue.fits(len(view), batch=is_batch):
            self._sender.dropped += -(-len(view) // segment_size)
            return False
        done = 0 if waits else self._sender.send(view, segment_size, address)
        if done < len(view) and not self._lost:
            # Whole bytes objects cannot change under us; all else is copied, slices of bytes
            # too: one small slice would keep all of a large object alive.
            rest = view[done:]
            if not (isinstance(view.obj, bytes) and len(view.obj) == len(view)):
                rest = memoryview(bytes(rest))
            if not self._queue:
                self._loop.add_writer(self._live_socket(), self._on_socket_writable)
            self._queue.append(
                Unsent(data=rest, segment_size=segment_size, address=address, is_batch=is_batch)
            )
            self._update_flow()
        return True

    def _on_socket_writable(self) -> None:
        """Send from the queue until the socket is full again or nothing is left."""
        while self._queue:
            unsent = self._queue.pop()
            done = self._sender.send(unsent.data, unsent.segment_size, unsent.address)
            if self._lost:
                return
            if done < len(unsent.data):
                rest = Unsent(
                    data=unsent.data[done:],
                    segment_size=unsent.segment_size,
                    address=unsent.address,
                    is_batch=unsent.is_batch,
                )
                self._queue.put_back(rest)
                break
        else:
            self._loop.remove_writer(self._live_socket())
            if self._closing:
                self._lose()
                return
        self._update_flow()

    def _update_flow(self) -> None:
        """Tell the protocol and the slot when a water mark was crossed."""
        if not self._paused and self._queue.size > gso.HIGH_WATER:
            self._paused = True
            self._protocol.pause_writing()
        elif self._paused and self._queue.size <= gso.LOW_WATER:
            self._paused = False
            self._protocol.resume_writing()
            if self.on_writable is not None and not self._closing:
                self.on_writable()

    def _on_error(self, exc: OSError) -> None:
        self._protocol.error_received(exc)

    # Receiving

    def set_tap(self, tap: Tap | None) -> None:
        """Hand all DTLS to ``tap(view, segment_size, addr)`` instead of the protocol.

        The view holds datagrams of ``segment_size`` bytes one after another, the last one
        perhaps shorter, and is valid only during the call. None gives DTLS back to the
        protocol's ``datagram_received``, which gets everything else in any case.
        """
        self._reader.tap = tap

    def _on_readable(self) -> None:
        """Receive for a bounded while, then end the batch."""
        if self._reader.read() and self.on_batch_end is not None and not self._closing:
            self.on_batch_end()

    def _give(self, data: bytes, address: Address) -> None:
        """Hand over one datagram; an error of the protocol's costs that one and no other.

        As asyncio's own transport has it. What was read with it is handed over all the same.
        """
        try:
            self._protocol.datagram_received(data, address)
        except Exception as exc:
            self._loop.call_exception_handler(
                {
                    "message": "a datagram was not taken",
                    "exception": exc,
                    "protocol": self._protocol,
                }
            )

    # Ending

    def close(self) -> None:
        """Read no more, send what is queued, then call ``connection_lost(None)`` once."""
        if self._closing:
            return
        self._closing = True
        self._reader.stop()
        self._loop.remove_reader(self._live_socket())
        if not self._queue:
            self._lose()

    def abort(self) -> None:
        """Forget what is queued, and call ``connection_lost(None)`` soon, once."""
        if self._sock is not None:
            self._closing = True
            self._reader.stop()
            self._queue.clear()
            self._loop.remove_reader(self._sock)
            self._lose()

    def _lose(self) -> None:
        """Call ``connection_lost`` soon; never a second time."""
        # Also in the midst of _on_socket_writable, with the last buffer out of the queue.
        self._loop.remove_writer(self._live_socket())
        if not self._lost:
            self._lost = True
            self._loop.call_soon(self._call_connection_lost)

    def _call_connection_lost(self) -> None:
        try:
            self._protocol.connection_lost(None)
        finally:
            self._live_socket().close()
            self._sock = None
