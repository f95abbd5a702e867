"""How long a person waits for the code: from the start of ``rtcsend send`` to its first line."""

import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.commands import Command, random_file
from benchmarks.figures import Figure, figure


def measure(folder: Path, *, runs: int) -> Iterator[Figure]:
    """Measure it beside what the interpreter takes by itself, in turns."""
    source = random_file(folder / "startup.bin", 1_000)
    _until_code(source, folder)  # the first one compiles, and fills the disk's cache
    bare, with_asyncio, code = [], [], []
    for _ in range(runs):
        bare.append(_until_end("pass", folder))
        with_asyncio.append(_until_end("import asyncio", folder))
        code.append(_until_code(source, folder))
    yield figure("startup", "python -c pass", "s", bare)
    yield figure("startup", "python -c 'import asyncio'", "s", with_asyncio)
    yield figure("startup", "rtcsend send, to the code", "s", code, goal="< 0.5")


def _until_end(statement: str, folder: Path) -> float:
    with Command("-c", statement, folder=folder) as command:
        command.finish()
        return time.monotonic() - command.started_at


def _until_code(source: Path, folder: Path) -> float:
    with Command("-m", "rtcsend", "send", "--json", source, folder=folder) as command:
        return float(command.wait_for("code")["at"]) - command.started_at
