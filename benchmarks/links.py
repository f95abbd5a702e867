"""Transfers over links that are long, slow, lossy or shared: the laboratory of ``tests/lab``.

alice sends to bob; both have public addresses, the rendezvous (and coturn) is on a third
machine. Delay and loss are split between the two links. What is compared takes turns, so that
a slow minute of the machine hits all of it; ratios are made of the runs of one round. Linux,
root, a C compiler and nftables.

The parts, to be chosen by ``--only``: ``loss`` (a whole file, beside TCP and plain aiortc),
``share`` (with one TCP connection), ``pair`` (with another transfer), ``queue`` (round
trips while it runs), ``relay`` (through TURN), ``memory``.
"""

import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from benchmarks.commands import random_file
from benchmarks.figures import Figure, figure
from benchmarks.flows import Tcp, between, running
from benchmarks.namespaces import inside
from rtcsend.cli.bench_run import AIORTC, Way
from rtcsend.cli.bench_run import measure as run_way
from tests.lab import Lab
from tests.lab.probe import ping
from tests.lab.required import missing
from tests.lab.transfer import Record, Took, Transfer
from tests.lab.turn import Way as Relay

PARTS = ("loss", "share", "pair", "queue", "relay", "memory")
CONTROLS = Path("/proc/sys/net/ipv4/tcp_available_congestion_control")
RATE = 100  # Mbit/s
SIZE = 64_000_000  # bytes of the file
MEMORY_SIZES = (64_000_000, 256_000_000, 4_000_000_000)  # bytes; that it is the same for all
MEMORY_RATE = 400  # Mbit/s; with 300 ms a window is on its way, and a GB takes half a minute
CELLS = tuple((rtt, loss) for rtt in (20, 100, 300) for loss in (0.0, 0.1, 1.0))  # ms, percent
QUICK_CELLS = ((100, 0.0), (100, 1.0), (300, 0.1))
GOALS = {(100, 0.0): 0.9, (100, 0.1): 0.9, (100, 1.0): 0.8, (300, 0.1): 0.8}  # of TCP bbr
CUBIC_SECONDS = 15.0  # with loss it would take minutes
AIORTC_SECONDS = 5.0
SHARED_RTT, SHARED_QUEUE = 40, 500_000  # ms; bytes, one bandwidth-delay product
SHARED_SECONDS, SETTLING = 60.0, 10.0
ENDLESS = 1_500_000_000  # bytes; two minutes at RATE
SLOW_RATE, SLOW_RTT, SLOW_QUEUE = 20, 20, 1_500_000  # Mbit/s, ms, bytes
STARTING = 3.0  # seconds until a transfer has found its rate
RELAYS: tuple[Relay, ...] = ("udp", "tcp", "tls")
RELAY_GOALS = {"tcp": ">= 80", "tls": ">= 80"}  # Mbit/s


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What is to be measured.

    Attributes:
        parts: Some of :data:`PARTS`.
        runs: Rounds of each.
        quick: A quarter of the sizes and times, a third of the links.
    """

    parts: tuple[str, ...]
    runs: int
    quick: bool

    def size(self, size: int) -> int:
        """Return how many bytes to send in place of ``size``."""
        return size // 4 if self.quick else size

    @property
    def scale(self) -> float:
        """By what times are multiplied."""
        return 0.25 if self.quick else 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """Where it is measured."""

    lab: Lab
    server: str
    folder: Path
    plan: Plan

    def file(self, size: int) -> Path:
        """Return a file of random bytes."""
        path = self.folder / f"{size}.bin"
        return path if path.exists() else random_file(path, size)

    def endless(self) -> Path:
        """Return a file that no link here carries to its end while it is looked at.

        It has to be there: holes of a file are not sent.
        """
        return self.file(ENDLESS)

    def transfer(self, source: Path, *options: str, env: dict[str, str] | None = None) -> Transfer:
        """Start one."""
        return Transfer(
            (self.lab.alice, self.lab.bob),
            server=self.server,
            source=source,
            folder=self.folder,
            options=options,
            env=env,
        )

    def whole(self, size: int, *options: str, env: dict[str, str] | None = None) -> Took:
        """Return what a whole file took."""
        transfer = self.transfer(self.file(size), *options, env=env)
        with running(transfer):
            return transfer.finish()


def measure(folder: Path, *, plan: Plan) -> Iterator[Figure]:
    """Measure what is planned; nothing, and why, where there can be no laboratory."""
    if (reason := missing()) is not None:
        print(f"links: {reason}", file=sys.stderr)
        return
    rows = {
        "loss": _loss,
        "share": _share,
        "pair": _pair,
        "queue": _queue,
        "relay": _relay,
        "memory": _memory,
    }
    with Lab() as lab:
        bench = Bench(lab=lab, server=lab.rendezvous(), folder=folder, plan=plan)
        for part in plan.parts:
            yield from rows[part](bench)


def _loss(bench: Bench) -> Iterator[Figure]:
    """Whole transfers on links of each length and loss."""
    size = bench.plan.size(SIZE)
    controls = [control for control in ("bbr", "cubic") if control in CONTROLS.read_text().split()]
    for rtt, loss in QUICK_CELLS if bench.plan.quick else CELLS:
        link = f"{rtt} ms, {loss:g} %"
        took: list[Took] = []
        others: dict[str, list[float]] = {control: [] for control in controls}
        plain: list[float] = []
        for number in range(bench.plan.runs):
            bench.lab.links(rtt_ms=rtt, rate_mbit=RATE, loss_percent=loss, seed=number)
            took.append(bench.whole(size))
            for control in controls:
                others[control].append(_tcp_rate(bench, control, size))
            plain.append(_aiortc_rate(bench))
        rates = [size / 1e6 / each.seconds for each in took]
        yield figure("links", f"{link}: rtcsend", "MB/s", rates)
        yield figure("links", f"{link}: rtcsend, whole", "s", [each.whole for each in took])
        for control in controls:
            yield figure("links", f"{link}: TCP {control}", "MB/s", others[control])
        yield figure("links", f"{link}: plain aiortc", "MB/s", plain)
        if "bbr" in others:
            ratios = [one / other for one, other in zip(rates, others["bbr"], strict=True)]
            goal = f">= {GOALS[rtt, loss]:.2f}" if (rtt, loss) in GOALS else ""
            yield figure("links", f"{link}: rtcsend / TCP bbr", "times", ratios, goal=goal)


def _share(bench: Bench) -> Iterator[Figure]:
    """One transfer and one TCP cubic connection; who is first alternates."""
    shares = []
    for number in range(bench.plan.runs):
        _bottleneck(bench)
        seconds = SHARED_SECONDS * bench.plan.scale
        transfer, tcp = _both(bench, seconds, tcp_first=number % 2 == 1)
        with running(transfer), running(tcp):
            _, record = tcp.finish()
            shares.append(_shares(transfer.record, record, record[-1][0], seconds))
    for name, index in (("rtcsend", 0), ("TCP cubic", 1)):
        got = [100 * each[index] for each in shares]
        yield figure("links", f"shared, {name} of both", "%", got, goal=">= 30")


def _both(bench: Bench, seconds: float, *, tcp_first: bool) -> tuple[Transfer, Tcp]:
    if tcp_first:
        # It counts its own seconds: more of them, until the transfer moves.
        tcp = Tcp(bench.lab, control="cubic", seconds=seconds + 2 * SETTLING * bench.plan.scale)
        transfer = bench.transfer(bench.endless())
        transfer.wait_until_moving()
    else:
        transfer = bench.transfer(bench.endless())
        transfer.wait_until_moving()
        tcp = Tcp(bench.lab, control="cubic", seconds=seconds)
    return transfer, tcp


def _pair(bench: Bench) -> Iterator[Figure]:
    """Two transfers; the second starts when the first one moves."""
    smaller = []
    for _ in range(bench.plan.runs):
        _bottleneck(bench)
        seconds = SHARED_SECONDS * bench.plan.scale
        first = bench.transfer(bench.endless())
        with running(first):
            first.wait_until_moving()
            second = bench.transfer(bench.endless())
            with running(second):
                second.wait_until_moving()
                time.sleep(seconds)
                shares = _shares(first.record, second.record, time.monotonic(), seconds)
                smaller.append(100 * min(shares))
    yield figure("links", "two transfers, the slower one of both", "%", smaller, goal=">= 40")


def _queue(bench: Bench) -> Iterator[Figure]:
    """Round trips through a deep queue that a transfer fills."""
    idle, loaded, rates = [], [], []
    lab, count = bench.lab, int(100 * bench.plan.scale)
    lab.links(rtt_ms=SLOW_RTT, rate_mbit=SLOW_RATE, queue_bytes=SLOW_QUEUE)
    for _ in range(bench.plan.runs):
        idle.append(median(ping(lab.alice, lab.bob.address, count=20)))
        transfer = bench.transfer(bench.endless())
        with running(transfer):
            transfer.wait_until_moving()
            time.sleep(STARTING)
            started = time.monotonic()
            loaded.append(median(ping(lab.alice, lab.bob.address, count=count, interval=0.1)))
            ended = time.monotonic()
            got = between(transfer.record, started, ended)
            rates.append(got * 8e-6 / (ended - started))
    yield figure("links", "20 Mbit/s, 1.5 MB of queue: idle RTT", "ms", idle)
    yield figure("links", "the same while a transfer runs", "ms", loaded)
    yield figure("links", "rate of that transfer", "Mbit/s", rates)
    ratios = [one / other for one, other in zip(loaded, idle, strict=True)]
    yield figure("links", "loaded / idle", "times", ratios, goal="<= 3")


def _relay(bench: Bench) -> Iterator[Figure]:
    """Both sides through coturn, by each transport."""
    turn = bench.lab.turn()
    size = bench.plan.size(SIZE)
    bench.lab.links(rtt_ms=SHARED_RTT, rate_mbit=RATE)
    rates: dict[Relay, list[float]] = {way: [] for way in RELAYS}
    for _ in range(bench.plan.runs):
        for way in RELAYS:
            options = ("--relay-only", "--ice", turn.ice_url(way))
            took = bench.whole(size, *options, env=turn.environment)
            rates[way].append(size * 8e-6 / took.seconds)
    for way, got in rates.items():
        goal = RELAY_GOALS.get(way, "")
        name = f"TURN by {way.upper()} on both sides, {SHARED_RTT} ms"
        yield figure("links", name, "Mbit/s", got, goal=goal)


def _memory(bench: Bench) -> Iterator[Figure]:
    """The largest resident set of each side on a long lossy link, for files of several sizes."""
    bench.lab.links(rtt_ms=300, rate_mbit=MEMORY_RATE, loss_percent=0.1)
    for size in map(bench.plan.size, MEMORY_SIZES):
        took = bench.whole(size)
        for name, peak in zip(("sender", "receiver"), took.peaks, strict=True):
            title = f"peak memory at 300 ms, 0.1 %, {size // 10**6} MB: {name}"
            yield figure("links", title, "MB", [peak / 1e6], goal="< 150")
        rate = size / 1e6 / took.seconds
        yield figure("links", f"rate of these {size // 10**6} MB", "MB/s", [rate])
    if "bbr" in CONTROLS.read_text().split():
        tcp = _tcp_rate(bench, "bbr", bench.plan.size(MEMORY_SIZES[0]))
        yield figure("links", "TCP bbr on that link", "MB/s", [tcp])


def _bottleneck(bench: Bench) -> None:
    bench.lab.links(rtt_ms=SHARED_RTT, rate_mbit=RATE, queue_bytes=SHARED_QUEUE)


def _shares(one: Record, other: Record, end: float, seconds: float) -> tuple[float, float]:
    """Return what part each got of what both got, up to ``end``, the first sixth left out."""
    start = end - seconds * (1 - SETTLING / SHARED_SECONDS)
    got = between(one, start, end), between(other, start, end)
    return got[0] / sum(got), got[1] / sum(got)


def _tcp_rate(bench: Bench, control: str, size: int) -> float:
    """Return MB/s of TCP."""
    limit = CUBIC_SECONDS * bench.plan.scale if control == "cubic" else 4 * SHARED_SECONDS
    tcp = Tcp(bench.lab, control=control, size=size, seconds=limit)
    with running(tcp):
        return tcp.finish()[0] / 1e6


def _aiortc_rate(bench: Bench) -> float:
    """Return MB/s of aiortc's DataChannel, memory to memory."""
    way = Way(
        inside(bench.lab.alice.name, AIORTC.sender), inside(bench.lab.bob.name, AIORTC.receiver)
    )
    seconds = AIORTC_SECONDS * bench.plan.scale
    return run_way(way, seconds=seconds, check=_go_on).bytes_per_s / 1e6


def _go_on() -> None:
    """Ctrl-C is an exception here, which ends the processes as well."""
