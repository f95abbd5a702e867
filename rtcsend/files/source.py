"""Reading one regular file to send: in order, hashed, a few blocks ahead [shell].

Opens the file once, and notices when it is changed, replaced or removed before the last block
was read: a file that moves under our hands would fail the receiver's check only at the very
end, and nobody would know why. It knows nothing of frames, windows or progress.

Each byte is hashed once, on the event loop: BLAKE3 takes a sixth of a millisecond for a MiB,
less than a handoff to a thread costs beside a busy loop. What is read again, after a
reconnection, is not hashed again.

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

from blake3 import blake3

from rtcsend.blocks import Data
from rtcsend.errors import CannotRead, InternalError
from rtcsend.files.disk_thread import DiskThread
from rtcsend.files.holes import holes_of
from rtcsend.files.jobs import run_to_end
from rtcsend.files.positional import read_at, read_whole
from rtcsend.files.read_ahead import ReadAhead
from rtcsend.files.sample import sample_digest, sample_ranges
from rtcsend.manifest.entry import MAX_MODE, ManifestEntry
from rtcsend.manifest.selection import Selection, one_file

# A fifo without a writer would block the open for good; on regular files this does nothing.
_NEVER_BLOCK = getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOCTTY", 0)
_FLAGS = os.O_RDONLY | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0) | _NEVER_BLOCK


class FileSource:
    """One open file. Made by :meth:`open`; an asynchronous context manager that closes it.

    Attributes:
        path: As it was given.
        name: What to propose: the last component, in Unicode that can be encoded.
        size: Bytes, as of opening.
        sample: Of the content as of opening, in hexadecimal, see :mod:`rtcsend.files.sample`.
        mode: Permission bits.
        mtime_ns: Time of the last change, in nanoseconds.
        manifest: To propose: this one file.
    """

    def __init__(self, path: Path, fd: int, facts: os.stat_result, sample: str) -> None:
        self.path = path
        self.name = os.fsencode(path.name).decode(errors="replace")
        self.size = facts.st_size
        self.sample = sample
        self.mode = stat.S_IMODE(facts.st_mode)
        self.mtime_ns = facts.st_mtime_ns
        self.manifest = one_file(
            ManifestEntry(
                path=path.name,
                kind="file",
                size=self.size,
                mode=self.mode & MAX_MODE,
                mtime_ns=self.mtime_ns,
                sample=sample,
            )
        ).manifest
        self.manifest.holes = holes_of(facts)
        self._fd = fd
        self._facts = facts
        self._thread = DiskThread("rtcsend-source")
        self._hash = blake3()
        self._hashed = 0
        self._complete = False
        self._closed = False

    @classmethod
    async def open(cls, path: Path) -> Self:
        """Open a file for sending, and look at samples of it.

        Raises:
            CannotRead: It is missing, unreadable, or not a regular file.
        """
        return await run_to_end(cls._open(path), discard=cls.aclose)

    @classmethod
    async def _open(cls, path: Path) -> Self:
        try:
            return cls(path, *await asyncio.to_thread(_open_and_sample, path))
        except (OSError, ValueError) as exc:  # ValueError: a path with NUL in it
            raise _cannot_open(path, exc) from exc

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()

    async def blocks(
        self, selection: Selection, *, start: int = 0
    ) -> AsyncGenerator[tuple[int, Data], None]:
        """Yield (offset, data) in order from ``start`` to the end, cut where blocks end.

        May be called again, when an earlier iterator is closed or was cancelled.

        Args:
            selection: Of the manifest: all of it.
            start: At most what was given out before.

        Raises:
            CannotRead: The disk fails, or the file changed since it was opened.
            InternalError: The source is closed, or ``start`` lies too far on.
        """
        self._check_open()
        if start > self._hashed:
            raise InternalError("A file source was asked for what it has not hashed.")
        ahead = self._ahead(selection, start=start, thread=self._thread)
        offset = start
        while offset < self.size:
            block = await self._take(ahead)
            self._digest(offset, block)
            yield offset, block
            offset += len(block)
            self._check_open()
        await self._prove_the_end()
        self._complete = True

    def release(self, position: int) -> None:
        """Do nothing: it can be read again."""

    async def reread(
        self, selection: Selection, *, start: int
    ) -> AsyncGenerator[tuple[int, Data], None]:
        """Yield what :meth:`blocks` gives, and hash nothing; any number of them side by side.

        Args:
            selection: Of the manifest: all of it.
            start: Where to begin.

        Raises:
            CannotRead: The disk fails, or the file changed since it was opened.
        """
        self._check_open()
        thread = DiskThread("rtcsend-reread")
        ahead = self._ahead(selection, start=start, thread=thread)
        offset = start
        try:
            while offset < self.size:
                block = await self._take(ahead)
                yield offset, block
                offset += len(block)
        finally:
            await run_to_end(thread.aclose())

    def another(self) -> Self:
        """Never return: of one file nothing but all of it can be wanted."""
        raise InternalError("Another selection was asked for of one file.")

    async def digest(self) -> str:
        """Return the BLAKE3 digest, in hexadecimal, of all that :meth:`blocks` gave.

        Raises:
            InternalError: The last block was not taken yet.
        """
        if not self._complete:
            raise InternalError("The digest of a file is known only after its last block.")
        return self._hash.hexdigest()

    def sums(self) -> None:
        """Return nothing: there is one file."""

    async def aclose(self) -> None:
        """Wait for reads that are under way, and close the file. May be called again."""
        if not self._closed:
            self._closed = True
            await run_to_end(self._close())

    async def _close(self) -> None:
        await self._thread.aclose()
        os.close(self._fd)

    def _ahead(self, selection: Selection, *, start: int, thread: DiskThread) -> ReadAhead:
        return ReadAhead(
            self._fd,
            size=self.size,
            block_size=selection.layout.block_size,
            start=start,
            check=self._check_unchanged,
            thread=thread,
        )

    def _check_open(self) -> None:
        if self._closed:
            raise InternalError("A file source was read after it was closed.")

    async def _take(self, ahead: ReadAhead) -> Data:
        try:
            return await ahead.take()
        except OSError as exc:
            raise CannotRead(f"{self.name} cannot be read: {_reason(exc)}.") from exc
        except EOFError as exc:
            raise self._changed() from exc

    def _digest(self, offset: int, block: Data) -> None:
        """Hash what was not hashed before."""
        fresh = offset + len(block) - self._hashed
        if fresh > 0:
            self._hash.update(memoryview(block)[len(block) - fresh :])
            self._hashed += fresh

    async def _prove_the_end(self) -> None:
        """See that nothing follows: a file may have more than it says."""
        try:
            surplus = await self._thread.submit(self._read_surplus)
        except OSError as exc:
            raise CannotRead(f"{self.name} cannot be read: {_reason(exc)}.") from exc
        if surplus or self._hashed != self.size:
            raise self._changed()

    def _read_surplus(self) -> bytes:
        surplus = read_at(self._fd, 1, self.size)
        self._check_unchanged()
        return surplus

    def _check_unchanged(self) -> None:
        """Compare the file, and what its name means, with what was opened.

        Called after each reading: a block that was changed before it was read is never sent.

        Raises:
            CannotRead: It is another, or has changed.
            OSError: The name cannot be looked up.
        """
        try:
            unchanged = all(
                os.path.samestat(facts, self._facts)
                and facts.st_size == self.size
                and facts.st_mtime_ns == self.mtime_ns
                for facts in (os.fstat(self._fd), self.path.stat())
            )
        except FileNotFoundError:
            unchanged = False
        if not unchanged:
            raise self._changed()

    def _changed(self) -> CannotRead:
        return CannotRead(
            f"{self.name} changed while it was sent.", hint="Send it again when it is at rest."
        )


def _open_and_sample(path: Path) -> tuple[int, os.stat_result, str]:
    fd = _open_regular(path)
    try:
        facts = os.fstat(fd)
        ranges = sample_ranges(facts.st_size)
        samples = (read_whole(fd, length, offset) for offset, length in ranges)
        return fd, facts, sample_digest(facts.st_size, samples)
    except BaseException:
        os.close(fd)
        raise


def _open_regular(path: Path) -> int:
    fd = os.open(path, _FLAGS)
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
