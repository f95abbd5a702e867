"""What waits to be sent on one WebSocket.

Frames are queued, so that one slow reader holds up nobody else; :meth:`Outgoing.pump` alone
sends. A reader that is too slow for its own queue, or for what all queues together may hold,
loses its socket, and can resume on another one.

Shell. Place in the flow: one for each socket of :mod:`signal_server.server`.
"""

import asyncio
from collections import deque

from websockets.asyncio.server import ServerConnection

from signal_server.metrics import Counters
from signal_server.outputs import CLOSE_TRY_LATER

FLUSH_TIMEOUT = 5.0  # seconds to take the last frames and the close; then the socket is dropped
SMALL_QUEUE = 65_536  # bytes; who has less waiting is not the one who fills the memory


class Outgoing:
    """The queue of one socket.

    Args:
        websocket: Open.
        counters: Those of the server; they know what waits in all.
        max_bytes: What may wait here.
        max_total_bytes: What may wait in all.
    """

    def __init__(
        self,
        websocket: ServerConnection,
        *,
        counters: Counters,
        max_bytes: int,
        max_total_bytes: int,
    ) -> None:
        self._websocket = websocket
        self._counters = counters
        self._max_bytes = max_bytes
        self._max_total_bytes = max_total_bytes
        self._frames: deque[str] = deque()
        self._bytes = 0
        self._close: tuple[int, str] | None = None
        self._wake = asyncio.Event()
        self._abort_timer: asyncio.TimerHandle | None = None

    def send(self, frame: str) -> None:
        """Queue a frame; with too much in the queue, drop the socket (its side can resume)."""
        if self._close is not None:
            return
        self._frames.append(frame)
        self._count(len(frame))
        crowded = self._counters.queued_bytes > self._max_total_bytes and self._bytes > SMALL_QUEUE
        if self._bytes > self._max_bytes or crowded:
            self._counters.limited("slow_reader")
            self._frames.clear()
            self._close = (CLOSE_TRY_LATER, "reading too slowly")
            self._websocket.transport.abort()  # a closing handshake would wait behind the rest
        self._wake.set()

    def close(self, code: int, reason: str) -> None:
        """Close the socket when everything queued before is sent, but soon in any case."""
        if self._close is not None:
            return
        self._close = (code, reason)
        self._abort_timer = asyncio.get_running_loop().call_later(
            FLUSH_TIMEOUT, self._websocket.transport.abort
        )
        self._wake.set()

    def end(self) -> None:
        """Give up timer and queue; the socket is gone."""
        if self._abort_timer is not None:
            self._abort_timer.cancel()
        self._frames.clear()
        self._count(-self._bytes)

    async def pump(self) -> None:
        """Send what is queued until the socket is to be closed, and close it."""
        while True:
            self._wake.clear()
            while self._frames:
                frame = self._frames.popleft()
                await self._websocket.send(frame)
                self._count(-len(frame))
            if self._close is not None:
                await self._websocket.close(*self._close)
                return
            await self._wake.wait()

    def _count(self, size: int) -> None:
        self._bytes += size
        self._counters.queued_bytes += size
