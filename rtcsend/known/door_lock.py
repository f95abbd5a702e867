"""One command of this machine at a door at a time [shell].

A mailbox has two sides. Of two commands that send to one machine by one server, the second has to
wait until the first has gone in; they would otherwise meet each other. A lock of the system on
an empty file: it ends with its process, however that ends.
"""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

LOOK: Final = 0.1  # seconds between two tries


@asynccontextmanager
async def locked(path: Path) -> AsyncIterator[None]:
    """Hold the lock; wait for it as long as it takes."""
    lock = _Lock(path)
    try:
        while not lock.take():  # noqa: ASYNC110 - another process lets go
            await asyncio.sleep(LOOK)
        yield
    finally:
        lock.close()


@asynccontextmanager
async def locked_at_once(path: Path) -> AsyncIterator[bool]:
    """Hold the lock, if it is free; yields whether it was."""
    lock = _Lock(path)
    try:
        yield lock.take()
    finally:
        lock.close()


class _Lock:
    def __init__(self, path: Path) -> None:
        self._descriptor = os.open(
            path, os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), 0o600
        )

    def take(self) -> bool:
        """Return whether it is taken now."""
        return _take(self._descriptor)

    def close(self) -> None:
        """Let go."""
        os.close(self._descriptor)


if sys.platform == "win32":
    import msvcrt

    def _take(descriptor: int) -> bool:
        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True

else:
    import fcntl

    def _take(descriptor: int) -> bool:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True
