"""Writing one file safely: a partial file, verified, synced, and only then renamed [shell].

The order at the end is the promise of this stage: all bytes written, the digest compared, the
file synced, renamed in one step, the folder synced. Whoever looks under the final name finds
nothing, the old file, or the whole new one. See ``partial`` for the hidden file and ``folder``
for what keeps the writing inside the folder.

Place in the flow: the receiving session writes the payload of data frames here, and
acknowledges :attr:`FileSink.written`.
"""

import asyncio
import errno
import os
import shutil
from pathlib import Path
from typing import Self

import aiofiles
from aiofiles.threadpool.binary import AsyncFileIO

from rtcsend.errors import CannotWrite, DigestMismatch, InternalError
from rtcsend.files.block_sink import BLOCK_SIZE, BlockSink, Data, Sink
from rtcsend.files.folder import KEEPS_OPEN_FILES, Folder, shown
from rtcsend.files.jobs import run_to_end
from rtcsend.files.partial import (
    PartialFile,
    already_there,
    claim_partial,
    publish,
    remove_partial,
    seal,
)
from rtcsend.options import Conflict

__all__ = ["BLOCK_SIZE", "Data", "FileSink", "Sink", "free_space", "target_exists"]

_NOT_BARE = frozenset({"", ".", ".."})
_SENTENCES = {
    errno.ENOSPC: "No space left for {name} in {folder}.",
    errno.EDQUOT: "No space left for {name} in {folder}: the disk quota is used up.",
    errno.EFBIG: "{name} is larger than a file in {folder} may be.",
    errno.ENOENT: "{name} cannot be written: {folder} does not exist.",
    errno.ENOTDIR: "{name} cannot be written: {folder} is not a folder.",
    errno.EISDIR: "{name} cannot be written in {folder}: a folder has that name.",
}


