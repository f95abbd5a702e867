"""Writing an arriving file to standard output, for a pipeline [shell].

There is no partial file and nothing to rename: what was written is gone, also when the digest
turns out wrong at the end. The exit code tells the next program; that is what ``set -o
pipefail`` is for.
"""

import asyncio
import os
import select
import threading
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path

from rtcsend.errors import CannotWrite
from rtcsend.files.block_sink import BlockSink
from rtcsend.options import STDOUT

_FD = 1  # POSIX <unistd.h>, STDOUT_FILENO; Python gives it the same meaning on Windows


class StdoutSink(BlockSink):
    """Standard output as a sink. The descriptor is not ours, and stays open.

    Each block is one blocking write in a thread of its own: a pipe may block for good, so when
    a call is cancelled the thread is left behind; it ends when the pipe moves or closes, and
    does not hold up the end of the process.

    Args:
        name: Of the file that arrives, for errors.
        size: Bytes that were proposed.
        fd: What to write to.
    """

    def __init__(self, *, name: str, size: int, fd: int = _FD) -> None:
        super().__init__(name=name, size=size)
        self._fd = fd

    async def finish(self, expected_digest: str) -> Path:
        """Write out and verify everything.

        Args:
            expected_digest: BLAKE3 in lower-case hexadecimal, from the sender.

        Returns:
            ``-``.

        Raises:
            PeerProtocolError: Less arrived than was proposed.
            DigestMismatch: The bytes, all written by now, are not the sender's.
            CannotWrite: The reader is gone, or the disk behind it is full.
            InternalError: The sink failed or ended before.
        """
        await self._verify(expected_digest)
        self._usable = False
        return STDOUT

    async def abandon(self, *, keep_partial: bool) -> None:
        """Write nothing more."""
        self._usable = False

    async def _store(self, block: bytearray) -> None:
        await _in_daemon_thread(partial(_write_all, self._fd, block))
        self._written += len(block)

    def _cannot_write(self, exc: OSError) -> CannotWrite:
        if isinstance(exc, BrokenPipeError):
            return CannotWrite(
                f"{self.name} cannot be written: whoever read standard output closed it.",
                hint="Look at what the other program of the pipeline says, and run it all again.",
            )
        return CannotWrite(
            f"{self.name} cannot be written to standard output: {exc.strerror or exc}.",
            hint="Check where standard output goes, and run both commands again.",
        )


def _write_all(fd: int, block: bytearray) -> None:
    rest = memoryview(block)
    while rest:
        try:
            rest = rest[os.write(fd, rest) :]
        except BlockingIOError:  # another program made the shared pipe non-blocking
            select.select([], [fd], [])


async def _in_daemon_thread(job: Callable[[], None]) -> None:
    """Run ``job`` in a thread that neither a cancellation nor the end of the process waits for.

    Raises:
        OSError: What the job raised.
    """
    loop = asyncio.get_running_loop()
    done: asyncio.Future[None] = loop.create_future()

    def settle(error: OSError | None) -> None:
        if done.cancelled():
            return
        if error is None:
            done.set_result(None)
        else:
            done.set_exception(error)

    def run() -> None:
        error: OSError | None = None
        try:
            job()
        except OSError as exc:
            error = exc
        with suppress(RuntimeError):  # the loop is gone, and so is everybody who waited
            loop.call_soon_threadsafe(settle, error)

    threading.Thread(target=run, name="rtcsend-stdout", daemon=True).start()
    await done
