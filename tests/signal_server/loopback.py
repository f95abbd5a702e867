"""A server on loopback, and clients that speak to it frame by frame."""

import asyncio
from collections.abc import Callable
from typing import Any

from websockets.asyncio.client import ClientConnection, connect

from signal_server.config import ServerConfig
from signal_server.messages import (
    ClientMessage,
    ServerMessage,
    parse_server_message_untrusted,
    serialize,
)
from signal_server.server import RendezvousServer


def config(**kwargs: Any) -> ServerConfig:
    return ServerConfig(**{"host": "127.0.0.1", "port": 0, **kwargs})


def dial(server: RendezvousServer, **kwargs: Any) -> connect:
    return connect(f"ws://127.0.0.1:{server.port}/v1", proxy=None, **kwargs)


async def read(websocket: ClientConnection) -> ServerMessage:
    frame = await websocket.recv()
    assert isinstance(frame, str)
    return parse_server_message_untrusted(frame)


async def say(websocket: ClientConnection, message: ClientMessage) -> None:
    await websocket.send(serialize(message))


async def http(server: RendezvousServer, request: bytes) -> tuple[bytes, bytes]:
    """Return head and body of the answer to a plain HTTP request."""
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(request)
    answer = await reader.read()
    writer.close()
    head, _, body = answer.partition(b"\r\n\r\n")
    return head, body


async def until(condition: Callable[[], bool]) -> None:
    """Wait for what the server notices by itself, and tells nobody."""
    async with asyncio.timeout(90):
        while not condition():  # noqa: ASYNC110 - there is no event
            await asyncio.sleep(0.005)


def get(path: str) -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: h\r\n\r\n".encode()
