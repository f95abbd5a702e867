"""The rendezvous, step by step, on loopback: each way to fail has its own sentence."""

import asyncio
import base64
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, closing, suppress
from pathlib import Path

import pytest
from websockets.asyncio.server import ServerConnection, serve

from rtcsend.doctor import rendezvous
from rtcsend.doctor.rendezvous import RendezvousCheck
from rtcsend.rendezvous.frames import serialize
from rtcsend.rendezvous.messages import ErrorMessage, IceServer, Welcome
from signal_server.config import ServerConfig
from signal_server.server import RendezvousServer
from tests.doctor.certificates import server_context
from tests.doctor.collecting import Told

pytestmark = pytest.mark.net

Handler = Callable[[ServerConnection], Awaitable[None]]


async def look(url: str) -> tuple[Told, Welcome | None]:
    told = Told()
    welcome = await RendezvousCheck(url, emit=told).run()
    return told, welcome


@asynccontextmanager
async def listening(
    handler: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]],
    *,
    tls: ssl.SSLContext | None = None,
) -> AsyncIterator[int]:
    server = await asyncio.start_server(handler, "127.0.0.1", 0, ssl=tls)
    async with server:
        yield server.sockets[0].getsockname()[1]


@asynccontextmanager
async def websocket(handler: Handler, *, tls: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    async with serve(handler, "127.0.0.1", 0, ssl=tls) as server:
        yield next(iter(server.sockets)).getsockname()[1]


def saying(text: str | bytes) -> Handler:
    async def handler(connection: ServerConnection) -> None:
        await connection.send(text)
        await connection.wait_closed()

    return handler


async def test_a_real_server() -> None:
    ice = (IceServer(("stun:a.example:1",)), IceServer(("turn:b.example:2",), "u", "secret"))
    config = ServerConfig(host="127.0.0.1", port=0, ice_servers=ice)
    async with RendezvousServer(config) as server:
        told, welcome = await look(f"ws://127.0.0.1:{server.port}/v1")
    assert welcome is not None
    assert welcome.ice_servers == ice[:1]
    steps = ["tcp", "websocket", "welcome", "round-trip"]
    assert told.kinds("rendezvous") == [(step, "ok") for step in steps]
    assert all(check.ms is not None and check.ms >= 0 for check in told.checks)
    assert told.one("rendezvous", "welcome").values["ice_servers"] == 1
    assert "secret" not in str(told.checks)


async def test_a_name_is_resolved() -> None:
    async with RendezvousServer(ServerConfig(host="127.0.0.1", port=0)) as server:
        told, welcome = await look(f"ws://localhost:{server.port}/v1")
    assert welcome is not None
    assert told.kinds("rendezvous")[0] == ("dns", "ok")


async def test_a_name_that_nobody_has() -> None:
    told, welcome = await look("ws://x..y/v1")
    assert welcome is None
    assert told.kinds("rendezvous") == [("dns", "failed")]


async def test_nobody_listens() -> None:
    with closing(socket.socket()) as sock:
        sock.bind(("127.0.0.1", 0))
        told, welcome = await look(f"ws://127.0.0.1:{sock.getsockname()[1]}/v1")
    assert welcome is None
    assert told.kinds("rendezvous") == [("tcp", "failed")]
    assert told.checks[0].values == {"reason": "refused"}
    assert told.checks[0].text == "Nobody listens there."


@pytest.mark.parametrize(
    ("days", "address", "text"),
    [
        (1, "127.0.0.1", "Its certificate is self-signed, and not trusted here."),
        (-1, "127.0.0.1", "Its certificate has expired."),
        (1, "127.0.0.2", "Its certificate is for another address."),
    ],
)
async def test_certificates(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    days: int,
    address: str,
    text: str,
) -> None:
    context = server_context(tmp_path, address=address, days=days)
    if "not trusted" not in text:
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "cert.pem"))
    async with websocket(saying("{}"), tls=context) as port:
        told, welcome = await look(f"wss://127.0.0.1:{port}/v1")
    assert welcome is None
    assert told.kinds("rendezvous") == [("tcp", "ok"), ("tls", "failed")]
    assert told.one("rendezvous", "tls").text == text


async def test_tls_that_holds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    context = server_context(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "cert.pem"))
    async with websocket(saying(serialize(Welcome(server="s"))), tls=context) as port:
        told, welcome = await look(f"wss://127.0.0.1:{port}/v1")
    assert welcome == Welcome(server="s")
    assert told.one("rendezvous", "tls").text == "TLSv1.3, certificate valid"


async def test_no_tls_behind_the_port() -> None:
    async with websocket(saying("{}")) as port:
        told, _ = await look(f"wss://127.0.0.1:{port}/v1")
    assert told.kinds("rendezvous")[-1] == ("tls", "failed")


