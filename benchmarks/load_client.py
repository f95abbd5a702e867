"""Clients for loading a mailbox server, as cheap as real WebSockets can be.

The load shares two cores with the server that it loads, so this is no library: a request, frames
with a mask of zeros (RFC 6455 section 5.3 wants a mask, and applying this one takes no time),
and just as much of a protocol as one pairing needs.
"""

import asyncio
import re
import secrets
import struct
import time
from collections.abc import Callable
from typing import Any, Protocol, cast

KEY = b"dGhlIHNhbXBsZSBub25jZQ=="  # RFC 6455 section 1.3
MESSAGES = 10  # each way
SHORT, LONG = 125, 65_535  # bytes; how RFC 6455 section 5.2 writes a length


class LoadSocket(asyncio.Protocol):
    """One WebSocket: text frames out, text frames in."""

    def __init__(self, host: str, path: str) -> None:
        self._request = (
            (
                f"GET {path} HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\n"
                "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: "
            ).encode()
            + KEY
            + b"\r\n\r\n"
        )
        self._buffer = b""
        self._open = False
        self.is_connected = False
        self.transport: asyncio.Transport
        self.on_frame: Callable[[bytes], None] = lambda _frame: None
        self.on_lost: Callable[[], None] = lambda: None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)  # uvloop's are of other classes
        self.is_connected = True
        self.transport.write(self._request)

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        self.on_lost()

    def data_received(self, data: bytes) -> None:
        buffer = self._buffer + data if self._buffer else data
        if not self._open:
            head, end, rest = buffer.partition(b"\r\n\r\n")
            if not end:
                self._buffer = head
                return
            buffer = rest
            self._on_answer(head)
        self._buffer = self._take_frames(buffer)

    def _on_answer(self, head: bytes) -> None:
        self._open = b" 101 " in head[:16]
        if not self._open:
            self.transport.abort()

    def _take_frames(self, buffer: bytes) -> bytes:
        """Take whole frames, and return what is left."""
        start, size = 0, len(buffer)
        while size - start >= 2:
            code, length = buffer[start] & 15, buffer[start + 1]
            body = start + 2
            if length > SHORT:
                if size - start < 4:
                    break
                length, body = int.from_bytes(buffer[start + 2 : start + 4], "big"), start + 4
            if size - body < length:
                break
            start = body + length
            if code == 1:
                self.on_frame(buffer[body:start])
            elif code == 8:
                self.transport.write(b"\x88\x80\0\0\0\0")
            elif code == 9:
                self.transport.write(bytes((0x8A, 0x80 | length)) + bytes(4) + buffer[body:start])
        return buffer[start:]

    def send(self, text: bytes) -> None:
        size = len(text)
        head = bytes((0x81, 0x80 | size)) if size <= SHORT else struct.pack("!BBH", 0x81, 254, size)
        self.transport.write(head + b"\0\0\0\0" + text)


class Pairing(Protocol):
    """One complete pairing of two sockets, from nothing to nothing."""

    async def run(self) -> None:
        """Allocate, claim, MESSAGES each way, release.

        Raises:
            ConnectionError: The server ended it before.
        """
        ...


class _Pair:
    """What pairings of all servers have in common: two sockets, and messages in turn."""

    path = "/v1"

    def __init__(
        self,
        host: str,
        port: int,
        *,
        source: str,
        body: bytes,
        latencies: list[float],
        second_port: int | None = None,
    ) -> None:
        self._host, self._source = host, source
        self._ports = (port, second_port or port)
        self._body = body
        self._latencies = latencies
        self._loop = asyncio.get_running_loop()
        self._done: asyncio.Future[None] = self._loop.create_future()
        self._sockets: list[LoadSocket] = []
        self._ending = False
        self._sent_at = 0.0
        self._heard = 0

    async def run(self) -> None:
        try:
            await self._connect(self._on_first)
            await self._done
        finally:
            self._ending = True
            for socket in self._sockets:
                if socket.is_connected:
                    socket.transport.abort()

    async def _connect(self, on_frame: Callable[[LoadSocket, bytes], None]) -> LoadSocket:
        port = self._ports[len(self._sockets)]
        # The welcome may be here before create_connection comes back.
        socket = LoadSocket(f"{self._host}:{port}", self.path)
        socket.on_frame = lambda frame: on_frame(socket, frame)
        socket.on_lost = self._on_lost
        self._sockets.append(socket)
        await self._loop.create_connection(
            lambda: socket, self._host, port, local_addr=(self._source, 0)
        )
        return socket

    def _connect_second(self) -> None:
        task = self._loop.create_task(self._connect(self._on_second))
        task.add_done_callback(self._connected)

    def _connected(self, task: "asyncio.Task[LoadSocket]") -> None:
        if not task.cancelled() and (exc := task.exception()) is not None and not self._done.done():
            self._done.set_exception(exc)

    def _on_lost(self) -> None:
        if not self._ending and not self._done.done():
            self._done.set_exception(ConnectionError("the server closed a socket"))

    def _on_first(self, socket: LoadSocket, frame: bytes) -> None:
        raise NotImplementedError

    def _on_second(self, socket: LoadSocket, frame: bytes) -> None:
        raise NotImplementedError

    def _sending(self) -> None:
        self._sent_at = time.monotonic()

    def _hearing(self) -> bool:
        """Take note of a message, and return whether it was the last one."""
        self._latencies.append(time.monotonic() - self._sent_at)
        self._heard += 1
        return self._heard == 2 * MESSAGES


