"""Writing an arriving file to standard output, for a pipeline [shell].

There is no partial file and nothing to rename, and nothing to go on with in a later run: what
was written is gone, also when the digest turns out wrong at the end. The exit code tells the
next program; that is what ``set -o pipefail`` is for.
"""

import asyncio
import errno
import os
import select
import stat
import sys
from pathlib import Path

from blake3 import blake3

from rtcsend.blocks import Data
from rtcsend.errors import CannotWrite
from rtcsend.files.arrival import Arrival, ArrivingSink
from rtcsend.files.checks import check_digest, check_length, check_room, check_whole
from rtcsend.files.nothing_left import NothingLeft
from rtcsend.files.pipe_size import widen_pipe
from rtcsend.manifest.entry import Kind, ManifestEntry
from rtcsend.manifest.selection import one_file
from rtcsend.manifest.sums import FileSums
from rtcsend.options import STDOUT

HANGUP_GRACE = 5.0  # seconds; tar goes when it has seen the end of an archive, before we have
_FD = 1  # POSIX <unistd.h>, STDOUT_FILENO; Python gives it the same meaning on Windows


class StdoutSink(ArrivingSink, NothingLeft):
    """Standard output as a sink. The descriptor is not ours, and stays open.

    A pipe may block for good: when the sink is abandoned its thread is left behind; it ends
    when the pipe moves or closes, and does not hold up the end of the process.

    Args:
        name: Of what arrives, for errors.
        size: Bytes that were proposed; None: it is a stream. What comes of that goes out at once.
        limit: Bytes of a stream at most; None: as many as come.
        fd: What to write to.
    """

    def __init__(
        self, *, name: str, size: int | None, limit: int | None = None, fd: int = _FD
    ) -> None:
        self.name = name
        self.size = size
        kind: Kind = "stream" if size is None else "file"
        self.selection = one_file(ManifestEntry(path=name, kind=kind, size=size or 0))
        """What comes: this one."""
        self._limit = limit
        self._fd = fd
        self._failed = False
        self._hash = blake3()
        if size is None:
            widen_pipe(fd)
        arrival = Arrival(self._write_all, thread="rtcsend-stdout", in_words=self._cannot_write)
        super().__init__(arrival)

    @property
    def is_held(self) -> bool:
        """Whether something waits that whoever reads does not take: a pager, say, or a person."""
        return self._writer.written < self._writer.taken and not _takes_more(self._fd)

    async def write(self, data: Data) -> None:
        """Append; taken at once, written behind.

        Raises:
            PeerProtocolError: It would be more than was proposed.
            Declined: It would be more than the limit.
            CannotWrite: The reader is gone, or the disk behind it is full.
            InternalError: The sink ended before.
        """
        end = self._arrival.end_of(data)
        if self.size is None:
            check_length(end, limit=self._limit, name=self.name)
        else:
            check_room(end, size=self.size, name=self.name)
        self._hash.update(data)
        with self._arrival.in_words():
            await self._writer.write(data)
            if self.size is None:
                self._writer.push()

    async def watch(self) -> None:
        """Notice that whoever reads a pipe has gone, while no more of a stream comes to write.

        That it may just be about to end is given HANGUP_GRACE.

        Raises:
            CannotWrite: The reader is gone.
        """
        if self.size is not None or not _tells_hangup(self._fd):
            return
        loop = asyncio.get_running_loop()
        gone = asyncio.Event()
        loop.add_reader(self._fd, gone.set)  # the writing end is readable when it is broken
        try:
            await gone.wait()
        finally:
            loop.remove_reader(self._fd)
        await asyncio.sleep(HANGUP_GRACE)
        raise self._cannot_write(BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE)))

    async def finish(self, expected_digest: str, sums: FileSums | None = None) -> tuple[Path]:
        """Write out and verify everything.

        Args:
            expected_digest: BLAKE3 in lower-case hexadecimal, from the sender.
            sums: Of many files; of one there is nothing more to know.

        Returns:
            ``-``.

        Raises:
            PeerProtocolError: Less arrived than was proposed.
            DigestMismatch: The bytes, all written by now, are not the sender's.
            CannotWrite: The reader is gone, or the disk behind it is full.
            InternalError: The sink ended before.
        """
        await self.flush()
        if self.size is not None:
            check_whole(self.written, size=self.size, name=self.name)
        check_digest(self._hash.hexdigest(), expected_digest, name=self.name)
        return await self._arrival.finish(lambda: (STDOUT,))

    async def abandon(self, *, keep_partial: bool) -> None:
        """Write nothing more; what is being written may still go out."""
        self._failed = True
        self._arrival.leave()

    def _write_all(self, data: memoryview, _position: int) -> tuple[int, OSError | None]:
        rest = data
        while rest and not self._failed:
            try:
                rest = rest[os.write(self._fd, rest) :]
            except BlockingIOError:  # another program made the shared pipe non-blocking
                select.select([], [self._fd], [])
            except OSError as exc:
                self._failed = True
                return len(data) - len(rest), exc
        return len(data) - len(rest), None

    def _cannot_write(self, exc: OSError) -> CannotWrite:
        if isinstance(exc, BrokenPipeError):
            return CannotWrite(
                f"{self.name} cannot be written: whoever read standard output closed it.",
                for_peer=f"The program that the receiver passes {self.name} on to has ended.",
                hint="Look at what the other program of the pipeline says, and run it all again.",
            )
        return CannotWrite(
            f"{self.name} cannot be written to standard output: {exc.strerror or exc}.",
            hint="Check where standard output goes, and run both commands again.",
        )


def _takes_more(fd: int) -> bool:
    """Return whether a write would move something now; a disk may be slow, and is no reader."""
    if stat.S_ISREG(os.fstat(fd).st_mode):
        return True
    try:
        return bool(select.select([], [fd], [], 0)[1])
    except OSError:  # Windows asks sockets only
        return False


def _tells_hangup(fd: int) -> bool:
    """Return whether it is a pipe that a loop can watch."""
    return sys.platform != "win32" and stat.S_ISFIFO(os.fstat(fd).st_mode)
