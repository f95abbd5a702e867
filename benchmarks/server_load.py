"""What a mailbox server takes: pairings a second, latency, memory, and a flood beside it.

Real WebSockets on loopback. A pairing is everything from nothing to nothing: two connections,
allocate, claim, ten messages each way, release. The load runs in this process and the server in
others, on the same cores: so there is CPU a pairing beside pairings a second. The servers take
turns: ours in one process, three of ours on one Redis, and magic-wormhole's mailbox server
(``pip``, in a virtual environment of its own). Limits are lifted, since all clients are here.
"""

import asyncio
import contextlib
import itertools
import resource
import secrets
import shutil
import statistics
import sys
import time
from collections.abc import Coroutine, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from benchmarks import load_servers
from benchmarks.figures import Figure, figure
from benchmarks.load_client import LoadSocket
from benchmarks.load_servers import Target
from signal_server.event_loop import new_event_loop

_R = TypeVar("_R")

PARTS = ("pairings", "latency", "idle", "flood", "leak")
AT_ONCE = 16  # pairings under way, as many as it takes to keep the server busy
RATE = 250.0  # pairings a second whose latencies are measured: half of the goal
BODY = 204  # bytes of a message; a sealed candidate
PATIENCE = 10.0  # seconds for an answer
BESIDE = 1_500  # pairings beside those who wait; one collection of garbage counts little then
FLOOD = 5_000  # bad connections
FLOOD_SOURCE = "127.0.66.6"
LEAK_WARM_UP, LEAK_PART = 5_000, 10_000  # pairings
SOURCES = 200  # addresses that pairings come from, in turn


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How much of everything."""

    parts: tuple[str, ...] = PARTS
    pairings: int = 3_000
    runs: int = 3
    mailboxes: int = 10_000
    leak_pairings: int = 20_000
    wormhole: Path | None = None
    """A virtual environment that has magic-wormhole's mailbox server already."""


@dataclass(slots=True)
class Took:
    """What some pairings took."""

    seconds: float = 0.0
    latencies: list[float] = field(default_factory=list)
    """Of single messages, in seconds, the load's own delays included."""
    times: list[float] = field(default_factory=list)
    """Of whole pairings."""
    failed: int = 0


def measure(folder: Path, *, plan: Plan) -> Iterator[Figure]:
    """Measure all parts of the plan; Linux."""
    _allow_files()
    folder = folder / "server_load"
    folder.mkdir()
    if "pairings" in plan.parts:
        yield from _pairings(folder, plan)
    with load_servers.rtcsend(folder, 1) as target:
        if "latency" in plan.parts:
            yield from _run_load(_latency(target))
        if "leak" in plan.parts:
            yield from _run_load(_leak(target, plan.leak_pairings))
    if "flood" in plan.parts:
        with load_servers.rtcsend(folder, 1, limits=("sockets_per_source=200",)) as target:
            yield from _run_load(_flood(target))
    if "idle" in plan.parts:
        yield from _idle(folder, plan)


# Parts