_NAMEPLATE = re.compile(rb'"nameplate": ?"(\d+)"')
_MAILBOX = re.compile(rb'"mailbox": ?"(\w+)"')


class RtcsendPairing(_Pair):
    """By rendezvous protocol version 1."""

    def _on_first(self, socket: LoadSocket, frame: bytes) -> None:
        if frame.startswith(b'{"type":"message"'):
            if self._hearing():
                self._ending = True
                socket.send(b'{"type":"release"}')
            else:
                self._say(socket)
        elif frame.startswith(b'{"type":"welcome"'):
            socket.send(b'{"type":"allocate","side":"%s"}' % secrets.token_urlsafe(16).encode())
        elif frame.startswith(b'{"type":"allocated"'):
            found = _NAMEPLATE.search(frame)
            assert found is not None, "it is in the answer"
            self._nameplate = found[1]
            self._connect_second()
        elif b'"joined"' in frame:
            self._say(socket)
        elif frame.startswith(b'{"type":"error"'):
            self._fail(frame)

    def _on_second(self, socket: LoadSocket, frame: bytes) -> None:
        if frame.startswith(b'{"type":"message"'):
            self._hearing()
            self._say(socket)
        elif frame.startswith(b'{"type":"welcome"'):
            side = secrets.token_urlsafe(16).encode()
            claim = b'{"type":"claim","nameplate":"%s","side":"%s"}'
            socket.send(claim % (self._nameplate, side))
        elif b'"left"' in frame:
            socket.send(b'{"type":"release"}')
            if not self._done.done():
                self._done.set_result(None)
        elif frame.startswith(b'{"type":"error"'):
            self._fail(frame)

    def _say(self, socket: LoadSocket) -> None:
        self._sending()
        socket.send(b'{"type":"message","body":"%s"}' % self._body)

    def _fail(self, frame: bytes) -> None:
        if not self._done.done():
            self._done.set_exception(ConnectionError(frame.decode()))


class WormholePairing(_Pair):
    """By the protocol of magic-wormhole's mailbox server: bind, allocate, claim, open, add."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._sides = tuple(secrets.token_hex(5).encode() for _ in range(2))

    def _on_first(self, socket: LoadSocket, frame: bytes) -> None:
        if b'"type": "message"' in frame:
            self._on_message(socket, frame, other=self._sides[1])
        elif b'"type": "welcome"' in frame:
            self._bind(socket, self._sides[0])
            socket.send(b'{"type":"allocate"}')
        elif b'"type": "allocated"' in frame:
            found = _NAMEPLATE.search(frame)
            assert found is not None, "it is in the answer"
            self._nameplate = found[1]
            socket.send(b'{"type":"claim","nameplate":"%s"}' % self._nameplate)
        elif b'"type": "claimed"' in frame:
            self._open_mailbox(socket, frame)
            self._connect_second()
        elif b'"type": "closed"' in frame and not self._done.done():
            self._done.set_result(None)

    def _on_second(self, socket: LoadSocket, frame: bytes) -> None:
        if b'"type": "message"' in frame:
            self._on_message(socket, frame, other=self._sides[0])
        elif b'"type": "welcome"' in frame:
            self._bind(socket, self._sides[1])
            socket.send(b'{"type":"claim","nameplate":"%s"}' % self._nameplate)
        elif b'"type": "claimed"' in frame:
            self._open_mailbox(socket, frame)
            socket.send(b'{"type":"release"}')
            self._say(socket)

    def _on_message(self, socket: LoadSocket, frame: bytes, *, other: bytes) -> None:
        if b'"side": "%s"' % other not in frame:
            return  # everybody in a mailbox gets everything, who said it as well
        if self._hearing():
            self._ending = True
            self._sockets[0].send(b'{"type":"release"}')
            for each in self._sockets:
                each.send(b'{"type":"close","mood":"happy"}')
        else:
            self._say(socket)

    def _bind(self, socket: LoadSocket, side: bytes) -> None:
        socket.send(b'{"type":"bind","appid":"rtcsend.benchmark","side":"%s"}' % side)

    def _open_mailbox(self, socket: LoadSocket, frame: bytes) -> None:
        found = _MAILBOX.search(frame)
        assert found is not None, "it is in the answer"
        socket.send(b'{"type":"open","mailbox":"%s"}' % found[1])

    def _say(self, socket: LoadSocket) -> None:
        self._sending()
        socket.send(b'{"type":"add","phase":"%d","body":"%s"}' % (self._heard, self._body))
