"""Reading a file in order, a few blocks ahead of whoever takes them [shell].

What the system has in memory is read at once, on the event loop: that takes a tenth of a
millisecond for a MiB, less than handing the job to a thread and back, which waits for the
interpreter's lock both times. Only what must come from a disk, or from where the system cannot
say (RWF_NOWAIT is Linux's, and not of every file system), is read by the thread: several
blocks in one job, two jobs at a time, while the consumer has the blocks before.

Memory: three batches at most.
"""

import os
from collections import deque
from collections.abc import Callable
from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING, Final

from rtcsend.blocks import Data
from rtcsend.files.disk_thread import DiskThread
from rtcsend.files.positional import read_whole

if TYPE_CHECKING:
    from asyncio import Future

BATCH: Final = 4 << 20  # bytes of one job; few handoffs, and what a disk likes
JOBS: Final = 2  # under way at a time, so that the disk never waits for us
STRETCH: Final = 64 << 20  # bytes read by the thread until the memory is asked again

_NOWAIT: Final[int] = getattr(os, "RWF_NOWAIT", 0)


class ReadAhead:
    """Gives out one file's bytes from a position to the end, cut at multiples of a block.

    Args:
        fd: Open for reading; must stay so until the thread is closed.
        size: Of the file.
        block_size: Where it is cut.
        start: Of the first block, which may begin inside one.
        check: Raises when the file is not what it was; called after each reading, on the loop
            or in the thread.
        thread: Of this file.
    """

    def __init__(
        self,
        fd: int,
        *,
        size: int,
        block_size: int,
        start: int,
        check: Callable[[], None],
        thread: DiskThread,
    ) -> None:
        self._fd = fd
        self._size = size
        self._block_size = block_size
        self._check = check
        self._thread = thread
        self._asked = start  # up to here everything was given out, or is coming
        self._stretch_end = start
        self._nowait = bool(_NOWAIT)
        self._ready: deque[Data] = deque()
        self._coming: deque[Future[list[Data]]] = deque()

    async def take(self) -> Data:
        """Return the next block.

        Raises:
            OSError: The disk fails.
            EOFError: The file ends before its size.
        """
        if not self._ready and not self._coming:
            block = self._from_memory()
            if block is not None:
                return block
            self._stretch_end = self._asked + STRETCH
        self._order()
        if not self._ready:
            self._ready.extend(await self._coming.popleft())
            self._order()
        return self._ready.popleft()

    def _from_memory(self) -> Data | None:
        """Return the next block; None when that would have to wait for a disk."""
        if not self._nowait:
            return None
        block = bytearray(self._end_of_block(self._asked) - self._asked)
        try:
            count = os.preadv(self._fd, [block], self._asked, _NOWAIT)
        except BlockingIOError:
            return None
        except OSError:  # not here; if it is the disk that fails, the thread will say so
            self._nowait = False
            return None
        if count < len(block):
            return None
        self._check()
        self._asked += count
        return block

    def _order(self) -> None:
        while len(self._coming) < JOBS and self._asked < min(self._size, self._stretch_end):
            cuts = [self._asked]
            while cuts[-1] < self._size and (len(cuts) == 1 or cuts[-1] - cuts[0] < BATCH):
                cuts.append(self._end_of_block(cuts[-1]))
            self._asked = cuts[-1]
            self._coming.append(self._thread.submit(partial(self._read, cuts)))

    def _read(self, cuts: list[int]) -> list[Data]:
        data = memoryview(read_whole(self._fd, cuts[-1] - cuts[0], cuts[0]))
        self._check()
        if len(data) < cuts[-1] - cuts[0]:
            raise EOFError
        return [data[cut - cuts[0] : end - cuts[0]] for cut, end in pairwise(cuts)]

    def _end_of_block(self, position: int) -> int:
        return min(self._size, position - position % self._block_size + self._block_size)
