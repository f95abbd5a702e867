"""Two server processes and a real Redis, on real time: what virtual time cannot show."""

import asyncio
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack

import pytest

from rtcsend.rendezvous.client import MessageReceived, PeerPresence, RendezvousClient
from signal_server.config import Limits, ServerConfig
from signal_server.messages import (
    Allocate,
    Allocated,
    Claim,
    Claimed,
    ClientMessage,
    ErrorMessage,
    Meet,
    Resume,
    Resumed,
)
from signal_server.server import RendezvousServer
from signal_server.storage import Name
from signal_server.store.base import StoreUnavailable
from signal_server.store.redis_scripts import log_key, marks_key, reserve_key
from signal_server.store.redis_store import RedisStore
from tests.fakes.redis_server import RedisServer, needs_redis, redis_server
from tests.signal_server.loopback import dial, read, say

pytestmark = [pytest.mark.net, needs_redis]

PAIRS = 30


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with redis_server(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture
async def servers(redis: RedisServer) -> AsyncIterator[list[RendezvousServer]]:
    redis.command("FLUSHALL")
    limits = Limits(claims_per_minute=10_000, nameplates_per_minute=10_000)
    config = ServerConfig(host="127.0.0.1", port=0, store=redis.address, limits=limits)
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(RendezvousServer(config)) for _ in range(2)]


def client(server: RendezvousServer) -> RendezvousClient:
    return RendezvousClient(f"ws://127.0.0.1:{server.port}")


async def body(of: RendezvousClient) -> bytes:
    while True:
        event = await of.receive()
        if isinstance(event, MessageReceived):
            return event.body


async def until_it_follows(store: RedisStore) -> None:
    """Wait until a store has nothing to do but what it always does."""
    async with asyncio.timeout(10):
        while len(store._tasks) > 3:  # noqa: ASYNC110 - feed, heartbeats, keeping logs
            await asyncio.sleep(0.01)


def keys(redis: RedisServer) -> int:
    """Return how many logs there are."""
    answer = redis.command("KEYS", "rtcsend:1:{n*}")
    return int(answer[1 : answer.index(b"\r\n")])


async def test_who_is_refused_leaves_nothing_in_the_store(redis: RedisServer) -> None:
    redis.command("FLUSHALL")
    limits = Limits(nameplates_per_minute=2)
    config = ServerConfig(host="127.0.0.1", port=0, store=redis.address, limits=limits)
    async with RendezvousServer(config) as server:
        for number in range(4):
            async with dial(server) as websocket:
                await read(websocket)
                await say(websocket, Allocate(side=f"{number:022}"))
                answer = await read(websocket)
                assert isinstance(answer, Allocated if number < 2 else ErrorMessage)
    assert redis.command("KEYS", "rtcsend:1:drawn:*").startswith(b"*2\r\n")


async def test_a_strange_reservation_is_none(
    redis: RedisServer, servers: list[RendezvousServer]
) -> None:
    for text in ("7}:x", "\xff", ""):
        redis.command("SET", reserve_key("A" * 22), text)
        async with dial(servers[0]) as websocket:
            await read(websocket)
            await say(websocket, Allocate(side="A" * 22))
            assert isinstance(await read(websocket), Allocated)


async def test_many_pairs_at_once_lose_nothing(
    redis: RedisServer, servers: list[RendezvousServer]
) -> None:
    """Each side speaks only when it has heard the other one: one lost message stops a pair."""

    async def pair(number: int) -> None:
        left, right = servers if number % 2 else reversed(servers)
        async with client(left) as a, client(right) as b:
            await b.claim(await a.allocate())
            for round_ in range(5):
                await a.send(b"a%d" % round_)
                assert await body(b) == b"a%d" % round_
                await b.send(b"b%d" % round_)
                assert await body(a) == b"b%d" % round_

    async with asyncio.timeout(40):
        await asyncio.gather(*(pair(number) for number in range(PAIRS)))
    async with asyncio.timeout(10):
        while keys(redis):  # noqa: ASYNC110 - the last one to leave takes the log away
            await asyncio.sleep(0.01)


