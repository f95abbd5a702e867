"""A rendezvous server at whose doors anything may happen to a body.

Speaks as much of protocol version 1 as two known machines need: ``meet``, two sides a name,
presence. What becomes of each body is decided by an attack.
"""

import json
import secrets
from collections.abc import Callable
from types import TracebackType
from typing import Self

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from rtcsend.rendezvous.frames import serialize
from rtcsend.rendezvous.messages import Message, Peer, Welcome
from rtcsend.rendezvous.wire import decode_base64url_untrusted

Attack = Callable[[bytes], tuple[list[bytes], list[bytes]]]
"""Takes a body; returns what the other side gets, and what its own side gets."""


def honest(body: bytes) -> tuple[list[bytes], list[bytes]]:
    return [body], []


class HostileDoors:
    """The server, running while it is entered.

    Args:
        attack: What it does.
    """

    def __init__(self, attack: Attack) -> None:
        self.attack = attack
        self.seen: list[bytes] = []
        self._mailboxes: dict[str, list[ServerConnection]] = {}
        self._said: dict[ServerConnection, list[bytes]] = {}
        self._server: Server | None = None

    async def __aenter__(self) -> Self:
        self._server = await serve(self._handle, "127.0.0.1", 0, compression=None)
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        assert self._server is not None, "it was entered"
        self._server.close()
        await self._server.wait_closed()

    @property
    def url(self) -> str:
        assert self._server is not None, "it was entered"
        port: int = next(iter(self._server.sockets)).getsockname()[1]
        return f"ws://127.0.0.1:{port}/v1"

    async def _handle(self, socket: ServerConnection) -> None:
        sides: list[ServerConnection] = []
        try:
            await socket.send(serialize(Welcome(server="hostile")))
            async for raw in socket:
                message = json.loads(raw)
                match message["type"]:
                    case "meet":
                        sides = self._mailboxes.setdefault(message["mailbox"], [])
                        await self._come(socket, sides)
                    case "message":
                        body = decode_base64url_untrusted(message["body"])
                        await self._pass_on(socket, sides, body)
                    case _:
                        break
        except ConnectionClosed:
            pass
        finally:
            if socket in sides:
                sides.remove(socket)
            for other in sides:
                await _send(other, serialize(Peer("left")))
            sides.clear()  # whoever remains meets again

    async def _come(self, socket: ServerConnection, sides: list[ServerConnection]) -> None:
        answer = {"type": "claimed", "token": secrets.token_urlsafe(16)}
        await _send(socket, json.dumps(answer))
        others = list(sides)
        sides.append(socket)
        self._said[socket] = []
        for other in others:
            for body in self._said[other]:
                await _send(socket, serialize(Message(body)))
            await _send(socket, serialize(Peer("joined")))
            await _send(other, serialize(Peer("joined")))

    async def _pass_on(
        self, socket: ServerConnection, sides: list[ServerConnection], body: bytes
    ) -> None:
        self.seen.append(body)
        to_other, to_itself = self.attack(body)
        self._said[socket] += to_other
        for other in sides:
            for each in to_other if other is not socket else to_itself:
                await _send(other, serialize(Message(each)))


async def _send(socket: ServerConnection, frame: str) -> None:
    try:
        await socket.send(frame)
    except ConnectionClosed:
        return
