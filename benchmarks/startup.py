"""How long a person waits for the code, and what a pair of commands costs before any data."""

import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.commands import Command, random_file, sender
from benchmarks.figures import Figure, figure


def measure(folder: Path, *, runs: int) -> Iterator[Figure]:
    """Measure it beside what the interpreter takes by itself, in turns.

    The code counts from the start of ``rtcsend send`` to its first line; the processor time is
    that of whole commands, for a file of a kilobyte.
    """
    source = random_file(folder / "startup.bin", 1_000)
    _pair(source, folder)  # the first one compiles, and fills the disk's cache
    bare, with_asyncio, code, cpu, sent, received = [], [], [], [], [], []
    for _ in range(runs):
        bare.append(_alone("pass", folder)[0])
        elapsed, used = _alone("import asyncio", folder)
        with_asyncio.append(elapsed)
        cpu.append(used)
        code.append(_until_code(source, folder))
        of_sender, of_receiver = _pair(source, folder)
        sent.append(of_sender)
        received.append(of_receiver)
    yield figure("startup", "python -c pass", "s", bare)
    yield figure("startup", "python -c 'import asyncio'", "s", with_asyncio)
    yield figure("startup", "rtcsend send, to the code", "s", code, goal="< 0.5")
    yield figure("startup", "python -c 'import asyncio', CPU", "s", cpu)
    yield figure("startup", "rtcsend send, 1 kB, CPU", "s", sent)
    yield figure("startup", "rtcsend receive, 1 kB, CPU", "s", received)


def _alone(statement: str, folder: Path) -> tuple[float, float]:
    """Return the seconds that it takes, and those of processor time."""
    with Command("-c", statement, folder=folder) as command:
        used = command.finish()
        return time.monotonic() - command.started_at, used


def _until_code(source: Path, folder: Path) -> float:
    with Command("-m", "rtcsend", "send", "--json", source, folder=folder) as command:
        return float(command.wait_for("code")["at"]) - command.started_at


def _pair(source: Path, folder: Path) -> tuple[float, float]:
    """Return the seconds of processor time of a whole sender and a whole receiver."""
    target = folder / "startup.out"
    with sender(source, folder=folder) as (sending, code):
        arguments = ("receive", "--json", "-y", "--overwrite", "-o", target, code)
        with Command("-m", "rtcsend", *arguments, folder=folder) as receiving:
            used = receiving.finish()
        return sending.finish(), used
