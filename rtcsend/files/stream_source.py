"""Reading what has no size and cannot be read twice: standard input, a named pipe [shell].

It is read only when the receiver has room for it, and given out as soon as it is there, however
little. What the receiver has not written yet is kept in a ring of memory, so that the two can
meet again after a lost connection; never more than that, and nothing of it on a disk.

A thread of its own reads, by blocking calls. That works for whatever a shell can put there
(pipes, terminals, files, devices; on Windows too), and leaves the descriptor as it was: to watch a
pipe from the loop one would make it non-blocking for all programs that share it, the shell
included, and a loop cannot watch a regular file at all. The thread may wait for ever, for somebody
who never writes: it is a daemon, which is left behind, and does not hold up the end of the
process. One that was read while a connection was lost is not lost: the next one begins with it.

Place in the flow: as :mod:`rtcsend.files.source`, for ``rtcsend send -``.
"""

import asyncio
import os
import select
from collections.abc import AsyncGenerator, Callable
from functools import partial
from typing import Final

from blake3 import blake3

from rtcsend.blocks import Data
from rtcsend.errors import CannotRead, PeerProtocolError
from rtcsend.files.disk_thread import DiskThread
from rtcsend.files.pipe_size import PIPE_SIZE, widen_pipe
from rtcsend.files.ring import Ring
from rtcsend.manifest.entry import ManifestEntry
from rtcsend.manifest.selection import Selection, one_file

KEPT_SIZE: Final = 32 << 20  # bytes given out and not written yet; all of it is used in turn
MAX_READ: Final = 1 << 20  # bytes of what is there already, in one go
_CALL_SIZE: Final = PIPE_SIZE  # bytes of one read


class StreamSource:
    """One stream, read from its beginning to its end. An asynchronous context manager.

    Args:
        name: What to propose.
        opened: Returns the descriptor to read; called once, in the thread, where it may block.
        shown: What errors call it.
        owns: Whether the descriptor is to be closed in the end.
    """

    def __init__(
        self, name: str, opened: Callable[[], int], *, shown: str, owns: bool = False
    ) -> None:
        self.manifest = one_file(ManifestEntry(path=name, kind="stream")).manifest
        self._open = opened
        self._fd: int | None = None
        self._shown = shown
        self._owns = owns
        self._thread = DiskThread("rtcsend-stream")
        self._reading: asyncio.Future[tuple[bytes, bool]] | None = None
        self._ring = Ring(size=KEPT_SIZE)
        self._released = asyncio.Event()
        self._is_at_end = False
        self._hash = blake3()

    async def __aenter__(self) -> "StreamSource":
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._owns:
            self._thread.submit(self._close)
        if self._reading is None or self._reading.done():
            await self._thread.aclose()
        else:  # somebody may never write: whoever waits for him is left behind
            self._thread.close()

    async def blocks(
        self, selection: Selection, *, start: int
    ) -> AsyncGenerator[tuple[int, Data], None]:
        """Yield (position, data) from ``start`` to the end, as it comes.

        Raises:
            CannotRead: It cannot be read, or be opened.
            PeerProtocolError: The receiver goes back behind what it has said to have written.
        """
        assert selection.layout.is_open, "the one entry is wanted, or nothing"
        ring = self._ring
        if start < ring.start:
            raise PeerProtocolError("The receiver wants again what it said to have written.")
        while True:
            if start < ring.end:
                piece = ring.view(start, min(ring.end, start + MAX_READ))
                yield start, piece
                start += len(piece)
            elif self._is_at_end:
                return
            else:
                await self._read()

    def release(self, position: int) -> None:
        """Keep nothing of what comes before ``position``: the receiver has written it."""
        if position > self._ring.start:
            self._ring.start = position
            self._released.set()

    async def digest(self) -> str:
        """Return the BLAKE3 of all of it, in lower-case hexadecimal; once all is given out."""
        assert self._is_at_end, "asked before the end"
        return self._hash.hexdigest()

    def sums(self) -> None:
        """Return nothing: there is one stream."""

    async def _read(self) -> None:
        """Return when there is more, or the end is reached. When cancelled, nothing is lost."""
        if self._reading is None:
            while not (room := KEPT_SIZE - (self._ring.end - self._ring.start)):
                self._released.clear()
                await self._released.wait()
            self._reading = self._thread.submit(partial(self._read_some, min(room, MAX_READ)))
        try:
            data, self._is_at_end = await asyncio.shield(self._reading)
        except OSError as exc:
            raise CannotRead(f"{self._shown} cannot be read: {exc.strerror or exc}.") from exc
        self._reading = None
        self._hash.update(data)
        self._ring.put(memoryview(data))

    def _read_some(self, room: int) -> tuple[bytes, bool]:
        """Wait for something, take what else is there; return it and whether it was the last."""
        if self._fd is None:
            self._fd = self._open()
            widen_pipe(self._fd)
        pieces = [read_blocking(self._fd, min(room, _CALL_SIZE))]
        room -= len(pieces[0])
        while pieces[-1] and room and _is_readable(self._fd):
            pieces.append(read_blocking(self._fd, min(room, _CALL_SIZE)))
            room -= len(pieces[-1])
        return b"".join(pieces), not pieces[-1]

    def _close(self) -> None:
        if self._fd is not None:
            os.close(self._fd)


def read_blocking(fd: int, count: int) -> bytes:
    """Return what there is, up to ``count`` bytes; waits for it; nothing at the end.

    Raises:
        OSError: It cannot be read.
    """
    while True:
        try:
            return os.read(fd, count)
        except BlockingIOError:  # another program made the shared pipe non-blocking
            select.select([fd], [], [])


def _is_readable(fd: int) -> bool:
    """Return whether more is there already; where systems cannot say that, False."""
    if not hasattr(select, "poll"):
        return False
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    return bool(poll.poll(0))
