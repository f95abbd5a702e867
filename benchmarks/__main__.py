"""``python -m benchmarks``: the figures of docs/performance.md, on this machine."""

import argparse
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks import (
    compress,
    datapath,
    links,
    many_files,
    memory,
    pipe_latency,
    receivers,
    relay,
    server_load,
    setup,
    startup,
    throughput,
    wormhole,
)
from benchmarks.figures import Figure, as_json, as_text
from benchmarks.machine import this_machine
from rtcsend.cli.figures import parse_size

NAMES = (
    *("startup", "setup", "throughput", "memory", "datapath", "wormhole", "links", "relay"),
    *("receivers", "compress"),
    *("many_files", "server_load", "pipe_latency"),
)


def main(arguments: Sequence[str]) -> None:
    """Run what was asked for."""
    options = _parse(arguments)
    figures = []
    with tempfile.TemporaryDirectory(prefix="rtcsend-benchmarks-") as folder:
        for each in _measure(options, Path(folder)):
            figures.append(each)
            print(f"{each.benchmark}: {each.name}: {each.median:g} {each.unit}", file=sys.stderr)
    show = as_json if options.json else as_text
    print(show(this_machine(), figures))


def _parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(NAMES)}; or all")
    parser.add_argument("--runs", type=int, default=7, help="of startup and setup (7)")
    parser.add_argument(
        "--transfers",
        type=int,
        default=3,
        help="of throughput, wormhole, many_files, receivers, links and relay (3)",
    )
    parser.add_argument(
        "--size", default="256M", help="file of throughput, receivers, relay (256M)"
    )
    parser.add_argument("--memory-size", default="4G", help="of memory's file (4G)")
    parser.add_argument("--rounds", type=int, default=5, help="of datapath (5)")
    parser.add_argument("--seconds", type=float, default=2.0, help="each run of datapath (2)")
    parser.add_argument("--wormhole-size", default="1G", help="of wormhole's file (1G)")
    parser.add_argument(
        "--wormhole", type=Path, metavar="VENV", help="where magic-wormhole is installed already"
    )
    parser.add_argument("--only", default=",".join(links.PARTS), help="parts of links (all)")
    parser.add_argument(
        "--server-parts", default=",".join(server_load.PARTS), help="parts of server_load (all)"
    )
    parser.add_argument("--pairings", type=int, default=3_000, help="of server_load, a run (3000)")
    parser.add_argument("--mailboxes", type=int, default=10_000, help="of server_load (10000)")
    parser.add_argument(
        "--leak-pairings", type=int, default=20_000, help="of server_load; a day has 1000000"
    )
    parser.add_argument("--quick", action="store_true", help="less of links")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of a table")
    options = parser.parse_args(arguments)
    unknown = set(options.names) - set(NAMES)
    unknown |= set(options.only.split(",")) - set(links.PARTS)
    unknown |= set(options.server_parts.split(",")) - set(server_load.PARTS)
    if unknown:
        parser.error(f"no such benchmark: {', '.join(sorted(unknown))}")
    return options


def _measure(options: argparse.Namespace, folder: Path) -> Iterator[Figure]:
    yield from _measure_commands(options, folder)
    wanted = options.names or NAMES
    if "startup" in wanted:
        yield from startup.measure(folder, runs=options.runs)
    if "setup" in wanted:
        yield from setup.measure(folder, runs=options.runs)
    if "throughput" in wanted:
        size = parse_size(options.size, option="--size")
        yield from throughput.measure(folder, size=size, runs=options.transfers)
    if "memory" in wanted:
        size = parse_size(options.memory_size, option="--memory-size")
        yield from memory.measure(folder, size=size)
    if "datapath" in wanted:
        yield from datapath.measure(runs=options.rounds, seconds=options.seconds)
    if "relay" in wanted:
        size = parse_size(options.size, option="--size")
        yield from relay.measure(folder, size=size, runs=options.transfers)
    if "links" in wanted:
        parts = tuple(options.only.split(","))
        plan = links.Plan(parts=parts, runs=options.transfers, quick=options.quick)
        yield from links.measure(folder, plan=plan)
    if "pipe_latency" in wanted:
        yield from pipe_latency.measure(folder)
    if "server_load" in wanted:
        yield from server_load.measure(folder, plan=_server_plan(options))


def _measure_commands(options: argparse.Namespace, folder: Path) -> Iterator[Figure]:
    """Measure whole commands beside those of others."""
    wanted = options.names or NAMES
    if "receivers" in wanted:
        size = parse_size(options.size, option="--size")
        yield from receivers.measure(folder, size=size, runs=options.transfers)
    if "compress" in wanted:
        yield from compress.measure(folder, runs=options.transfers)
    if "wormhole" in wanted:
        size = parse_size(options.wormhole_size, option="--wormhole-size")
        runs = options.transfers
        yield from wormhole.measure(folder, size=size, runs=runs, environment=options.wormhole)
    if "many_files" in wanted:
        yield from many_files.measure(
            folder, runs=options.transfers, trees=many_files.TREES, wormhole=options.wormhole
        )


def _server_plan(options: argparse.Namespace) -> server_load.Plan:
    return server_load.Plan(
        parts=tuple(options.server_parts.split(",")),
        pairings=options.pairings,
        runs=options.transfers,
        mailboxes=options.mailboxes,
        leak_pairings=options.leak_pairings,
        wormhole=options.wormhole,
    )


if __name__ == "__main__":
    main(sys.argv[1:])
