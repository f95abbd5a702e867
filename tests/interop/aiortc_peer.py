"""aiortc as it comes."""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiortc import RTCConfiguration, RTCDataChannel, RTCPeerConnection, RTCSessionDescription
from aiortc.sdp import candidate_from_sdp

from tests.interop.peers import Outcome, frames

HIGH_WATER = 1 << 20  # bytes of bufferedAmount
LOW_WATER = 1 << 18
SLOWNESS = 0.002  # seconds for a frame


class AiortcPeer:
    """An RTCPeerConnection in this process.

    Args:
        negotiated: Its channels are agreed on; else it opens them in-band, by the same numbers.
    """

    def __init__(self, *, negotiated: bool = True) -> None:
        self._negotiated = negotiated
        self.candidates: asyncio.Queue[str | None] = asyncio.Queue()
        self._connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        self._control = self._channel("control", 0)
        self._data = self._channel("data", 1)
        self._open = {self._control: asyncio.Event(), self._data: asyncio.Event()}
        self._closed = asyncio.Event()
        self._drained = asyncio.Event()
        self._collected: asyncio.Queue[bytes] | None = None
        for channel, opened in self._open.items():
            channel.on("open", opened.set)
            channel.on("message", lambda message, channel=channel: self._take(channel, message))
        self._data.on("close", self._closed.set)
        self._data.on("bufferedamountlow", self._drained.set)
        self._data.bufferedAmountLowThreshold = LOW_WATER

    def _channel(self, label: str, number: int) -> RTCDataChannel:
        return self._connection.createDataChannel(label, negotiated=self._negotiated, id=number)

    def another_channel(self) -> RTCDataChannel:
        """Open a channel in-band that is none of the two."""
        return self._connection.createDataChannel("another")

    def _take(self, channel: RTCDataChannel, message: str | bytes) -> None:
        if self._collected is not None and isinstance(message, bytes):
            self._collected.put_nowait(message)
        else:
            channel.send(message)

    async def offer(self) -> str:
        await self._connection.setLocalDescription(await self._connection.createOffer())
        return self._described()

    async def answer(self, sdp: str) -> str:
        await self._connection.setRemoteDescription(RTCSessionDescription(sdp=sdp, type="offer"))
        await self._connection.setLocalDescription(await self._connection.createAnswer())
        return self._described()

    async def accept(self, sdp: str) -> None:
        await self._connection.setRemoteDescription(RTCSessionDescription(sdp=sdp, type="answer"))

    def _described(self) -> str:
        """Its candidates are in its description."""
        sdp: str = self._connection.localDescription.sdp
        for line in sdp.splitlines():
            if line.startswith("a=candidate:"):
                self.candidates.put_nowait(line)
        self.candidates.put_nowait(None)
        return sdp

    async def add_candidate(self, candidate: str | None) -> None:
        heard = None
        if candidate is not None:
            heard = candidate_from_sdp(candidate.removeprefix("candidate:"))
            heard.sdpMid = "0"
        await self._connection.addIceCandidate(heard)

    async def wait_open(self) -> None:
        for channel, opened in self._open.items():
            if channel.readyState != "open":  # on the answering side nobody is told
                await opened.wait()

    async def say(self, text: str) -> None:
        self._control.send(text)

    async def collect(self, count: int, *, slowly: bool = False) -> Outcome:
        clock = asyncio.get_running_loop().time
        queue: asyncio.Queue[bytes] = asyncio.Queue()
        self._collected = queue
        digest = hashlib.sha256(await queue.get())
        started = clock()
        for _ in range(count - 1):
            digest.update(await queue.get())
            if slowly:
                await asyncio.sleep(SLOWNESS)
        return Outcome(digest.hexdigest(), clock() - started)

    async def push(self, count: int) -> Outcome:
        clock = asyncio.get_running_loop().time
        started, digest = clock(), hashlib.sha256()
        for frame in frames(count):
            while self._data.bufferedAmount > HIGH_WATER:
                self._drained.clear()
                await self._drained.wait()
            self._data.send(frame)
            digest.update(frame)
        return Outcome(digest.hexdigest(), clock() - started)

    async def close_data(self) -> None:
        self._data.close()

    async def close(self) -> None:
        await self._connection.close()

    async def wait_closed(self) -> None:
        if self._data.readyState != "closed":
            await self._closed.wait()


@asynccontextmanager
async def aiortc_peer(*, negotiated: bool = True) -> AsyncIterator[AiortcPeer]:
    peer = AiortcPeer(negotiated=negotiated)
    try:
        yield peer
    finally:
        await peer.close()
