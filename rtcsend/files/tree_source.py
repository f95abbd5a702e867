"""Sending many files: scanned once, read in order, a few MiB ahead [shell].

One thread opens, reads and hashes, in jobs of some MiB: many small files a job, so that the
loop has nothing to do for each of them. Two jobs are under way while the loop has the pieces of
the one before: that is all that waits in memory, whatever the files' number and size.

Place in the flow: the sending session takes :meth:`TreeSource.blocks` and gives
:meth:`TreeSource.digest` to the transfer machine. One file alone has
:mod:`rtcsend.files.source`.
"""

import asyncio
import threading
from collections import deque
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Final, Self

from rtcsend.errors import InternalError
from rtcsend.files.disk_thread import DiskThread
from rtcsend.files.jobs import run_to_end
from rtcsend.files.scan import Scan, ScanRules, scan_paths
from rtcsend.files.tree_digest import NoDigest, TreeDigest
from rtcsend.files.tree_reader import Piece, TreeReader
from rtcsend.manifest.manifest import Manifest
from rtcsend.manifest.selection import Selection
from rtcsend.manifest.sums import FileSums

if TYPE_CHECKING:
    from asyncio import Future

JOBS: Final = 2  # under way at a time, so that the disk never waits for the loop


class TreeSource:
    """Files and folders. Made by :meth:`open`; an asynchronous context manager.

    Args:
        scan: What there is.
        on_digest: Told the digest and the path of each file, in a thread.
    """

    def __init__(self, scan: Scan, *, on_digest: Callable[[str, str], None] | None = None) -> None:
        self._scan = scan
        self._thread = DiskThread("rtcsend-source")
        self._selection: Selection | None = None
        self._digest = TreeDigest(on_digest)
        self._given = 0
        self._closed = False

    @classmethod
    async def open(
        cls,
        paths: Sequence[Path],
        rules: ScanRules,
        *,
        on_entry: Callable[[int, int], None] = lambda _entries, _bytes: None,
        on_digest: Callable[[str, str], None] | None = None,
    ) -> Self:
        """Look through everything that is to be sent.

        Args:
            paths: Of the command line.
            rules: What to leave out.
            on_entry: Told now and then, in a thread, how many entries and bytes there are so far.
            on_digest: Told the digest and the path of each file that was read, in a thread.

        Raises:
            CannotRead: Something is missing, unreadable, or of a kind that cannot be sent.
            UsageError: Two of the paths have the same name, or a pattern means nothing.
        """
        stopped = threading.Event()
        job = asyncio.to_thread(
            scan_paths, paths, rules, on_entry=on_entry, is_stopped=stopped.is_set
        )
        task = asyncio.create_task(run_to_end(job))
        try:
            return cls(await asyncio.shield(task), on_digest=on_digest)
        except asyncio.CancelledError:
            stopped.set()
            await asyncio.gather(task, return_exceptions=True)
            raise

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()

    @property
    def manifest(self) -> Manifest:
        """All that there is."""
        return self._scan.manifest

    @property
    def scan(self) -> Scan:
        """What was found, and left out."""
        return self._scan

    async def blocks(self, selection: Selection, *, start: int = 0) -> AsyncGenerator[Piece, None]:
        """Yield (position, data) in order from ``start`` to the end of the stream.

        Each piece ends where a block does, and may hold many small files. May be called again,
        when an earlier iterator is closed or was cancelled.

        Args:
            selection: What is wanted; the same each time.
            start: At most what was given out before.

        Raises:
            CannotRead: The disk fails, or a file is not what it was when it was found.
            InternalError: The source is closed, ``start`` lies too far on, or something else is
                wanted than before.
        """
        self._check(selection, start)
        self._selection = selection
        reader = TreeReader(self._scan, selection, start=start, digest=self._digest)
        try:
            async with aclosing(_ahead(reader, self._thread)) as pieces:
                async for position, data in pieces:
                    self._given = max(self._given, position + len(data))
                    yield position, data
                    self._check(selection, start)
        finally:
            if not self._closed:
                self._thread.submit(reader.close)  # after the jobs that are under way

    async def reread(self, selection: Selection, *, start: int) -> AsyncGenerator[Piece, None]:
        """Yield what :meth:`blocks` gives, and hash nothing; any number of them side by side.

        Args:
            selection: What is wanted.
            start: Where to begin: where a block does.

        Raises:
            CannotRead: The disk fails, or a file is not what it was when it was found.
        """
        reader = TreeReader(self._scan, selection, start=start, digest=NoDigest())
        thread = DiskThread("rtcsend-reread")
        try:
            async with aclosing(_ahead(reader, thread)) as pieces:
                async for position, data in pieces:
                    yield position, data
        finally:
            thread.submit(reader.close)
            await run_to_end(thread.aclose())

    def another(self) -> "TreeSource":
        """Return a source of the same, for another selection."""
        return TreeSource(self._scan)

    def release(self, position: int) -> None:
        """Do nothing: it can be read again."""

    async def digest(self) -> str:
        """Return the digest, in hexadecimal, of all that :meth:`blocks` gave.

        Raises:
            InternalError: The last file was not read yet.
        """
        selection = self._selection
        if selection is None or self._digest.files != selection.layout.files:
            raise InternalError("The digest of many files is known only after the last one.")
        return self._digest.hexdigest()

    def sums(self) -> FileSums:
        """Return checksums of all files that :meth:`blocks` gave."""
        return self._digest.sums()

    async def aclose(self) -> None:
        """Wait for what is read, and end the thread. May be called again."""
        if not self._closed:
            self._closed = True
            await run_to_end(self._thread.aclose())

    def _check(self, selection: Selection, start: int) -> None:
        if self._closed:
            raise InternalError("A source was read after it was closed.")
        if start > self._given or self._selection not in (None, selection):
            raise InternalError("A source was asked for what it has not hashed.")


async def _ahead(reader: TreeReader, thread: DiskThread) -> AsyncGenerator[Piece, None]:
    """Yield the pieces of a reader; JOBS jobs of the thread are under way meanwhile."""
    coming: deque[Future[list[Piece]]] = deque()
    while True:
        while len(coming) < JOBS:
            coming.append(thread.submit(reader.read))
        pieces = await coming.popleft()
        if not pieces:
            return
        for piece in pieces:
            yield piece
