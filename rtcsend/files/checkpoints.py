"""Making sure, now and then, that what was written is on the disk, and noting it [shell].

Beside the writing: the disk may take its time, and the pipeline goes on. What is noted is what
was written before the disk was asked. An error of the disk here is an error of the transfer:
what was written is gone, and no later call would say so again.
"""

import asyncio
import time
from collections.abc import Callable
from typing import Final

from rtcsend.files.jobs import settle
from rtcsend.files.journal_file import JournalFile
from rtcsend.files.positional import sync_data

SYNC_BYTES: Final = 64 << 20  # written at most until the disk is asked, if it keeps up
SYNC_TIME: Final = 2.0  # seconds of writing until it is asked, on a slow path


class Checkpoints:
    """The checkpoints of one partial file. Call on the loop only.

    Args:
        fd: Of the partial file.
        journal: Where they are noted.
        clock: Monotonic seconds.
    """

    def __init__(
        self, fd: int, *, journal: JournalFile, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._fd = fd
        self._journal = journal
        self._clock = clock
        self._position = 0
        self._time: float | None = None
        self._task: asyncio.Task[None] | None = None

    def written(self, position: int) -> None:
        """Everything before ``position`` is with the operating system: see what is due."""
        now = self._clock()
        if self._time is None:  # the first bytes: what was there before is no news
            self._time = now
        is_due = position - self._position >= SYNC_BYTES or now - self._time >= SYNC_TIME
        if is_due and self._task is None:
            self._position, self._time = position, now
            self._task = asyncio.create_task(asyncio.to_thread(self._sync, position))
            self._task.add_done_callback(self._on_done)

    def check(self) -> None:
        """Say what the disk has said.

        Raises:
            OSError: It could not keep what was written.
        """
        if self._task is not None and self._task.done() and not self._task.cancelled():
            error = self._task.exception()
            if error is not None:
                raise error

    async def settle(self) -> None:
        """Return when none is under way."""
        if self._task is not None:
            await settle(self._task)

    def _on_done(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and task.exception() is None:
            self._task = None  # one that failed stays, for check()

    def _sync(self, position: int) -> None:
        sync_data(self._fd)
        self._journal.record(position)