async def test_what_comes_while_the_log_is_read_is_not_missed(
    servers: list[RendezvousServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    store = servers[1]._store
    assert isinstance(store, RedisStore)
    read, reading, go_on = store._link.read, asyncio.Event(), asyncio.Event()
    calls = 0

    async def slow_read(keys: list[str], args: list[str]) -> object:
        nonlocal calls
        calls += 1
        answer = await read(keys, args)
        if calls == 2:  # the first one found the mailbox, this one begins to follow it
            reading.set()
            await go_on.wait()
        return answer

    monkeypatch.setattr(store._link, "read", slow_read)
    async with client(servers[0]) as a, client(servers[1]) as b:
        await b.claim(await a.allocate())
        await reading.wait()
        await a.send(b"just now")
        async with asyncio.timeout(4):  # before the store loses its patience, and reads again
            assert await body(b) == b"just now"
        go_on.set()


async def test_messages_from_both_sides_at_once(servers: list[RendezvousServer]) -> None:
    async with client(servers[0]) as a, client(servers[1]) as b:
        await b.claim(await a.allocate())
        for number in range(50):
            await a.send(b"a%d" % number)
            await b.send(b"b%d" % number)
        async with asyncio.timeout(20):
            assert [await body(a) for _ in range(50)] == [b"b%d" % n for n in range(50)]
            assert [await body(b) for _ in range(50)] == [b"a%d" % n for n in range(50)]


async def test_a_log_that_is_gone_ends_its_sockets_only(
    redis: RedisServer, servers: list[RendezvousServer]
) -> None:
    async with client(servers[0]) as a, client(servers[1]) as other:
        await a.allocate()
        nameplate = await other.allocate()
        redis.command("FLUSHALL")  # without it, as if Redis had started without its data
        async with client(servers[0]) as b:
            await b.allocate()
            assert b.state == "attached"
        assert nameplate


async def test_a_lost_room_is_read_anew_before_anything_is_refused(
    redis: RedisServer, servers: list[RendezvousServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    store = servers[0]._store
    assert isinstance(store, RedisStore)
    async with dial(servers[0]) as a, dial(servers[1]) as b, dial(servers[0]) as c:
        for websocket in (a, b, c):
            await read(websocket)
        await say(a, Allocate(nameplate="7", side="A" * 22))
        assert isinstance(await read(a), Allocated)
        await until_it_follows(store)
        monkeypatch.setattr(store._feed, "_on_published", lambda _channel, _data: None)
        redis.command("FLUSHALL")
        await say(b, Allocate(nameplate="7", side="B" * 22))
        assert isinstance(await read(b), Allocated)
        await say(c, Claim(nameplate="7"))  # of the new one, while the old one is believed in
        assert isinstance(await read(c), Claimed)


async def test_who_comes_before_the_news_of_it_is_known(
    servers: list[RendezvousServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    store = servers[0]._store
    assert isinstance(store, RedisStore)
    async with dial(servers[0]) as a, dial(servers[1]) as b, dial(servers[0]) as again:
        for websocket in (a, b, again):
            await read(websocket)
        await say(a, Allocate(side="A" * 22))
        allocated = await read(a)
        assert isinstance(allocated, Allocated)
        await until_it_follows(store)
        monkeypatch.setattr(store._feed, "_on_published", lambda _channel, _data: None)
        await say(b, Claim(nameplate=allocated.nameplate, side="B" * 22))
        claimed = await read(b)
        assert isinstance(claimed, Claimed)
        await say(again, Resume(nameplate=allocated.nameplate, token=claimed.token))
        assert isinstance(await read(again), Resumed)


async def test_every_key_ends_by_itself(
    redis: RedisServer, servers: list[RendezvousServer]
) -> None:
    async with client(servers[0]) as a:
        nameplate = await a.allocate()
        key = log_key(Name("nameplate", nameplate))
        for each in (key, marks_key(key)):
            answer = redis.command("PTTL", each)
            assert 0 < int(answer[1:].strip()) <= 900_000
            redis.command("PEXPIRE", each, "300000")
        await a.send(b"still there")
        async with asyncio.timeout(10):
            while int(redis.command("XLEN", key)[1:]) == 1:  # noqa: ASYNC110 - nobody is told
                await asyncio.sleep(0.01)
        store = servers[0]._store
        assert isinstance(store, RedisStore)
        for round_ in range(2):
            for each in (key, marks_key(key)):
                assert int(redis.command("PTTL", each)[1:]) > 300_000
                redis.command("PEXPIRE", each, "300000")
            if not round_:
                await store._logs.touch([key])
    async with asyncio.timeout(10):
        while redis.command("EXISTS", key, marks_key(key)) != b":0\r\n":  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def test_strangers_have_no_log_read(
    redis: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    redis.command("FLUSHALL")
    limits = Limits(claims_per_minute=2, meetings_per_minute=0, failed_claims=0)
    config = ServerConfig(host="127.0.0.1", port=0, store=redis.address, limits=limits)
    async with (
        RendezvousServer(config) as own,
        RendezvousServer(config) as other,
        client(own) as a,
        client(own) as b,
        dial(other) as websocket,
        dial(other) as returning,
    ):
        nameplate = await a.allocate()
        await b.claim(nameplate)
        store = other._store
        assert isinstance(store, RedisStore)
        reads, real = [], store._link.read

        async def counted(keys: list[str], args: list[str]) -> object:
            reads.append(keys)
            return await real(keys, args)

        monkeypatch.setattr(store._link, "read", counted)

        async def refused(request: ClientMessage) -> str:
            await say(websocket, request)
            answer = await read(websocket)
            assert isinstance(answer, ErrorMessage)
            return answer.code

        await read(websocket)
        strange = Resume(nameplate=nameplate, token="u" * 22)
        assert [await refused(strange) for _ in range(3)] == ["expired"] * 3
        assert await refused(Meet(mailbox="m" * 22, side="S" * 22)) != "expired"
        reads.clear()  # where nobody is, there is nothing to read
        assert await refused(Claim(nameplate=nameplate)) == "not-found"  # admitted
        assert len(reads) == 1
        for request in (
            Claim(nameplate=nameplate),
            Claim(nameplate=nameplate, side="S" * 22),
            Allocate(nameplate=nameplate, side="S" * 22),
        ):
            assert await refused(request) == "rate-limited"
        assert len(reads) == 1
        token = b._machine._token
        assert token is not None
        await read(returning)
        await say(returning, Resume(nameplate=nameplate, token=token))
        assert isinstance(await read(returning), Resumed)
        assert len(reads) > 1


async def test_a_store_that_is_not_there(redis: RedisServer) -> None:
    with pytest.raises(StoreUnavailable):
        await RedisStore("redis://127.0.0.1:1/0").__aenter__()


async def test_a_store_that_stands_still_is_missed_and_comes_back(
    redis: RedisServer, servers: list[RendezvousServer]
) -> None:
    async with client(servers[0]) as a, client(servers[1]) as b:
        await b.claim(await a.allocate())
        redis.signal(signal.SIGSTOP)
        try:
            await a.send(b"meanwhile")
            async with asyncio.timeout(20):
                while servers[0]._store.available:  # noqa: ASYNC110 - it tells nobody
                    await asyncio.sleep(0.01)
        finally:
            redis.signal(signal.SIGCONT)
        async with asyncio.timeout(30):
            assert await body(b) == b"meanwhile"
            await b.send(b"after")
            assert await body(a) == b"after"


async def test_the_sides_of_a_dead_process_are_away(
    redis: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("signal_server.store.processes.LEASE_SECONDS", 0.5)
    monkeypatch.setattr("signal_server.store.redis_upkeep.HEARTBEAT_SECONDS", 0.1)
    config = ServerConfig(host="127.0.0.1", port=0, store=redis.address)
    async with (
        RendezvousServer(config) as dying,
        RendezvousServer(config) as other,
        client(other) as b,
        client(dying) as a,
    ):
        await b.claim(await a.allocate())
        assert await b.receive() == PeerPresence("joined")
        store = dying._store
        assert isinstance(store, RedisStore)
        for task in store._tasks:
            task.cancel()  # as if it had been killed, but for its socket, which nobody misses
        async with asyncio.timeout(10):
            assert await b.receive() == PeerPresence("away")
