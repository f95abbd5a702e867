"""Reading what an earlier run has left of a tree: the digests of the blocks that are whole [shell].

As :mod:`rtcsend.files.survey` does for one file. What is not there has no digest; a block that
the disk cannot read counts as not there. Memory: 32 bytes a block, and 16 for each gap.
"""

import asyncio
import os
import time
from array import array
from bisect import bisect_right
from collections.abc import AsyncGenerator, Generator, Iterable, Iterator

from rtcsend.blocks import DIGEST_BYTES, block_digest
from rtcsend.errors import UnsafePath
from rtcsend.files.folder import Folder
from rtcsend.files.jobs import run_to_end
from rtcsend.files.open_folders import OpenFolders
from rtcsend.files.positional import read_whole
from rtcsend.files.proposed_tree import Place
from rtcsend.files.survey import JOB_TIME, PAGE_BLOCKS
from rtcsend.manifest.layout import Layout


class TreeSurvey:
    """The blocks that are there. Call on the loop only.

    Args:
        staging: Where the tree is; not closed here.
        places: What is wanted, in the order of the manifest.
        layout: Of the files that are wanted.
    """

    def __init__(self, staging: Folder, places: Iterable[Place], layout: Layout) -> None:
        self._folders = OpenFolders(staging, create=False)
        self._layout = layout
        self._walk = self._read(places)
        self._known = 0  # blocks before this one are read, or not there
        self._digests = bytearray()
        # Runs of blocks that are there: where each begins, and in the table of digests.
        self._starts: array[int] = array("Q")
        self._places: array[int] = array("Q")

    async def pages(self, first: int) -> AsyncGenerator[tuple[int, bytes], None]:
        """Yield (block, joined digests) of what is there from a block on, as soon as it is known.

        May be called again: what was read once is not read again.
        """
        while first < self._layout.blocks:
            while self._known <= first:
                await run_to_end(asyncio.to_thread(self._read_some))
            end = self._known
            while (page := self._page(first, end)) is not None:
                yield page
                first = page[0] + len(page[1]) // DIGEST_BYTES
            first = end

    def digest_of(self, index: int) -> bytes | None:
        """Return the digest of a file that is one block, when that is there."""
        blocks = self._layout.file_blocks(index)
        if len(blocks) != 1:
            return None
        found = self._page(blocks[0], blocks[0] + 1)
        return None if found is None else found[1]

    def close(self) -> None:
        """Close what is open; nobody asks for more."""
        self._walk.close()
        self._folders.close()

    def _page(self, first: int, end: int) -> tuple[int, bytes] | None:
        """Return the first blocks that are there of a range, at most a page."""
        run = bisect_right(self._starts, first) - 1
        while run < len(self._starts):
            if run >= 0:
                start, place = self._starts[run], self._places[run]
                count = self._end_of(run) - place
                block = max(first, start)
                last = min(start + count, end, block + PAGE_BLOCKS)
                if block < last:
                    at = (place + block - start) * DIGEST_BYTES
                    size = (last - block) * DIGEST_BYTES
                    return block, bytes(self._digests[at : at + size])
                if start >= end:
                    return None
            run += 1
        return None

    def _end_of(self, run: int) -> int:
        is_last = run + 1 == len(self._starts)
        return len(self._digests) // DIGEST_BYTES if is_last else self._places[run + 1]

    def _read_some(self) -> None:
        """Read on for JOB_TIME; runs in a thread."""
        deadline = time.monotonic() + JOB_TIME
        for known in self._walk:
            self._known = known
            if time.monotonic() >= deadline:
                return
        self._known = self._layout.blocks

    def _read(self, places: Iterable[Place]) -> Generator[int, None, None]:
        """Read all that is there; yield now and then up to which block that is."""
        files = (place for place in places if place.entry.kind == "file")
        for index, place in enumerate(files):
            blocks = self._layout.file_blocks(index)
            fd = self._open(place) if blocks else None
            if fd is not None:
                try:
                    yield from self._read_blocks(fd, place.entry.size, blocks)
                finally:
                    os.close(fd)
            yield blocks.stop

    def _open(self, place: Place) -> int | None:
        """Open what is left of a file; None when nothing is."""
        try:
            folder = self._folders.enter(place.components[:-1])
            return folder.open(place.components[-1], os.O_RDONLY)
        except (OSError, UnsafePath):
            return None

    def _read_blocks(self, fd: int, size: int, blocks: range) -> Iterator[int]:
        block_size = self._layout.block_size
        for number, block in enumerate(blocks):
            offset = number * block_size
            wanted = min(block_size, size - offset)
            try:
                data = read_whole(fd, wanted, offset)
            except OSError:  # or it is no file at all
                data = b""
            if len(data) == wanted:
                self._add(block, block_digest(data))
            elif not data:
                return
            yield block + 1

    def _add(self, block: int, digest: bytes) -> None:
        count = len(self._digests) // DIGEST_BYTES
        is_next = self._starts and self._starts[-1] + count - self._places[-1] == block
        if not is_next:
            self._starts.append(block)
            self._places.append(count)
        self._digests += digest
