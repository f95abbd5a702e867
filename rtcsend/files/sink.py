"""Writing one file safely: a partial file, verified, synced, and only then renamed [shell].

The order at the end is the promise of this stage: all bytes in place, the digest compared, the
file synced, renamed in one step, the folder synced. Whoever looks under the final name finds
nothing, the old file, or the whole new one. What was there when a transfer ended otherwise is
kept, and the next one goes on with it.

::

    write ──▶ Writer ──▶ Store ──▶ partial file ◀── Survey ──▶ digests of blocks
                 └──▶ Checkpoints ──▶ journal

Place in the flow: the receiving session writes the payload of data frames here, and
acknowledges :attr:`FileSink.stored`.
"""

import asyncio
import errno
import os
from collections.abc import AsyncGenerator
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from blake3 import blake3

from rtcsend.blocks import Data, block_size_for
from rtcsend.errors import DigestMismatch, InternalError
from rtcsend.files.arrival import Arrival, ArrivingSink, open_sink
from rtcsend.files.checkpoints import Checkpoints
from rtcsend.files.checks import check_digest, check_room, check_whole
from rtcsend.files.failures import cannot_write
from rtcsend.files.folder import KEEPS_OPEN_FILES, Folder
from rtcsend.files.jobs import run_to_end
from rtcsend.files.journal import Journal
from rtcsend.files.journal_file import JournalFile
from rtcsend.files.opening import open_direct_again, prepare
from rtcsend.files.partial import PartialFile, publish, remove_partial, seal
from rtcsend.files.positional import read_whole
from rtcsend.files.store import DIRECT_MINIMUM, O_DIRECT, Store
from rtcsend.files.survey import Survey, whole_blocks
from rtcsend.manifest.entry import ManifestEntry
from rtcsend.manifest.selection import one_file
from rtcsend.manifest.sums import FileSums
from rtcsend.options import Conflict

_NOT_BARE = frozenset({"", ".", ".."})
_REHASH = 64 << 20  # bytes read again in one thread job; a cancellation waits for it
_PIECE = 1 << 20  # bytes read at once


