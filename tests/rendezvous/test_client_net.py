"""The client against the real server on loopback, with real sockets that break."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from websockets.asyncio.server import ServerConnection, serve

from rtcsend.errors import NoSuchCode, Refused, RendezvousUnreachable
from rtcsend.rendezvous.client import MessageReceived, PeerPresence, RendezvousClient
from rtcsend.rendezvous.frames import serialize
from rtcsend.rendezvous.messages import MAX_BODY, IceServer, Welcome
from signal_server.config import ServerConfig
from signal_server.server import RendezvousServer
from tests.fakes.tcp_proxy import TcpProxy

pytestmark = pytest.mark.net

WELCOME = serialize(Welcome(server="s"))
MAILBOX = "m" * 22


@pytest.fixture
async def server() -> AsyncIterator[RendezvousServer]:
    async with RendezvousServer(ServerConfig(host="127.0.0.1", port=0)) as server:
        yield server


@pytest.fixture
async def proxy(server: RendezvousServer) -> AsyncIterator[TcpProxy]:
    async with TcpProxy(server.port) as proxy:
        yield proxy


def url_of(server: RendezvousServer) -> str:
    return f"ws://127.0.0.1:{server.port}"


async def next_body(client: RendezvousClient) -> bytes:
    while True:
        event = await client.receive()
        if isinstance(event, MessageReceived):
            return event.body


async def test_the_whole_way(server: RendezvousServer) -> None:
    async with RendezvousClient(url_of(server)) as a, RendezvousClient(url_of(server)) as b:
        nameplate = await a.allocate()
        await b.claim(nameplate)
        await a.send(bytes(MAX_BODY))
        assert await b.receive() == PeerPresence("joined")
        assert await b.receive() == MessageReceived(bytes(MAX_BODY))
        async with RendezvousClient(url_of(server)) as c:
            with pytest.raises(NoSuchCode):
                await c.claim(nameplate)
            with pytest.raises(NoSuchCode):
                await c.claim("999999999")
        await b.send(b"still here")
        assert await next_body(a) == b"still here"
        await a.release()
        assert await b.receive() == PeerPresence("left")


async def test_ice_servers_and_motd_arrive() -> None:
    stun, turn = IceServer(("stun:h",)), IceServer(("turn:h?transport=udp",), "u", "c")
    config = ServerConfig(host="127.0.0.1", port=0, ice_servers=(turn, stun), motd="hello")
    async with RendezvousServer(config) as server:
        async with RendezvousClient(url_of(server)) as a, RendezvousClient(url_of(server)) as b:
            assert a.welcome.motd == "hello"
            nameplate = await a.allocate()
            assert a.ice_servers == (stun,)
            await b.claim(nameplate)
            for client in (a, b):
                assert await client.receive() == PeerPresence("joined")
                assert client.ice_servers == (stun, turn)


# Sizes of what the server sends: the HTTP answer has about 130 bytes, the welcome about 100,
# an answer about 80. So these cut everything from the handshake to the answer.
@pytest.mark.parametrize("cut", [1, 100, 140, 200, 250, 280, 320])
@pytest.mark.parametrize("kind", ["allocate", "claim", "meet"])
async def test_a_socket_cut_before_the_answer(
    server: RendezvousServer, proxy: TcpProxy, kind: str, cut: int
) -> None:
    proxy.cut_after = cut
    async with RendezvousClient(proxy.url) as a, RendezvousClient(url_of(server)) as b:
        if kind == "allocate":
            await b.claim(await a.allocate())
        elif kind == "claim":
            await a.claim(await b.allocate())
        else:
            await a.meet(MAILBOX)
            await b.meet(MAILBOX)
        await a.send(b"a")
        await b.send(b"b")
        assert await next_body(b) == b"a"
        assert await next_body(a) == b"b"
    assert proxy.connections == 2


async def test_sockets_cut_among_messages(server: RendezvousServer, proxy: TcpProxy) -> None:
    count = 60
    async with RendezvousClient(proxy.url) as a, RendezvousClient(proxy.url) as b:
        await b.claim(await a.allocate())

        async def talk(client: RendezvousClient) -> None:
            for number in range(count):
                await client.send(b"%d" % number + bytes(1_000))
                if number % 10 == 0:
                    await asyncio.sleep(0)

        async def listen(client: RendezvousClient) -> list[bytes]:
            return [(await next_body(client)).rstrip(b"\0") for _ in range(count)]

        async def break_things() -> None:
            for cut in (2_000, 9_000, 30_000):
                proxy.cut_after = cut
                proxy.drop_all()
                await proxy.wait_for_connections(proxy.connections + 1)

        results = await asyncio.gather(listen(a), listen(b), talk(a), talk(b), break_things())
        expected = [b"%d" % number for number in range(count)]
        assert results[0] == expected
        assert results[1] == expected
    assert proxy.connections >= 2 + 3


async def test_a_server_that_is_away_for_a_moment(
    server: RendezvousServer, proxy: TcpProxy
) -> None:
    async with RendezvousClient(proxy.url) as a, RendezvousClient(url_of(server)) as b:
        nameplate = await a.allocate()
        proxy.refusing = True
        proxy.drop_all()
        await proxy.wait_for_connections(proxy.connections + 2)
        assert a.state == "reconnecting"
        await a.send(b"meanwhile")
        await b.claim(nameplate)
        proxy.refusing = False
        assert await next_body(b) == b"meanwhile"
        assert await a.receive() == PeerPresence("joined")


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
        return port


async def test_nobody_listens() -> None:
    with pytest.raises(RendezvousUnreachable) as caught:
        async with RendezvousClient(f"127.0.0.1:{free_port()}"):
            raise AssertionError("unreachable")
    assert caught.value.hint


async def test_an_unknown_name() -> None:
    with pytest.raises(RendezvousUnreachable):
        async with RendezvousClient("ws://nowhere.invalid", first_timeout=2.0):
            raise AssertionError("unreachable")


async def test_a_server_that_takes_connections_and_says_nothing() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        with pytest.raises(RendezvousUnreachable, match="does not answer"):
            async with RendezvousClient(f"127.0.0.1:{port}", first_timeout=0.3):
                raise AssertionError("unreachable")


@asynccontextmanager
async def http_server(answer: bytes) -> AsyncIterator[str]:
    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, OSError):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(answer)
            await writer.drain()
        writer.close()

    listener = await asyncio.start_server(accept, "127.0.0.1", 0)
    async with listener:
        yield f"127.0.0.1:{listener.sockets[0].getsockname()[1]}"


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", "404"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", "200"),
        (b"SSH-2.0-OpenSSH_9.0\r\n", "WebSocket"),
        (b"\x00" * 100 + b"\r\n", "WebSocket"),
        (b"\x00" * 100_000, "WebSocket"),
        (b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n", "503"),
        (b"", "closed the connection"),
        (b"HTTP/1.1 101 Switching Protocols\r\n\r\n", "WebSocket"),
    ],
    ids=["404", "200", "ssh", "line", "flood", "503", "eof", "101"],
)
async def test_something_else_answers(answer: bytes, says: str) -> None:
    async with http_server(answer) as address:
        # What may pass is tried again until the time is over, which may come in between.
        with pytest.raises(RendezvousUnreachable, match=f"{says}|does not answer"):
            async with RendezvousClient(address, first_timeout=0.5):
                raise AssertionError("unreachable")


@asynccontextmanager
async def hostile_server(
    handler: Callable[[ServerConnection], Awaitable[None]],
) -> AsyncIterator[str]:
    async with serve(handler, "127.0.0.1", 0) as hostile:
        yield f"ws://127.0.0.1:{next(iter(hostile.sockets)).getsockname()[1]}"


@pytest.mark.parametrize(
    "frame",
    [
        "garbage",
        b"binary",
        "x" * 70_000,
        b"x" * 70_000,
        '{"type":"welcome","server":"s","protocol":1e400}',
    ],
    ids=["garbage", "binary", "large", "large-binary", "number"],
)
@pytest.mark.parametrize("first", [True, False])
async def test_a_hostile_server_gets_a_clean_error(frame: str | bytes, *, first: bool) -> None:
    async def attack(websocket: ServerConnection) -> None:
        if not first:
            await websocket.send(WELCOME)
        await websocket.send(frame)
        await websocket.wait_closed()

    async with hostile_server(attack) as url:
        with pytest.raises(Refused, match="protocol"):
            async with RendezvousClient(url) as client:
                await client.receive()


async def test_a_server_that_floods_is_held_back() -> None:
    """Its socket stops being read: the memory here stays bounded."""
    sent = 0

    async def flood(websocket: ServerConnection) -> None:
        nonlocal sent
        await websocket.send(WELCOME)
        await websocket.recv()
        await websocket.send('{"type":"claimed","token":"tttttttttttttttttttttt"}')
        while True:
            await websocket.send('{"type":"message","body":"%s"}' % ("A" * 40_000))
            sent += 1

    async with hostile_server(flood) as url, RendezvousClient(url) as client:
        await client.claim("7")
        await next_body(client)
        while True:
            before = sent
            await asyncio.sleep(0.3)
            if sent == before >= 2_000:  # before that, this process had no turn
                break
        assert 2_000 <= sent < 3_000
    assert client.state == "closed"
