"""One very large file: the receiver killed in its middle, and both started again.

The source has content at its beginning, at its end and at every GiB, and holes between: it takes
no room. The receiver writes all of it. Where there is less room than that, a file system does on
which zeros take none, in an image that is larger than the disk (root on Linux)::

    truncate -s 130G image; mkfs.btrfs -q image; mkdir out
    mount -o loop,compress-force=zstd:1 image out; mkdir out/here
    python -m tests.faults --only huge --huge 100G --out out/here
"""

import asyncio
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from tests.e2e.processes import Machine
from tests.faults.kills import end_one
from tests.faults.scene import Pair, Scene

MB: Final = 1_000_000  # bytes
EDGE: Final = 64 << 20  # bytes of content at either end
EVERY: Final = 1 << 30  # bytes between two spots of content
SPOT: Final = 1 << 20  # bytes of content there
LOOK: Final = 0.2  # seconds


async def measure(source: Path, out: Path, *, size: int) -> list[tuple[str, str]]:
    """Return what was measured, as rows of a table.

    Args:
        source: An empty folder, for the source and the commands' own files.
        out: An empty folder, for what arrives; it may be on another file system.
        size: Bytes of the file, at least two EDGEs.
    """
    machine = Machine(source)
    scene = Scene(machine, size=size, film=_sparse(source / "film.iso", size), out=out)
    started = time.monotonic()
    async with scene.both() as pair:
        await _until(lambda: scene.length() >= size // 2, pair)
        assert pair.receiver.process.returncode is None, pair.receiver.stderr
        await end_one(pair, "receiver")
    first, there = time.monotonic() - started, scene.length()
    rows = [(f"{there / MB:,.0f} MB until the receiver was killed", _speed(there, first))]
    started = time.monotonic()
    async with scene.both() as pair:
        await _until(lambda: False, pair)
        await pair.succeed()
    again = time.monotonic() - started
    # Not what `resumed` says: on a busy machine the connection may be lost amid the comparison.
    moved = pair.receiver.last()["moved"]
    scene.check_whole(pair)
    twice = max(0, moved - (size - there))
    spared = (size - moved) / MB
    text = f"{_speed(size, again)}; spared {spared:,.0f} MB, sent twice {twice:,} bytes"
    rows.append((f"the rest of {size / MB:,.0f} MB, in another run", text))
    machine.check()
    return rows


async def _until(condition: Callable[[], bool], pair: Pair) -> None:
    """Return when it holds, or the receiver has ended: nobody tells when a file has grown."""
    while pair.receiver.process.returncode is None and not condition():  # noqa: ASYNC110 - above
        await asyncio.sleep(LOOK)


def _sparse(path: Path, size: int) -> Path:
    with path.open("wb") as file:
        file.truncate(size)
        for offset in range(0, size - EDGE, EVERY):
            file.seek(offset)
            file.write(os.urandom(SPOT))
        for offset in (0, size - EDGE):
            file.seek(offset)
            for _ in range(EDGE // SPOT):
                file.write(os.urandom(SPOT))
    return path


def _speed(size: int, took: float) -> str:
    return f"{took:.0f} s, {size / took / MB:,.0f} MB/s"
