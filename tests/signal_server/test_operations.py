"""What an operator sees of a server on loopback: readiness, draining, limits, tokens, relays."""

import asyncio
import base64
import contextlib
import hmac
import re
import socket
from pathlib import Path

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.frames import Frame, Opcode

from signal_server.config import ListenAddress
from signal_server.limits import Limits
from signal_server.messages import (
    Allocate,
    Allocated,
    Claim,
    Claimed,
    ErrorMessage,
    IceServer,
    Meet,
    Peer,
    Release,
    Report,
    Welcome,
)
from signal_server.server import RendezvousServer
from signal_server.settings import build_config
from signal_server.sources import Network
from tests.signal_server.loopback import config, dial, get, http, read, say, until

pytestmark = pytest.mark.net

LOOPBACK: tuple[Network, ...] = build_config({"trusted_proxy": ("127.0.0.1",)}).trusted_proxies


async def allocate(websocket: ClientConnection, auth: str | None = None) -> str:
    assert isinstance(await read(websocket), Welcome)
    await say(websocket, Allocate(auth=auth))
    answer = await read(websocket)
    assert isinstance(answer, Allocated), answer
    return answer.nameplate


async def claim(websocket: ClientConnection, nameplate: str) -> Peer:
    """Claim, and return what is said of the other side."""
    assert isinstance(await read(websocket), Welcome)
    await say(websocket, Claim(nameplate=nameplate))
    assert isinstance(await read(websocket), Claimed)
    peer = await read(websocket)
    assert isinstance(peer, Peer)
    return peer


async def close_code(websocket: ClientConnection) -> int:
    """Return why the server closed a socket that says nothing more."""
    with pytest.raises(ConnectionClosed) as closed:
        await websocket.recv()
    assert closed.value.rcvd is not None
    return closed.value.rcvd.code


# Draining


async def test_draining_moves_who_waits_and_lets_pairs_finish() -> None:
    async with RendezvousServer(config()) as server:
        async with dial(server) as a, dial(server) as b, dial(server) as waiting:
            await claim(b, await allocate(a))
            await allocate(waiting)
            drain = asyncio.create_task(server.drain())
            assert await close_code(waiting) == 1012
            head, body = await http(server, get("/readyz"))
            assert head.startswith(b"HTTP/1.1 503")
            assert b"Retry-After: 2" in head
            assert body == b"draining\n"
            head, _ = await http(server, get("/healthz"))
            assert head.startswith(b"HTTP/1.1 200")
            with pytest.raises(InvalidStatus) as refused:
                await dial(server)
            assert refused.value.response.status_code == 503
            assert not drain.done()
            assert await read(a) == Peer("joined")
            await say(a, Release())
            assert await close_code(a) == 1000
            # The other one is alone now, and moves as well.
            await drain


async def test_draining_takes_no_longer_than_it_may() -> None:
    async with RendezvousServer(config(drain_seconds=0.1)) as server:
        async with dial(server) as a, dial(server) as b:
            await claim(b, await allocate(a))
            assert await read(a) == Peer("joined")
            await server.drain()
            await server.__aexit__(None, None, None)
            assert await close_code(a) == await close_code(b) == 1012


# Limits


async def test_a_source_with_too_many_sockets_is_told_when_to_try_again() -> None:
    limits = Limits(sockets_per_source=1)
    async with RendezvousServer(config(limits=limits)) as server:
        async with dial(server) as a:
            nameplate = await allocate(a)
            async with dial(server) as over:
                refusal = await read(over)
                assert isinstance(refusal, ErrorMessage)
                assert (refusal.code, refusal.retry_after) == ("rate-limited", 30)
                assert await close_code(over) == 1013
            assert server.counters.limits["sockets_per_source"] == 1
            assert server.counters.refusals["rate-limited"] == 1
        # The place of the first one is free again as soon as the server has seen it go.
        await until(lambda: not server.counters.connections)
        async with dial(server) as b:
            await allocate(b)
        assert nameplate


