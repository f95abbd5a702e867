"""Connections through a real proxy on loopback, to a real server, with and without TLS."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import pytest

from rtcsend.proxy import tunnel
from rtcsend.proxy.settings import Proxy, ProxyFailed, parse_proxy
from rtcsend.proxy.tunnel import create_connection, maybe_proxy, open_connection
from tests.doctor.certificates import server_context
from tests.fakes.connect_proxy import ConnectProxy

pytestmark = pytest.mark.net

NAME: Final = "only-the-proxy-knows.invalid"
NAMES: Final = {NAME: "127.0.0.1"}


class Certificates:
    """Of the server and of the proxy, and a client that trusts the first."""

    def __init__(self, folder: Path) -> None:
        self.server = server_context(folder)
        self.client = ssl.create_default_context(cafile=folder / "cert.pem")
        self.file = folder / "cert.pem"


@pytest.fixture
def certificates(tmp_path: Path) -> Certificates:
    return Certificates(tmp_path)


class Echo(asyncio.Protocol):
    """Says everything again, after a greeting if there is one."""

    def __init__(self, clients: "set[Echo]", greeting: bytes) -> None:
        self._clients, self._greeting = clients, greeting

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self._clients.add(self)
        if self._greeting:
            transport.write(self._greeting)
            transport.close()

    def data_received(self, data: bytes) -> None:
        self.transport.write(data)


@asynccontextmanager
async def echo_server(
    *, context: ssl.SSLContext | None = None, greeting: bytes = b""
) -> AsyncIterator[int]:
    """Run a server that says everything again; yields its port."""
    clients: set[Echo] = set()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Echo(clients, greeting), "127.0.0.1", 0, ssl=context)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for client in clients:
            client.transport.abort()
        await server.wait_closed()


async def check_echo(
    host: str, port: int, *, proxy: Proxy | None, context: ssl.SSLContext | None = None
) -> None:
    reader, writer = await open_connection(
        host, port, proxy=proxy, ssl=context, server_hostname="127.0.0.1" if context else None
    )
    try:
        data = bytes(range(256)) * 4096
        writer.write(data)
        assert await reader.readexactly(len(data)) == data
    finally:
        writer.transport.abort()


async def test_without_a_proxy() -> None:
    async with echo_server() as port:
        await check_echo("127.0.0.1", port, proxy=None)


@pytest.mark.parametrize("secure", [False, True])
async def test_through_a_proxy_that_looks_the_name_up(
    certificates: Certificates, secure: bool
) -> None:
    context = certificates.server if secure else None
    async with echo_server(context=context) as port, ConnectProxy(names=NAMES) as proxy:
        where = parse_proxy(proxy.url)
        await check_echo(NAME, port, proxy=where, context=certificates.client if secure else None)
        assert proxy.asked == [f"{NAME}:{port}"]


async def test_a_proxy_by_tls_to_a_server_by_tls(
    certificates: Certificates, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificates.file))
    async with (
        echo_server(context=certificates.server) as port,
        ConnectProxy(ssl=certificates.server) as proxy,
    ):
        where = parse_proxy(proxy.url)
        assert where.secure
        await check_echo("127.0.0.1", port, proxy=where, context=certificates.client)
        assert proxy.asked == [f"127.0.0.1:{port}"]


async def test_a_proxy_that_is_not_trusted(certificates: Certificates) -> None:
    async with ConnectProxy(ssl=certificates.server) as proxy:
        await check_fails(proxy, "TLS to the proxy does not hold")


async def test_the_servers_certificate_counts(certificates: Certificates) -> None:
    async with echo_server(context=certificates.server) as port, ConnectProxy() as proxy:
        with pytest.raises(ssl.SSLCertVerificationError):
            await open_connection("127.0.0.1", port, proxy=parse_proxy(proxy.url), ssl=True)


async def test_credentials() -> None:
    async with echo_server() as port, ConnectProxy(credentials="ada:l@ce") as proxy:
        host = f"127.0.0.1:{proxy.port}"
        await check_echo("127.0.0.1", port, proxy=parse_proxy(f"http://ada:l%40ce@{host}"))
        for credentials, reason in (("", "wants a user"), ("ada:x@", "refuses user and password")):
            with pytest.raises(ProxyFailed, match=reason) as caught:
                await check_echo(
                    "127.0.0.1", port, proxy=parse_proxy(f"http://{credentials}{host}")
                )
            assert caught.value.slug == "proxy-credential"


async def check_fails(proxy: ConnectProxy, reason: str) -> None:
    with pytest.raises(ProxyFailed) as caught:
        await check_echo("127.0.0.1", 9, proxy=parse_proxy(proxy.url))
    assert caught.value.reason == reason


@pytest.mark.parametrize(
    ("answer", "repeat", "reason"),
    [
        (b"HTTP/1.1 403 No\r\n\r\n", b"", "the proxy refuses to connect (HTTP 403)"),
        (b"HTTP/1.1 403 No\r\n\r\n", b"x" * 9_999, "the proxy refuses to connect (HTTP 403)"),
        (b"220 mail.example ESMTP\r\n", b"", "the proxy does not answer as a proxy"),
        (b"HTTP/1.1 200 OK\r\n", b"A: b\r\n" * 999, "the proxy does not answer as a proxy"),
        (b"\0\1\2\3" * 999, b"\xff" * 9_999, "the proxy does not answer as a proxy"),
    ],
)
async def test_what_proxies_say(answer: bytes, repeat: bytes, reason: str) -> None:
    async with ConnectProxy(answer=answer, repeat=repeat) as proxy:
        await check_fails(proxy, reason)


async def test_a_proxy_that_cannot_reach_the_server() -> None:
    async with ConnectProxy() as proxy:
        await check_fails(proxy, "the proxy refuses to connect (HTTP 502)")


async def test_a_proxy_that_is_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tunnel, "ANSWER_TIMEOUT", 0.05)
    async with ConnectProxy(silent=True) as proxy:
        await check_fails(proxy, "the proxy does not answer")


async def test_a_proxy_that_hangs_up() -> None:
    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        writer.close()

    async with await asyncio.start_server(hang_up, "127.0.0.1", 0) as server:
        where = parse_proxy(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
        with pytest.raises(ProxyFailed, match="closed the connection"):
            await check_echo("127.0.0.1", 9, proxy=where)


@pytest.mark.parametrize("host", ["127.0.0.1", "no-such-proxy.invalid", "x" * 64])
async def test_a_proxy_that_is_not_there(host: str) -> None:
    with pytest.raises(ProxyFailed, match="cannot be reached"):
        await check_echo("127.0.0.1", 9, proxy=Proxy(host=host, port=9))


class Collecting(asyncio.Protocol):
    """Keeps what it gets; wants to be told of the connection first."""

    def __init__(self) -> None:
        self.transport: asyncio.BaseTransport | None = None
        self.data = b""
        self.is_over = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        assert self.transport is not None
        self.data += data

    def connection_lost(self, exc: Exception | None) -> None:
        self.is_over.set()


@pytest.mark.parametrize("secure", [False, True])
async def test_a_server_that_speaks_first(certificates: Certificates, secure: bool) -> None:
    context = certificates.server if secure else None
    async with echo_server(context=context, greeting=b"hello") as port, ConnectProxy() as proxy:
        try:
            transport, protocol = await create_connection(
                Collecting,
                "127.0.0.1",
                port,
                ssl=certificates.client if secure else None,
                proxy=parse_proxy(proxy.url),
            )
        except (ProxyFailed, ConnectionResetError):
            return  # its words came with the proxy's, or its end before ours: an error, no hang
        await protocol.is_over.wait()
        assert protocol.data == b"hello"
        transport.close()


def test_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("https", "http", "all", "no", "ws", "wss"):
        monkeypatch.delenv(f"{name}_proxy", raising=False)
        monkeypatch.delenv(f"{name}_PROXY".upper(), raising=False)
    monkeypatch.setenv("ALL_PROXY", "http://all:1")

    def host(of: str = "turn.example") -> str | None:
        proxy = maybe_proxy(of, 443, secure=True, purpose="turn")
        return None if proxy is None else proxy.host

    assert host() == "all"
    monkeypatch.setenv("HTTPS_PROXY", "http://upper:1")
    assert host() == "upper"
    monkeypatch.setenv("https_proxy", "http://lower:1")
    assert host() == "lower"
    monkeypatch.setenv("NO_PROXY", "example,203.0.114.0/24")
    assert host() is None
    assert host("203.0.114.9") is None
    assert host("turn.example.org") == "lower"
    monkeypatch.setenv("https_proxy", "socks5://x:1")
    assert host() is None
    with pytest.raises(ProxyFailed):
        host("turn.example.org")
