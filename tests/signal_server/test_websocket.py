"""A connection that is fed in pieces: what was said does not depend on how it was cut."""

import asyncio
import errno
import itertools
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.frames import Frame, Opcode
from websockets.http11 import Response

from signal_server.plain_upgrade import Asked
from signal_server.websocket import WebSocketConnection

REQUEST = (
    b"GET /v1 HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)


class Wire(asyncio.Transport):
    """Takes what is written, in writes; nothing ever waits."""

    def __init__(self) -> None:
        super().__init__()
        self.written: list[bytes] = []

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return default

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Nothing waits."""

    def get_write_buffer_size(self) -> int:
        return 0

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written.append(bytes(data))

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        self.written.append(b"")

    def abort(self) -> None:
        """Nobody waits for it."""

    def pause_reading(self) -> None:
        """It is fed by hand."""

    def resume_reading(self) -> None:
        """It is fed by hand."""


class Heard:
    """Welcomes whoever comes, answers each message, and remembers."""

    def __init__(self) -> None:
        self.messages: list[str | bytes] = []
        self.lost_connections = 0

    def connected(self, connection: WebSocketConnection) -> None:
        """Nothing to do."""

    def respond(self, asked: Asked) -> Response | None:
        return None

    def opened(self, connection: WebSocketConnection) -> None:
        connection.send("welcome")

    def received(self, connection: WebSocketConnection, message: str | bytes) -> None:
        self.messages.append(message)
        connection.send("heard")
        connection.send("more")

    def pace(self, connection: WebSocketConnection, units: int) -> float:
        return 0.0

    def queued(self, connection: WebSocketConnection, change: int) -> None:
        """Nothing waits."""

    def lost(self, connection: WebSocketConnection) -> None:
        self.lost_connections += 1


def feed(pieces: list[bytes]) -> tuple[Heard, Wire]:
    async def run() -> tuple[Heard, Wire]:
        heard, wire = Heard(), Wire()
        connection = WebSocketConnection(heard, handshake_seconds=10)
        connection.connection_made(wire)
        for piece in pieces:
            connection.data_received(piece)
        connection.connection_lost(None)
        assert not connection.is_open
        return heard, wire

    with asyncio.Runner() as runner:
        return runner.run(run())


def frame(opcode: Opcode, data: bytes = b"", *, fin: bool = True) -> bytes:
    return Frame(opcode, data, fin).serialize(mask=True)


def say(text: str, *, fragments: int = 1) -> list[bytes]:
    """Return a message in so many frames."""
    data = text.encode()
    size = -(-len(data) // fragments) or 1
    parts = [data[at : at + size] for at in range(0, len(data), size)] or [b""]
    last = len(parts) - 1
    return [
        frame(Opcode.CONT if number else Opcode.TEXT, part, fin=number == last)
        for number, part in enumerate(parts)
    ]


@given(
    said=st.lists(st.tuples(st.text(max_size=200), st.integers(1, 3)), max_size=5),
    pings=st.lists(st.integers(0, 15), max_size=3),
    cuts=st.lists(st.integers(0, 1_500), max_size=6),
    at_frames=st.booleans(),
)
def test_all_is_heard_however_it_is_cut(
    said: list[tuple[str, int]], pings: list[int], cuts: list[int], at_frames: bool
) -> None:
    frames = [each for text, fragments in said for each in say(text, fragments=fragments)]
    for ping in pings:
        frames.insert(min(ping, len(frames)), frame(Opcode.PING, b"are you there"))
    pieces = [REQUEST, *frames]
    if not at_frames:
        data = b"".join(pieces)
        places = [0, *sorted(cuts), len(data)]
        pieces = [data[a:b] for a, b in itertools.pairwise(places) if data[a:b]]
    heard, wire = feed(pieces)
    assert heard.messages == [text for text, _ in said]
    pong = Frame(Opcode.PONG, b"are you there").serialize(mask=False)
    assert b"".join(wire.written).count(pong) == len(pings)


@pytest.mark.parametrize("split", [True, False])
def test_a_message_inside_another_one_is_refused(*, split: bool) -> None:
    begun, text = frame(Opcode.TEXT, b"a", fin=False), frame(Opcode.TEXT, b"b")
    heard, wire = feed([REQUEST, begun, text] if split else [REQUEST, begun + text])
    assert heard.messages == []
    assert wire.written[-2][2:4] == (1002).to_bytes(2, "big")  # RFC 6455 section 7.4.1


@pytest.mark.parametrize("before", [[], say("a")])
def test_what_is_no_utf8_ends_it(before: list[bytes]) -> None:
    heard, wire = feed([REQUEST, *before, frame(Opcode.TEXT, b"\xff"), *say("b")])
    assert heard.messages == ["a"][: len(before)]
    assert wire.written[-2][2:4] == (1007).to_bytes(2, "big")
    assert wire.written[-1] == b""


def test_after_a_close_nothing_is_heard_or_said() -> None:
    heard, wire = feed([REQUEST, frame(Opcode.CLOSE), *say("late")])
    assert heard.messages == []
    assert wire.written[-1] == b""


def test_what_one_read_brings_about_is_one_write() -> None:
    _, wire = feed([REQUEST, *say("a")])
    assert len(wire.written) == 2  # the answer with the welcome, and both answers to the message
    assert wire.written[0].endswith(b"\r\n\r\n\x81\x07welcome")
    assert wire.written[1] == b"\x81\x05heard\x81\x04more"


def test_one_that_was_reset_is_not_written_to(monkeypatch: pytest.MonkeyPatch) -> None:
    def reset(_wire: Wire) -> None:
        raise OSError(errno.ENOTCONN, "reset")

    monkeypatch.setattr(Wire, "write_eof", reset)

    async def run() -> None:
        wire = Wire()
        connection = WebSocketConnection(Heard(), handshake_seconds=10)
        connection.connection_made(wire)
        connection.data_received(REQUEST)
        assert connection.is_open
        connection.eof_received()
        written = len(wire.written)
        connection.send("to somebody who has gone")
        assert len(wire.written) == written
        connection.connection_lost(None)

    with asyncio.Runner() as runner:
        runner.run(run())
