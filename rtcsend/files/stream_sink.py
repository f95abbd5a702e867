"""Storing a stream in a file: a partial file, verified at the end, synced, renamed [shell].

The promise at the end is that of :mod:`rtcsend.files.sink`. But nothing of a stream can be had a
second time, so that what has come of one that broke off is no use to a later run: it is removed.

Place in the flow: the receiving session, when somebody sends a stream and ``-o -`` was not given.
"""

import os
from functools import partial
from pathlib import Path

from blake3 import blake3

from rtcsend.blocks import Data
from rtcsend.files.arrival import Arrival, ArrivingSink, open_sink
from rtcsend.files.checks import check_digest, check_length
from rtcsend.files.failures import cannot_write
from rtcsend.files.folder import KEEPS_OPEN_FILES, Folder
from rtcsend.files.nothing_left import NothingLeft
from rtcsend.files.opening import prepare_new
from rtcsend.files.partial import PartialFile, publish, remove_partial, seal
from rtcsend.files.store import Store
from rtcsend.manifest.entry import ManifestEntry
from rtcsend.manifest.selection import one_file
from rtcsend.manifest.sums import FileSums
from rtcsend.options import Conflict


class StreamSink(ArrivingSink, NothingLeft):
    """One stream. Made by :meth:`create`; ended by :meth:`finish` or :meth:`abandon`."""

    def __init__(
        self,
        *,
        folder: Folder,
        partial_file: PartialFile,
        name: str,
        conflict: Conflict,
        limit: int | None,
    ) -> None:
        self.name = name
        self.selection = one_file(ManifestEntry(path=name, kind="stream"))
        """What comes: this stream."""
        self._folder = folder
        self._partial = partial_file
        self._conflict = conflict
        self._limit = limit
        self._store = Store(partial_file.fd, open_direct=None)
        self._hash = blake3()
        self._fd_is_open = True
        arrival = Arrival(
            self._store.write,
            thread="rtcsend-stream-sink",
            in_words=partial(cannot_write, name=name, folder=folder.path),
            close=self._close,
        )
        super().__init__(arrival)

    @classmethod
    async def create(
        cls, folder: Path, name: str, *, conflict: Conflict, limit: int | None
    ) -> "StreamSink":
        """Open the folder, and in it a new partial file.

        Args:
            folder: An existing folder.
            name: The file's name in it: a safe one, see ``paths``.
            conflict: What to do when the name is taken; ASK and SKIP: nothing is replaced.
            limit: Bytes at most; None: as many as come.

        Raises:
            TargetExists: The name is taken, and the conflict is neither OVERWRITE nor RENAME.
            CannotWrite: The folder is missing or cannot be written, or the name is a folder.
        """
        make = partial(cls, name=name, conflict=conflict, limit=limit)
        return await open_sink(
            partial(prepare_new, folder, name, conflict=conflict),
            lambda opened: make(folder=opened[0], partial_file=opened[1]),
            name=name,
            folder=folder,
        )

    async def write(self, data: Data) -> None:
        """Append; taken at once, written behind.

        Raises:
            Declined: It would be more than the limit.
            CannotWrite: The disk is full, or fails.
            InternalError: The sink has ended.
        """
        check_length(self._arrival.end_of(data), limit=self._limit, name=self.name)
        self._hash.update(data)
        with self._arrival.in_words():
            await self._writer.write(data)

    async def finish(self, expected_digest: str, sums: FileSums | None = None) -> tuple[Path]:
        """Verify, sync and rename. When cancelled after it is verified, it is carried out.

        Args:
            expected_digest: BLAKE3 in lower-case hexadecimal, from the sender.
            sums: Of many files; of one there is nothing more to know.

        Returns:
            The path of the finished file.

        Raises:
            DigestMismatch: The bytes are not the sender's.
            TargetExists: The name was taken meanwhile.
            CannotWrite: The disk is full or fails, or the folder or partial file is gone.
            InternalError: The sink has ended.
        """
        await self.flush()
        check_digest(self._hash.hexdigest(), expected_digest, name=self.name)
        final_name = await self._arrival.finish(self._publish, sync=self._folder.sync)
        return (self._folder.path / final_name,)

    def _publish(self) -> str:
        seal(self._partial)
        if KEEPS_OPEN_FILES:
            self._close_file()
        return publish(self._folder, self._partial, self.name, conflict=self._conflict)

    async def abandon(self, *, keep_partial: bool) -> None:
        """Close everything, and remove what has come: nobody can go on with it.

        After :meth:`finish` has succeeded, or again: does nothing.
        """
        await self._arrival.abandon(self._remove, flush=False)

    def _remove(self) -> None:
        if KEEPS_OPEN_FILES:
            self._close_file()
        remove_partial(self._folder, self._partial)

    def _close(self) -> None:
        self._store.close()
        self._close_file()
        self._folder.close()

    def _close_file(self) -> None:
        if self._fd_is_open:
            self._fd_is_open = False
            os.close(self._partial.fd)
