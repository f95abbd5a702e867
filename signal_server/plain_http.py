"""What the server answers to plain HTTP: health, readiness and metrics.

Shell, thin. Source: docs/rendezvous-protocol.md, "Transport"; docs/operations.md.
"""

from collections.abc import Callable

from websockets.asyncio.server import ServerConnection
from websockets.http11 import Response

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

    def respond(self, connection: ServerConnection, path: str) -> Response:
        """Return the answer for a path."""
        match path:
            case "/healthz":
                return connection.respond(200, "ok\n")
            case "/readyz":
                return self.not_ready(connection) or connection.respond(200, "ready\n")
            case "/metrics" if self._metrics is not None:
                content_type, text = self._metrics()
                response = connection.respond(200, text.decode())
                del response.headers["Content-Type"]
                response.headers["Content-Type"] = content_type
                return response
            case _:
                return connection.respond(404, "There is nothing here.\n")

    def not_ready(self, connection: ServerConnection) -> Response | None:
        """Return the answer that sends a client away, or None when it may come."""
        why = self._unready()
        if why is None:
            return None
        response = connection.respond(503, f"{why}\n")
        response.headers["Retry-After"] = str(RETRY_AFTER)
        return response
