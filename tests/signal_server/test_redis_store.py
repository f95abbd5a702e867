"""Two server processes and a real Redis, on real time: what virtual time cannot show."""

import asyncio
import itertools
import math
import re
import signal
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from redis.exceptions import ConnectionError as LostConnection

from rtcsend.rendezvous.client import MessageReceived, PeerPresence, RendezvousClient
from signal_server.config import Limits, ServerConfig
from signal_server.decisions import SMALL_MAILBOX
from signal_server.messages import (
    Allocate,
    Allocated,
    Claim,
    Claimed,
    ClientMessage,
    ErrorMessage,
    Meet,
    Message,
    Peer,
    Resume,
    Resumed,
)
from signal_server.server import RendezvousServer
from signal_server.storage import Name
from signal_server.store import redis_link, redis_rooms
from signal_server.store.base import StoreUnavailable
from signal_server.store.followed import MAX_HELD
from signal_server.store.redis_connection import Word
from signal_server.store.redis_scripts import APPEND, READ, log_key, marks_key, reserve_key
from signal_server.store.redis_store import RedisStore
from tests.fakes.ports import free_port
from tests.fakes.redis_server import RedisServer, needs_redis, redis_server
from tests.signal_server.loopback import dial, read, say, until

pytestmark = [pytest.mark.net, needs_redis]

PAIRS = 30
STEP = 90.0  # seconds for any single thing to happen; the machine may be busy


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
    async with asyncio.timeout(STEP):
        while len(store._tasks) > 3:  # noqa: ASYNC110 - feed, heartbeats, keeping logs
            await asyncio.sleep(0.01)


