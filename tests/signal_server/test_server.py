"""The server's shell on loopback: HTTP, bad clients, slow clients, and its end."""

import asyncio
import contextlib
import errno
import logging
import socket
from collections.abc import AsyncIterator

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from rtcsend.rendezvous.frames import serialize
from rtcsend.rendezvous.messages import (
    MAX_BODY,
    Allocate,
    Allocated,
    Claim,
    Claimed,
    ErrorMessage,
    Message,
    Peer,
    Release,
    Welcome,
)
from signal_server.config import Limits
from signal_server.server import RendezvousServer
from tests.signal_server.loopback import config, dial, get, http, read, say, until
from tests.signal_server.test_websocket import REQUEST

pytestmark = pytest.mark.net


@pytest.fixture
async def server() -> AsyncIterator[RendezvousServer]:
    async with RendezvousServer(config()) as server:
        yield server


async def test_healthz(server: RendezvousServer) -> None:
    head, body = await http(server, get("/healthz"))
    assert head.startswith(b"HTTP/1.1 200")
    assert body == b"ok\n"
    assert b"Server:" not in head
    head, body = await http(server, get("/readyz"))
    assert head.startswith(b"HTTP/1.1 200")
    assert body == b"ready\n"


async def test_metrics(server: RendezvousServer) -> None:
    async with dial(server) as a:
        await read(a)
        await say(a, Allocate())
        await read(a)
        head, body = await http(server, get("/metrics?x=1"))
    assert head.startswith(b"HTTP/1.1 200")
    assert b"Content-Type: text/plain; version=0.0.4" in head
    assert head.count(b"Content-Type") == 1
    lines = body.decode().splitlines()
    assert 'rtcsend_mailboxes{state="waiting"} 1.0' in lines
    assert "rtcsend_sockets 1.0" in lines
    assert "rtcsend_pairings_total 0.0" in lines


@pytest.mark.parametrize("path", ["/", "/v", "/v1/", "/healthz/", "/../v1", "/favicon.ico"])
async def test_nothing_else_is_there(server: RendezvousServer, path: str) -> None:
    head, _ = await http(server, get(path))
    assert head.startswith(b"HTTP/1.1 404")


async def test_plain_http_at_the_websocket_path(server: RendezvousServer) -> None:
    head, _ = await http(server, get("/v1"))
    assert head.startswith(b"HTTP/1.1 426")


