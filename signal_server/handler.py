"""What a connection tells, and asks: the face of whoever deals with connections.

Place in the flow: called by :mod:`signal_server.websocket`; :mod:`signal_server.sockets` and
:mod:`signal_server.plain_http` have it.
"""

from typing import TYPE_CHECKING, Protocol

from websockets.http11 import Response

from signal_server.plain_upgrade import Asked

if TYPE_CHECKING:
    from signal_server.websocket import WebSocketConnection


class Handler(Protocol):
    """Whoever deals with connections. None of the methods may block."""

    def connected(self, connection: "WebSocketConnection") -> None:
        """Take note of a connection, which has said nothing yet."""
        ...

    def respond(self, asked: Asked) -> Response | None:
        """Return the answer to an HTTP request; None: let it become a WebSocket."""
        ...

    def opened(self, connection: "WebSocketConnection") -> None:
        """Take a WebSocket that is open."""
        ...

    def received(self, connection: "WebSocketConnection", message: str | bytes) -> None:
        """Take a message; bytes stand for a binary one."""
        ...

    def pace(self, connection: "WebSocketConnection", units: int) -> float:
        """Count ``units`` (frames, or KiB), and return for how many seconds to read no more."""
        ...

    def queued(self, connection: "WebSocketConnection", change: int) -> None:
        """Take note that so many more bytes wait for a client."""
        ...

    def lost(self, connection: "WebSocketConnection") -> None:
        """Take note that it is gone, whether it was ever open or not."""
        ...
