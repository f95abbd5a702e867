"""One connection of the server: HTTP, then WebSocket frames, on asyncio's transports.

What it does: feeds the Sans-I/O protocol of the package websockets, cuts messages out of its
frames, bounds what waits in either direction, misses who is gone.
What it does not: know what the frames say; that is :mod:`signal_server.sockets`.

There is no task and no queue in here: with ten thousand clients that is most of the memory, and
with hundreds of pairings a second most of the time. Shell.
Source: RFC 6455; websockets, "Integrate the Sans-I/O layer".
"""

import asyncio
import logging
import struct
from typing import Protocol

from websockets.frames import Frame, Opcode
from websockets.http11 import Request, Response
from websockets.protocol import State
from websockets.server import ServerProtocol

from signal_server.messages import MAX_FRAME
from signal_server.outputs import CLOSE_TOO_LARGE

CLOSE_TIMEOUT = 2.0  # seconds for the closing handshakes of WebSocket and TCP; who knows
FLUSH_TIMEOUT = 5.0  # seconds to take the last frames and the close; then it is dropped
LARGEST_READ = 2 * MAX_FRAME  # bytes; a frame somewhat too large gets an answer, above it a close
MAX_WAITING_FRAMES = 16  # that were read and cannot be taken yet; then TCP holds the client back
MAX_FRAGMENTS = 1_024  # of one message: empty ones would grow without a bound in bytes
CLOSE_BAD_UTF8 = 1007  # RFC 6455 section 7.4.1
TEXT_FIN = 0x81  # RFC 6455 section 5.2: a whole text message in one frame
SHORT, LONG = 125, 65_535  # bytes, up to which a length takes no more, or two more bytes

# The library logs whole frames at DEBUG, tokens and TURN credentials among them, and every
# port scan as an error with a traceback.
_library_log = logging.getLogger("rtcsend.rendezvous.server.websockets")
_library_log.setLevel(logging.CRITICAL)


class Handler(Protocol):
    """Whoever deals with connections. None of the methods may block."""

    def connected(self, connection: "WebSocketConnection") -> None:
        """Take note of a connection, which has said nothing yet."""
        ...

    def respond(self, connection: "WebSocketConnection", request: Request) -> Response | None:
        """Return the answer to an HTTP request; None: let it become a WebSocket."""
        ...

    def opened(self, connection: "WebSocketConnection") -> None:
        """Take a WebSocket that is open."""
        ...

    def received(self, connection: "WebSocketConnection", message: str | bytes) -> None:
        """Take a message; bytes stand for a binary one."""
        ...

    def queued(self, connection: "WebSocketConnection", change: int) -> None:
        """Take note that so many more bytes wait for a client."""
        ...

    def lost(self, connection: "WebSocketConnection") -> None:
        """Take note that it is gone, whether it was ever open or not."""
        ...


