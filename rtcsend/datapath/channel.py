"""The two DataChannels of a connection, with a bound on everything that waits.

A shell over the channels of a data path. Outwards it waits while ``bufferedAmount`` is high;
inwards it keeps what arrived until it is taken, up to a limit that no honest peer reaches: the
transfer protocol's window of unwritten bytes (docs/transfer-protocol.md) stays under it,
since SCTP as aiortc has it pushes nothing back.
"""

import asyncio
import logging
from collections import deque
from typing import Final

from rtcsend.errors import ConnectionLost, PeerProtocolError, RtcsendError
from rtcsend.peer.ports import DataChannel, DataPath

HIGH_WATER: Final = 1 << 20  # bytes of bufferedAmount above which sending waits; a few round trips
LOW_WATER: Final = 1 << 19  # bytes at which it goes on
MAX_INBOUND: Final = 24 << 20  # bytes; the receive window of 16 MiB, half as much again
MAX_INBOUND_MESSAGES: Final = 65_536  # so that empty messages cannot fill the memory either

logger = logging.getLogger("rtcsend.datapath")


class Channels:
    """Both channels as one pair of queues: text for control, bytes for data.

    To be made before the connection is established, since messages may arrive in the same
    instant. Call on the event loop only.
    """

    def __init__(self, path: DataPath) -> None:
        self._path = path
        self._control = path.control
        self._data = path.data
        self._inbound: deque[str | bytes] = deque()
        self._inbound_size = 0
        self._failure: RtcsendError | None = None
        self._arrived = asyncio.Event()
        self._drained = asyncio.Event()
        self._closed = asyncio.Event()
        for channel, kind in ((path.control, str), (path.data, bytes)):
            channel.bufferedAmountLowThreshold = LOW_WATER
            channel.on("message", lambda message, kind=kind: self._on_message(message, kind))
            channel.on("bufferedamountlow", self._drained.set)
            channel.on("close", self.fail)

    @property
    def failure(self) -> RtcsendError | None:
        """Why nothing more can come or go; None while the channels live."""
        return self._failure

    async def send_control(self, text: str) -> None:
        """Queue a control message.

        Raises:
            ConnectionLost: The channels are closed.
        """
        await self._send(self._control, text)

    async def send_data(self, frame: bytes) -> None:
        """Queue a frame; waits while more than HIGH_WATER bytes wait to be sent.

        Raises:
            ConnectionLost: The channels are closed.
        """
        await self._send(self._data, frame)

    async def receive(self) -> str | bytes:
        """Return the next message of either channel, in the order of their arrival.

        What arrived before the channels failed is given out first. Cancelling loses nothing.

        Raises:
            ConnectionLost: The channels are closed and everything has been taken.
            PeerProtocolError: The other side sent more than may wait, or of the wrong kind.
        """
        while not self._inbound:
            if self._failure is not None:
                raise self._failure
            self._arrived.clear()
            await self._arrived.wait()
        message = self._inbound.popleft()
        self._inbound_size -= len(message)
        if isinstance(message, bytes):
            self._path.taken(len(message))
        return message

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

    async def _send(self, channel: DataChannel, message: str | bytes) -> None:
        while channel.bufferedAmount > HIGH_WATER and self._failure is None:
            self._drained.clear()
            await self._drained.wait()
        if channel.readyState in ("closing", "closed"):
            self.fail()  # the other side has reset the stream; "close" is emitted later
        if self._failure is not None:
            raise self._failure
        channel.send(message)

    def _on_message(self, message: str | bytes, kind: type) -> None:
        """Keep a message. Must not raise: aiortc would end the connection without a word."""
        if self._failure is not None:
            return
        if not isinstance(message, kind):
            self.fail(PeerProtocolError("The other side mixed up its channels."))
            return
        self._inbound_size += len(message)
        if self._inbound_size > MAX_INBOUND or len(self._inbound) >= MAX_INBOUND_MESSAGES:
            self.fail(PeerProtocolError("The other side sent more than it was allowed to."))
            return
        self._inbound.append(message)
        self._arrived.set()
