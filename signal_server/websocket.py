"""One connection of the server: HTTP, then WebSocket frames, on asyncio's transports.

What it does: feeds the Sans-I/O protocol of the package websockets, cuts messages out of its
frames, bounds what waits in either direction, misses who is gone. Simple requests and frames
pass by the package (:mod:`signal_server.plain_upgrade`, :mod:`signal_server.text_frames`).
What it does not: know what the frames say; that is :mod:`signal_server.sockets`.

There is no task and no queue in here: with ten thousand clients that is most of the memory, and
with hundreds of pairings a second most of the time. Shell.
Source: RFC 6455; websockets, "Integrate the Sans-I/O layer".
"""

import asyncio
import logging
from collections.abc import Callable
from functools import partial
from typing import cast

from websockets.frames import Frame, Opcode
from websockets.http11 import Request
from websockets.protocol import Protocol as Frames
from websockets.protocol import Side, State
from websockets.server import ServerProtocol

from signal_server.handler import Handler
from signal_server.messages import MAX_FRAME
from signal_server.outputs import CLOSE_TOO_LARGE
from signal_server.paced_reader import PacedReader
from signal_server.plain_upgrade import Asked, plain_upgrade_untrusted
from signal_server.text_frames import (
    ends_with_a_frame_untrusted,
    only_text_untrusted,
    text_frame,
)

CLOSE_TIMEOUT = 2.0  # seconds for the closing handshakes of WebSocket and TCP; who knows
FLUSH_TIMEOUT = 5.0  # seconds to take the last frames and the close; then it is dropped
LARGEST_READ = 2 * MAX_FRAME  # bytes; a frame somewhat too large gets an answer, above it a close
MAX_WAITING_FRAMES = 16  # that were read and cannot be taken yet; then TCP holds the client back
MAX_FRAGMENTS = 1_024  # of one message: empty ones would grow without a bound in bytes
CLOSE_BAD_UTF8 = 1007  # RFC 6455 section 7.4.1
END_OF_REQUEST = b"\r\n\r\n"

# The library logs whole frames at DEBUG, tokens and TURN credentials among them, and every
# port scan as an error with a traceback.
_library_log = logging.getLogger("rtcsend.rendezvous.server.websockets")
_library_log.setLevel(logging.CRITICAL)


