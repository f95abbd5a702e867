"""From the event loop to the disk: bytes are taken at once, and written behind [shell].

What arrives is copied into a ring and written from there by the thread of the file, in jobs of
one MiB and more, two at a time: the disk has the next job while the loop learns of the last
one. Whoever writes waits only when the ring is full. The longer the loop takes, the larger the
jobs become.

A call that is cancelled has given its bytes away all the same, and another may follow. After a
failure nothing more is written.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Final

from rtcsend.blocks import Data
from rtcsend.errors import InternalError
from rtcsend.files.disk_thread import DiskThread
from rtcsend.files.ring import Ring, as_bytes

JOB_SIZE: Final = 1 << 20  # bytes at least, but at the end and on request
MAX_JOB: Final = 4 << 20  # bytes; what a cancellation may have to wait for
MAX_JOBS: Final = 2  # handed to the thread and not reported yet

Store = Callable[[memoryview, int], tuple[int, OSError | None]]
"""Writes all of the bytes at a position, in the thread; returns how many, and why not more."""


class Writer:
    """Writes one file in order. Call on the loop only.

    Args:
        store: Writes.
        thread: Of this file; closed by whoever made it.
        on_written: Called when :attr:`written` has grown.
    """

    def __init__(
        self, store: Store, *, thread: DiskThread, on_written: Callable[[], None] = lambda: None
    ) -> None:
        self._store = store
        self._thread = thread
        self._on_written = on_written
        self._ring: Ring | None = None
        self._overflow: deque[bytes] = deque()  # taken by calls that were cancelled
        self._handed = 0
        self._flush_to = 0
        self._jobs = 0
        self._failure: OSError | None = None
        self._abandoned = False
        self._progress = asyncio.Event()
        self.written = 0
        """Position before which everything is with the operating system, or was kept."""
        self.stored = 0
        """Bytes that were written, ever."""
        self.taken = 0
        """Position behind the last byte that was taken."""

    async def write(self, data: Data) -> None:
        """Take bytes; returns when there is room for the next ones.

        Raises:
            OSError: Something could not be written, now or before.
            InternalError: It was given up before.
        """
        rest = as_bytes(data)
        self.taken += len(rest)
        if not self._overflow:
            rest = rest[self._ring_now().put(rest) :]
        if rest:
            self._overflow.append(bytes(rest))
        self._hand_over()
        await self._until(lambda: not self._overflow)

    def push(self) -> None:
        """Have everything that was taken written as soon as the thread is free; do not wait."""
        self._flush_to = self.taken
        self._hand_over()

    async def flush(self) -> None:
        """Return when everything that was taken is with the operating system.

        Raises:
            OSError: Something could not be written, now or before.
            InternalError: It was given up before.
        """
        self.push()
        await self._until(lambda: self.written == self.taken)

    def move(self, position: int) -> None:
        """Go on at another position; only when everything is flushed."""
        if self.written != self.taken:
            raise InternalError("A file was left while bytes for it were waiting.")
        self.written = self.taken = self._handed = position
        if self._ring is not None:
            self._ring.move(position)

    async def settle(self) -> None:
        """Write nothing more, and return when the last job is done."""
        self._abandoned = True
        while self._jobs:
            self._progress.clear()
            await self._progress.wait()

    async def _until(self, is_so: Callable[[], bool]) -> None:
        while self._failure is None and not is_so():
            if self._abandoned:
                raise InternalError("A file was written after it was given up.")
            self._progress.clear()
            await self._progress.wait()
        if self._failure is not None:
            raise self._failure

    def _ring_now(self) -> Ring:
        if self._ring is None:
            self._ring = Ring(self.written)
        return self._ring

    def _hand_over(self) -> None:
        """Give the thread what is worth a job."""
        ring = self._ring_now()
        while self._failure is None and not self._abandoned and self._jobs < MAX_JOBS:
            waiting = ring.end - self._handed
            if not waiting or (waiting < JOB_SIZE and self._handed >= self._flush_to):
                return
            limit = self._handed + min(waiting, MAX_JOB)
            if limit > self._flush_to:
                # Ends like a page of memory and a sector of the disk, unless it is urgent.
                aligned = limit - limit % JOB_SIZE
                limit = aligned if aligned > self._handed else self._flush_to
            view = ring.view(self._handed, limit)
            job = self._thread.submit(partial(self._store, view, self._handed))
            job.add_done_callback(self._on_done)
            self._handed += len(view)
            self._jobs += 1

    def _on_done(self, job: "asyncio.Future[tuple[int, OSError | None]]") -> None:
        self._jobs -= 1
        if self._failure is None and not job.cancelled():
            count, self._failure = job.result()
            self.written += count
            self.stored += count
            self._refill(count)
            self._on_written()
        self._hand_over()
        self._progress.set()

    def _refill(self, count: int) -> None:
        ring = self._ring_now()
        ring.start += count
        while self._overflow:
            first = self._overflow.popleft()
            taken = ring.put(memoryview(first))
            if taken < len(first):
                self._overflow.appendleft(first[taken:])
                return
