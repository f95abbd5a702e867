"""One WebSocket to a rendezvous server, with few enough faces to be replaced in tests.

Shell. What it does: opens the socket with the protocol's limits, and turns everything that
the library and the system raise into two errors: it may work later (:class:`SocketLost`),
or it never will (:class:`SocketRefused`).
Source: docs/rendezvous-protocol.md, "Transport".
"""

import asyncio
import logging
import os
import socket
import ssl
import urllib.parse
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, Final, Protocol

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import (
    ConnectionClosed,
    InvalidProxyStatus,
    InvalidStatus,
    InvalidURI,
    ProxyError,
    WebSocketException,
)

from rtcsend.proxy.connect import no_proxy, refusal
from rtcsend.proxy.settings import Proxy, ProxyFailed
from rtcsend.proxy.tunnel import maybe_proxy
from rtcsend.rendezvous.pinning import PinMismatch, client_context, split_pin
from rtcsend.rendezvous.wire import MAX_FRAME
from rtcsend.trace import Step, Where, note

PING_INTERVAL = 20.0  # seconds; below the 30 s after which the strictest NATs drop a mapping
PING_TIMEOUT = 20.0  # seconds; then the socket is taken for dead
CLOSE_TIMEOUT = 0.5  # seconds for the closing handshake: a courtesy, one round trip
MAX_QUEUED_FRAMES = 64  # read ahead of the client; then TCP holds the server back
PROXY_TIMEOUT = 8.0  # seconds, where a proxy is in between; less than the client waits at first

PROXY_HINT: Final = (
    "Check HTTPS_PROXY, HTTP_PROXY and ALL_PROXY (http://USER:PASSWORD@HOST:PORT), "
    "or name the server in NO_PROXY to reach it without."
)

CLOSED_BROKEN: Final = frozenset({1002, 1003, 1007, 1009})
"""One end broke the WebSocket protocol or sent a frame too large; RFC 6455 section 7.4.1."""

CLOSED_FOR_NOW: Final = frozenset({1012, 1013})
"""The server restarts, or asks to try again later; IANA, WebSocket close codes."""

# The library logs whole frames at DEBUG, tokens and TURN credentials among them.
_library_log = logging.getLogger("rtcsend.rendezvous.websockets")
_library_log.setLevel(logging.CRITICAL)


class SocketLost(Exception):
    """The socket is gone or did not open; another try may work.

    Attributes:
        code: The close code, when there was one.
        later: The server is there and asks to come again: it restarts, or waits for its store.
    """

    def __init__(self, reason: str, *, code: int | None = None, later: bool = False) -> None:
        super().__init__(reason)
        self.code = code
        self.later = later or code in CLOSED_FOR_NOW


class SocketRefused(Exception):
    """There is no such server, and trying again now would not help.

    Attributes:
        hint: What would help, where it is something special.
    """

    def __init__(self, reason: str, *, hint: str | None = None) -> None:
        super().__init__(reason)
        self.hint = hint


class Socket(Protocol):
    """What the client needs of a WebSocket; all methods raise SocketLost when it is gone."""

    async def send(self, frame: str) -> None:
        """Send a text frame; waits while the network does not take more."""
        ...

    async def receive(self) -> str | bytes:
        """Return the next frame; safe to cancel."""
        ...

    async def close(self) -> None:
        """Close it, within half a second and without an error; twice is harmless."""
        ...


Dial = Callable[[str], Awaitable[Socket]]
"""Opens a socket to a URL. Raises SocketLost or SocketRefused; may take for ever."""


class WebSocket:
    """A :class:`Socket` over the websockets package."""

    def __init__(self, connection: ClientConnection) -> None:
        self._connection = connection

    async def send(self, frame: str) -> None:
        """Send a text frame.

        Raises:
            SocketLost: It is gone.
        """
        try:
            await self._connection.send(frame)
        except ConnectionClosed as exc:
            raise _lost(exc) from exc

    async def receive(self) -> str | bytes:
        """Return the next frame.

        Raises:
            SocketLost: It is gone.
        """
        try:
            return await self._connection.recv()
        except ConnectionClosed as exc:
            raise _lost(exc) from exc

    async def close(self) -> None:
        """Close it, in CLOSE_TIMEOUT seconds at most, whatever its state."""
        try:
            async with asyncio.timeout(CLOSE_TIMEOUT):
                await self._connection.close()
        except TimeoutError:
            pass  # a server that reads nothing, or does not answer
        finally:
            self._connection.transport.abort()
        await self._connection.wait_closed()


