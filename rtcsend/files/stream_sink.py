"""Storing a stream in a file: a partial file, verified at the end, synced, renamed [shell].

The promise at the end is that of :mod:`rtcsend.files.sink`. But nothing of a stream can be had a
second time, so that what has come of one that broke off is no use to a later run: it is removed.

Place in the flow: the receiving session, when somebody sends a stream and ``-o -`` was not given.
"""

import asyncio
import os
from collections.abc import AsyncGenerator, Iterator
from contextlib import contextmanager
from pathlib import Path

from blake3 import blake3

from rtcsend.blocks import Data
from rtcsend.errors import DigestMismatch, InternalError
from rtcsend.files.disk_thread import DiskThread
from rtcsend.files.failures import cannot_write
from rtcsend.files.folder import KEEPS_OPEN_FILES, Folder
from rtcsend.files.jobs import run_to_end
from rtcsend.files.opening import prepare_new
from rtcsend.files.partial import PartialFile, publish, remove_partial, seal
from rtcsend.files.store import Store
from rtcsend.files.stream_limit import check_length
from rtcsend.files.writer import Writer
from rtcsend.manifest.entry import ManifestEntry
from rtcsend.manifest.selection import one_file
from rtcsend.options import Conflict


class StreamSink:
    """One stream, into a file. Made by :meth:`create`; ended by :meth:`finish` or :meth:`abandon`.

    One call at a time. A call that is cancelled leaves it usable, and what :meth:`write` was given
    is taken. After an error only :meth:`abandon` makes sense.
    """

    blocks = 0
    """An earlier run leaves nothing."""
    is_held = False
    """Nobody takes anything from a disk."""

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
        self._thread = DiskThread("rtcsend-stream-sink")
        self._store = Store(partial_file.fd, open_direct=None)
        self._writer = Writer(self._store.write, thread=self._thread)
        self._hash = blake3()
        self._is_open = True
        self._is_usable = True  # until the end has begun
        self._fd_is_open = True
        self._ending = asyncio.Lock()

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

        async def opened_sink() -> "StreamSink":
            try:
                opened, made = await asyncio.to_thread(prepare_new, folder, name, conflict=conflict)
            except (OSError, ValueError) as exc:  # ValueError: a folder with NUL in its path
                raise cannot_write(exc, name=name, folder=folder) from exc
            return cls(folder=opened, partial_file=made, name=name, conflict=conflict, limit=limit)

        return await run_to_end(opened_sink(), discard=lambda sink: sink.abandon(keep_partial=True))

    @property
    def written(self) -> int:
        """Bytes with the operating system."""
        return self._writer.written

    @property
    def stored(self) -> int:
        """The same: nothing is kept."""
        return self._writer.stored

    async def survey(self, first: int) -> AsyncGenerator[tuple[int, bytes], None]:
        """Yield nothing."""
        if first < self.blocks:
            yield first, b""

    async def keep(self, position: int) -> None:
        """Refuse: nothing was there.

        Raises:
            InternalError: Always.
        """
        raise InternalError(f"Nothing was there to be kept up to {position}.")

    async def write(self, data: Data) -> None:
        """Append; taken at once, written behind.

        Raises:
            Declined: It would be more than the limit.
            CannotWrite: The disk is full, or fails.
            InternalError: The sink has ended.
        """
        self._check_usable()
        end = self._writer.taken + memoryview(data).nbytes
        check_length(end, limit=self._limit, name=self.name)
        self._hash.update(data)
        with self._saying():
            await self._writer.write(data)

    async def flush(self) -> None:
        """Return when everything that was taken is with the operating system.

        Raises:
            CannotWrite: The disk is full, or fails.
            InternalError: The sink has ended.
        """
        self._check_usable()
        with self._saying():
            await self._writer.flush()

    async def watch(self) -> None:
        """Return: nothing is known before it is tried."""

    async def finish(self, expected_digest: str) -> tuple[Path]:
        """Verify, sync and rename. When cancelled after it is verified, it is carried out.

        Args:
            expected_digest: BLAKE3 in lower-case hexadecimal, from the sender.

        Returns:
            The path of the finished file.

        Raises:
            DigestMismatch: The bytes are not the sender's.
            TargetExists: The name was taken meanwhile.
            CannotWrite: The disk is full or fails, or the folder or partial file is gone.
            InternalError: The sink has ended.
        """
        await self.flush()
        if self._hash.hexdigest() != expected_digest:
            raise DigestMismatch(f"{self.name} arrived damaged: its BLAKE3 digest is wrong.")
        self._is_usable = False
        return await run_to_end(self._finish())

    async def _finish(self) -> tuple[Path]:
        async with self._ending:
            with self._saying():
                final_name = await asyncio.to_thread(self._publish)
            self._is_open = False
            try:
                with self._saying():
                    await asyncio.to_thread(self._folder.sync)
            finally:
                await self._release()
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
        await run_to_end(self._abandon())

    async def _abandon(self) -> None:
        async with self._ending:
            if not self._is_open:
                return
            self._is_open = False
            await self._writer.settle()
            await asyncio.to_thread(self._remove)
            await self._release()

    def _remove(self) -> None:
        if KEEPS_OPEN_FILES:
            self._close_file()
        remove_partial(self._folder, self._partial)

    async def _release(self) -> None:
        await self._thread.aclose()
        self._store.close()
        await asyncio.to_thread(self._close_file)
        self._folder.close()

    def _close_file(self) -> None:
        if self._fd_is_open:
            self._fd_is_open = False
            os.close(self._partial.fd)

    def _check_usable(self) -> None:
        if not (self._is_open and self._is_usable):
            raise InternalError("A sink was used after it had ended.")

    @contextmanager
    def _saying(self) -> Iterator[None]:
        """Put into words what the disk says.

        Raises:
            CannotWrite: For each OSError.
        """
        try:
            yield
        except OSError as exc:
            raise cannot_write(exc, name=self.name, folder=self._folder.path) from exc
