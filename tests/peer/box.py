"""A mailbox in memory: what one side sends, the other receives."""

import asyncio

from rtcsend.pairing.keys import Role, SessionKeys, derive_session_keys
from rtcsend.peer.signalling import SealedSignalling

KEYS: SessionKeys = derive_session_keys(bytes(32))


class Box:
    """One side's end. ``None`` in a queue means that the other side has left."""

    def __init__(
        self, inbound: "asyncio.Queue[bytes | None]", outbound: "asyncio.Queue[bytes | None]"
    ) -> None:
        self.inbound = inbound
        self.outbound = outbound

    async def send(self, body: bytes) -> None:
        self.outbound.put_nowait(body)

    async def receive_body(self) -> bytes | None:
        return await self.inbound.get()

    def leave(self) -> None:
        self.outbound.put_nowait(None)


def boxes() -> dict[Role, Box]:
    one: asyncio.Queue[bytes | None] = asyncio.Queue()
    other: asyncio.Queue[bytes | None] = asyncio.Queue()
    return {Role.SENDER: Box(one, other), Role.RECEIVER: Box(other, one)}


def signallings() -> dict[Role, SealedSignalling]:
    return {role: SealedSignalling(box, KEYS, role) for role, box in boxes().items()}