@pytest.mark.parametrize(
    "junk",
    [
        b"\x16\x03\x01\x02\x00\r\n\r\n",
        b"\x00" * 100_000,
        b"GET\r\n\r\n",
        get("/healthz") * 3,
        get("/healthz") + b"\x89\x80\x00\x00\x00\x00",
        REQUEST + b"\xff\xff",
    ],
)
async def test_junk_is_not_logged_as_a_failure(
    server: RendezvousServer, junk: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(junk)
        writer.write_eof()
        with contextlib.suppress(ConnectionResetError):
            await reader.read()
        writer.close()
        head, _ = await http(server, get("/healthz"))
    assert head.startswith(b"HTTP/1.1 200")
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


async def test_two_sides(server: RendezvousServer) -> None:
    async with dial(server) as a, dial(server) as b:
        assert isinstance(await read(a), Welcome)
        assert isinstance(await read(b), Welcome)
        await say(a, Allocate())
        allocated = await read(a)
        assert isinstance(allocated, Allocated)
        await say(b, Claim(nameplate=allocated.nameplate))
        assert isinstance(await read(b), Claimed)
        assert await read(b) == Peer("joined")
        assert await read(a) == Peer("joined")
        body = bytes(range(256)) * (MAX_BODY // 256)
        await say(a, Message(body))
        assert await read(b) == Message(body)
        await say(a, Release())
        assert await read(b) == Peer("left")
        with pytest.raises(ConnectionClosed) as closed:
            await a.recv()
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1000


@pytest.mark.parametrize(
    ("frame", "error", "close"),
    [
        ("nonsense", "bad-message", 1008),
        (b"binary", "bad-message", 1008),
        ("x" * 70_000, "too-large", 1009),
        ("x" * 200_000, None, 1009),
    ],
    ids=["nonsense", "binary", "large", "huge"],
)
async def test_bad_frames(
    server: RendezvousServer, frame: str | bytes, error: str | None, close: int
) -> None:
    async with dial(server) as a:
        await read(a)
        await a.send(frame)
        if error is not None:
            answer = await read(a)
            assert isinstance(answer, ErrorMessage)
            assert answer.code == error
        with pytest.raises(ConnectionClosed) as closed:
            await a.recv()
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == close


async def test_the_timer_runs() -> None:
    async with RendezvousServer(config(limits=Limits(unattached_seconds=0.05))) as server:
        async with dial(server) as a:
            await read(a)
            with pytest.raises(ConnectionClosed) as closed:
                await a.recv()
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1008


async def with_slow_reader(
    stack: contextlib.AsyncExitStack, server: RendezvousServer
) -> ClientConnection:
    """Return a socket whose other side has come, and reads nothing."""
    a = await stack.enter_async_context(dial(server))
    # Else the system would read for it, up to a whole mailbox.
    pipe = socket.socket()
    pipe.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
    pipe.connect(("127.0.0.1", server.port))
    slow = await stack.enter_async_context(dial(server, sock=pipe, max_queue=1))
    stack.callback(slow.transport.abort)
    await read(a)
    await read(slow)
    await say(a, Allocate())
    allocated = await read(a)
    assert isinstance(allocated, Allocated)
    await say(slow, Claim(nameplate=allocated.nameplate))
    assert await read(a) == Peer("joined")
    return a


async def test_slow_readers_are_dropped_and_others_go_on() -> None:
    limits = Limits(max_bytes=8 * 2**20, max_total_queued_bytes=13 * 2**20, frames_per_minute=10**6)
    async with RendezvousServer(config(limits=limits)) as server, contextlib.AsyncExitStack() as on:
        senders = [await with_slow_reader(on, server) for _ in range(5)]
        # TCP's buffers fill up first.
        for _ in range(limits.max_bytes // MAX_BODY):
            for a in senders:
                await say(a, Message(bytes(MAX_BODY)))
        away = [asyncio.create_task(read(a)) for a in senders]
        done, waiting = await asyncio.wait(away, return_when=asyncio.FIRST_COMPLETED)
        assert {task.result() for task in done} == {Peer("away")}
        head, _ = await http(server, get("/healthz"))
        assert head.startswith(b"HTTP/1.1 200")
        assert server.counters.limits["slow_reader"] >= len(done)
        await until(lambda: server.counters.queued_bytes <= limits.max_total_queued_bytes)
        for task in waiting:
            task.cancel()


async def test_who_comes_back_to_a_full_mailbox_is_sent_all_of_it() -> None:
    """However large it may be, and even if he reads nothing before it is all there."""
    limits = Limits(max_bytes=6 * 2**20, frames_per_minute=10**6)
    async with RendezvousServer(config(limits=limits)) as server, dial(server) as a:
        await read(a)
        await say(a, Allocate())
        allocated = await read(a)
        assert isinstance(allocated, Allocated)
        count = limits.max_bytes // MAX_BODY
        for _ in range(count):
            await say(a, Message(bytes(MAX_BODY)))
        await until(lambda: sum(server.counters.messages.counts) == count)
        async with dial(server) as b:
            await read(b)
            await say(b, Claim(nameplate=allocated.nameplate))
            assert isinstance(await read(b), Claimed)
            for _ in range(count):
                assert await read(b) == Message(bytes(MAX_BODY))


async def test_leaving_closes_the_sockets_and_frees_the_port() -> None:
    async with RendezvousServer(config()) as server:
        port = server.port
        websocket = await dial(server)
        await read(websocket)
        task = asyncio.create_task(server.serve_forever())
    await task
    with pytest.raises(ConnectionClosed) as closed:
        await websocket.recv()
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 1001
    async with RendezvousServer(config(port=port)) as again:
        assert again.port == port


async def test_a_client_that_says_nothing_does_not_hold_up_the_end() -> None:
    async with RendezvousServer(config()) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        await http(server, get("/healthz"))  # by now it has been accepted as well
        started = asyncio.get_running_loop().time()
    assert asyncio.get_running_loop().time() - started < Limits().handshake_seconds / 2
    with contextlib.suppress(ConnectionResetError):
        assert await reader.read() == b""
    writer.close()


async def test_a_port_that_is_taken() -> None:
    async with RendezvousServer(config()) as server:
        with pytest.raises(OSError, match=r"(?i)address") as caught:
            async with RendezvousServer(config(port=server.port)):
                raise AssertionError("unreachable")
        assert caught.value.errno == errno.EADDRINUSE


async def test_all_interfaces_share_one_port() -> None:
    async with RendezvousServer(config(host=None)) as server:
        assert len(set(server.ports)) == 1
        hosts = ["127.0.0.1"]
        if socket.has_dualstack_ipv6():
            hosts.append("[::1]")
        for host in hosts:
            async with connect(f"ws://{host}:{server.port}/v1", proxy=None) as websocket:
                assert isinstance(await read(websocket), Welcome)


async def test_a_name_with_several_addresses_has_one_port() -> None:
    async with RendezvousServer(config(host="localhost")) as server:
        assert len(set(server.ports)) == 1
        assert all(str(server.port) in address for address in server.addresses)


async def test_nothing_secret_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        async with RendezvousServer(config()) as server, dial(server) as a:
            await read(a)
            await say(a, Allocate(nameplate="987654321", side="SIDE" + "A" * 18))
            allocated = await read(a)
            assert isinstance(allocated, Allocated)
            await say(a, Message(b"SECRET-BODY"))
            await say(a, Release())
            await a.wait_closed()
    ours = [record for record in caplog.records if record.name.startswith("rtcsend")]
    text = "\n".join(f"{record.getMessage()} {record.__dict__}" for record in ours)
    assert "socket opened" in text
    for secret in ("987654321", allocated.token, "SIDE", serialize(Message(b"SECRET-BODY"))[26:36]):
        assert secret not in text
    assert "'address': '127.0.0.1'" in text  # a field of its own, which is shown if wanted
    assert not [record for record in ours if "127.0.0.1" in record.getMessage()]