class WebSocketConnection(asyncio.Protocol):
    """One connection, from its acceptance on.

    Args:
        handler: Told of everything.
        handshake_seconds: For the HTTP request.

    Attributes:
        number: Of the socket, once it is open; the handler's.
        source: Whom it counts for; the handler's.
        request: The HTTP request.
        heard_at: When something came last, on the loop's clock.
        pinged_at: When it was asked whether it is there, if nothing has come since.
        queued_bytes: What waits for the client.
        was_late: It was dropped, since its HTTP request took too long.
    """

    __slots__ = (
        "_closing",
        "_fragments",
        "_handler",
        "_handshake_seconds",
        "_protocol",
        "_timer",
        "_transport",
        "heard_at",
        "number",
        "pinged_at",
        "queued_bytes",
        "request",
        "source",
        "was_late",
    )

    def __init__(self, handler: Handler, *, handshake_seconds: float) -> None:
        loop = asyncio.get_running_loop()
        self._handler = handler
        self._protocol = ServerProtocol(max_size=LARGEST_READ, logger=_library_log)
        self._transport: asyncio.Transport
        self._fragments: list[bytes | bytearray | memoryview] | None = None
        self._closing = False
        self._handshake_seconds = handshake_seconds
        # One timer is enough: first for the request, then for the end.
        self._timer: asyncio.TimerHandle | None = None
        self.number = 0
        self.source: str | None = None
        self.request: Request | None = None
        self.heard_at = loop.time()
        self.pinged_at: float | None = None
        self.queued_bytes = 0
        self.was_late = False

    @property
    def is_open(self) -> bool:
        """Whether messages can be sent."""
        return self._protocol.state is State.OPEN and not self._closing

    @property
    def close_received(self) -> bool:
        """Whether the client has said that it closes."""
        return self._protocol.close_rcvd is not None

    @property
    def remote_address(self) -> str:
        """The address that the connection comes from; empty when it is not known."""
        peer = self._transport.get_extra_info("peername")
        return str(peer[0]) if peer else ""

    def respond(self, status: int, text: str) -> Response:
        """Return an HTTP answer in plain text."""
        return self._protocol.reject(status, text)

    def send(self, message: str) -> None:
        """Send a text message; nothing once it is closing."""
        if not self._closing and self._protocol.state is State.OPEN:
            self._transport.write(text_frame(message.encode()))
            self._count_queued()

    def ping(self, now: float) -> None:
        """Ask whether the client is there."""
        if self.is_open:
            self.pinged_at = now
            self._protocol.send_ping(b"")
            self._flush()

    def close(self, code: int, reason: str) -> None:
        """Close it when everything before is sent, but soon in any case."""
        if self._closing:
            return
        self._closing = True
        if self._protocol.state is not State.OPEN:
            self.abort()
            return
        self._protocol.send_close(code, reason)
        self._flush()
        self._abort_in(FLUSH_TIMEOUT)

    def abort(self) -> None:
        """Drop it at once."""
        self._closing = True
        self._transport.abort()

    def pause(self) -> None:
        """Read no more for the moment."""
        self._transport.pause_reading()

    def resume(self) -> None:
        """Read on."""
        self._transport.resume_reading()

    # Called by the transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        assert isinstance(transport, asyncio.Transport), "of a stream"
        self._transport = transport
        loop = asyncio.get_running_loop()
        # TLS, if any, has had its own time.
        self._timer = loop.call_later(self._handshake_seconds, self._on_late_request)
        transport.set_write_buffer_limits(high=0)  # to be told when nothing waits any more
        self._handler.connected(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """End."""
        del exc
        self._closing = True
        self._cancel_timer()
        self._set_queued(0)
        self._handler.lost(self)

    def data_received(self, data: bytes) -> None:
        """Take what came."""
        self.heard_at = asyncio.get_running_loop().time()
        self.pinged_at = None
        self._protocol.receive_data(data)
        for event in self._protocol.events_received():
            if isinstance(event, Frame):
                self._on_frame(event)
            elif isinstance(event, Request):
                self._on_request(event)
        self._flush()

    def eof_received(self) -> bool | None:
        """Take that nothing more comes."""
        self._protocol.receive_eof()
        self._flush()
        return None  # the transport closes itself

    def resume_writing(self) -> None:
        """Take that nothing waits any more."""
        self._set_queued(0)

    def _on_late_request(self) -> None:
        self.was_late = True
        self.abort()

    def _on_request(self, request: Request) -> None:
        self.request = request
        response = self._handler.respond(self, request) or self._protocol.accept(request)
        self._protocol.send_response(response)
        self._flush()
        if self._protocol.state is State.OPEN:
            self._cancel_timer()
            self._handler.opened(self)

    def _on_frame(self, frame: Frame) -> None:
        """Make messages of frames; the library has checked their order and answered pings."""
        if self._closing or frame.opcode not in _DATA:
            return
        if frame.fin and frame.opcode is Opcode.TEXT:
            self._on_text(frame.data)
        elif frame.fin and frame.opcode is Opcode.BINARY:
            self._handler.received(self, bytes(frame.data))
        elif frame.opcode is Opcode.CONT:
            self._on_continuation(frame)
        else:
            self._fragments = [b"" if frame.opcode is Opcode.TEXT else b"\0", frame.data]

    def _on_continuation(self, frame: Frame) -> None:
        assert self._fragments is not None, "the library has checked the order"
        self._fragments.append(frame.data)
        if not frame.fin:
            if len(self._fragments) > MAX_FRAGMENTS:
                self._protocol.fail(CLOSE_TOO_LARGE, "too many fragments")
            return
        is_text, data = not self._fragments[0], b"".join(self._fragments[1:])
        self._fragments = None
        if is_text:
            self._on_text(data)
        else:
            self._handler.received(self, data)

    def _on_text(self, data: bytes | bytearray | memoryview) -> None:
        try:
            text = str(data, "utf-8")
        except UnicodeDecodeError:
            self._protocol.fail(CLOSE_BAD_UTF8, "no UTF-8")
        else:
            self._handler.received(self, text)

    def _flush(self) -> None:
        """Write what the library says; its empty string means that this end is done."""
        for data in self._protocol.data_to_send():
            if data:
                self._transport.write(data)
            else:
                self._end()
        self._count_queued()

    def _end(self) -> None:
        self._closing = True
        if self._transport.can_write_eof():
            # Closing at once would reset it if something is unread, and the last words be lost.
            self._transport.write_eof()
            self._abort_in(CLOSE_TIMEOUT)
        else:
            self._transport.close()
            self._abort_in(FLUSH_TIMEOUT)

    def _abort_in(self, seconds: float) -> None:
        self._cancel_timer()
        self._timer = asyncio.get_running_loop().call_later(seconds, self._transport.abort)

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _count_queued(self) -> None:
        size = self._transport.get_write_buffer_size()
        if size or self.queued_bytes:
            self._set_queued(size)

    def _set_queued(self, size: int) -> None:
        change, self.queued_bytes = size - self.queued_bytes, size
        if change:
            self._handler.queued(self, change)


_DATA = (Opcode.TEXT, Opcode.BINARY, Opcode.CONT)


def text_frame(data: bytes) -> bytes:
    """Return a whole text message as a server frames it. Source: RFC 6455 section 5.2."""
    size = len(data)
    if size <= SHORT:
        return bytes((TEXT_FIN, size)) + data
    if size <= LONG:
        return struct.pack("!BBH", TEXT_FIN, SHORT + 1, size) + data
    return struct.pack("!BBQ", TEXT_FIN, SHORT + 2, size) + data
