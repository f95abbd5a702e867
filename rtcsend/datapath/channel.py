"""The two DataChannels of a connection, with a bound on everything that waits.

A shell over the channels of a data path. Outwards it waits while ``bufferedAmount`` is high;
inwards it keeps what arrived until it is taken, up to a limit that no honest peer reaches: the
transfer protocol's window of unwritten bytes (docs/transfer-protocol.md) stays under it,
since SCTP as aiortc has it pushes nothing back.
"""

import asyncio
import logging
import math
from collections import deque
from collections.abc import Sequence
from sys import getsizeof
from typing import Final

from rtcsend.errors import ConnectionLost, PeerProtocolError, RtcsendError
from rtcsend.peer.ports import DataChannel, DataPath
from rtcsend.trace import Step, note

HIGH_WATER: Final = 1 << 20  # bytes of bufferedAmount above which sending waits; a few round trips
LOW_WATER: Final = 1 << 19  # bytes at which it goes on
CONTROL_HIGH_WATER: Final = 1 << 16  # bytes; a ping waits behind no more, on whatever path
CONTROL_LOW_WATER: Final = 1 << 14  # bytes
MAX_INBOUND: Final = 72 << 20  # bytes of memory; the receive window of 48 MiB, half as much again
MAX_INBOUND_MESSAGES: Final = 65_536  # so that empty messages cannot fill the memory either

logger = logging.getLogger("rtcsend.datapath")


class Channels:
    """Both channels as one pair of queues: text for control, bytes for data.

    To be made before the connection is established, since messages may arrive in the same
    instant. Call on the event loop only.
    """

    def __init__(self, path: DataPath) -> None:
        self._loop = asyncio.get_running_loop()
        self._path = path
        self._control = path.control
        self._data = path.data
        self._inbound: deque[str | bytes] = deque()
        self._inbound_size = 0
        self._failure: RtcsendError | None = None
        self._arrived = asyncio.Event()
        self._drained = asyncio.Event()
        self._closed = asyncio.Event()
        self._heard_at = -math.inf
        for channel, kind, low in (
            (path.control, str, CONTROL_LOW_WATER),
            (path.data, bytes, LOW_WATER),
        ):
            channel.bufferedAmountLowThreshold = low
            channel.on("message", lambda message, kind=kind: self._on_message(message, kind))
            channel.on("bufferedamountlow", self._drained.set)
            channel.on("close", self._on_close)
        path.data.once("message", lambda _message: note(Step.FIRST_BYTE))

    @property
    def failure(self) -> RtcsendError | None:
        """Why nothing more can come or go; None while the channels live."""
        return self._failure

    @property
    def heard_at(self) -> float:
        """When anything last came from the other side: a message, or less, on the loop's clock."""
        return max(self._heard_at, self._path.heard_at)

    @property
    def packet_payload(self) -> int:
        """Bytes of a message that one packet carries at present; 0 when nobody knows.

        Messages of so many bytes, or a multiple, leave no packet half empty.
        """
        return self._path.packet_payload

    async def send_control(self, text: str) -> None:
        """Queue a control message; waits while more than CONTROL_HIGH_WATER bytes wait.

        Raises:
            ConnectionLost: The channels are closed.
        """
        await self._wait_for_room(self._control, CONTROL_HIGH_WATER)
        self._control.send(text)

    async def send_data(self, frame: bytes) -> None:
        """Queue a frame; waits while more than HIGH_WATER bytes wait to be sent.

        Raises:
            ConnectionLost: The channels are closed.
        """
        await self._wait_for_room(self._data, HIGH_WATER)
        self._data.send(frame)

    async def send_frames(self, frames: Sequence[bytes]) -> None:
        """Queue frames, as many at once as there is room for.

        Raises:
            ConnectionLost: The channels are closed; some may be queued.
        """
        data = self._data
        for frame in frames:
            if data.bufferedAmount > HIGH_WATER or not self._is_open(data):
                await self._wait_for_room(data, HIGH_WATER)
            data.send(frame)

    async def receive(self) -> str | bytes:
        """Return the next message of either channel, in the order of their arrival.

        What arrived before the channels failed is given out first. Cancelling loses nothing.

        Raises:
            ConnectionLost: The channels are closed and everything has been taken.
            PeerProtocolError: The other side sent more than may wait, or of the wrong kind.
        """
        await self._wait_for_message()
        message = self._inbound.popleft()
        self._inbound_size -= getsizeof(message)
        if isinstance(message, bytes):
            self._path.taken(len(message))
        return message

    async def receive_all(self) -> Sequence[str | bytes]:
        """Return all messages that have arrived, at least one; else as :meth:`receive`.

        Raises:
            ConnectionLost: The channels are closed and everything has been taken.
            PeerProtocolError: The other side sent more than may wait, or of the wrong kind.
        """
        await self._wait_for_message()
        messages, self._inbound = self._inbound, deque()
        self._inbound_size = 0
        if size := sum(len(message) for message in messages if isinstance(message, bytes)):
            self._path.taken(size)
        return messages

    def fail(self, error: RtcsendError | None = None) -> None:
        """Note that the channels are gone; the first reason given is the one that counts."""
        if self._failure is None:
            self._failure = error or ConnectionLost("The connection to the other side broke.")
        self._arrived.set()
        self._drained.set()
        self._closed.set()

    async def wait_closed(self) -> None:
        """Return when the channels are gone."""
        await self._closed.wait()

    async def _wait_for_message(self) -> None:
        while not self._inbound:
            if self._failure is not None:
                raise self._failure
            self._arrived.clear()
            await self._arrived.wait()

    def _is_open(self, channel: DataChannel) -> bool:
        return self._failure is None and channel.readyState not in ("closing", "closed")

    async def _wait_for_room(self, channel: DataChannel, high_water: int) -> None:
        while channel.bufferedAmount > high_water and self._failure is None:
            self._drained.clear()
            await self._drained.wait()
        if not self._is_open(channel):
            self._on_close()  # the other side has reset the stream; "close" is emitted later
            assert self._failure is not None, "just failed"
            raise self._failure

    def _on_close(self) -> None:
        self.fail(self._path.breach)

    def _on_message(self, message: str | bytes, kind: type) -> None:
        """Keep a message. Must not raise: aiortc would end the connection without a word."""
        if self._failure is not None:
            return
        if not isinstance(message, kind):
            self.fail(PeerProtocolError("The other side mixed up its channels."))
            return
        # What it takes, not how long it is: one wide character makes a text four times as large.
        self._inbound_size += getsizeof(message)
        if self._inbound_size > MAX_INBOUND or len(self._inbound) >= MAX_INBOUND_MESSAGES:
            self.fail(PeerProtocolError("The other side sent more than it was allowed to."))
            return
        self._inbound.append(message)
        self._heard_at = self._loop.time()
        self._arrived.set()
