"""The rendezvous server, step by step: name, TCP, TLS, WebSocket, welcome, round trip.

Each step has its own time and its own sentence when it fails; the ones after it are then left
out. All of them are made on one connection, which is closed afterwards: nothing is allocated.
Where a proxy is to be used, the connection goes through it.

Shell. Place in the flow: one of the checks of :mod:`rtcsend.doctor.run`.
Source: docs/rendezvous-protocol.md, "Transport"; RFC 6455 §4.
"""

import asyncio
import logging
import urllib.parse
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Final

from websockets.client import ClientProtocol
from websockets.exceptions import InvalidStatus
from websockets.frames import Frame, Opcode
from websockets.http11 import Response
from websockets.uri import parse_uri

from rtcsend.doctor.findings import Check, Status, Value
from rtcsend.doctor.reasons import reason_of, seen_through, slug_of
from rtcsend.proxy.settings import Proxy, ProxyFailed
from rtcsend.proxy.tunnel import maybe_proxy, open_connection
from rtcsend.rendezvous.frames import parse_server_message_untrusted
from rtcsend.rendezvous.messages import PROTOCOL, ErrorMessage, Welcome
from rtcsend.rendezvous.pinning import client_context, split_pin
from rtcsend.rendezvous.wire import MAX_FRAME, BadMessage
from rtcsend.resolving import addresses_of

STEP_TIMEOUT: Final = 4.0  # seconds for each step; a server that takes longer is not usable
_PORTS: Final = {"ws": 80, "wss": 443}  # RFC 6455 §3
_BLOCK: Final = 65_536  # bytes read at once

logger = logging.getLogger("rtcsend.doctor")

# The library logs whole frames at DEBUG, TURN credentials among them.
_library_log = logging.getLogger("rtcsend.doctor.websockets")
_library_log.setLevel(logging.CRITICAL)

Emit = Callable[[Check], None]


class _Failed(Exception):
    """A step has failed, and was told."""


