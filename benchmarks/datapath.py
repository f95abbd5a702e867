"""The data path beside everything it can be compared with, memory to memory, in turns.

On loopback, and, for root on Linux, over a veth pair at MTU 1500 between two namespaces. The
ways take turns, so that a slow minute of the machine hits all of them; ratios are made
of the runs of one round, and only their medians mean something.
"""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

from benchmarks import raw_ends
from benchmarks.figures import Figure, figure
from benchmarks.namespaces import ADDRESSES, available, inside, veth_pair
from benchmarks.prototype_ends import prototype_receiver, prototype_sender
from rtcsend.cli.bench_run import AIORTC, OWN, OWN_SMALL, Measured, Way
from rtcsend.cli.bench_run import measure as run

SMALL = 1_160  # bytes; what a packet of 1,200 bytes carries beneath DTLS
FULL = {"loopback": 15_900, "veth": 1_400}  # bytes; what path MTU discovery finds there
CONTROLS = Path("/proc/sys/net/ipv4/tcp_available_congestion_control")
GOALS = {
    "rtcsend, 1,200-byte packets / plain aiortc": ">= 12",
    "rtcsend, 1,200-byte packets / prototype": ">= 1.1",
}
VETH_GOALS = {"rtcsend / rtcsend, 1,200-byte packets": ">= 1.15"}


def measure(*, runs: int, seconds: float) -> Iterator[Figure]:
    """Measure ``runs`` rounds of ``seconds`` for each way, on each network that there is."""
    yield from _on("loopback", (None, None), "127.0.0.1", runs=runs, seconds=seconds)
    if available():
        with veth_pair() as names:
            yield from _on("veth", names, ADDRESSES[1], runs=runs, seconds=seconds)


def _on(
    network: str, names: tuple[str | None, str | None], address: str, *, runs: int, seconds: float
) -> Iterator[Figure]:
    ways = {
        title: Way(inside(names[0], way.sender), inside(names[1], way.receiver))
        for title, way in _ways(network, address).items()
    }
    samples: dict[str, list[Measured]] = {title: [] for title in ways}
    for _ in range(runs):
        for title, way in ways.items():
            samples[title].append(run(way, seconds=seconds, check=_go_on))
    for title, measured in samples.items():
        rates = [each.bytes_per_s / 1e6 for each in measured]
        yield figure("datapath", f"{network}: {title}", "MB/s", rates)
    for title, measured in samples.items():
        cpu = [each.cpu_seconds_per_gb for each in measured]
        yield figure("datapath", f"{network}: CPU of both sides, {title}", "s/GB", cpu)
    yield from _ratios(network, samples)


def _ratios(network: str, samples: dict[str, list[Measured]]) -> Iterator[Figure]:
    own, small, *others = samples
    pairs = [(own, other) for other in (small, *others)] + [(small, other) for other in others]
    goals = GOALS | (VETH_GOALS if network == "veth" else {})
    for one, other in pairs:
        ratios = [
            mine.bytes_per_s / theirs.bytes_per_s
            for mine, theirs in zip(samples[one], samples[other], strict=True)
        ]
        name = f"{one} / {other}"
        yield figure("datapath", f"{network}: {name}", "times", ratios, goal=goals.get(name, ""))


def _ways(network: str, address: str) -> dict[str, Way]:
    ways = {
        "rtcsend": OWN,
        "rtcsend, 1,200-byte packets": OWN_SMALL,
        "plain aiortc": AIORTC,
        "prototype": Way(prototype_sender, prototype_receiver),
        "raw limit": _raw(address, FULL[network]),
        "raw limit, 1,200-byte packets": _raw(address, SMALL),
    }
    receiver = partial(raw_ends.tcp_receiver, address)
    for control in _controls():
        ways[f"TCP {control}"] = Way(partial(raw_ends.tcp_sender, control), receiver)
    return ways


def _raw(address: str, payload: int) -> Way:
    return Way(partial(raw_ends.raw_sender, payload), partial(raw_ends.raw_receiver, address))


def _controls() -> list[str]:
    """Return which of the two congestion controls this kernel has."""
    try:
        there = CONTROLS.read_text(encoding="ascii").split()
    except OSError:
        return []
    return [name for name in ("cubic", "bbr") if name in there]


def _go_on() -> None:
    """Ctrl-C is an exception here, which ends the processes as well."""
