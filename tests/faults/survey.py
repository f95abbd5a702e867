"""How fast a large partial file is read and compared, beside a plain reading of the same file."""

import asyncio
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from rtcsend.blocks import BLOCK_SIZE
from rtcsend.files.survey import Survey
from tests.e2e.processes import Machine
from tests.faults.scene import Scene

MB: Final = 1_000_000  # bytes
PIECE: Final = 1 << 20  # bytes read at once


async def measure(folder: Path, *, size: int) -> list[tuple[str, str]]:
    """Return what was measured, as rows of a table.

    Each reading begins with nothing of the files in memory.

    Args:
        folder: On the disk that is meant.
        size: Bytes of the file; twice as many are written.
    """
    place = folder / "survey"
    place.mkdir()
    machine = Machine(place)
    film = place / "film.iso"
    _write_random(film, size)
    scene = Scene(machine, size=size, film=film)
    shutil.copyfile(film, scene.partial)
    os.truncate(scene.partial, size - BLOCK_SIZE)
    there = size - BLOCK_SIZE
    rows = []
    _forget(scene.partial)
    plain = _timed(lambda: _read(scene.partial))
    rows.append((f"plain reading of {there / MB:,.0f} MB", _speed(there, plain)))
    _forget(scene.partial)
    started = time.monotonic()
    await _survey(scene.partial, size=size)
    rows.append(("reading and comparing of the same", _speed(there, time.monotonic() - started)))
    # Once more: a disk, or what is behind it, may remember what was read before.
    _forget(scene.partial)
    plain = _timed(lambda: _read(scene.partial))
    rows.append(("plain reading again", _speed(there, plain)))
    _forget(scene.partial)
    _forget(film)
    started = time.monotonic()
    result = await scene.go_on_spared()
    whole = time.monotonic() - started
    rows.append(
        (
            "both commands over it, on one disk",
            f"{whole:.1f} s, {size / whole / MB:,.0f} MB/s at each side; "
            f"sent twice {result.twice:,} bytes",
        )
    )
    machine.check()
    shutil.rmtree(place)
    return rows


async def _survey(path: Path, *, size: int) -> None:
    fd = await asyncio.to_thread(os.open, path, os.O_RDONLY)
    try:
        survey = Survey(fd, size=size, length=os.fstat(fd).st_size)
        blocks = 0
        async for _, page in survey.pages(0):
            blocks += len(page) // 32
        assert blocks == survey.blocks
    finally:
        os.close(fd)


def _write_random(path: Path, size: int) -> None:
    with path.open("wb") as file:
        while size > 0:
            size -= file.write(os.urandom(min(size, PIECE)))


def _read(path: Path) -> None:
    buffer = bytearray(PIECE)
    with path.open("rb", buffering=0) as file:
        while file.readinto(buffer):
            pass


def _forget(path: Path) -> None:
    """Have nothing of a file in memory."""
    fd = os.open(path, os.O_RDWR)
    try:
        os.fsync(fd)
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
    finally:
        os.close(fd)


def _timed(work: Callable[[], None]) -> float:
    started = time.monotonic()
    work()
    return time.monotonic() - started


def _speed(size: int, took: float) -> str:
    return f"{took:.1f} s, {size / took / MB:,.0f} MB/s"