def deafen(store: RedisStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have nothing come that others publish."""
    monkeypatch.setattr(store._rooms, "_take_published", lambda _local, _data: None)


def calls(redis: RedisServer) -> Counter[str]:
    """Return how often each command has been called."""
    answer = redis.command("INFO", "commandstats").decode()
    return Counter({name: int(n) for name, n in re.findall(r"cmdstat_(\S+?):calls=(\d+)", answer)})


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

    async with asyncio.timeout(STEP):
        await asyncio.gather(*(pair(number) for number in range(PAIRS)))
    async with asyncio.timeout(STEP):
        while keys(redis):  # noqa: ASYNC110 - the last one to leave takes the log away
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("count", [1, MAX_HELD, MAX_HELD + 3])
async def test_what_comes_before_the_answer_is_not_missed(
    redis: RedisServer,
    servers: list[RendezvousServer],
    monkeypatch: pytest.MonkeyPatch,
    count: int,
) -> None:
    store = servers[1]._store
    assert isinstance(store, RedisStore)
    run, sent, go_on = store._link.run, asyncio.Event(), asyncio.Event()

    async def slow(script: str, keys: Sequence[str], *arguments: Word) -> Any:
        answer = await run(script, keys, *arguments)
        if script == APPEND:
            sent.set()
            await go_on.wait()
        return answer

    monkeypatch.setattr(store._link, "run", slow)
    async with client(servers[0]) as a, client(servers[1]) as b:
        nameplate = await a.allocate()
        claiming = asyncio.create_task(b.claim(nameplate))
        await sent.wait()  # it is in the log, and does not know it yet
        for number in range(count):
            await a.send(b"%d" % number)
        [followed] = store._rooms._locals.values()
        await until(lambda: len(followed.held) == min(count, MAX_HELD))
        await until(lambda: followed.behind or count <= MAX_HELD)
        go_on.set()
        async with asyncio.timeout(STEP):
            await claiming
            assert [await body(b) for _ in range(count)] == [b"%d" % n for n in range(count)]


async def test_what_a_pairing_costs(redis: RedisServer, servers: list[RendezvousServer]) -> None:
    """Each message is one call, and comes to the one process where somebody hears it."""
    await until(lambda: redis.command("PUBSUB", "CHANNELS").startswith(b"*2\r\n"))
    for there, told in ((servers[1], 22), (servers[0], 0)):
        before = calls(redis)
        async with client(servers[0]) as a, client(there) as b:
            await b.claim(await a.allocate())
            for number in range(10):
                await a.send(b"a%d" % number)
                assert await body(b) == b"a%d" % number
                await b.send(b"b%d" % number)
                assert await body(a) == b"b%d" % number
        await until(lambda: keys(redis) == 0)
        cost = calls(redis) - before
        assert cost["publish"] == told  # the claim, twenty messages, and that one has left
        # Two looks, two who come, twenty messages, two who go, of which one may lose a race.
        assert 26 <= cost["evalsha"] - cost["time"] <= 27  # without heartbeats
        assert cost["set"] + cost["get"] <= 6
        assert cost["subscribe"] + cost["unsubscribe"] == 0


class Unanswered:
    """Appends to a room are carried out, but their answers are lost."""

    def __init__(self, store: RedisStore, monkeypatch: pytest.MonkeyPatch) -> None:
        self._run = store._link.run
        self.losing: list[bool] = []  # for each of the next ones, whether it is carried out
        monkeypatch.setattr(store._link, "run", self)

    async def __call__(self, script: str, keys: Sequence[str], *arguments: Word) -> Any:
        if script == APPEND and self.losing:
            if self.losing.pop(0):
                await self._run(script, keys, *arguments)
            raise LostConnection("the answer is lost")
        return await self._run(script, keys, *arguments)


@pytest.mark.parametrize("at_one", [True, False], ids=["at one process", "at two"])
@pytest.mark.parametrize("patience", [5.0, 0.2])
async def test_an_entry_whose_answer_is_lost_is_there_once(
    servers: list[RendezvousServer],
    monkeypatch: pytest.MonkeyPatch,
    at_one: bool,
    patience: float,
) -> None:
    monkeypatch.setattr("signal_server.store.redis_link.PATIENCE", patience)
    store = servers[0]._store
    assert isinstance(store, RedisStore)
    async with client(servers[0]) as a, client(servers[0 if at_one else 1]) as b:
        await b.claim(await a.allocate())
        await a.send(b"before")
        assert await body(b) == b"before"
        # With little patience it is given up, after other tries, and the socket is closed.
        Unanswered(store, monkeypatch).losing = [True] if patience > 1 else [True, False, False]
        await a.send(b"one")
        async with asyncio.timeout(STEP):
            assert await body(b) == b"one"
            await a.send(b"two")
            assert await body(b) == b"two"
            await b.send(b"three")
            assert await body(a) == b"three"


async def test_an_entrance_whose_answer_is_lost_is_one(
    redis: RedisServer, servers: list[RendezvousServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first one is found when the log is looked at again, of one entry and of more."""
    store = servers[0]._store
    assert isinstance(store, RedisStore)
    unanswered = Unanswered(store, monkeypatch)
    async with dial(servers[0]) as a, dial(servers[0]) as b:
        for websocket, request, answer in (
            (a, Allocate(nameplate="7", side="A" * 22), Allocated),
            (b, Claim(nameplate="7", side="B" * 22), Claimed),
        ):
            unanswered.losing = [True]
            await read(websocket)
            await say(websocket, request)
            assert isinstance(await read(websocket), answer)
        assert await read(a) == Peer("joined")
        assert redis.command("XLEN", log_key(Name("nameplate", "7"))) == b":2\r\n"


async def test_who_goes_after_a_lost_answer_is_away(
    servers: list[RendezvousServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is in the log, and its process does not know: it reads before it says who is gone."""
    monkeypatch.setattr("signal_server.store.redis_link.PATIENCE", 0.05)
    store = servers[0]._store
    assert isinstance(store, RedisStore)
    async with dial(servers[0]) as a, dial(servers[0]) as b:
        for websocket in (a, b):
            await read(websocket)
        await say(a, Allocate(nameplate="7", side="A" * 22))
        assert isinstance(await read(a), Allocated)
        Unanswered(store, monkeypatch).losing = [True]
        await say(b, Claim(nameplate="7", side="B" * 22))
        assert await read(a) == Peer("joined")
        assert await read(a) == Peer("away")


async def test_a_log_that_is_another_one_when_somebody_enters(
    redis: RedisServer, servers: list[RendezvousServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    store = servers[0]._store
    assert isinstance(store, RedisStore)
    run, looked = store._link.run, asyncio.Event()

    async def meanwhile(script: str, keys: Sequence[str], *arguments: Word) -> Any:
        if script == APPEND and not looked.is_set():
            looked.set()
            redis.command("FLUSHALL")
            await say(other, Allocate(nameplate="7", side="C" * 22))
            assert isinstance(await read(other), Allocated)
        return await run(script, keys, *arguments)

    async with dial(servers[1]) as a, dial(servers[1]) as other, dial(servers[0]) as b:
        for websocket in (a, b, other):
            await read(websocket)
        await say(a, Allocate(nameplate="7", side="A" * 22))
        assert isinstance(await read(a), Allocated)
        monkeypatch.setattr(store._link, "run", meanwhile)
        await say(b, Claim(nameplate="7", side="B" * 22))
        assert isinstance(await read(b), Claimed)
        assert await read(other) == Peer("joined")


async def test_connections_that_are_cut_again_and_again_lose_nothing(
    redis: RedisServer, servers: list[RendezvousServer]
) -> None:
    async def pair(number: int) -> None:
        left, right = servers if number % 2 else reversed(servers)
        async with client(left) as a, client(right) as b:
            await b.claim(await a.allocate())
            for round_ in range(8):
                await a.send(b"a%d" % round_)
                assert await body(b) == b"a%d" % round_
                await b.send(b"b%d" % round_)
                assert await body(a) == b"b%d" % round_

    async def cut() -> None:
        for kind in itertools.cycle(("normal", "pubsub")):
            await asyncio.sleep(0.05)
            redis.command("CLIENT", "KILL", "TYPE", kind)

    async with asyncio.timeout(STEP):
        cutting = asyncio.create_task(cut())
        await asyncio.gather(*(pair(number) for number in range(6)))
        cutting.cancel()


async def test_a_redis_that_forgot_its_scripts_is_told_them_again(
    redis: RedisServer, servers: list[RendezvousServer]
) -> None:
    async with client(servers[0]) as a, client(servers[1]) as b:
        await b.claim(await a.allocate())
        redis.command("SCRIPT", "FLUSH")
        await a.send(b"all the same")
        async with asyncio.timeout(STEP):
            assert await body(b) == b"all the same"


async def test_a_log_that_lost_its_end_is_gone_on_with(
    redis: RedisServer, servers: list[RendezvousServer]
) -> None:
    """As a replica may have lost it that took over: what is known here is not there any more."""
    async with client(servers[0]) as a, client(servers[1]) as b:
        nameplate = await a.allocate()
        for word in (b"one", b"two"):
            await a.send(word)
        key = log_key(Name("nameplate", nameplate))
        await until(lambda: redis.command("XLEN", key) == b":3\r\n")
        [last] = re.findall(rb"\d+-\d+", redis.command("XREVRANGE", key, "+", "-", "COUNT", "1"))
        redis.command("XDEL", key, last.decode())
        await a.send(b"three")
        async with asyncio.timeout(STEP):
            await b.claim(nameplate)
            assert [await body(b) for _ in range(3)] == [b"one", b"two", b"three"]


async def test_messages_from_both_sides_at_once(servers: list[RendezvousServer]) -> None:
    async with client(servers[0]) as a, client(servers[1]) as b:
        await b.claim(await a.allocate())
        for number in range(50):
            await a.send(b"a%d" % number)
            await b.send(b"b%d" % number)
        async with asyncio.timeout(STEP):
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
        deafen(store, monkeypatch)
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
        deafen(store, monkeypatch)
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
        store = servers[0]._store
        assert isinstance(store, RedisStore)
        assert store._rooms.needed() == [key]
        await store._logs.touch([key])
        for each in (key, marks_key(key)):
            assert int(redis.command("PTTL", each)[1:]) > 300_000
            redis.command("PEXPIRE", each, "300000")
        await a.send(b"still there")  # whoever says that keeps the log anyway
        await until(lambda: redis.command("XLEN", key) == b":2\r\n")
        for each in (key, marks_key(key)):
            assert 0 < int(redis.command("PTTL", each)[1:]) <= 300_000
    await until(lambda: redis.command("EXISTS", key, marks_key(key)) == b":0\r\n")


async def test_who_goes_leaves_a_log_that_waits(
    redis: RedisServer, servers: list[RendezvousServer]
) -> None:
    async with dial(servers[0]) as a:
        await read(a)
        await say(a, Allocate(nameplate="7", side="A" * 22))
        assert isinstance(await read(a), Allocated)
        key = log_key(Name("nameplate", "7"))
        for each in (key, marks_key(key)):
            redis.command("PEXPIRE", each, "100000")
    await until(lambda: redis.command("XLEN", key) == b":2\r\n")
    for each in (key, marks_key(key)):
        # As long as its place is kept; not as if somebody were still there.
        assert 120_000 < int(redis.command("PTTL", each)[1:]) < 200_000


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
        reads: list[Sequence[str]] = []
        run = store._link.run

        async def counted(script: str, keys: Sequence[str], *arguments: Word) -> Any:
            if script == READ:
                reads.append(keys)
            return await run(script, keys, *arguments)

        monkeypatch.setattr(store._link, "run", counted)

        async def refused(request: ClientMessage) -> str:
            await say(websocket, request)
            answer = await read(websocket)
            assert isinstance(answer, ErrorMessage)
            return answer.code

        await read(websocket)
        strange = Resume(nameplate=nameplate, token="u" * 22)
        assert [await refused(strange) for _ in range(3)] == ["expired"] * 3
        assert await refused(Meet(mailbox="m" * 22, side="S" * 22)) != "expired"
        assert reads == []  # where nobody is, there is nothing to read
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
        assert len(reads) == 2


@pytest.mark.parametrize(
    ("address", "reason"),
    [
        ("redis://127.0.0.1:1/0", "nothing listens"),
        ("redis://nobody:hunter2@127.0.0.1:{port}/0", "another user or password"),
        ("redis://low:pw@127.0.0.1:{port}/0", "may not do"),
        ("redis://127.0.0.1:{port}/99", "no such database"),
    ],
)
async def test_a_store_that_cannot_be_used(redis: RedisServer, address: str, reason: str) -> None:
    redis.command("ACL", "SETUSER", "low", "on", ">pw", "+ping")
    with pytest.raises(StoreUnavailable, match=reason):
        await RedisStore(address.format(port=redis.port)).__aenter__()


async def test_a_full_store_cannot_be_used(redis: RedisServer) -> None:
    redis.command("CONFIG", "SET", "maxmemory", "100000")  # it takes more when it is empty
    try:
        with pytest.raises(StoreUnavailable, match="memory is full"):
            await RedisStore(redis.address).__aenter__()
    finally:
        redis.command("CONFIG", "SET", "maxmemory", "0")


async def test_who_says_much_is_refused_before_redis_is_full(
    redis: RedisServer, servers: list[RendezvousServer]
) -> None:
    """Pairings, which say little, go on."""
    used = int(redis.command("INFO", "memory").partition(b"used_memory:")[2].split()[0])
    redis.command("CONFIG", "SET", "maxmemory", str(round(used * 1.25)))  # 80 % of that are used
    try:
        async with dial(servers[0]) as loud, client(servers[0]) as a, client(servers[1]) as b:
            await until(lambda: servers[0]._store.stored_bytes() == math.inf)
            await b.claim(await a.allocate())
            await a.send(b"x" * SMALL_MAILBOX)
            assert await body(b) == b"x" * SMALL_MAILBOX
            await read(loud)
            await say(loud, Meet(mailbox="m" * 22))
            assert isinstance(await read(loud), Claimed)
            await say(loud, Message(b"x" * (SMALL_MAILBOX + 1)))
            answer = await read(loud)
            assert isinstance(answer, ErrorMessage)
            assert answer.code == "full"
    finally:
        redis.command("CONFIG", "SET", "maxmemory", "0")
    await until(lambda: servers[0]._store.stored_bytes() < math.inf)


async def test_a_pairing_that_runs_goes_on_while_redis_is_full(
    redis: RedisServer, servers: list[RendezvousServer]
) -> None:
    async with client(servers[0]) as a, client(servers[1]) as b, dial(servers[0]) as late:
        await b.claim(await a.allocate())
        await read(late)
        redis.command("CONFIG", "SET", "maxmemory", "100000")  # it takes more when it is empty
        try:
            await say(late, Allocate())
            await until(lambda: not servers[0]._store.available)
            await a.send(b"there")
            assert await body(b) == b"there"
            await b.send(b"back")
            assert await body(a) == b"back"
            await a.release()
            await b.release()
            await until(lambda: redis.command("KEYS", "rtcsend:1:{n*}") == b"*0\r\n")
        finally:
            redis.command("CONFIG", "SET", "maxmemory", "0")
        await until(lambda: servers[0]._store.available)


async def test_mailboxes_that_were_opened_and_dropped_count_for_their_source(
    redis: RedisServer,
) -> None:
    """Nobody is in them, but their logs are kept; who comes back does not count twice."""
    limits = Limits(mailboxes_per_source=2)
    config = ServerConfig(host="127.0.0.1", port=0, store=redis.address, limits=limits)

    async def asked(request: ClientMessage) -> str:
        async with dial(server) as socket:
            await read(socket)
            await say(socket, request)
            answer = await read(socket)
        await until(lambda: len(server._store.directory) == 0)
        return answer.code if isinstance(answer, ErrorMessage) else "in"

    async with RendezvousServer(config) as server:
        redis.command("FLUSHALL")
        requests = [Meet(mailbox=letter * 22, side="S" * 22) for letter in "mmmnmnp"]
        assert [await asked(request) for request in requests] == ["in"] * 6 + ["rate-limited"]


async def test_who_is_in_a_full_log_can_still_go(
    redis: RedisServer, servers: list[RendezvousServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redis_rooms, "MAX_ENTRIES", 4)
    async with dial(servers[0]) as loud, client(servers[1]) as b:
        await read(loud)
        await say(loud, Meet(mailbox="m" * 22))
        assert isinstance(await read(loud), Claimed)
        await b.meet("m" * 22)
        assert await read(loud) == Peer("joined")
        for _ in range(3):
            await say(loud, Message(b"x"))
        answer = await read(loud)
        assert isinstance(answer, ErrorMessage)
        assert answer.code == "full"
        async with asyncio.timeout(STEP):
            while await b.receive() != PeerPresence("away"):
                pass
        await b.release()
        await until(lambda: servers[1]._store.directory.live == 0)


async def test_a_server_that_has_ended_asks_nothing_more_of_redis(
    redis: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It could not say that its sockets are gone, and must not try on."""
    monkeypatch.setattr(redis_link, "PATIENCE", 0.0)
    server = RendezvousServer(ServerConfig(host="127.0.0.1", port=0, store=redis.address))
    try:
        async with server, dial(server) as socket:
            await read(socket)
            await say(socket, Meet(mailbox="m" * 22))
            assert isinstance(await read(socket), Claimed)
            redis.command("REPLICAOF", "127.0.0.1", "1")
            await server._leave()
            assert server._sockets._reception.get_timer() is not None
            assert server._sockets._timer._timer is None
    finally:
        redis.command("REPLICAOF", "NO", "ONE")


async def test_no_script_needs_keys_of_two_nodes(tmp_path: Path) -> None:
    """A node of a cluster refuses that, also if it is the only one."""
    options = ("--cluster-enabled", "yes", "--cluster-port", str(free_port()))
    with redis_server(tmp_path, *options) as node:
        assert node.command("CLUSTER", "ADDSLOTSRANGE", "0", "16383") == b"+OK\r\n"
        async with asyncio.timeout(STEP):
            while b"cluster_state:ok" not in node.command("CLUSTER", "INFO"):  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        config = ServerConfig(host="127.0.0.1", port=0, store=node.address)
        async with RendezvousServer(config) as one, RendezvousServer(config) as other:
            async with client(one) as a, client(other) as b:
                await b.claim(await a.allocate())
                await a.send(b"there")
                assert await body(b) == b"there"
                await b.send(b"back")
                assert await body(a) == b"back"
            async with client(one) as a, client(other) as b:
                await a.meet("m" * 22)
                await b.meet("m" * 22)
                await a.send(b"again")
                assert await body(b) == b"again"


async def test_a_store_that_stands_still_is_missed_and_comes_back(
    redis: RedisServer, servers: list[RendezvousServer]
) -> None:
    async with client(servers[0]) as a, client(servers[1]) as b:
        await b.claim(await a.allocate())
        redis.signal(signal.SIGSTOP)
        try:
            await a.send(b"meanwhile")
            async with asyncio.timeout(STEP):
                while servers[0]._store.available:  # noqa: ASYNC110 - it tells nobody
                    await asyncio.sleep(0.01)
        finally:
            redis.signal(signal.SIGCONT)
        async with asyncio.timeout(STEP):
            assert await body(b) == b"meanwhile"
            await b.send(b"after")
            assert await body(a) == b"after"


async def test_the_sides_of_a_dead_process_are_away(
    redis: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
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
        # Not before: who has no turn for that long would be taken for dead as well.
        monkeypatch.setattr("signal_server.store.processes.LEASE_SECONDS", 0.5)
        async with asyncio.timeout(STEP):
            assert await b.receive() == PeerPresence("away")
