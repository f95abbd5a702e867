"""Three server processes on one Redis, behind a balancer that remembers nothing."""

import asyncio
import re
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from tests.e2e.processes import Machine, Side, random_file
from tests.fakes.load_balancer import LoadBalancer
from tests.fakes.redis_server import RedisServer, needs_redis, redis_server

pytestmark = [pytest.mark.e2e, needs_redis]

SERVERS = 3
HANDSHAKE = 600  # bytes; the HTTP request has about 250, and what follows it is frames


@pytest.fixture
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with redis_server(tmp_path_factory.mktemp("redis")) as server:
        yield server


class Cluster:
    """The servers, and what is in front of them."""

    def __init__(self, servers: list[Side], balancer: LoadBalancer) -> None:
        self.servers = servers
        self.balancer = balancer

    async def kill(self, number: int) -> None:
        self.servers[number].signal(signal.SIGKILL)
        assert await self.servers[number].exit() == -signal.SIGKILL


@pytest.fixture
async def cluster(machine: Machine, redis: RedisServer) -> AsyncIterator[Cluster]:
    async with AsyncExitStack() as stack:
        sides, ports = [], []
        for _ in range(SERVERS):
            side, url = await stack.enter_async_context(machine.server("--store", redis.address))
            sides.append(side)
            found = re.search(r":(\d+)$", url)
            assert found is not None
            ports.append(int(found[1]))
        balancer = await stack.enter_async_context(LoadBalancer(*ports))
        yield Cluster(sides, balancer)


async def transfer_ends_well(sender: Side, receiver: Side, source: Path, out: Path) -> None:
    codes = (await receiver.exit(), await sender.exit())
    assert codes == (0, 0), (receiver.stderr, sender.stderr)
    assert (out / source.name).read_bytes() == source.read_bytes()  # noqa: ASYNC240 - it is over


async def test_the_two_sides_are_on_different_servers(
    machine: Machine, cluster: Cluster, out: Path
) -> None:
    source = random_file(machine.folder / "film.iso", 3_000_000)
    server = ("--server", cluster.balancer.url)
    async with machine.send(source, *server) as sender:
        async with machine.receive(await sender.code(), "-o", out, *server) as receiver:
            await transfer_ends_well(sender, receiver, source, out)
    assert cluster.balancer.uses == [0, 1]


@pytest.mark.parametrize("victim", [0, 1], ids=["the senders", "the receivers"])
async def test_a_server_is_killed_in_the_middle_of_a_pairing(
    machine: Machine, cluster: Cluster, out: Path, victim: int
) -> None:
    source = random_file(machine.folder / "film.iso", 3_000_000)
    server = ("--server", cluster.balancer.url)
    async with machine.send(source, *server) as sender:
        async with machine.receive(await sender.code(), "-o", out, *server) as receiver:
            await cluster.balancer.told(1, HANDSHAKE)
            await cluster.kill(victim)
            await transfer_ends_well(sender, receiver, source, out)
    assert cluster.balancer.uses[:2] == [0, 1]
    assert len(cluster.balancer.uses) > 2  # somebody had to come again


async def test_the_senders_server_is_killed_before_the_receiver_comes(
    machine: Machine, cluster: Cluster, out: Path
) -> None:
    source = random_file(machine.folder / "film.iso", 100_000)
    server = ("--server", cluster.balancer.url)
    async with machine.send(source, *server) as sender:
        code = await sender.code()
        await cluster.kill(0)
        async with machine.receive(code, "-o", out, *server) as receiver:
            await transfer_ends_well(sender, receiver, source, out)


async def test_redis_stands_still_in_the_middle_of_a_pairing(
    machine: Machine, cluster: Cluster, redis: RedisServer, out: Path
) -> None:
    source = random_file(machine.folder / "film.iso", 100_000)
    server = ("--server", cluster.balancer.url)
    async with machine.send(source, *server) as sender:
        async with machine.receive(await sender.code(), "-o", out, *server) as receiver:
            await cluster.balancer.told(1, HANDSHAKE)
            redis.signal(signal.SIGSTOP)
            await asyncio.gather(
                *(side.stderr_has("store does not answer") for side in cluster.servers)
            )
            redis.signal(signal.SIGCONT)
            await transfer_ends_well(sender, receiver, source, out)


async def test_redis_is_gone_and_comes_back(
    machine: Machine, cluster: Cluster, redis: RedisServer, out: Path
) -> None:
    """One transfer is under way, one pair is about to meet, and one comes meanwhile."""
    source = random_file(machine.folder / "film.iso", 6_000_000)
    server = ("--server", cluster.balancer.url)
    slowly = ("--limit", "1M")
    other = machine.folder / "other"
    third = machine.folder / "third"
    for folder in (other, third):
        folder.mkdir()
    async with AsyncExitStack() as stack:
        sender = await stack.enter_async_context(machine.send(source, *server, *slowly))
        code = await sender.code()
        receiver = await stack.enter_async_context(machine.receive(code, "-o", out, *server))
        await receiver.moving()
        waiting = await stack.enter_async_context(machine.send(source, *server))
        waiting_code = await waiting.code()

        redis.stop()
        await asyncio.gather(
            *(side.stderr_has("store does not answer") for side in cluster.servers)
        )
        claiming = await stack.enter_async_context(
            machine.receive(waiting_code, "-o", other, *server)
        )
        late = await stack.enter_async_context(machine.send(source, *server))
        await transfer_ends_well(sender, receiver, source, out)  # files need no store
        redis.start()

        await transfer_ends_well(waiting, claiming, source, other)
        late_code = await late.code()
        finder = await stack.enter_async_context(machine.receive(late_code, "-o", third, *server))
        await transfer_ends_well(late, finder, source, third)
    assert [side.process.returncode for side in cluster.servers] == [None] * SERVERS