class WebSocketConnection(asyncio.Protocol):
    """One connection, from its acceptance on.

    Args:
        handler: Told of everything.
        handshake_seconds: For the HTTP request.
        on_lost: Called last of all, when it is gone.

    Attributes:
        number: Of the socket, once it is open; the handler's.
        source: Whom it counts for; the handler's.
        asked: What the HTTP request says.
        is_open: Whether messages can be sent.
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
        "_held",
        "_in_step",
        "_loop",
        "_on_lost",
        "_protocol",
        "_reader",
        "_timer",
        "_transport",
        "asked",
        "heard_at",
        "is_open",
        "number",
        "pinged_at",
        "queued_bytes",
        "source",
        "was_late",
    )

    def __init__(
        self,
        handler: Handler,
        *,
        handshake_seconds: float,
        on_lost: Callable[[], None] | None = None,
    ) -> None:
        self._loop = asyncio.get_running_loop()  # asking for it is a system call in Python 3.11
        self._handler = handler
        self._on_lost = on_lost
        # Made when the first bytes show which one it takes.
        self._protocol: Frames | None = None
        self._transport: asyncio.Transport
        self._reader = PacedReader(take=self._take, spend=partial(handler.pace, self))
        self._fragments: list[bytes | bytearray | memoryview] | None = None
        self._closing = False
        # What one read brings about, and is written at its end; None between reads.
        self._held: list[bytes] | None = None
        # What comes next is the beginning of a frame, and of a message.
        self._in_step = False
        self._handshake_seconds = handshake_seconds
        # One timer is enough: first for the request, then for the end.
        self._timer: asyncio.TimerHandle | None = None
        self.number = 0
        self.source: str | None = None
        self.asked: Asked | None = None
        self.is_open = False
        self.heard_at = self._loop.time()
        self.pinged_at: float | None = None
        self.queued_bytes = 0
        self.was_late = False

    @property
    def close_received(self) -> bool:
        """Whether the client has said that it closes."""
        return self._protocol is not None and self._protocol.close_rcvd is not None

    @property
    def remote_address(self) -> str:
        """The address that the connection comes from; empty when it is not known."""
        peer = self._transport.get_extra_info("peername")
        return str(peer[0]) if peer else ""

    def send(self, message: str) -> None:
        """Send a text message; nothing once it is closing."""
        if self.is_open:
            self._write(text_frame(message.encode()))

    def ping(self, now: float) -> None:
        """Ask whether the client is there."""
        if self.is_open and self._protocol is not None:
            self.pinged_at = now
            self._protocol.send_ping(b"")
            self._flush(self._protocol)

    def close(self, code: int, reason: str) -> None:
        """Close it when everything before is sent, but soon in any case."""
        if self._closing:
            return
        self._closing, self.is_open = True, False
        if self._protocol is None or self._protocol.state is not State.OPEN:
            self.abort()
            return
        self._protocol.send_close(code, reason)
        self._flush(self._protocol)
        self._abort_in(FLUSH_TIMEOUT)

    def abort(self) -> None:
        """Drop it at once."""
        self._closing, self.is_open = True, False
        if self._held:
            self._held.clear()
        self._transport.abort()

    def pause(self) -> None:
        """Read no more for the moment."""
        self._reader.hold()

    def resume(self) -> None:
        """Read on."""
        self._reader.release()

    # Called by the transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's are of other classes
        self._reader.attach(self._transport)
        # TLS, if any, has had its own time.
        self._timer = self._loop.call_later(self._handshake_seconds, self._on_late_request)
        self._transport.set_write_buffer_limits(high=0)  # to be told when nothing waits any more
        self._handler.connected(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """End."""
        del exc
        self._closing, self.is_open = True, False
        self._cancel_timer()
        self._reader.stop()
        self._set_queued(0)
        self._handler.lost(self)
        if self._on_lost is not None:
            self._on_lost()

    def data_received(self, data: bytes) -> None:
        """Take what came."""
        self.heard_at = self._loop.time()
        self.pinged_at = None
        self._reader.feed(data)

    def _take(self, data: bytes) -> int:
        """Take a piece, and return how many frames end in it."""
        frames = 1
        self._held = []
        was_in_step = self._in_step
        text = only_text_untrusted(data) if was_in_step and self.is_open else None
        if text is not None:
            self._on_text(text)
        else:
            frames = self._feed(data)
            if was_in_step:
                self._in_step = self._fragments is None and ends_with_a_frame_untrusted(data)
        if self._held:
            self._write_held()
        else:
            self._held = None
        return frames

    def _feed(self, data: bytes) -> int:
        """Have the library take it, and return how many frames, or requests, it made of it."""
        if self._protocol is None and self._is_plain_upgrade(data):
            return 1
        protocol = self._library()
        protocol.receive_data(data)
        events = protocol.events_received()
        for event in events:
            if isinstance(event, Frame):
                self._on_frame(protocol, event)
            elif isinstance(event, Request):
                # Most send it in one piece, and nothing behind it before the answer.
                end = data.find(END_OF_REQUEST) + len(END_OF_REQUEST)
                self._in_step = data.startswith(b"GET ") and end == len(data)
                self._on_request(event)
        self._flush(protocol)
        return len(events)

    def _library(self) -> Frames:
        """Return the library's protocol, which has HTTP to do where there is none yet."""
        if self._protocol is None:
            self._protocol = ServerProtocol(max_size=LARGEST_READ, logger=_library_log)
        return self._protocol

    def _is_plain_upgrade(self, data: bytes) -> bool:
        """Open a WebSocket where that takes no more than a glance, and say whether it did."""
        upgrade = plain_upgrade_untrusted(data)
        if upgrade is None or self._handler.respond(upgrade.asked) is not None:
            return False  # the library answers
        self._protocol = Frames(Side.SERVER, max_size=LARGEST_READ, logger=_library_log)
        self._write(upgrade.answer())
        self.is_open = self._in_step = True
        self._open(upgrade.asked)
        return True

    def eof_received(self) -> bool | None:
        """Take that nothing more comes."""
        protocol = self._library()
        protocol.receive_eof()
        self._flush(protocol)
        return None  # the transport closes itself

    def resume_writing(self) -> None:
        """Take that nothing waits any more."""
        self._set_queued(0)

    def _on_late_request(self) -> None:
        self.was_late = True
        self.abort()

    def _on_request(self, request: Request) -> None:
        protocol = self._protocol
        assert isinstance(protocol, ServerProtocol), "the others parse no requests"
        if protocol.eof_sent:
            return  # what came with the request has ended it: a second one, or junk
        asked = Asked(
            request.path.partition("?")[0],
            request.headers.get_all("Forwarded"),
            request.headers.get_all("X-Forwarded-For"),
        )
        protocol.send_response(self._handler.respond(asked) or protocol.accept(request))
        self._flush(protocol)
        if self.is_open:
            self._open(asked)

    def _open(self, asked: Asked) -> None:
        self.asked = asked
        self._cancel_timer()
        self._handler.opened(self)

    def _on_frame(self, protocol: Frames, frame: Frame) -> None:
        """Make messages of frames; the library has checked their order and answered pings."""
        if self._closing or frame.opcode not in _DATA:
            return
        if frame.fin and frame.opcode is Opcode.TEXT:
            self._on_text(frame.data)
        elif frame.fin and frame.opcode is Opcode.BINARY:
            self._handler.received(self, bytes(frame.data))
        elif frame.opcode is Opcode.CONT:
            self._on_continuation(protocol, frame)
        else:
            self._fragments = [b"" if frame.opcode is Opcode.TEXT else b"\0", frame.data]

    def _on_continuation(self, protocol: Frames, frame: Frame) -> None:
        assert self._fragments is not None, "the library has checked the order"
        self._fragments.append(frame.data)
        if not frame.fin:
            if len(self._fragments) > MAX_FRAGMENTS:
                protocol.fail(CLOSE_TOO_LARGE, "too many fragments")
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
            protocol = self._library()
            protocol.fail(CLOSE_BAD_UTF8, "no UTF-8")
            self._flush(protocol)
        else:
            self._handler.received(self, text)

    def _flush(self, protocol: Frames) -> None:
        """Write what the library says; its empty string means that this end is done."""
        for data in protocol.data_to_send():
            if data:
                self._write(data)
            else:
                self._end()
        self.is_open = protocol.state is State.OPEN and not self._closing

    def _write(self, data: bytes) -> None:
        if self._held is not None:
            self._held.append(data)
            return
        self._transport.write(data)
        size = self._transport.get_write_buffer_size()
        if size or self.queued_bytes:
            self._set_queued(size)

    def _write_held(self) -> None:
        held, self._held = self._held, None
        if held:
            self._write(b"".join(held))

    def _end(self) -> None:
        self._closing, self.is_open = True, False
        self._write_held()
        if self._transport.can_write_eof():
            # Closing at once would reset it if something is unread, and the last words be lost.
            try:
                self._transport.write_eof()
            except OSError:  # ENOTCONN: the other end has reset it
                self._transport.abort()
            self._abort_in(CLOSE_TIMEOUT)
        else:
            self._transport.close()
            self._abort_in(FLUSH_TIMEOUT)

    def _abort_in(self, seconds: float) -> None:
        self._cancel_timer()
        self._timer = self._loop.call_later(seconds, self._transport.abort)

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _set_queued(self, size: int) -> None:
        change, self.queued_bytes = size - self.queued_bytes, size
        if change:
            self._handler.queued(self, change)


_DATA = (Opcode.TEXT, Opcode.BINARY, Opcode.CONT)