async def test_a_flood_is_cut_before_it_is_heard() -> None:
    limits = Limits(sockets_per_source=1)
    async with RendezvousServer(config(limits=limits)) as server:
        opened = [await asyncio.open_connection("127.0.0.1", server.port) for _ in range(20)]
        # The first two are held; all others are closed at once, without a byte.
        answers = await asyncio.gather(*(quiet_read(reader) for reader, _ in opened[2:]))
        assert answers == [b""] * 18
        assert server.counters.limits["connections"] == 18
        assert server.counters.connections == 2
        for _, writer in opened:
            writer.close()
        await until(lambda: not server.counters.connections)
        async with dial(server) as a:
            await allocate(a)


async def test_a_flood_of_frames_is_read_slowly_and_others_are_heard() -> None:
    settings = {"trusted_proxies": LOOPBACK, "limits": Limits(frames_per_minute=60)}
    async with RendezvousServer(config(**settings)) as server:
        flooder = dial(server, additional_headers={"X-Forwarded-For": "198.51.100.1"})
        other = dial(server, additional_headers={"X-Forwarded-For": "198.51.100.2"})
        async with flooder as a, other as b:
            a.transport.write(Frame(Opcode.PING, b"").serialize(mask=True) * 20_000)
            await until(lambda: server.counters.limits["frames_per_minute"] > 0)
            await allocate(b)
            a.transport.abort()


async def quiet_read(reader: asyncio.StreamReader) -> bytes:
    with contextlib.suppress(ConnectionResetError):
        return await reader.read()
    return b""


async def test_a_slow_handshake_is_cut() -> None:
    limits = Limits(handshake_seconds=0.05)
    async with RendezvousServer(config(limits=limits)) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(b"GET /v1 HTTP/1.1\r\n")
        assert await quiet_read(reader) == b""
        writer.close()
        assert server.counters.limits["handshake_seconds"] == 1


async def test_behind_a_trusted_proxy_each_client_is_its_own_source() -> None:
    settings = {"trusted_proxies": LOOPBACK, "limits": Limits(sockets_per_source=1)}
    async with RendezvousServer(config(**settings)) as server:
        clients = [{"X-Forwarded-For": f"198.51.100.{n}"} for n in (1, 2, 1)]
        async with contextlib.AsyncExitStack() as stack:
            a, b, c = [
                await stack.enter_async_context(dial(server, additional_headers=headers))
                for headers in clients
            ]
            await allocate(a)
            await allocate(b)
            assert isinstance(await read(c), ErrorMessage)


async def test_nobody_else_is_believed() -> None:
    async with RendezvousServer(config(limits=Limits(sockets_per_source=1))) as server:
        async with dial(server, additional_headers={"X-Forwarded-For": "198.51.100.1"}) as a:
            await allocate(a)
            async with dial(server, additional_headers={"X-Forwarded-For": "198.51.100.2"}) as b:
                assert isinstance(await read(b), ErrorMessage)


# Who may allocate


async def test_only_holders_of_the_token_allocate(tmp_path: Path) -> None:
    tokens = tmp_path / "tokens"
    tokens.write_text("sesame\n")
    async with RendezvousServer(config(auth_token_file=tokens)) as server:
        async with dial(server) as a, dial(server) as b:
            await read(a)
            await say(a, Allocate(auth="guess"))
            refused = await read(a)
            assert isinstance(refused, ErrorMessage)
            assert refused.code == "unauthorized"
            await say(a, Allocate(auth="sesame"))
            allocated = await read(a)
            assert isinstance(allocated, Allocated)
            await claim(b, allocated.nameplate)  # a receiver needs none
        tokens.write_text("other\n")
        server.reload()
        async with dial(server) as a, dial(server) as b:
            await allocate(a, auth="other")
            tokens.write_text("")
            server.reload()  # which fails, and is logged; nothing changes
            await allocate(b, auth="other")


async def test_only_who_was_brought_together_meets() -> None:
    async with RendezvousServer(config(auth_tokens=("sesame",))) as server:
        async with dial(server) as a, dial(server) as b:
            permit = (await claim(b, await allocate(a, auth="sesame"))).permit
        assert permit is not None
        async with dial(server) as a:
            await read(a)
            await say(a, Meet(mailbox="m" * 22))
            refused = await read(a)
            assert isinstance(refused, ErrorMessage)
            assert refused.code == "unauthorized"
            await say(a, Meet(mailbox="m" * 22, permit=permit))
            assert isinstance(await read(a), Claimed)


# ICE servers