async def http_404(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")
    writer.write(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
    await writer.drain()
    writer.close()


async def closing_at_once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.close()


async def garbage(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"SSH-2.0-OpenSSH_9.2\r\n" * 3)
    await writer.drain()
    await reader.readuntil(b"\r\n\r\n")
    writer.close()


@pytest.mark.parametrize(
    ("handler", "text"),
    [
        (http_404, "It answers HTTP 404, and is no rendezvous server."),
        (closing_at_once, "It closed the connection: it is no rendezvous server."),
        (garbage, "It does not speak WebSocket."),
    ],
)
async def test_something_else(
    handler: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]], text: str
) -> None:
    async with listening(handler) as port:
        told, welcome = await look(f"ws://127.0.0.1:{port}/v1")
    assert welcome is None
    assert told.kinds("rendezvous")[-1] == ("websocket", "failed")
    assert told.checks[-1].text == text


@pytest.mark.parametrize(
    ("frame", "text"),
    [
        ("not JSON", "It says something else than a rendezvous server."),
        ('{"type":"welcome","server":7}', "It says something else than a rendezvous server."),
        (
            serialize(Welcome(server="s", protocol=9)),
            "It does not speak protocol 1, which this program speaks.",
        ),
        (
            serialize(ErrorMessage(code="rate-limited", message="too many")),
            "It refuses: too many",
        ),
    ],
)
async def test_another_greeting(frame: str, text: str) -> None:
    async with websocket(saying(frame)) as port:
        told, welcome = await look(f"ws://127.0.0.1:{port}/v1")
    assert welcome is None
    assert told.kinds("rendezvous")[-1] == ("welcome", "failed")
    assert told.checks[-1].text == text


async def test_silence(monkeypatch: pytest.MonkeyPatch) -> None:
    async def silent(connection: ServerConnection) -> None:
        monkeypatch.setattr(rendezvous, "STEP_TIMEOUT", 0.2)  # not of the steps before
        await connection.wait_closed()

    async with websocket(silent) as port:
        told, welcome = await look(f"ws://127.0.0.1:{port}/v1")
    assert welcome is None
    assert told.kinds("rendezvous")[-1] == ("welcome", "failed")


async def test_a_proxy_is_gone_through(monkeypatch: pytest.MonkeyPatch) -> None:
    heads: list[bytes] = []

    async with RendezvousServer(ServerConfig(host="127.0.0.1", port=0)) as server:

        async def proxy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            heads.append(await reader.readuntil(b"\r\n\r\n"))
            up_reader, up_writer = await asyncio.open_connection("127.0.0.1", server.port)
            writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")

            async def copy(one: asyncio.StreamReader, other: asyncio.StreamWriter) -> None:
                while block := await one.read(65_536):
                    other.write(block)
                other.close()

            await asyncio.gather(
                copy(reader, up_writer), copy(up_reader, writer), return_exceptions=True
            )

        async with listening(proxy) as port:
            monkeypatch.setenv("http_proxy", f"http://ada:secret@127.0.0.1:{port}")
            monkeypatch.delenv("no_proxy", raising=False)
            told, welcome = await look("ws://rendezvous.example/v1")
    assert welcome is not None
    assert told.kinds("rendezvous")[:2] == [("proxy", "note"), ("tcp", "ok")]
    assert heads[0].startswith(b"CONNECT rendezvous.example:80 HTTP/1.1\r\n")
    assert base64.b64encode(b"ada:secret") in heads[0]
    assert "secret" not in str(told.checks)


async def test_a_proxy_that_refuses(monkeypatch: pytest.MonkeyPatch) -> None:
    async def proxy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n")
        writer.close()

    async with listening(proxy) as port:
        monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{port}")
        monkeypatch.delenv("no_proxy", raising=False)
        told, welcome = await look("ws://rendezvous.example/v1")
    assert welcome is None
    assert told.checks[-1].text == "The proxy wants a user and a password."


async def test_a_proxy_that_is_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rtcsend.doctor.rendezvous.STEP_TIMEOUT", 0.1)
    over = asyncio.Event()

    async def proxy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            await reader.read()
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()
        over.set()

    async with listening(proxy) as port:
        monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{port}")
        monkeypatch.delenv("no_proxy", raising=False)
        told, welcome = await look("ws://rendezvous.example/v1")
        await over.wait()
    assert welcome is None
    assert told.checks[-1].text == "Nothing answers through the proxy that is set."
    assert told.checks[-1].values == {"reason": "proxy"}


async def test_this_machine_is_reached_without_a_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    async with RendezvousServer(ServerConfig(host="127.0.0.1", port=0)) as server:
        _, welcome = await look(f"ws://127.0.0.1:{server.port}/v1")
    assert welcome is not None
