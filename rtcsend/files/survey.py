"""Reading what an earlier run has left: the digest of each block, and of all of them [shell].

The sender compares the digests with its own blocks and sends only what differs. The digest of
the whole file goes over the same bytes: it runs along while they are read, with marks on the
way, so that they need not be read again when all of them turn out right, and not from the
beginning when the first that is wrong comes late. A block that the disk cannot read has a
digest that no block has: it is sent again.
"""

import asyncio
import logging
import os
import time
from collections.abc import AsyncGenerator
from typing import Final

from blake3 import blake3

from rtcsend.blocks import DIGEST_BYTES, block_count, block_digest, block_size_for
from rtcsend.files.jobs import run_to_end
from rtcsend.files.positional import read_whole

PAGE_BLOCKS: Final = 1024  # digests given out at once, see docs/transfer-protocol.md
JOB_TIME: Final = 0.1  # seconds of one thread job; a cancellation waits so long, and the sender
MARK_BLOCKS: Final = 64  # blocks between marks; 4,096 of them, some 8 MiB, in the largest file
READ_AHEAD: Final = 16 << 20  # bytes that the system is told to read meanwhile
_UNREADABLE: Final = bytes(DIGEST_BYTES)

logger = logging.getLogger("rtcsend.files")


class Survey:
    """The blocks that are there. Call on the loop only.

    Args:
        fd: Open for reading.
        size: Bytes of the whole file.
        length: Bytes of it that are there.
    """

    def __init__(self, fd: int, *, size: int, length: int) -> None:
        self._fd = fd
        self._size = size
        self._block_size = block_size_for(size)
        self.blocks = whole_blocks(size, length)
        """From the first on; the others are not worth a digest."""
        self._digests = bytearray()
        self._runs_along = True
        self._running = blake3()
        self._marks: list[tuple[int, blake3]] = []

    @property
    def runs_along(self) -> bool:
        """Whether the digest of all blocks so far is still worth having."""
        return self._runs_along

    async def pages(self, first: int) -> AsyncGenerator[tuple[int, bytes], None]:
        """Yield (block, digests) from ``first`` on: of so many blocks as are known so far.

        May be called again: what was read once is not read again.
        """
        while first < self.blocks:
            while len(self._digests) <= first * DIGEST_BYTES:
                await run_to_end(asyncio.to_thread(self._read_some))
            page = bytes(self._digests[first * DIGEST_BYTES : (first + PAGE_BLOCKS) * DIGEST_BYTES])
            yield first, page
            first += len(page) // DIGEST_BYTES

    def changed_from(self, position: int) -> None:
        """Note that from a position on other bytes are written than were read."""
        self._runs_along = False
        self._marks = [mark for mark in self._marks if mark[0] <= position]

    def last_mark(self, position: int) -> tuple[int, blake3] | None:
        """Return the farthest mark up to a position, and a digest of all before it."""
        for marked, digest in reversed(self._marks):
            if marked <= position:
                return marked, digest.copy()
        return None

    def _read_some(self) -> None:
        """Read on for JOB_TIME, or until a page is full; runs in a thread."""
        block = len(self._digests) // DIGEST_BYTES
        end = min(self.blocks, block + PAGE_BLOCKS)
        deadline = time.monotonic() + JOB_TIME
        advised = 0
        while block < end:
            offset = block * self._block_size
            if offset >= advised:
                advised = offset + READ_AHEAD
                _will_need(self._fd, offset, 2 * READ_AHEAD)
            self._digests += self._read_block(offset)
            block += 1
            if self._runs_along and (block % MARK_BLOCKS == 0 or block == self.blocks):
                position = min(block * self._block_size, self._size)
                self._marks.append((position, self._running.copy()))
            if time.monotonic() >= deadline:
                return

    def _read_block(self, offset: int) -> bytes:
        wanted = min(self._block_size, self._size - offset)
        try:
            data = read_whole(self._fd, wanted, offset)
        except OSError as exc:
            logger.warning("! a block of the partial file cannot be read: %s", exc.strerror)
            data = b""
        if len(data) < wanted:
            self._runs_along = False
            return _UNREADABLE
        if self._runs_along:
            self._running.update(data)
        return block_digest(data)


def whole_blocks(size: int, length: int) -> int:
    """Return how many blocks of a file are whole in ``length`` bytes of its ``size``."""
    block_size = block_size_for(size)
    return block_count(size, block_size) if length >= size else length // block_size


def _will_need(fd: int, offset: int, length: int) -> None:
    if hasattr(os, "posix_fadvise"):
        os.posix_fadvise(fd, offset, length, os.POSIX_FADV_WILLNEED)
