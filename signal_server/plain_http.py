"""What the server answers to plain HTTP: health, readiness and metrics.

Shell, thin. Source: docs/rendezvous-protocol.md, "Transport"; docs/operations.md.
"""

from collections.abc import Callable

from websockets.http11 import Response
from websockets.server import ServerProtocol

from signal_server.plain_upgrade import Asked
from signal_server.websocket import WebSocketConnection

RETRY_AFTER = 2  # seconds; for clients and load balancers while the server drains or has no store

Exposed = Callable[[], tuple[str, bytes]]
"""Returns the content type and the text of the metrics."""


class PlainHttp:
    """The paths that are no WebSocket.

    Args:
        unready: Returns why no new clients should come, in a word; None: they may.
        metrics: None: there are none here.
    """

    def __init__(self, *, unready: Callable[[], str | None], metrics: Exposed | None) -> None:
        self._unready = unready
        self._metrics = metrics

    def respond(self, path: str) -> Response:
        """Return the answer for a path."""
        match path:
            case "/healthz":
                return _text(200, "ok\n")
            case "/readyz":
                return self.not_ready() or _text(200, "ready\n")
            case "/metrics" if self._metrics is not None:
                content_type, text = self._metrics()
                response = _text(200, text.decode())
                del response.headers["Content-Type"]
                response.headers["Content-Type"] = content_type
                return response
            case _:
                return _text(404, "There is nothing here.\n")

    def not_ready(self) -> Response | None:
        """Return the answer that sends a client away, or None when it may come."""
        why = self._unready()
        if why is None:
            return None
        response = _text(503, f"{why}\n")
        response.headers["Retry-After"] = str(RETRY_AFTER)
        return response


class OnlyHttp:
    """A handler of connections where there is nothing but plain HTTP: the metrics' own port.

    Args:
        http: Answers.
    """

    def __init__(self, http: PlainHttp) -> None:
        self._http = http
        self._connections: set[WebSocketConnection] = set()

    def close(self) -> None:
        """Drop whoever is there."""
        for connection in list(self._connections):
            connection.abort()

    def connected(self, connection: WebSocketConnection) -> None:
        """Take note of a connection."""
        self._connections.add(connection)

    def respond(self, asked: Asked) -> Response | None:
        """Return the answer; there always is one."""
        return self._http.respond(asked.path)

    def opened(self, connection: WebSocketConnection) -> None:
        """Do nothing: every request is answered before it is a WebSocket."""

    def received(self, connection: WebSocketConnection, message: str | bytes) -> None:
        """Do nothing."""

    def pace(self, connection: WebSocketConnection, units: int) -> float:
        """Return 0.0: a request is bounded in itself."""
        return 0.0

    def queued(self, connection: WebSocketConnection, change: int) -> None:
        """Do nothing: an answer is small, and there is one a connection."""

    def lost(self, connection: WebSocketConnection) -> None:
        """Forget a connection."""
        self._connections.discard(connection)


def _text(status: int, text: str) -> Response:
    return _answers.reject(status, text)


_answers = ServerProtocol()  # makes answers, and has no connection
