"""Connections to servers, through the proxy that is set or without one.

::

    socket ─▶ (TLS to the proxy) ─▶ CONNECT ─▶ (TLS to the server) ─▶ protocol

Shell around :mod:`~rtcsend.proxy.connect`. :func:`create_connection` is to be called as the event
loop's method of that name is, and :func:`open_connection` as asyncio's function.

Place in the flow: used wherever a TCP connection leaves the local network.
"""

import asyncio
import functools
import os
import ssl as tls
from collections.abc import Callable
from typing import Final, TypeVar

from rtcsend.proxy.connect import ConnectMachine
from rtcsend.proxy.settings import Proxy, ProxyFailed, Purpose, Server, choose_proxy

ANSWER_TIMEOUT: Final = 10.0  # seconds for the proxy's answer; it may have to look a name up
STAGGER: Final = 0.25  # seconds between two addresses of a host; RFC 8305 §5
_MAX_EARLY: Final = 65_536  # bytes from the server before its protocol is there

_ProtocolT = TypeVar("_ProtocolT", bound=asyncio.Protocol)


def maybe_proxy(host: str, port: int, *, secure: bool, purpose: Purpose) -> Proxy | None:
    """Return the proxy that leads to a server, by the environment or the system's settings.

    Raises:
        ProxyFailed: What is set cannot be used.
    """
    # Imports the whole HTTP client, which whoever needs no server does not need.
    from urllib.request import getproxies, proxy_bypass  # noqa: PLC0415

    server = Server(host, port, secure)
    proxy = choose_proxy(server, getproxies(), purpose=purpose)
    if proxy is not None and proxy_bypass(f"{host}:{port}"):
        return None  # the exceptions of macOS and Windows are not among the settings
    return proxy


async def trusted() -> tls.SSLContext:
    """Return the context of TLS to servers, by what this machine trusts; one for all of them.

    To read a hundred authorities takes 30 ms of processor time: once, and in a thread, since it
    may be done while other ways to a server are waited for.
    """
    named = os.environ.get("SSL_CERT_FILE"), os.environ.get("SSL_CERT_DIR")
    return await asyncio.to_thread(_trusted, named)


@functools.lru_cache(maxsize=1)
def _trusted(_named: tuple[str | None, str | None]) -> tls.SSLContext:
    """Return it, by what the environment names, which OpenSSL reads by itself."""
    return tls.create_default_context()


async def create_connection(
    protocol_factory: Callable[[], _ProtocolT],
    host: str,
    port: int,
    *,
    ssl: tls.SSLContext | bool | None = None,
    server_hostname: str | None = None,
    proxy: Proxy | None,
) -> tuple[asyncio.Transport, _ProtocolT]:
    """Connect to a server.

    Args:
        protocol_factory: Makes the protocol; its ``connection_made`` is called at the end.
        host: Name or address; through a proxy only that looks it up.
        port: Where it listens.
        ssl: Of TLS to the server; True: as this machine trusts; None or False: no TLS.
        server_hostname: Whose certificate it has to be; None: ``host``.
        proxy: The way; None: directly.

    Returns:
        The transport and the protocol.

    Raises:
        OSError: It does not connect; :class:`ProxyFailed` and ``ssl.SSLError`` are.
    """
    loop = asyncio.get_running_loop()
    context = await trusted() if ssl is True else ssl or None
    name = (server_hostname or host).strip("[]") if context is not None else None
    if proxy is None:
        return await loop.create_connection(
            protocol_factory,
            host.strip("[]"),
            port,
            ssl=context,
            server_hostname=name,
            happy_eyeballs_delay=STAGGER,
        )
    transport = await _through(proxy, host, port)
    try:
        early = _Early()
        if context is None:
            transport.set_protocol(early)
        else:
            secured = await loop.start_tls(transport, early, context, server_hostname=name)
            assert secured is not None, "it was open a moment ago"
            transport = secured
        protocol = protocol_factory()
        early.hand_over(transport, protocol)
    except BaseException:
        transport.abort()
        raise
    transport.resume_reading()
    return transport, protocol


async def open_connection(
    host: str,
    port: int,
    *,
    ssl: tls.SSLContext | bool | None = None,
    server_hostname: str | None = None,
    proxy: Proxy | None,
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Connect to a server, as :func:`create_connection` does; return streams.

    Raises:
        OSError: It does not connect.
    """
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(loop=loop)
    transport, protocol = await create_connection(
        lambda: asyncio.StreamReaderProtocol(reader, loop=loop),
        host,
        port,
        ssl=ssl,
        server_hostname=server_hostname,
        proxy=proxy,
    )
    return reader, asyncio.StreamWriter(transport, protocol, reader, loop)


async def _through(proxy: Proxy, host: str, port: int) -> asyncio.Transport:
    """Return a connection that a proxy has made, with its reading paused.

    Raises:
        ProxyFailed: It has not.
    """
    loop = asyncio.get_running_loop()
    machine = ConnectMachine(host, port, authorization=proxy.authorization)
    try:
        async with asyncio.timeout(ANSWER_TIMEOUT):
            transport, asking = await loop.create_connection(
                lambda: _Asking(machine, loop.create_future()),
                proxy.host,
                proxy.port,
                ssl=await trusted() if proxy.secure else None,
                happy_eyeballs_delay=STAGGER,
            )
            try:
                await asking.answered
            except BaseException:
                transport.abort()
                raise
    except ProxyFailed:
        raise
    except TimeoutError as exc:
        raise ProxyFailed("the proxy does not answer") from exc
    except tls.SSLError as exc:
        raise ProxyFailed("TLS to the proxy does not hold") from exc
    except (OSError, UnicodeError) as exc:
        raise ProxyFailed("the proxy cannot be reached") from exc
    return transport


class _Asking(asyncio.Protocol):
    """Speaks to the proxy, until it has answered."""

    def __init__(self, machine: ConnectMachine, answered: "asyncio.Future[None]") -> None:
        self._machine = machine
        self.answered = answered

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport), "TCP"
        self._transport = transport
        transport.write(self._machine.request())

    def data_received(self, data: bytes) -> None:
        if self.answered.done():
            return  # aborted already
        try:
            self._machine.receive_untrusted(data)
        except ProxyFailed as exc:
            self.answered.set_exception(exc)
            return
        if self._machine.is_open:
            self._transport.pause_reading()
            self.answered.set_result(None)

    def connection_lost(self, exc: Exception | None) -> None:
        if self.answered.done():
            return
        try:
            self._machine.receive_eof()
        except ProxyFailed as failed:
            self.answered.set_exception(failed)


class _Early(asyncio.Protocol):
    """Keeps what a server says before its protocol is there."""

    def __init__(self) -> None:
        self._data: list[bytes] = []
        self._room = _MAX_EARLY
        self._is_lost = False
        self._reason: Exception | None = None

    def data_received(self, data: bytes) -> None:
        self._data.append(data[: self._room])
        self._room -= len(self._data[-1])

    def connection_lost(self, exc: Exception | None) -> None:
        self._is_lost, self._reason = True, exc

    def hand_over(self, transport: asyncio.Transport, protocol: asyncio.Protocol) -> None:
        """Give the connection to a protocol.

        Raises:
            ConnectionResetError: It is gone already.
        """
        if self._is_lost or transport.is_closing():
            raise ConnectionResetError("it closed the connection") from self._reason
        transport.set_protocol(protocol)
        protocol.connection_made(transport)
        for data in self._data:
            protocol.data_received(data)