class FileSink(ArrivingSink):
    """One arriving file. Made by :meth:`create`; ended by :meth:`finish` or :meth:`abandon`."""

    def __init__(
        self,
        *,
        folder: Folder,
        partial_file: PartialFile,
        name: str,
        size: int,
        sample: str,
        conflict: Conflict,
        mtime_ns: int | None,
    ) -> None:
        self.name = name
        self.size = size
        self.selection = one_file(ManifestEntry(path=name, kind="file", size=size))
        """What comes: this file."""
        self._folder = folder
        self._partial = partial_file
        self._conflict = conflict
        self._mtime_ns = mtime_ns
        self._survey = Survey(partial_file.fd, size=size, length=partial_file.length)
        started = Journal(
            size=size, sample=sample, name=name, time=int(datetime.now(UTC).timestamp())
        )
        self._journal = JournalFile(folder, partial_file.name, started)
        self._checkpoints = Checkpoints(partial_file.fd, journal=self._journal)
        again = partial(open_direct_again, folder, partial_file)
        use_direct = O_DIRECT and size >= DIRECT_MINIMUM
        self._store = Store(partial_file.fd, open_direct=again if use_direct else None)
        self._hash = blake3()
        self._hashed = 0
        self._files_open = True
        arrival = Arrival(
            self._store.write,
            thread="rtcsend-sink",
            in_words=partial(cannot_write, name=name, folder=folder.path),
            close=self._close,
            checkpoints=self._checkpoints,
        )
        super().__init__(arrival)

    @classmethod
    async def create(
        cls,
        folder: Path,
        name: str,
        *,
        size: int,
        sample: str,
        conflict: Conflict,
        mode: int | None = None,
        preserve: bool = False,
        mtime_ns: int | None = None,
    ) -> "FileSink":
        """Open the folder, and in it what an earlier run has left, or a new partial file.

        Args:
            folder: An existing folder.
            name: The file's name in it: a safe one, see ``paths``.
            size: Bytes that were proposed.
            sample: Of the file that was proposed, see :mod:`rtcsend.files.sample`.
            conflict: What to do when the name is taken. ASK and SKIP were answered before:
                here both mean that nothing is replaced.
            mode: Permission bits of the finished file, of which the umask takes some away;
                None: those of any new file.
            preserve: Whether the umask is not to be asked.
            mtime_ns: When it was last changed, in nanoseconds since 1970; None: now.

        Raises:
            TargetExists: The name is taken, and the conflict is neither OVERWRITE nor RENAME.
            CannotWrite: The folder is missing or cannot be written, or the name is a folder.
            InternalError: The name is not a bare one.
        """
        if name in _NOT_BARE or "/" in name or "\0" in name or Path(name).name != name:
            raise InternalError("A name that is not safe came as far as the disk.")
        opens = partial(prepare, folder, name, size=size, sample=sample, conflict=conflict)
        make = partial(
            cls, name=name, size=size, sample=sample, conflict=conflict, mtime_ns=mtime_ns
        )
        return await open_sink(
            partial(opens, mode=mode, preserve=preserve),
            lambda opened: make(folder=opened[0], partial_file=opened[1]),
            name=name,
            folder=folder,
        )

    @property
    def blocks(self) -> int:
        """Blocks, from the first on, that an earlier run has left whole."""
        return self._survey.blocks

    def survey(self, first: int) -> AsyncGenerator[tuple[int, bytes], None]:
        """Yield (block, digests), joined, of those blocks from ``first`` on: at most 1024 each."""
        return self._survey.pages(first)

    async def write(self, data: Data) -> None:
        """Append; taken at once, written behind.

        Raises:
            PeerProtocolError: It would be more than was proposed.
            CannotWrite: The disk is full, or fails.
            InternalError: The sink has ended.
        """
        end, position = self._arrival.end_of(data), self._writer.taken
        check_room(end, size=self.size, name=self.name)
        if self._survey.runs_along:
            self._survey.changed_from(position)
        # Hashed before anything is awaited: a call that is cancelled has taken its bytes.
        if self._hashed == position:
            self._hash.update(data)
            self._hashed = end
        with self._arrival.in_words():
            await self._writer.write(data)
            if self._hashed < self._writer.taken:
                await self._writer.flush()
                await self._catch_up()

    async def keep(self, position: int) -> None:
        """Take everything up to ``position`` for right as it is; what was taken is stored first.

        Args:
            position: The end of a block that is there.

        Raises:
            CannotWrite: The disk is full, or fails.
            InternalError: The sink has ended, or nothing is there up to that position.
        """
        await self.flush()
        if not self.written <= position <= self._partial.length:
            raise InternalError("What is not there was to be kept.")
        self._writer.move(position)
        if not self._survey.runs_along:
            with self._arrival.in_words():
                await self._catch_up()

    async def finish(self, expected_digest: str, sums: FileSums | None = None) -> tuple[Path]:
        """Verify, sync and rename. When cancelled after it is verified, it is carried out.

        Args:
            expected_digest: BLAKE3 in lower-case hexadecimal, from the sender.
            sums: Of many files; of one there is nothing more to know.

        Returns:
            The path of the finished file.

        Raises:
            PeerProtocolError: Less arrived than was proposed.
            DigestMismatch: The bytes are not the sender's; the partial file is removed.
            TargetExists: The name was taken meanwhile; the partial file is still there.
            CannotWrite: The disk is full or fails, or the folder or partial file is gone.
            InternalError: The sink has ended.
        """
        await self.flush()
        check_whole(self.written, size=self.size, name=self.name)
        with self._arrival.in_words():
            await self._catch_up()
        try:
            check_digest(self._hash.hexdigest(), expected_digest, name=self.name)
        except DigestMismatch:
            await self.abandon(keep_partial=False)
            raise
        final_name = await self._arrival.finish(self._publish, sync=self._folder.sync)
        return (self._folder.path / final_name,)

    def _publish(self) -> str:
        seal(self._partial, mtime_ns=self._mtime_ns)
        if KEEPS_OPEN_FILES:
            self._close_files()
        name = publish(self._folder, self._partial, self.name, conflict=self._conflict)
        self._journal.remove()
        return name

    async def abandon(self, *, keep_partial: bool) -> None:
        """Close everything; the partial file goes, or stays when it has a whole block.

        Args:
            keep_partial: False: what came in this run is worth nothing. As many blocks stay as
                an earlier run had left. This one may have replaced some, but no block is ever
                trusted before it was compared with the sender's.

        After :meth:`finish` has succeeded, or again: does nothing.
        """
        put_away = partial(self._put_away, keep_partial=keep_partial)
        await self._arrival.abandon(put_away, flush=keep_partial)

    def _put_away(self, *, keep_partial: bool) -> None:
        facts = self._folder.stat(self._partial.name)
        length = 0 if facts is None else facts.st_size
        if not keep_partial:
            length = min(length, self._survey.blocks * block_size_for(self.size))
            with suppress(OSError):  # then it stays as it is, which the next run will find out
                os.ftruncate(self._partial.fd, length)
        if KEEPS_OPEN_FILES:
            self._close_files()
        if not whole_blocks(self.size, length):
            remove_partial(self._folder, self._partial)
            self._journal.remove()

    def _close(self) -> None:
        self._close_files()
        self._folder.close()

    def _close_files(self) -> None:
        if not self._files_open:
            return
        self._files_open = False
        self._journal.close()
        self._store.close()
        os.close(self._partial.fd)

    async def _catch_up(self) -> None:
        """Hash what is in place and was not hashed: what was kept."""
        mark = self._survey.last_mark(self.written)
        if mark is not None and mark[0] > self._hashed:
            self._hashed, self._hash = mark
        while self._hashed < self.written:
            await run_to_end(asyncio.to_thread(self._rehash))

    def _rehash(self) -> None:
        """Hash on, up to what is in place or for one job; in a thread, while nobody writes."""
        end = min(self.written, self._hashed + _REHASH)
        while self._hashed < end:
            piece = read_whole(self._partial.fd, min(_PIECE, end - self._hashed), self._hashed)
            if not piece:
                raise OSError(errno.EIO, "the partial file was cut")
            self._hash.update(piece)
            self._hashed += len(piece)
