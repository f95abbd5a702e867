"""Plain aiortc as the data path: its SCTP transport and its DataChannels, as they are.

A shell. For comparison, and for whoever has a reason to (``RTCSEND_DATAPATH=stock``).
"""

import asyncio
import math
from typing import TYPE_CHECKING

from aiortc.rtcdatachannel import RTCDataChannel, RTCDataChannelParameters
from aiortc.rtcsctptransport import RTCSctpCapabilities, RTCSctpTransport

from rtcsend.datapath.batched import CONTROL_CHANNEL, DATA_CHANNEL
from rtcsend.errors import NoRoute

if TYPE_CHECKING:
    from aiortc import RTCDtlsTransport

    from rtcsend.peer.description import Description


class StockPath:
    """An association of aiortc's over one DTLS connection.

    Args:
        dtls: Not yet connected.
    """

    def __init__(self, dtls: "RTCDtlsTransport") -> None:
        self.breach = None  # aiortc closes without a word
        self.heard_at = -math.inf  # aiortc does not tell: only messages count
        self.packet_payload = 0  # nor that
        self._sctp = RTCSctpTransport(dtls)
        self.control = self._channel("control", CONTROL_CHANNEL)
        self.data = self._channel("data", DATA_CHANNEL)

    async def open(self, remote: "Description") -> None:
        """Begin the association, and return when both channels are open.

        Raises:
            NoRoute: The association ended before it began.
        """
        opened = asyncio.Event()
        self.control.on("open", opened.set)
        self.control.on("close", opened.set)
        await self._sctp.start(
            RTCSctpCapabilities(maxMessageSize=remote.max_message_size), remote.sctp_port
        )
        if self.control.readyState == "connecting":
            await opened.wait()
        if self.control.readyState != "open":
            raise NoRoute("The connection broke while it was set up.")

    def taken(self, size: int) -> None:
        """Do nothing: aiortc announces room as soon as a message is handed out."""

    def path_changed(self) -> None:
        """Do nothing: aiortc finds out by itself what the new path carries."""

    async def close(self) -> None:
        """End the association, and tell the other side."""
        await self._sctp.stop()

    def _channel(self, label: str, channel_id: int) -> RTCDataChannel:
        parameters = RTCDataChannelParameters(label=label, negotiated=True, id=channel_id)
        return RTCDataChannel(self._sctp, parameters)
