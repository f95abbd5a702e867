"""What all sinks share: collecting small pieces into blocks, hashing, counting [shell].

Pieces come as frames brought them, at most 64 KiB; a disk likes them larger, and a thread job
for each would cost more than the writing. Nothing is verified by trust: the count and the
digest are of the bytes that went to the store.
"""

import abc
import asyncio
from pathlib import Path
from typing import Protocol, TypeAlias

from blake3 import blake3

from rtcsend.errors import CannotWrite, DigestMismatch, InternalError, PeerProtocolError
from rtcsend.files.jobs import run_to_end

BLOCK_SIZE = 1 << 20  # bytes collected before they are written; as the sending side reads them

Data: TypeAlias = bytes | bytearray | memoryview


class Sink(Protocol):
    """Where an arriving file goes. One call at a time."""

    @property
    def written(self) -> int:
        """Bytes handed to the operating system: what may be acknowledged to the sender."""
        ...

    async def write(self, data: Data) -> None:
        """Append; keeps a copy of what is not yet a block.

        Raises:
            PeerProtocolError: It would be more than was proposed.
            CannotWrite: The disk is full, or fails.
        """
        ...

    async def flush(self) -> None:
        """Hand over what is collected: needed when the sender waits for less than a block.

        Raises:
            CannotWrite: As for ``write``.
        """
        ...

    async def finish(self, expected_digest: str) -> Path:
        """Verify everything, make it last, and return where it is.

        Raises:
            PeerProtocolError: It is less than was proposed.
            DigestMismatch: It is not what was sent; nothing is kept.
            CannotWrite: The disk is full, or fails.
            TargetExists: Somebody took the name meanwhile.
        """
        ...

    async def abandon(self, *, keep_partial: bool) -> None:
        """Give up and free everything; after ``finish`` succeeded, or again: does nothing."""
        ...


class BlockSink(abc.ABC):
    """The common half of a sink; a subclass stores the blocks.

    Memory: one block and one piece. After an error or a cancellation only ``abandon`` makes
    sense; anything else raises InternalError.

    Args:
        name: Of the file, for errors.
        size: Bytes that were proposed.
    """

    def __init__(self, *, name: str, size: int) -> None:
        self.name = name
        self.size = size
        self._written = 0
        self._buffer = bytearray()
        self._hash = blake3()
        self._usable = True
        # For abandon() alone, which may come while a cancelled write is at its last block.
        self._busy = asyncio.Lock()

    @property
    def written(self) -> int:
        """Bytes handed to the operating system."""
        return self._written

    async def write(self, data: Data) -> None:
        """Append, see :meth:`Sink.write`.

        Raises:
            PeerProtocolError: It would be more than was proposed.
            CannotWrite: The disk is full, or fails.
            InternalError: The sink failed or ended before.
        """
        self._check_usable()
        length = data.nbytes if isinstance(data, memoryview) else len(data)
        if self._written + len(self._buffer) + length > self.size:
            raise PeerProtocolError(f"The sender sent more of {self.name} than it proposed.")
        self._buffer += data
        if len(self._buffer) >= BLOCK_SIZE:
            await self.flush()

    async def flush(self) -> None:
        """Store what is collected, see :meth:`Sink.flush`.

        Raises:
            CannotWrite: The disk is full, or fails.
            InternalError: The sink failed or ended before.
        """
        self._check_usable()
        if not self._buffer:
            return
        async with self._busy:
            self._usable = False  # until all of the block is in its place
            block, self._buffer = self._buffer, bytearray()
            hashing = asyncio.create_task(asyncio.to_thread(self._hash.update, block))
            try:
                await self._store(block)
            except OSError as exc:
                raise self._cannot_write(exc) from exc
            finally:
                await run_to_end(_ended(hashing))
            self._usable = True

    async def _verify(self, expected_digest: str) -> None:
        """Flush, then compare length and digest with what was promised."""
        await self.flush()
        if self._written != self.size:
            raise PeerProtocolError(f"The sender sent less of {self.name} than it proposed.")
        if self._hash.hexdigest() != expected_digest:
            raise DigestMismatch(f"{self.name} arrived damaged: its BLAKE3 digest is wrong.")

    def _check_usable(self) -> None:
        if not self._usable:
            raise InternalError("A sink was used after it had failed or ended.")

    @abc.abstractmethod
    async def _store(self, block: bytearray) -> None:
        """Write all of the block and count it in ``_written``; OSError when that fails."""

    @abc.abstractmethod
    def _cannot_write(self, exc: OSError) -> CannotWrite:
        """Say in a sentence what failed."""


async def _ended(task: asyncio.Task[object]) -> None:
    await task
