"""What all sinks have in common: bytes go to a thread, errors into words, and the end comes once.

::

    write ──▶ Writer ──▶ the thread                       until the end has begun
    finish ──▶ published ──▶ the folder synced ──▶ closed    carried out, also when cancelled
    abandon ──▶ the last job done ──▶ put away ──▶ closed    nothing, after either

What is written, verified, published and put away is the affair of the sink that holds one. A
shell: it waits for threads.
"""

import abc
import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeVar

from rtcsend.blocks import Data
from rtcsend.errors import CannotWrite, InternalError
from rtcsend.files.checkpoints import Checkpoints
from rtcsend.files.disk_thread import DiskThread
from rtcsend.files.failures import cannot_write
from rtcsend.files.jobs import run_to_end
from rtcsend.files.writer import Store, Writer

T = TypeVar("T")


def _nothing() -> None:
    pass


class Arrival:
    """The life of one sink. Call on the loop only.

    Args:
        store: Writes, in the thread.
        thread: What to call that.
        in_words: Makes an error of what the system says.
        close: Closes what the sink has open, in a thread: once, at either end.
        checkpoints: Of what is written, if there are any.
    """

    def __init__(
        self,
        store: Store,
        *,
        thread: str,
        in_words: Callable[[OSError], CannotWrite],
        close: Callable[[], None] = _nothing,
        checkpoints: Checkpoints | None = None,
    ) -> None:
        self._thread = DiskThread(thread)
        self.writer = Writer(store, thread=self._thread, on_written=self._on_written)
        self._in_words = in_words
        self._close = close
        self._checkpoints = checkpoints
        self._is_open = True
        self._is_usable = True  # until the end has begun
        self._ending = asyncio.Lock()

    def end_of(self, data: Data) -> int:
        """Return the position behind the next bytes.

        Raises:
            InternalError: The sink has ended.
        """
        self.check_open()
        return self.writer.taken + (data.nbytes if isinstance(data, memoryview) else len(data))

    def check_open(self) -> None:
        """See that nobody has ended it.

        Raises:
            InternalError: The sink has ended.
        """
        if not (self._is_open and self._is_usable):
            raise InternalError("A sink was used after it had ended.")

    @contextmanager
    def in_words(self) -> Iterator[None]:
        """Put into words what the system says.

        Raises:
            CannotWrite: For each OSError, now or of an earlier checkpoint.
        """
        try:
            if self._checkpoints is not None:
                self._checkpoints.check()
            yield
        except OSError as exc:
            raise self._in_words(exc) from exc

    async def flush(self) -> None:
        """Return when everything that was taken is with the operating system.

        Raises:
            CannotWrite: The disk is full, or fails.
            InternalError: The sink has ended.
        """
        self.check_open()
        with self.in_words():
            await self.writer.flush()

    async def run(self, job: Callable[[], None], *, then: Callable[[], None] = _nothing) -> None:
        """Run a job in the thread, and ``then`` on the loop; carried out, also when cancelled.

        Raises:
            CannotWrite: The disk is full, or fails.
        """

        async def both() -> None:
            await self._thread.submit(job)
            then()

        with self.in_words():
            await run_to_end(both())

    async def finish(self, publish: Callable[[], T], *, sync: Callable[[], None] = _nothing) -> T:
        """Give all that is verified its name; when cancelled, this is carried out.

        Args:
            publish: Does so, in a thread. When it fails the sink can still be abandoned.
            sync: Makes that last, in a thread.

        Returns:
            What ``publish`` does.

        Raises:
            CannotWrite: The disk is full, or fails.
        """
        self._is_usable = False
        return await run_to_end(self._finish(publish, sync))

    async def _finish(self, publish: Callable[[], T], sync: Callable[[], None]) -> T:
        async with self._ending:
            if self._checkpoints is not None:
                await self._checkpoints.settle()
            with self.in_words():
                result = await asyncio.to_thread(publish)
            self._is_open = False
            try:
                with self.in_words():
                    await asyncio.to_thread(sync)
            finally:
                await self._release()
        return result

    async def abandon(self, put_away: Callable[[], None], *, flush: bool) -> None:
        """End it unfinished; after either end this does nothing.

        Args:
            put_away: Keeps or removes what has come, in a thread.
            flush: Whether what was taken is worth a try to write it.
        """
        await run_to_end(self._abandon(put_away, flush=flush))

    async def _abandon(self, put_away: Callable[[], None], *, flush: bool) -> None:
        async with self._ending:
            if not self._is_open:
                return
            self._is_open = False
            if flush:
                with suppress(OSError):  # known already, or not worth more than a try
                    await self.writer.flush()
            await self.writer.settle()
            if self._checkpoints is not None:
                await self._checkpoints.settle()
            await asyncio.to_thread(put_away)
            await self._release()

    def leave(self) -> None:
        """End it without waiting for the thread, which ends after its last job."""
        self._is_usable = self._is_open = False
        self._thread.close()

    async def _release(self) -> None:
        await self._thread.aclose()
        await asyncio.to_thread(self._close)

    def _on_written(self) -> None:
        if self._checkpoints is not None:
            self._checkpoints.written(self.writer.written)


class ArrivingSink(abc.ABC):
    """What is the same to whoever holds a sink.

    One call at a time, but for ``survey``. A call that is cancelled leaves it usable, and what
    ``write`` was given is taken. After an error only ``abandon`` makes sense.
    """

    def __init__(self, arrival: Arrival) -> None:
        self._arrival = arrival
        self._writer = arrival.writer

    @property
    def written(self) -> int:
        """Position before which everything is in place: kept, or with the operating system."""
        return self._writer.written

    @property
    def stored(self) -> int:
        """Bytes that came by ``write`` and are with the operating system."""
        return self._writer.stored

    @property
    def is_held(self) -> bool:
        """Whether whoever takes what is written takes nothing now: nobody does from a disk."""
        return False

    async def flush(self) -> None:
        """Return when everything that was taken is with the operating system.

        Raises:
            CannotWrite: The disk is full, or fails.
            InternalError: The sink has ended.
        """
        await self._arrival.flush()

    async def watch(self) -> None:
        """Return: nothing is known before it is tried."""
        return

    @abc.abstractmethod
    async def abandon(self, *, keep_partial: bool) -> None:
        """End it unfinished."""


SinkT = TypeVar("SinkT", bound=ArrivingSink)


async def open_sink(
    prepare: Callable[[], T], make: Callable[[T], SinkT], *, name: str, folder: Path
) -> SinkT:
    """Return a sink of what is opened for it; a cancellation leaves nothing open.

    Args:
        prepare: Opens, in a thread.
        make: Makes the sink of that.
        name: Of what arrives, for errors.
        folder: Where it goes.

    Raises:
        CannotWrite: For what the system says.
        RtcsendError: What ``prepare`` raises.
    """

    async def opened() -> SinkT:
        try:
            found = await asyncio.to_thread(prepare)
        except (OSError, ValueError) as exc:  # ValueError: a folder with NUL in its path
            raise cannot_write(exc, name=name, folder=folder) from exc
        return make(found)

    return await run_to_end(opened(), discard=lambda sink: sink.abandon(keep_partial=True))
