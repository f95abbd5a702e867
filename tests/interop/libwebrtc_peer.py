"""libwebrtc, the implementation of Chrome and others, by the package ``reactor-webrtc``.

Its channels cannot be agreed on beforehand: they are announced in-band (RFC 8832), and get the
streams that the DTLS role gives, even ones to the client (RFC 8832 §6). A test gives our side
the same. Chromium is the one that is tested with the streams that are always used.
"""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Final

import reactor_webrtc as webrtc

from tests.interop.peers import Outcome, frames

HIGH_WATER = 4 << 20  # bytes of bufferedAmount; libwebrtc queues 16 MiB
LOW_WATER = 1 << 20
STREAMS_AS_CLIENT: Final = (0, 2)
STREAMS_AS_SERVER: Final = (1, 3)
SLOWNESS = 0.002  # seconds for a frame


class LibwebrtcPeer:
    """A peer connection in this process, with threads of its own.

    Each callback comes on one of these threads, and is handed to the event loop.
    """

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self.candidates: asyncio.Queue[str | None] = asyncio.Queue()
        observer = webrtc.PeerConnectionObserver()
        observer.on_ice_candidate = self._on_candidate
        configuration = webrtc.RtcConfiguration(
            ice_servers=[], frame_metadata=False, dc_chunking=False
        )
        self._factory = webrtc.PeerConnectionFactory()
        self._connection: webrtc.PeerConnection | None = self._factory.create_peer_connection(
            configuration, observer
        )
        self._control = self._connection.create_data_channel("control")
        self._data = self._connection.create_data_channel("data")
        self._opened = [asyncio.Event(), asyncio.Event()]
        self._closed = asyncio.Event()
        self._drained = asyncio.Event()
        self._collected: asyncio.Queue[bytes] | None = None
        for channel, opened in zip((self._control, self._data), self._opened, strict=True):
            channel.on_open(self._on_loop(opened.set))
            channel.on_message(self._take(channel))
        self._data.on_close(self._on_loop(self._closed.set))
        self._data.set_buffered_amount_low_threshold(LOW_WATER)
        self._data.on_buffered_amount_low(self._on_loop(self._drained.set))

    def _on_loop(self, callback: Callable[[], None]) -> Callable[[], None]:
        return lambda: self._call(callback)

    def _call(self, callback: Callable[[], None]) -> None:
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(callback)

    def _take(self, channel: webrtc.DataChannel) -> Callable[[bytes, bool], None]:
        def take(message: bytes, binary: bool) -> None:
            if self._collected is not None and binary:
                self._call(lambda: self._collect_one(message))
            else:
                channel.send(message, binary)

        return take

    def _collect_one(self, message: bytes) -> None:
        assert self._collected is not None, "collecting"
        self._collected.put_nowait(message)

    def _on_candidate(self, candidate: webrtc.IceCandidate) -> None:
        self._call(lambda: self.candidates.put_nowait(candidate.candidate))

    @property
    def connection(self) -> webrtc.PeerConnection:
        assert self._connection is not None, "not closed"
        return self._connection

    async def offer(self) -> str:
        offer = await self.connection.create_offer()
        await self.connection.set_local_description(offer)
        return offer.sdp

    async def answer(self, sdp: str) -> str:
        await self.connection.set_remote_description(webrtc.SessionDescription("offer", sdp))
        answer = await self.connection.create_answer()
        await self.connection.set_local_description(answer)
        return answer.sdp

    async def accept(self, sdp: str) -> None:
        await self.connection.set_remote_description(webrtc.SessionDescription("answer", sdp))

    async def add_candidate(self, candidate: str | None) -> None:
        heard = webrtc.IceCandidate(candidate or "", "0", 0)
        await self.connection.add_ice_candidate(heard)

    async def wait_open(self) -> None:
        for opened in self._opened:
            await opened.wait()

    async def say(self, text: str) -> None:
        self._control.send(text.encode(), binary=False)

    async def collect(self, count: int, *, slowly: bool = False) -> Outcome:
        queue: asyncio.Queue[bytes] = asyncio.Queue()
        self._collected = queue
        digest = hashlib.sha256(await queue.get())
        started = self._loop.time()
        for _ in range(count - 1):
            digest.update(await queue.get())
            if slowly:
                await asyncio.sleep(SLOWNESS)
        return Outcome(digest.hexdigest(), self._loop.time() - started)

    async def push(self, count: int) -> Outcome:
        started, digest = self._loop.time(), hashlib.sha256()
        for frame in frames(count):
            while self._data.buffered_amount() > HIGH_WATER:
                self._drained.clear()
                if self._data.buffered_amount() > HIGH_WATER:
                    await self._drained.wait()
            self._data.send(frame)
            digest.update(frame)
        return Outcome(digest.hexdigest(), self._loop.time() - started)

    async def close_data(self) -> None:
        self._data.close()

    async def close(self) -> None:
        """It closes when nobody holds it any more."""
        self._connection = None

    def drop(self) -> None:
        """Let everything go, so that the process may have another: it holds our callbacks."""
        self._connection = None
        for channel in (self._control, self._data):
            channel.on_open(_nothing)
            channel.on_close(_nothing)
            channel.on_buffered_amount_low(_nothing)
            channel.on_message(lambda _message, _binary: None)
        del self._control, self._data, self._factory

    async def wait_closed(self) -> None:
        await self._closed.wait()


@asynccontextmanager
async def libwebrtc_peer() -> AsyncIterator[LibwebrtcPeer]:
    peer = LibwebrtcPeer()
    try:
        yield peer
    finally:
        peer.drop()


def _nothing() -> None:
    """Stand in for a callback."""
