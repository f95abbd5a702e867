"""Reading one regular file to send: in order, hashed, one block ahead [shell].

Opens the file once, and notices when it is changed, replaced or removed before the last block
was read: a file that moves under our hands would fail the receiver's check only at the very
end, and nobody would know why. It knows nothing of frames, windows or progress.

Place in the flow: the sending session takes :meth:`FileSource.blocks` and gives
:meth:`FileSource.digest` to the transfer machine.
"""

import asyncio
import os
import stat
from collections.abc import AsyncGenerator
from pathlib import Path
from types import TracebackType
from typing import Self

import aiofiles
from aiofiles.threadpool.binary import AsyncBufferedReader
from blake3 import blake3

from rtcsend.errors import CannotRead, InternalError
from rtcsend.files.jobs import run_to_end, settle

BLOCK_SIZE = 1 << 20  # bytes; one thread job each: small beside the window, large beside the job

# A fifo without a writer would block the open for good; on regular files this does nothing.
_NEVER_BLOCK = getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOCTTY", 0)


class FileSource:
    """One open file. Made by :meth:`open`; an asynchronous context manager that closes it.

    Memory: two blocks, the one that the consumer has and the one read ahead.

    Attributes:
        path: As it was given.
        name: What to propose: the last component, in Unicode that can be encoded.
        size: Bytes, as of opening.
        mode: Permission bits.
        mtime_ns: Time of the last change, in nanoseconds.
    """

    def __init__(self, path: Path, file: AsyncBufferedReader, facts: os.stat_result) -> None:
        self.path = path
        self.name = os.fsencode(path.name).decode(errors="replace")
        self.size = facts.st_size
        self.mode = stat.S_IMODE(facts.st_mode)
        self.mtime_ns = facts.st_mtime_ns
        self._file = file
        self._facts = facts
        self._hash = blake3()
        self._offset = 0
        self._ahead: asyncio.Task[bytes] | None = None
        self._complete = False
        self._closed = False

    @classmethod
    async def open(cls, path: Path) -> Self:
        """Open a file for sending.

        Raises:
            CannotRead: It is missing, unreadable, or not a regular file.
        """
        return await run_to_end(cls._open(path), discard=cls.aclose)

    @classmethod
    async def _open(cls, path: Path) -> Self:
        try:
            file = await aiofiles.open(path, "rb", opener=_open_regular)
        except (OSError, ValueError) as exc:  # ValueError: a path with NUL in it
            raise _cannot_open(path, exc) from exc
        return cls(path, file, os.fstat(file.fileno()))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()

    async def blocks(self) -> AsyncGenerator[bytes, None]:
        """Yield the whole file in order, BLOCK_SIZE bytes at a time, the last block shorter.

        While the consumer has one block, the next is read and hashed. May be used once.

        Raises:
            CannotRead: The disk fails, or the file changed since it was opened.
            InternalError: It was called before, or the source is closed.
        """
        if self._closed or self._ahead is not None:
            raise InternalError("The blocks of a file source can be taken once, while it is open.")
        ahead = self._read_ahead()
        while block := await asyncio.shield(ahead):
            ahead = self._read_ahead()
            yield block
        self._complete = True

    async def digest(self) -> str:
        """Return the BLAKE3 digest, in hexadecimal, of all that :meth:`blocks` gave.

        Raises:
            InternalError: The last block was not taken yet.
        """
        if not self._complete:
            raise InternalError("The digest of a file is known only after its last block.")
        return self._hash.hexdigest()

    async def aclose(self) -> None:
        """Wait for a read that is under way, and close the file. May be called again."""
        if not self._closed:
            self._closed = True
            await run_to_end(self._close())

    async def _close(self) -> None:
        if self._ahead is not None:
            await settle(self._ahead)
        await self._file.close()

    def _read_ahead(self) -> asyncio.Task[bytes]:
        if self._closed:
            raise InternalError("The file source was closed while its blocks were taken.")
        # Owned by this object: aclose() waits for it, also when the consumer went away.
        self._ahead = asyncio.create_task(self._next_block())
        return self._ahead

    async def _next_block(self) -> bytes:
        """Read, hash and check one block; an empty one is the proven end."""
        wanted = min(BLOCK_SIZE, self.size - self._offset)
        try:
            # At the end one byte more is asked for: there must be none.
            block = await self._file.read(wanted or 1)
            unchanged = await asyncio.to_thread(self._digest_and_compare, block)
        except OSError as exc:
            raise CannotRead(f"{self.name} cannot be read: {_reason(exc)}.") from exc
        if len(block) != wanted or not unchanged:
            raise CannotRead(f"{self.name} changed while it was sent.")
        self._offset += len(block)
        return block

    def _digest_and_compare(self, block: bytes) -> bool:
        """Hash the block, and return whether the file is still the one that was opened.

        Runs in a thread: BLAKE3 releases the interpreter's lock, and a stat may go to a server.
        """
        self._hash.update(block)
        try:
            return all(
                os.path.samestat(facts, self._facts)
                and facts.st_size == self.size
                and facts.st_mtime_ns == self.mtime_ns
                for facts in (os.fstat(self._file.fileno()), self.path.stat())
            )
        except FileNotFoundError:
            return False


def _open_regular(path: str, flags: int) -> int:
    fd = os.open(path, flags | _NEVER_BLOCK)
    if stat.S_ISREG(os.fstat(fd).st_mode):
        return fd
    os.close(fd)
    raise _is_a_directory(path) if _isdir(path) else CannotRead(f"{path} is not a regular file.")


def _cannot_open(path: Path, exc: OSError | ValueError) -> CannotRead:
    if isinstance(exc, FileNotFoundError):
        return CannotRead(f"{path} does not exist.")
    if _isdir(path):  # Windows refuses to open a directory at all, with "permission denied"
        return _is_a_directory(path)
    return CannotRead(f"{path} cannot be read: {_reason(exc)}.")


def _isdir(path: str | Path) -> bool:
    return os.path.isdir(path)  # noqa: PTH112  Path.is_dir raises when a parent is unreadable


def _is_a_directory(path: str | Path) -> CannotRead:
    return CannotRead(
        f"{path} is a directory; sending folders is not supported yet.",
        hint="Pack it into one file first, with tar or zip, and send that.",
    )


def _reason(exc: OSError | ValueError) -> str:
    return (exc.strerror if isinstance(exc, OSError) else None) or str(exc)
