"""The hostile side, in the test's own process: real pairing, real WebRTC, and then anything.

It meets the other side as the session does; what it says from then on is up to the test.
"""

import asyncio
import json
import os
from collections.abc import Mapping
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Any, Self

from rtcsend import connecting, session
from rtcsend.code.code import generate_code, parse_code_untrusted
from rtcsend.datapath.batched import BatchedPath
from rtcsend.datapath.channel import Channels
from rtcsend.errors import ConnectionLost, RtcsendError
from rtcsend.meeting.by_words import Visit
from rtcsend.meeting.place import Place
from rtcsend.options import CommonOptions
from rtcsend.pairing.keys import Role
from rtcsend.peer.signalling import SealedSignalling
from rtcsend.reconnecting import Link, Terms
from rtcsend.rendezvous.client import RendezvousClient
from rtcsend.transfer.frames import FRAME_HEADER

Fields = Mapping[str, object]


class Peer:
    """One hostile side; a context from the rendezvous to the end.

    Args:
        role: Whom it plays.
        url: Of the rendezvous.
        code: Of the other side, when this one receives.
    """

    def __init__(self, role: Role, url: str, *, code: str = "") -> None:
        self._role = role
        self._client = RendezvousClient(url)
        self._place = Place(url)
        self._stack = AsyncExitStack()
        self._link: Link | None = None
        self._channels: Channels | None = None
        self.code = code

    async def __aenter__(self) -> Self:
        await self._stack.enter_async_context(self._client)
        if self._role is Role.SENDER:
            nameplate = await self._client.allocate()
            self.code = str(generate_code(nameplate, words=2, entropy=os.urandom))
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._stack.aclose()

    async def connect(self) -> None:
        """Pair and connect; the other side has the code."""
        client, code, role = self._client, parse_code_untrusted(self.code), self._role
        visit = Visit(role, code, client, place=self._place)
        if role is Role.RECEIVER:
            await client.claim(code.nameplate)
        await visit.begin()
        if role is Role.SENDER:
            await visit.wait()
        met = await visit.pair()
        terms = Terms(
            role=role,
            keys=met.keys,
            place=self._place,
            ice_servers=(),
            timeout=30.0,
            emit=lambda _event: None,
        )
        signalling = SealedSignalling(met.mailbox, met.keys, role)
        self._link = Link(terms, signalling, rendezvous=client)
        await self._stack.enter_async_context(self._link)
        ours = session.greeting(CommonOptions(), connecting)
        if role is Role.RECEIVER:
            await signalling.send(ours)
        theirs = await signalling.receive_hello()
        if role is Role.SENDER:
            await signalling.send(ours)
        connection = await self._link.connect(connecting, ours=ours, theirs=theirs, ice_servers=())
        self._channels = connection.channels

    async def meet_again(self) -> None:
        """Lose the connection on purpose, and make another one."""
        assert self._link is not None, "connected"
        self._channels = (await self._link.meet_again(ConnectionLost("On purpose."))).channels

    @property
    def channels(self) -> Channels:
        assert self._channels is not None, "connected"
        return self._channels

    @property
    def path(self) -> BatchedPath:
        path = self.channels._path
        assert isinstance(path, BatchedPath)
        return path

    # What it says

    async def say(self, *messages: str | Fields) -> None:
        """Send control messages, or what are none."""
        for message in messages:
            text = message if isinstance(message, str) else json.dumps(message)
            await self.channels.send_control(text)

    async def frame(
        self, offset: int, payload: bytes = b"x", *, more: int = 0, start: bytes = b"\1\0\0\0"
    ) -> None:
        """Send a frame."""
        header = start + FRAME_HEADER.pack(0, 0, 0, more, offset)[4:]
        await self.channels.send_data(header + payload)

    async def content(self, data: bytes, *, start: int = 0, size: int = 65_536) -> None:
        """Send content in frames of ``size`` bytes."""
        for at in range(0, len(data), size):
            await self.frame(start + at, data[at : at + size])

    def raw(self, stream: int, ppid: int, data: bytes) -> None:
        """Send an SCTP message on any stream, with any payload type."""
        self.path.association.send(stream, ppid, data)
        self.path.wake()

    async def all_sent(self) -> None:
        """Return when nothing that was said raw waits here any more."""
        association = self.path.association
        while any(map(association.queued_on, (0, 1, 9))):  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.01)

    # What it hears

    async def hear(self, kind: str) -> dict[str, Any]:
        """Read until a control message of this type comes; frames are dropped."""
        while True:
            message = await self.channels.receive()
            if isinstance(message, str):
                heard: dict[str, Any] = json.loads(message)
                if heard["type"] == kind:
                    return heard
                assert heard["type"] != "abort", heard

    async def hear_end(self) -> str | None:
        """Return the code of the abort that the other side says by any way, and close.

        None when it just goes.
        """
        assert self._link is not None, "connected"
        try:
            while True:
                message = await self.channels.receive()
                if isinstance(message, str) and (heard := json.loads(message))["type"] == "abort":
                    await self.path.close()
                    return str(heard["code"])
        except ConnectionLost:
            pass
        try:
            await self._link.line.watch()
        except RtcsendError as exc:
            return exc.slug if exc.told_by_peer else None
        return None
