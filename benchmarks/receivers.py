"""Three receivers of one sender beside one: the rate of all, and how often the disk is read.

Whole commands at the sender, one process a receiver, all on this machine. The receivers accept at
the same moment, so that what is measured is the sender. The source is not in the page cache when it
begins. The numbers of reading are the kernel's, of the sender's process (proc(5),
``/proc/PID/io``): ``rchar`` is what it asked for, ``read_bytes`` what storage had to bring.
"""

import os
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmarks.commands import Command, random_file
from benchmarks.figures import Figure, figure

MANY: Final = 3
_TICKS: Final = os.sysconf("SC_CLK_TCK")  # a second


@dataclass(frozen=True, slots=True)
class Run:
    """What one sender did."""

    rate: float
    """Of all receivers together, in MB/s, from the acceptance to the last digest."""
    asked: float
    """Read by system calls, in sizes of the file."""
    from_disk: float
    """Brought by storage, in sizes of the file."""
    cpu: float
    """Seconds of the sender for a GB that was received."""
    memory: float
    """At its peak, in MB."""


def measure(folder: Path, *, size: int, runs: int) -> Iterator[Figure]:
    """Measure a file of ``size`` bytes, for one receiver and for several in turns."""
    source = random_file(folder / "several.source", size)
    with source.open("rb") as file:
        os.fsync(file.fileno())
    ones, many = [], []
    for number in range(runs):
        ones.append(_run(source, folder / f"one{number}", receivers=1))
        many.append(_run(source, folder / f"many{number}", receivers=MANY))
    source.unlink()
    megabytes = size // 1_000_000
    name = "receivers"
    yield figure(name, f"{megabytes} MB to one", "MB/s", [run.rate for run in ones])
    yield figure(name, f"to {MANY}, together", "MB/s", [run.rate for run in many])
    ratios = [several.rate / one.rate for one, several in zip(ones, many, strict=True)]
    yield figure(name, f"{MANY} together / one", "times", ratios, goal=">= 1")
    yield figure(name, f"read by the sender for {MANY}", "files", [run.asked for run in many])
    disk = [run.from_disk for run in many]
    yield figure(name, f"brought by the disk for {MANY}", "files", disk, goal="1")
    yield figure(name, "CPU of the sender, one", "s/GB", [run.cpu for run in ones])
    yield figure(name, f"CPU of the sender, {MANY}", "s/GB", [run.cpu for run in many])
    yield figure(name, "peak memory of the sender, one", "MB", [run.memory for run in ones])
    yield figure(name, f"peak memory of the sender, {MANY}", "MB", [run.memory for run in many])


def _run(source: Path, folder: Path, *, receivers: int) -> Run:
    folder.mkdir()
    _forget(source)
    size = source.stat().st_size
    arguments = ("-m", "rtcsend", "send", "--json", "--receivers", str(receivers), source)
    with ExitStack() as stack:
        sender = stack.enter_context(Command(*arguments, folder=folder))
        code = str(sender.wait_for("code")["code"])
        others = [_receiver(stack, code, folder, number) for number in range(receivers)]
        for other in others:
            other.wait_for("ready")
        asked, from_disk = _read(sender.pid)
        cpu = _cpu(sender.pid)
        started = time.monotonic()
        for other in others:
            other.write_line("yes")
        ended = max(other.wait_for("received")["at"] for other in others)
        asked, from_disk = (
            now - before for now, before in zip(_read(sender.pid), (asked, from_disk), strict=True)
        )
        result = Run(
            rate=receivers * size / 1e6 / (ended - started),
            asked=asked / size,
            from_disk=from_disk / size,
            cpu=(_cpu(sender.pid) - cpu) / (receivers * size / 1e9),
            memory=_peak(sender.pid) / 1e6,
        )
        sender.finish()
    for path in folder.glob("into*/*"):
        path.unlink()
    return result


def _receiver(stack: ExitStack, code: str, folder: Path, number: int) -> Command:
    into = folder / f"into{number}"
    into.mkdir()
    arguments = ("-m", "benchmarks.gated_receiver", code, into)
    return stack.enter_context(Command(*arguments, folder=folder, stdin=True))


def _forget(path: Path) -> None:
    """Take a file out of the page cache."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    finally:
        os.close(descriptor)


def _read(pid: int) -> tuple[int, int]:
    """Return the bytes that a process has asked for, and that storage has brought for it."""
    lines = Path(f"/proc/{pid}/io").read_text().splitlines()
    counts = {name: int(count) for name, _, count in (line.partition(":") for line in lines)}
    return counts["rchar"], counts["read_bytes"]


def _cpu(pid: int) -> float:
    """Return the seconds that a process has computed."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def _peak(pid: int) -> int:
    """Return the largest resident set of a process so far, in bytes."""
    status = Path(f"/proc/{pid}/status").read_text().splitlines()
    line = next(line for line in status if line.startswith("VmHWM"))
    return int(line.split()[1]) * 1024
