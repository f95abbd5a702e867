"""``rtcsend bench``: this machine's data path in MB/s, next to plain aiortc.

Two processes of this machine move bytes from memory to memory over a DataChannel: no disk,
no rendezvous, no digest. Three times: our own data path with packets as large as the path
takes, the same held at the 1,200 bytes that every path takes, and plain aiortc.

Compare within one run only: machines are shared, and fast in one minute and slow in the next.
This is the command and its report; :mod:`rtcsend.cli.bench_run` measures.
Place in the flow: above everything, like a user. Contract: docs/cli.md.
"""

import contextlib
import os
import sys
from dataclasses import dataclass
from typing import Annotated, ClassVar, Final

import typer

from rtcsend.cli import options as opt
from rtcsend.cli.demo import Stop
from rtcsend.cli.figures import format_rate
from rtcsend.cli.results import write_all
from rtcsend.cli.terminal import say
from rtcsend.errors import UsageError
from rtcsend.events import Event

_LONGEST: Final = 600.0  # seconds; what more would show is the machine's other work

Seconds = Annotated[
    float, typer.Option("--seconds", metavar="N", help="How long to measure each of the three.")
]


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchDone(Event):
    """The figures. CPU is that of both processes together, for 10^9 bytes."""

    name: ClassVar[str] = "bench"
    seconds: float
    bytes_per_s: int
    """Our own data path, packets as large as the path takes."""
    small_bytes_per_s: int
    """The same, packets held at 1,200 bytes."""
    aiortc_bytes_per_s: int
    ratio: float
    """The first against plain aiortc."""
    small_ratio: float
    cpu_seconds_per_gb: float
    small_cpu_seconds_per_gb: float
    aiortc_cpu_seconds_per_gb: float


def bench(*, seconds: Seconds = 3.0, json: opt.Json = False) -> None:
    """Measure the data path of this machine, next to plain aiortc."""
    if not 0 < seconds <= _LONGEST:
        raise UsageError(
            "--seconds takes a number over 0, and 600 at most.", hint="Leave it out for 3 seconds."
        )
    stop = Stop()
    with stop.installed():
        done = _measure(seconds, stop, quiet=json)
    text = done.to_json() if json else _report(done)
    with contextlib.suppress(OSError):  # nobody reads it
        write_all(sys.stdout.fileno(), os.fsencode(text + "\n"))


def _measure(seconds: float, stop: Stop, *, quiet: bool) -> BenchDone:
    from rtcsend.cli import bench_run  # noqa: PLC0415 - imports multiprocessing

    figures = []
    for what, way in (
        ("rtcsend", bench_run.OWN),
        ("rtcsend with packets of 1,200 bytes", bench_run.OWN_SMALL),
        ("plain aiortc", bench_run.AIORTC),
    ):
        if not quiet:
            say(f"Measuring {what}…")
        figures.append(bench_run.measure(way, seconds=seconds, check=stop.check))
    own, small, plain = figures
    return BenchDone(
        seconds=seconds,
        bytes_per_s=int(own.bytes_per_s),
        small_bytes_per_s=int(small.bytes_per_s),
        aiortc_bytes_per_s=int(plain.bytes_per_s),
        ratio=round(own.bytes_per_s / plain.bytes_per_s, 2),
        small_ratio=round(small.bytes_per_s / plain.bytes_per_s, 2),
        cpu_seconds_per_gb=round(own.cpu_seconds_per_gb, 2),
        small_cpu_seconds_per_gb=round(small.cpu_seconds_per_gb, 2),
        aiortc_cpu_seconds_per_gb=round(plain.cpu_seconds_per_gb, 2),
    )


def _report(done: BenchDone) -> str:
    """Return the figures for people."""
    rows = (
        ("rtcsend", done.bytes_per_s, done.ratio, done.cpu_seconds_per_gb),
        (
            "rtcsend, packets of 1,200 bytes",
            done.small_bytes_per_s,
            done.small_ratio,
            done.small_cpu_seconds_per_gb,
        ),
        ("plain aiortc", done.aiortc_bytes_per_s, 1.0, done.aiortc_cpu_seconds_per_gb),
    )
    lines = [f"{'memory to memory, one DataChannel':<34}{'rate':>12}{'ratio':>8}{'CPU s/GB':>10}"]
    lines += [
        f"{what:<34}{format_rate(rate):>12}{ratio:>8.2f}{cpu:>10.1f}"
        for what, rate, ratio, cpu in rows
    ]
    return "\n".join(lines)