async def dial_websocket(
    url: str,
    *,
    ping_interval: float = PING_INTERVAL,
    ping_timeout: float = PING_TIMEOUT,
    proxied: bool = True,
) -> Socket:
    """Open a WebSocket.

    Args:
        url: Of the server, with its pin if it has one.
        ping_interval: Seconds between two pings.
        ping_timeout: Seconds without a pong after which the socket is taken for dead.
        proxied: Go through the proxy that is set, if one is; False: what was found nearby.

    Raises:
        SocketLost: The network or the server failed.
        SocketRefused: The name is unknown, nobody listens, TLS does not hold, or something
            answers that is no rendezvous server.
    """
    base, pin = split_pin(url)
    try:
        connection = await _connect(
            base,
            ssl=client_context(pin) if base.startswith("wss:") else None,
            compression=None,
            proxy=proxy_for(url) if proxied else None,
            open_timeout=None,  # the caller has its own deadline
            ping_interval=ping_interval,
            ping_timeout=ping_timeout,
            close_timeout=CLOSE_TIMEOUT,
            max_size=MAX_FRAME,
            max_queue=MAX_QUEUED_FRAMES,
            logger=_library_log,
        )
    except InvalidStatus as exc:
        status = exc.response.status_code
        if status >= 500:  # noqa: PLR2004 - RFC 9110 section 15.6, the server's own failure
            later = "Retry-After" in exc.response.headers
            raise SocketLost(f"it answers HTTP {status}", later=later) from exc
        raise SocketRefused(f"it answers HTTP {status}, and is no rendezvous server") from exc
    except PinMismatch as exc:
        raise SocketRefused("its certificate is not the one that the address names") from exc
    except ssl.SSLCertVerificationError as exc:
        raise SocketRefused("its TLS certificate is not valid") from exc
    except OSError as exc:
        raise _failed_to_open(exc) from exc
    except InvalidURI as exc:
        raise SocketRefused("its address is not valid") from exc
    except WebSocketException as exc:
        if isinstance(exc.__cause__, EOFError):
            raise SocketLost("it closed the connection") from exc
        raise SocketRefused("it does not speak WebSocket") from exc
    return WebSocket(connection)


async def _connect(url: str, *, proxy: Proxy | None, **options: Any) -> ClientConnection:
    """Connect as the library does.

    Raises:
        Exception: As the library does; ProxyFailed where it is the proxy's fault.
    """
    loop = asyncio.get_running_loop()
    began = loop.time()
    note(Step.RENDEZVOUS_DIAL, server=Where(*_address(url)), proxy=proxy is not None)
    try:
        async with _through(proxy):
            connection = await connect(url, proxy=None if proxy is None else proxy.url, **options)
    except Exception as exc:
        ms = round((loop.time() - began) * 1000, 1)
        note(Step.RENDEZVOUS_FAILED, reason=type(exc).__name__, ms=ms)
        raise
    note(Step.RENDEZVOUS_OPEN, ms=round((loop.time() - began) * 1000, 1))
    return connection


def _failed_to_open(exc: OSError) -> SocketLost | SocketRefused:
    if isinstance(exc, ProxyFailed):
        return SocketRefused(exc.reason, hint=PROXY_HINT)
    reason = _reason(exc)
    if isinstance(exc, ConnectionResetError | BrokenPipeError | TimeoutError):
        return SocketLost(reason)
    return SocketRefused(reason)


def _reason(exc: OSError) -> str:
    """Say it as the system does: asyncio's sentences have addresses in them, or no number."""
    if isinstance(exc, ssl.SSLError | socket.gaierror):
        return exc.strerror or "its name or its TLS is not valid"
    return os.strerror(exc.errno) if exc.errno else "none of its addresses takes a connection"


def _lost(exc: ConnectionClosed) -> SocketLost:
    """Tell how it ended: what the server said, or what this side found wrong."""
    frame = exc.sent if exc.rcvd is None or not exc.rcvd_then_sent else exc.rcvd
    code = None if frame is None else int(frame.code)
    return SocketLost("the connection was closed" if code else "the connection broke", code=code)


def proxy_for(url: str) -> Proxy | None:
    """Return the proxy that leads to a server.

    Raises:
        ProxyFailed: What is set cannot be used.
    """
    host, port = _address(url)
    return maybe_proxy(host, port, secure=url.startswith("wss:"), purpose="rendezvous")


def _address(url: str) -> tuple[str, int]:
    """Return host and port of a server; RFC 6455 section 3."""
    parts = urllib.parse.urlsplit(url)
    return parts.hostname or "", parts.port or (443 if parts.scheme == "wss" else 80)


@asynccontextmanager
async def _through(proxy: Proxy | None) -> AsyncIterator[None]:
    """Say of what the library and the system raise that it is the proxy's.

    Raises:
        ProxyFailed: It is.
    """
    if proxy is None:
        yield
        return
    try:
        async with asyncio.timeout(PROXY_TIMEOUT):
            yield
    except InvalidProxyStatus as exc:
        schemes = [text.split()[0] for text in exc.response.headers.get_all("Proxy-Authenticate")]
        authorized = proxy.username is not None
        raise refusal(exc.response.status_code, schemes, authorized=authorized) from exc
    except ProxyError as exc:
        raise no_proxy() from exc
    except TimeoutError as exc:
        raise ProxyFailed("nothing answers through the proxy that is set") from exc
    except ssl.SSLError:
        raise
    except OSError as exc:
        raise ProxyFailed("the proxy that is set cannot be reached") from exc