def _pairings(folder: Path, plan: Plan) -> Iterator[Figure]:
    rates: dict[str, list[float]] = {}
    cpus: dict[str, list[float]] = {}
    with contextlib.ExitStack() as stack:
        targets = [stack.enter_context(load_servers.rtcsend(folder, 1))]
        if shutil.which("redis-server"):
            redis = stack.enter_context(load_servers.redis(folder))
            targets.append(stack.enter_context(load_servers.rtcsend(folder, 3, store=redis)))
        targets.append(stack.enter_context(load_servers.wormhole(folder, plan.wormhole)))
        for number, target in itertools.product(range(plan.runs + 1), targets):
            # The first round warms up.
            count = plan.pairings if target.name == targets[0].name else plan.pairings // 6
            before = target.cpu()
            took = _run_load(_run(target, max(count // (6 if not number else 1), AT_ONCE)))
            if number:
                done = len(took.times)
                rates.setdefault(target.name, []).append(done / took.seconds)
                cpus.setdefault(target.name, []).append((target.cpu() - before) / done * 1000)
    own = targets[0].name
    goals = {own: ">= 500"}
    for name, each in rates.items():
        yield figure("server_load", f"pairings, {name}", "1/s", each, goal=goals.get(name, ""))
        yield figure("server_load", f"CPU a pairing, {name}", "ms", cpus[name])
    theirs = targets[-1].name
    ratio = [a / b for a, b in zip(rates[own], rates[theirs], strict=True)]
    yield figure("server_load", f"pairings a second, {own} / {theirs}", "times", ratio, goal=">= 5")
    ratio = [b / a for a, b in zip(cpus[own], cpus[theirs], strict=True)]
    yield figure("server_load", f"CPU a pairing, {theirs} / {own}", "times", ratio, goal=">= 5")


async def _latency(target: Target) -> list[Figure]:
    await _run(target, 200)
    took = await _run(target, round(RATE * 8), rate=RATE)
    at = f"at {len(took.times) / took.seconds:.0f} pairings/s"
    goals = {0.5: "", 0.99: "< 20"}
    return [
        figure(
            "server_load",
            f"relay of a message, p{quantile * 100:.0f}, {at}",
            "ms",
            [_quantile(took.latencies, quantile) * 1000],
            goal=goals[quantile],
        )
        for quantile in goals
    ]


async def _leak(target: Target, count: int) -> list[Figure]:
    await _run(target, LEAK_WARM_UP)  # what a process takes anyway
    before, cpu, started = target.memory(), target.cpu(), time.monotonic()
    done = 0
    while done < count:
        # In parts: this process remembers each message of a part, and would be the one to grow.
        took = await _run(target, min(LEAK_PART, count - done))
        done += len(took.times) + took.failed
        if took.failed:
            raise RuntimeError(f"{took.failed} of {len(took.times) + took.failed} pairings failed")
    grown = target.memory() - before
    name = f"memory after {count} more pairings"
    rate, each = done / (time.monotonic() - started), (target.cpu() - cpu) / done * 1000
    return [
        figure("server_load", name, "MB", [grown / 1e6], goal="0"),
        figure("server_load", f"rate of {count} pairings", "1/s", [rate]),
        figure("server_load", f"CPU of one of {count} pairings", "ms", [each]),
    ]


async def _flood(target: Target) -> list[Figure]:
    """Pairings at a modest rate, as they usually are and beside a flood."""
    await _run(target, 200)
    usual = await _run(target, 400, rate=40.0)
    # In a process of its own: this one has the pairings to measure.
    script = f"from benchmarks.server_load import flood; flood({target.ports[0]})"
    flooder = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", script),
        cwd=Path(__file__).parents[1],
        stdout=asyncio.subprocess.PIPE,
    )
    beside = await _run(target, 400, rate=40.0)
    connections = int((await flooder.communicate())[0])
    ratio = statistics.median(beside.times) / statistics.median(usual.times)
    worst = _quantile(beside.times, 0.95) / _quantile(usual.times, 0.95)
    if beside.failed:
        raise RuntimeError(f"{beside.failed} pairings failed beside the flood")
    name = f"a pairing beside {connections} bad connections of one address, to usual"
    return [
        figure("server_load", f"{name}, median", "times", [ratio], goal="<= 2"),
        figure("server_load", f"{name}, p95", "times", [worst]),
    ]


def _idle(folder: Path, plan: Plan) -> Iterator[Figure]:
    with contextlib.ExitStack() as stack:
        targets = [stack.enter_context(load_servers.rtcsend(folder, 1))]
        if shutil.which("redis-server"):
            redis = stack.enter_context(load_servers.redis(folder))
            targets.append(stack.enter_context(load_servers.rtcsend(folder, 3, store=redis)))
        for target in targets:
            _run_load(_run(target, 200))
            alone = _run_load(_cpu_a_pairing(target))
            held, grown, cpu, beside = _run_load(_hold(target, plan.mailboxes))
            goal = ">= 10000" if target is targets[0] else ""
            yield figure("server_load", f"waiting mailboxes, {target.name}", "", [held], goal=goal)
            yield figure(
                "server_load",
                f"memory a waiting mailbox, {target.name}",
                "kB",
                [grown / held / 1000],
                goal="<= 25" if target is targets[0] else "",
            )
            yield figure("server_load", f"CPU while they wait, {target.name}", "s/s", [cpu])
            name = f"CPU a pairing beside them, to alone, {target.name}"
            yield figure("server_load", name, "times", [beside / alone])


async def _cpu_a_pairing(target: Target) -> float:
    """Return CPU seconds of all processes."""
    before = target.cpu()
    took = await _run(target, BESIDE)
    if took.failed:
        raise RuntimeError(f"{took.failed} of {BESIDE} pairings failed")
    return (target.cpu() - before) / BESIDE


async def _hold(target: Target, count: int) -> tuple[int, float, float, float]:
    """Have so many sides wait.

    Returns:
        How many do, bytes, CPU seconds a second, and CPU seconds of a pairing beside them.
    """
    before = target.memory()
    loop = asyncio.get_running_loop()
    waiting = 0
    sockets: list[LoadSocket] = []
    answered = asyncio.Event()

    def on_frame(wanted: LoadSocket, frame: bytes) -> None:
        nonlocal waiting
        if frame.startswith(b'{"type":"welcome"'):
            side = secrets.token_urlsafe(16).encode()
            wanted.send(b'{"type":"allocate","side":"%s"}' % side)
        elif frame.startswith(b'{"type":"allocated"'):
            waiting += 1
            answered.set()

    for number in range(count):
        wanted = LoadSocket("localhost", "/v1")
        wanted.on_frame = partial(on_frame, wanted)
        await loop.create_connection(
            partial(_the_same, wanted),
            "127.0.0.1",
            target.ports[number % len(target.ports)],
            local_addr=(_source(number), 0),
        )
        sockets.append(wanted)
        while number - waiting > 100:
            answered.clear()
            await asyncio.wait_for(answered.wait(), PATIENCE)
    with contextlib.suppress(TimeoutError):
        while waiting < count:
            answered.clear()
            await asyncio.wait_for(answered.wait(), PATIENCE)
    grown = target.memory() - before
    cpu, started = target.cpu(), time.monotonic()
    await asyncio.sleep(5.0)
    cpu = (target.cpu() - cpu) / (time.monotonic() - started)
    beside = await _cpu_a_pairing(target)
    for each in sockets:
        each.transport.abort()
    return waiting, grown, cpu, beside


# The load


async def _run(target: Target, count: int, *, rate: float | None = None) -> Took:
    """Do so many pairings: as fast as it goes, or at a rate."""
    took = Took()
    started = time.monotonic()
    numbers = iter(range(count))

    async def one(number: int) -> None:
        began = time.monotonic()
        pairing = target.pairing(
            "127.0.0.1",
            target.ports[number % len(target.ports)],
            source=_source(number),
            body=b"A" * (BODY * 4 // 3),
            latencies=took.latencies,
            second_port=target.ports[(number + 1) % len(target.ports)],
        )
        try:
            await asyncio.wait_for(pairing.run(), 60)
        except (OSError, TimeoutError):
            took.failed += 1
        else:
            took.times.append(time.monotonic() - began)

    async def worker() -> None:
        for number in numbers:
            await one(number)

    if rate is None:
        await asyncio.gather(*(worker() for _ in range(AT_ONCE)))
    else:
        loop = asyncio.get_running_loop()
        running = []
        for number in numbers:
            running.append(loop.create_task(one(number)))
            await asyncio.sleep(started + (number + 1) / rate - time.monotonic())
        await asyncio.gather(*running)
    took.seconds = time.monotonic() - started
    if not took.times:
        raise RuntimeError(f"no pairing worked at {target.name}")
    return took


async def _bad_connections(port: int) -> int:
    """Do what floods do, from one address: connect, say something bad or nothing, and stay."""
    upgrade = b"GET /v1 HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    bad = (
        b"",
        b"GET /" + b"a" * 4_000 + b"\r\n",
        b"\x16\x03\x01" + bytes(200),
        upgrade + b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: x\r\n\r\n",
        upgrade
        + b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        + b'\x81\x9e\0\0\0\0{"type":"claim","nameplate":"7',
    )
    made = 0
    writers = []
    for number in range(FLOOD):
        with contextlib.suppress(OSError):
            _, writer = await asyncio.open_connection(
                "127.0.0.1", port, local_addr=(FLOOD_SOURCE, 0)
            )
            made += 1
            writer.write(bad[number % len(bad)])
            writers.append(writer)
    for writer in writers:
        writer.transport.abort()
    return made


def flood(port: int) -> None:
    """Make bad connections, and print how many there were; for a process of its own."""
    _allow_files()
    print(asyncio.run(_bad_connections(port)))


def _the_same(socket: LoadSocket) -> LoadSocket:
    return socket


def _run_load(load: Coroutine[Any, Any, _R]) -> _R:
    """Run a load on uvloop too, where it is: the less it takes, the more is the server's."""
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        return runner.run(load)


def _source(number: int) -> str:
    return f"127.0.1.{number % SOURCES + 1}"


def _quantile(values: list[float], quantile: float) -> float:
    return sorted(values)[min(int(len(values) * quantile), len(values) - 1)]


def _allow_files() -> None:
    """Allow this process, and what it starts, as many sockets as the system does."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
