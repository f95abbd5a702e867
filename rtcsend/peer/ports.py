"""What a peer connection needs from the stage after it, so that it depends on no data path.

Pure. The names are the W3C's (WebRTC §6.2), as aiortc has them.
"""

from collections.abc import Callable
from typing import Any, Protocol

from rtcsend.errors import PeerProtocolError
from rtcsend.peer.description import Description


class DataChannel(Protocol):
    """One DataChannel: aiortc's, or our own."""

    bufferedAmountLowThreshold: int  # noqa: N815

    @property
    def bufferedAmount(self) -> int:  # noqa: N802
        """Bytes that are queued and not yet sent."""
        ...

    @property
    def readyState(self) -> str:  # noqa: N802
        """``connecting``, ``open``, ``closing`` or ``closed``."""
        ...

    def send(self, data: str | bytes) -> None:
        """Queue a message."""
        ...

    def on(self, event: str, f: Callable[..., Any]) -> Any:
        """Call ``f`` at ``message`` (with it), ``open``, ``close``, ``bufferedamountlow``."""
        ...

    def once(self, event: str, f: Callable[..., Any]) -> Any:
        """Call ``f`` the next time only."""
        ...


class DataPath(Protocol):
    """What goes over DTLS: an association with the two DataChannels."""

    @property
    def heard_at(self) -> float:
        """When a genuine packet last came, on the loop's clock; -inf when it does not know."""
        ...

    @property
    def packet_payload(self) -> int:
        """Bytes of a message that one packet carries at present; 0 when it does not know."""
        ...

    @property
    def breach(self) -> PeerProtocolError | None:
        """What the other side did against the rules of this layer, when that ended it."""
        ...

    @property
    def control(self) -> DataChannel:
        """The channel for control messages."""
        ...

    @property
    def data(self) -> DataChannel:
        """The channel for frames."""
        ...

    async def open(self, remote: Description) -> None:
        """Return when both channels are open; to be called as soon as DTLS is connected.

        Raises:
            NoRoute: The association could not be set up.
            PeerProtocolError: What the description says of it makes no sense.
        """
        ...

    def taken(self, size: int) -> None:
        """The application has taken so many bytes of binary messages: there is room for more."""
        ...

    def path_changed(self) -> None:
        """Packets go another way from now on, of which nothing is known."""
        ...

    async def close(self) -> None:
        """End the association, and tell the other side. Safe at any time, twice too."""
        ...