class RendezvousCheck:
    """One look at one server.

    Args:
        url: As :func:`~rtcsend.rendezvous.server_url.normalise_server_url` returns it.
        emit: Takes what is found.
    """

    def __init__(self, url: str, *, emit: Emit) -> None:
        parts = urllib.parse.urlsplit(url)
        self._url, self._emit = url, emit
        self._secure = parts.scheme == "wss"
        self._host = parts.hostname or ""
        self._port = parts.port or _PORTS[parts.scheme]
        self._proxy: Proxy | None = None
        base, self._pin = split_pin(url)
        self._protocol = ClientProtocol(parse_uri(base), max_size=MAX_FRAME, logger=_library_log)
        self._events: list[object] = []
        self._writer: asyncio.StreamWriter | None = None
        self._loop = asyncio.get_running_loop()
        self._began = self._loop.time()

    async def run(self) -> Welcome | None:
        """Return what the server says first; None when some step has failed, which was told."""
        try:
            await self._resolve()
            reader, writer = await self._connect()
            if self._secure:
                await self._secure_it(writer)
            await self._upgrade(reader, writer)
            welcome = await self._welcome(reader, writer)
            await self._round_trip(reader, writer)
        except _Failed:
            return None
        finally:
            if self._writer is not None:
                self._writer.transport.abort()
        return welcome

    async def _resolve(self) -> None:
        try:
            self._proxy = maybe_proxy(
                self._host, self._port, secure=self._secure, purpose="rendezvous"
            )
        except ProxyFailed as exc:
            raise self._failed("proxy", str(exc), exc.slug) from exc
        if self._proxy is not None:
            self._tell("proxy", "note", f"goes through the proxy {self._proxy.name}", timed=False)
            return  # which looks the name up
        try:
            async with self._step("dns"):
                found = await addresses_of(self._host, self._port)
        except OSError as exc:
            raise self._failed("dns", f"The name {self._host} cannot be resolved.", "name") from exc
        addresses = [address for address, _ in found]
        if addresses != [self._host]:  # else it is no name
            more = f" and {len(addresses) - 1} more" if len(addresses) > 1 else ""
            self._tell("dns", "ok", f"{addresses[0]}{more}", addresses=len(addresses))

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        try:
            async with self._step("tcp"):
                reader, self._writer = await open_connection(
                    self._host, self._port, proxy=self._proxy
                )
        except OSError as exc:
            seen = seen_through(self._proxy, exc)
            raise self._failed("tcp", reason_of(seen), slug_of(seen)) from exc
        writer = self._writer
        peer = writer.get_extra_info("peername")
        where = f"to {peer[0]}, port {peer[1]}" if self._proxy is None else "by the proxy"
        self._tell("tcp", "ok", f"connected {where}")
        return reader, writer

    async def _secure_it(self, writer: asyncio.StreamWriter) -> None:
        context = client_context(self._pin)
        try:
            async with self._step("tls"):
                await writer.start_tls(context, server_hostname=self._host)
        except OSError as exc:
            raise self._failed("tls", reason_of(exc), slug_of(exc)) from exc
        version = writer.get_extra_info("ssl_object").version()
        certificate = "the pinned certificate" if self._pin else "certificate valid"
        self._tell("tls", "ok", f"{version}, {certificate}", version=version)

    async def _upgrade(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._protocol.send_request(self._protocol.connect())
        try:
            async with self._step("websocket"):
                while not self._protocol.handshake_exc:
                    event = await self._next_event(reader, writer)
                    if isinstance(event, Response):
                        break
        except OSError as exc:
            raise self._failed("websocket", _no_upgrade(exc), slug_of(exc)) from exc
        error = self._protocol.handshake_exc
        if isinstance(error, InvalidStatus):
            status = error.response.status_code
            text = f"It answers HTTP {status}, and is no rendezvous server."
            raise self._failed("websocket", text, "http") from error
        if error is not None:
            raise self._failed("websocket", "It does not speak WebSocket.", "protocol") from error
        self._tell("websocket", "ok", "open")

    async def _welcome(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Welcome:
        try:
            async with self._step("welcome"):
                frame = await self._frame(reader, writer, Opcode.TEXT)
            message = parse_server_message_untrusted(bytes(frame.data).decode())
        except (BadMessage, UnicodeDecodeError) as exc:
            text = "It says something else than a rendezvous server."
            raise self._failed("welcome", text, "protocol") from exc
        except OSError as exc:
            text = "It says nothing: it is no rendezvous server, or a broken one."
            raise self._failed("welcome", text, slug_of(exc)) from exc
        if isinstance(message, ErrorMessage):
            raise self._failed("welcome", f"It refuses: {message.message}", message.code)
        if not isinstance(message, Welcome) or message.protocol != PROTOCOL:
            text = f"It does not speak protocol {PROTOCOL}, which this program speaks."
            raise self._failed("welcome", text, "version")
        count = sum(len(server.urls) for server in message.ice_servers)
        offered = {0: "no ICE servers", 1: "1 ICE server"}.get(count, f"{count} ICE servers")
        self._tell(
            "welcome",
            "ok",
            f"{message.server}, protocol {message.protocol}, {offered}",
            server=message.server,
            protocol=message.protocol,
            ice_servers=count,
        )
        return message

    async def _round_trip(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._protocol.send_ping(b"")
        try:
            async with self._step("round-trip"):
                await self._frame(reader, writer, Opcode.PONG)
        except OSError as exc:
            text = "It greets, but does not answer afterwards."
            raise self._failed("round-trip", text, slug_of(exc)) from exc
        self._tell("round-trip", "ok", "of one question and its answer")

    async def _frame(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, opcode: Opcode
    ) -> Frame:
        """Return the next frame of a kind; others, a ping say, are passed over.

        Raises:
            OSError: The connection was closed or broke.
        """
        while True:
            event = await self._next_event(reader, writer)
            if isinstance(event, Frame) and event.opcode is opcode and event.fin:
                return event
            if isinstance(event, Frame) and event.opcode is Opcode.CLOSE:
                raise ConnectionResetError

    async def _next_event(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> Frame | Response | None:
        """Send what is to be sent; return one event, None when the connection has to go on.

        Raises:
            OSError: It was closed or broke.
        """
        for data in self._protocol.data_to_send():
            if data:
                writer.write(data)
        if not self._events:
            block = await reader.read(_BLOCK)
            if not block:
                self._protocol.receive_eof()
                raise ConnectionResetError
            self._protocol.receive_data(block)
            self._events += self._protocol.events_received()
        event = self._events.pop(0) if self._events else None
        assert event is None or isinstance(event, Frame | Response), "a client gets no requests"
        return event

    @asynccontextmanager
    async def _step(self, name: str) -> AsyncIterator[None]:
        """Bound a step, and begin its time."""
        logger.debug("> %s", name)
        self._began = self._loop.time()
        async with asyncio.timeout(STEP_TIMEOUT):
            yield

    def _failed(self, check: str, text: str, reason: str) -> _Failed:
        self._tell(check, "failed", text, reason=reason)
        return _Failed()

    def _tell(
        self, check: str, status: Status, text: str, *, timed: bool = True, **values: Value
    ) -> None:
        ms = round((self._loop.time() - self._began) * 1000, 1) if timed else None
        self._emit(
            Check(
                area="rendezvous",
                check=check,
                target=self._url,
                status=status,
                ms=ms,
                text=text,
                values=values,
            )
        )


def _no_upgrade(exc: OSError) -> str:
    if isinstance(exc, TimeoutError):
        return "It takes connections, but does not answer: is it a rendezvous server?"
    return "It closed the connection: it is no rendezvous server."