async def test_relays_are_given_to_two_who_have_met(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("north\n")
    urls = ("turn:t.example:3478?transport=udp", "turns:t.example:443")
    settings = {
        "ice_servers": (IceServer(("stun:s",)),),
        "turn_urls": urls,
        "turn_secret_file": secret,
    }
    async with RendezvousServer(config(**settings)) as server:
        async with dial(server) as a, dial(server) as b:
            welcome = await read(a)
            assert isinstance(welcome, Welcome)
            assert welcome.ice_servers == (IceServer(("stun:s",)),)
            await say(a, Allocate())
            allocated = await read(a)
            assert isinstance(allocated, Allocated)
            there = await claim(b, allocated.nameplate)
            joined = await read(a)
            assert isinstance(joined, Peer)
            (first,), (second,) = joined.ice_servers, there.ice_servers
        assert first.urls == second.urls == urls
        assert first.username != second.username
        assert first.username is not None
        assert re.fullmatch(r"[0-9]{10}:[A-Za-z0-9_-]{12}", first.username)
        assert first.credential == mac("north", first.username)
        secret.write_text("south")
        server.reload()
        async with dial(server) as a, dial(server) as b:
            (third,) = (await claim(b, await allocate(a))).ice_servers
            assert third.username is not None
            assert third.credential == mac("south", third.username)


def mac(secret: str, username: str) -> str:
    return base64.b64encode(hmac.digest(secret.encode(), username.encode(), "sha1")).decode()


# What is counted, and where it is shown


async def test_reports_are_counted_once() -> None:
    async with RendezvousServer(config()) as server, dial(server) as a:
        welcome = await read(a)
        assert isinstance(welcome, Welcome)
        assert welcome.reports
        await say(a, Allocate())
        await read(a)
        await say(a, Report("relayed"))
        await say(a, Report("relayed"))
        await say(a, Release())
        await close_code(a)
        assert server.counters.reports == {"direct": 0, "relayed": 1, "failed": 0}


async def test_a_report_outside_a_mailbox() -> None:
    async with RendezvousServer(config()) as server, dial(server) as a:
        await read(a)
        await say(a, Report("direct"))
        assert isinstance(await read(a), ErrorMessage)
        assert await close_code(a) == 1008


async def test_metrics_somewhere_else() -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    elsewhere = config(metrics_listen=ListenAddress("127.0.0.1", port))
    async with RendezvousServer(elsewhere) as server:
        head, _ = await http(server, get("/metrics"))
        assert head.startswith(b"HTTP/1.1 404")
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(get("/metrics"))
        answer = await reader.read()
        writer.close()
        assert b"rtcsend_sockets 0.0\n" in answer
        with pytest.raises(InvalidStatus):
            await connect(f"ws://127.0.0.1:{port}/v1", proxy=None)
        await _check_crowd(server, port)


async def _check_crowd(server: RendezvousServer, port: int) -> None:
    """A crowd at the port of the metrics is cut, and locks nobody out of the other one."""
    crowd = [await asyncio.open_connection("127.0.0.1", port) for _ in range(64)]
    ends = [asyncio.create_task(reader.read()) for reader, _ in crowd]
    cut, _ = await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
    assert all(task.result() == b"" for task in cut)
    async with dial(server) as a:
        assert isinstance(await read(a), Welcome)
    for _, writer in crowd:
        writer.close()
    await asyncio.gather(*ends, return_exceptions=True)


async def test_an_embedded_server_counts_for_nobody() -> None:
    async with RendezvousServer(config(embedded=True)) as server:
        head, _ = await http(server, get("/metrics"))
        assert head.startswith(b"HTTP/1.1 404")
        async with dial(server) as a:
            welcome = await read(a)
            assert isinstance(welcome, Welcome)
            assert not welcome.reports


@pytest.mark.parametrize("path", ["/v2", "/v0", "/v17"])
async def test_other_versions_of_the_protocol_are_told_ours(path: str) -> None:
    async with RendezvousServer(config()) as server:
        async with connect(f"ws://127.0.0.1:{server.port}{path}", proxy=None) as a:
            welcome = await read(a)
            assert isinstance(welcome, Welcome)
            assert welcome.protocol == 1
            assert await close_code(a) == 1008
