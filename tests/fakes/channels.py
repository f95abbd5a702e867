"""Two DataChannels in memory: delayed, ordered, bounded, and breakable.

Each end behaves as :class:`rtcsend.datapath.channel.Channels` does: sending data waits while
too much is queued, what arrived before a failure is given out first, and what may wait
unread is bounded. For event loops on virtual time (:mod:`tests.fakes.clock`).
"""

import asyncio
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rtcsend.datapath.channel import HIGH_WATER, LOW_WATER, MAX_INBOUND
from rtcsend.errors import ConnectionLost, PeerProtocolError, RtcsendError
from rtcsend.transfer.frames import FRAME_HEADER
from tests.fakes.link import Lane

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(frozen=True, kw_only=True)
class Network:
    """How the messages travel, in each direction."""

    control_delay: float = 0.01  # seconds
    data_delay: float = 0.01  # seconds
    bytes_per_s: float = 1e9  # of the data channel
    packet_payload: int = 0  # bytes; 0: nobody knows


class FakeChannels:
    """One end. Made in pairs, by :func:`channel_pair`, on a running loop."""

    def __init__(self, network: Network) -> None:
        self.peer: FakeChannels = self
        self.controls_sent: list[str] = []
        self.payload_sent = 0
        self.payload_received = 0
        """Bytes of file that have arrived at this end, frame headers left out."""
        self.on_arrival: Callable[[], None] = _nothing
        self._loop = asyncio.get_running_loop()
        self._network = network
        self._heard_at = self._loop.time()
        self._control: Lane[str] = Lane()
        self._data: Lane[bytes] = Lane()
        self._wire_free_at = 0.0
        self._buffered = 0
        self._drained = asyncio.Event()
        self._inbound: deque[str | bytes] = deque()
        self._inbound_size = 0
        self._arrived = asyncio.Event()
        self._failure: RtcsendError | None = None
        self._closed = asyncio.Event()
        self._is_cut = False

    async def send_control(self, text: str) -> None:
        self._check()
        self.controls_sent.append(text)
        arrival = self._control.put(text, arrival=self._loop.time() + self._network.control_delay)
        self._loop.call_at(arrival, self._arrive, arrival)

    @property
    def packet_payload(self) -> int:
        return self._network.packet_payload

    @property
    def heard_at(self) -> float:
        return self._heard_at

    async def send_frames(self, frames: Sequence[bytes]) -> None:
        for frame in frames:
            await self.send_data(frame)

    async def send_data(self, frame: bytes) -> None:
        while self._buffered > HIGH_WATER and self._failure is None:
            self._drained.clear()
            await self._drained.wait()
        self._check()
        self.payload_sent += len(frame) - FRAME_HEADER.size
        self._buffered += len(frame)
        start = max(self._loop.time(), self._wire_free_at)
        self._wire_free_at = start + len(frame) / self._network.bytes_per_s
        self._loop.call_at(self._wire_free_at, self._leave, len(frame))
        arrival = self._data.put(frame, arrival=self._wire_free_at + self._network.data_delay)
        self._loop.call_at(arrival, self._arrive, arrival)

    async def receive(self) -> str | bytes:
        while not self._inbound:
            self._check()
            self._arrived.clear()
            await self._arrived.wait()
        message = self._inbound.popleft()
        self._inbound_size -= len(message)
        return message

    async def receive_all(self) -> Sequence[str | bytes]:
        messages = [await self.receive()]
        while self._inbound:
            messages.append(await self.receive())
        return messages

    async def wait_closed(self) -> None:
        await self._closed.wait()

    def close(self) -> None:
        """End the connection: here at once, there as soon as the news have travelled."""
        self.fail()
        self._loop.call_later(self._network.control_delay, self.peer.fail)

    def break_down(self) -> None:
        """End the connection at both ends at once; what is on its way is lost."""
        for end in (self, self.peer):
            end.cut()
            end.fail()

    def cut(self) -> None:
        """From now on nothing leaves this end any more, and it is not told."""
        self._is_cut = True
        self._control.clear()
        self._data.clear()

    def fail(self, error: RtcsendError | None = None) -> None:
        if self._failure is None:
            self._failure = error or ConnectionLost("The fake connection broke.")
        for event in (self._arrived, self._drained, self._closed):
            event.set()

    def _check(self) -> None:
        if self._failure is not None:
            raise self._failure

    def _leave(self, size: int) -> None:
        self._buffered -= size
        if self._buffered <= LOW_WATER:
            self._drained.set()

    def _arrive(self, now: float) -> None:
        lanes: tuple[Lane[str] | Lane[bytes], ...] = (self._control, self._data)
        for lane in lanes:
            while (message := lane.take_due(now=now)) is not None:
                if not self._is_cut:
                    self.peer._take(message)

    def _take(self, message: str | bytes) -> None:
        if self._failure is not None:
            return
        self._heard_at = self._loop.time()
        self._inbound.append(message)
        self._inbound_size += len(message)
        if self._inbound_size > MAX_INBOUND:
            self.fail(PeerProtocolError("More than may wait has arrived."))
        if isinstance(message, bytes):
            self.payload_received += len(message) - FRAME_HEADER.size
        self.on_arrival()
        self._arrived.set()


def channel_pair(network: Network | None = None) -> tuple[FakeChannels, FakeChannels]:
    """Return the two ends of a new connection."""
    one, other = (FakeChannels(network or Network()) for _ in range(2))
    one.peer, other.peer = other, one
    return one, other


def _nothing() -> None:
    """Stand in until somebody wants to know."""