class FileSink(BlockSink):
    """One arriving file. Made by :meth:`create`; ended by :meth:`finish` or :meth:`abandon`.

    A cancelled call first lets the disk job that is under way come to its end.
    """

    def __init__(
        self,
        *,
        folder: Folder,
        partial: PartialFile,
        file: AsyncFileIO,
        name: str,
        size: int,
        conflict: Conflict,
    ) -> None:
        super().__init__(name=name, size=size)
        self._folder = folder
        self._partial = partial
        self._file = file
        self._conflict = conflict
        self._open = True

    @classmethod
    async def create(
        cls, folder: Path, name: str, *, size: int, conflict: Conflict, mode: int | None = None
    ) -> Self:
        """Open the folder and make an empty partial file in it.

        Args:
            folder: An existing folder.
            name: The file's name in it: a safe one, see ``paths``.
            size: Bytes that were proposed.
            conflict: What to do when the name is taken. ASK and SKIP were answered before:
                here both mean that nothing is replaced.
            mode: Permission bits of the finished file; None: what the umask leaves.

        Raises:
            TargetExists: The name is taken, and the conflict is neither OVERWRITE nor RENAME.
            CannotWrite: The folder is missing or cannot be written, or the name is a folder.
            InternalError: The name is not a bare one.
        """
        if name in _NOT_BARE or "/" in name or "\0" in name or Path(name).name != name:
            raise InternalError("A name that is not safe came as far as the disk.")
        work = cls._create(folder, name, size=size, conflict=conflict, mode=mode)
        return await run_to_end(work, discard=lambda sink: sink.abandon(keep_partial=False))

    @classmethod
    async def _create(
        cls, path: Path, name: str, *, size: int, conflict: Conflict, mode: int | None
    ) -> Self:
        try:
            folder, partial = await asyncio.to_thread(_prepare, path, name, conflict, mode)
            file = await aiofiles.open(partial.fd, "wb", buffering=0)
        except (OSError, ValueError) as exc:  # ValueError: a folder with NUL in its path
            raise _failure(exc, name=name, folder=path) from exc
        return cls(
            folder=folder, partial=partial, file=file, name=name, size=size, conflict=conflict
        )

    async def finish(self, expected_digest: str) -> Path:
        """Verify, sync and rename. When cancelled, it is carried out all the same.

        Args:
            expected_digest: BLAKE3 in lower-case hexadecimal, from the sender.

        Returns:
            The path of the finished file.

        Raises:
            PeerProtocolError: Less arrived than was proposed.
            DigestMismatch: The bytes are not the sender's; the partial file is removed.
            TargetExists: The name was taken meanwhile; the partial file is still there.
            CannotWrite: The disk is full or fails, or the folder or partial file is gone.
            InternalError: The sink failed or ended before.
        """
        try:
            await self._verify(expected_digest)
        except DigestMismatch:
            await self.abandon(keep_partial=False)
            raise
        self._usable = False
        return await run_to_end(self._finish())

    async def _finish(self) -> Path:
        async with self._busy:
            try:
                await asyncio.to_thread(seal, self._partial)
                if KEEPS_OPEN_FILES:
                    await self._file.close()
                final_name = await asyncio.to_thread(
                    publish, self._folder, self._partial, self.name, conflict=self._conflict
                )
                # From here on abandon() must not touch anything: the file is in its place.
                self._open = False
                await asyncio.to_thread(self._folder.sync)
            except OSError as exc:
                raise self._cannot_write(exc) from exc
            finally:
                if not self._open:
                    await self._release()
        return self._folder.path / final_name

    async def abandon(self, *, keep_partial: bool) -> None:
        """Close everything; the partial file stays, or goes. See :meth:`Sink.abandon`."""
        await run_to_end(self._abandon(keep_partial=keep_partial))

    async def _abandon(self, *, keep_partial: bool) -> None:
        async with self._busy:
            self._usable = False
            if not self._open:
                return
            self._open = False
            if KEEPS_OPEN_FILES:
                await self._file.close()
            if not keep_partial:
                await asyncio.to_thread(remove_partial, self._folder, self._partial)
            await self._release()

    async def _release(self) -> None:
        try:
            await self._file.close()
        finally:
            self._folder.close()

    async def _store(self, block: bytearray) -> None:
        await run_to_end(self._write_all(block))

    async def _write_all(self, block: bytearray) -> None:
        rest = memoryview(block)
        while rest:
            # A full disk takes a part first and only then says no, so that each counts.
            count = await self._file.write(rest)
            self._written += count
            rest = rest[count:]

    def _cannot_write(self, exc: OSError) -> CannotWrite:
        return _failure(exc, name=self.name, folder=self._folder.path)


async def free_space(folder: Path) -> int | None:
    """Return how many bytes this user may still write there; None when nobody knows."""
    try:
        usage = await run_to_end(asyncio.to_thread(shutil.disk_usage, folder))
    except (OSError, ValueError):
        return None
    return usage.free


def target_exists(folder: Path, name: str) -> bool:
    """Return whether the name is taken, be it by a symbolic link to nothing."""
    return os.path.lexists(folder / name)


def _prepare(
    path: Path, name: str, conflict: Conflict, mode: int | None
) -> tuple[Folder, PartialFile]:
    folder = Folder(path)
    try:
        _check_target(folder, name, conflict)
        return folder, claim_partial(folder, name, mode=mode)
    except BaseException:
        folder.close()
        raise


def _check_target(folder: Folder, name: str, conflict: Conflict) -> None:
    """Say early what would fail at the end; the end checks again, in one step with the rename."""
    if conflict is Conflict.RENAME or folder.stat(name) is None:
        return
    if conflict is not Conflict.OVERWRITE:
        raise already_there(folder, name)
    if folder.is_folder(name):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))


def _failure(exc: OSError | ValueError, *, name: str, folder: Path) -> CannotWrite:
    reason = exc.strerror if isinstance(exc, OSError) else None
    number = exc.errno if isinstance(exc, OSError) else None
    sentence = _SENTENCES.get(number or 0, "{name} cannot be written in {folder}: {reason}.")
    message = sentence.format(name=name, folder=shown(folder), reason=reason or exc)
    if number in {errno.ENOSPC, errno.EDQUOT}:
        return CannotWrite(message, for_peer=f"The receiver has no space left for {name}.")
    what = reason or "its folder has an impossible name"
    return CannotWrite(message, for_peer=f"The receiver cannot write {name}: {what}.")
