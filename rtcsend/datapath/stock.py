"""Plain aiortc as the data path: its SCTP transport and its DataChannels, as they are.

A shell. For comparison, and for whoever has a reason to (``RTCSEND_DATAPATH=stock``).
"""

import asyncio
import math
from functools import partial
from typing import TYPE_CHECKING

from aiortc.rtcdatachannel import RTCDataChannel, RTCDataChannelParameters
from aiortc.rtcsctptransport import RTCSctpCapabilities

from rtcsend.datapath.carrier import allow_fragmentation
from rtcsend.datapath.data_channel import CONTROL_CHANNEL, DATA_CHANNEL
from rtcsend.datapath.guarded import GuardedAssociation, make_association
from rtcsend.errors import NoRoute, PeerProtocolError

if TYPE_CHECKING:
    from aiortc import RTCDtlsTransport

    from rtcsend.peer.description import Description
    from rtcsend.peer.ice import IceConnection


class StockPath:
    """An association of aiortc's over one DTLS connection.

    Args:
        dtls: Not yet connected.
        ice: What it goes over.
    """

    def __init__(self, dtls: "RTCDtlsTransport", ice: "IceConnection") -> None:
        self._ice = ice
        self.packet_payload = 0  # aiortc does not tell
        self._sctp = make_association(dtls, (CONTROL_CHANNEL, DATA_CHANNEL))
        self.control = self._channel("control", CONTROL_CHANNEL)
        self.data = self._channel("data", DATA_CHANNEL)

    @property
    def breach(self) -> PeerProtocolError | None:
        """What the other side did against the rules, when that ended the association."""
        return self._sctp.breach if isinstance(self._sctp, GuardedAssociation) else None

    @property
    def heard_at(self) -> float:
        """When a packet last came, on the loop's clock; -inf when nobody knows."""
        return self._sctp.heard_at if isinstance(self._sctp, GuardedAssociation) else -math.inf

    async def open(self, remote: "Description") -> None:
        """Begin the association, and return when both channels are open.

        Raises:
            NoRoute: The association ended before it began.
        """
        # Its packets have one size, whatever the path takes: where that is less, IP cuts them.
        for transport in self._ice.transports():
            allow_fragmentation(transport, allowed=True)
        self._ice.on_transport = partial(allow_fragmentation, allowed=True)
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
        self._ice.on_transport = None
        await self._sctp.stop()

    def _channel(self, label: str, channel_id: int) -> RTCDataChannel:
        parameters = RTCDataChannelParameters(label=label, negotiated=True, id=channel_id)
        return RTCDataChannel(self._sctp, parameters)
