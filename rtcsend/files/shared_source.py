"""One source for several receivers: the disk is read once, and every byte hashed once [shell].

::

    disk ──▶ source ──▶ window (the newest 32 MiB) ──▶ receiver 1, at the front
      ╎                                           ╰──▶ receiver 2, a little behind
      ╰┄┄ page cache ┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄▶ receiver 3, far behind: reads by itself

Whoever is at the front has the next piece read, and all others find it in memory. Nobody waits
for anybody: who falls out of the window reads by itself what the system has most likely still in
memory, and hashes nothing; who has caught up takes part again. The digest is that of the front,
which comes to the end before anybody else does.

Place in the flow: opened once by :mod:`rtcsend.sending` around the source; each receiver's sending
session takes a :class:`View`. Memory: the window, and one piece a receiver.
"""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from types import TracebackType
from typing import Protocol, Self

from rtcsend.blocks import Data
from rtcsend.errors import CannotRead, InternalError
from rtcsend.files.shared_window import WINDOW, SharedWindow
from rtcsend.manifest.manifest import Manifest
from rtcsend.manifest.selection import Selection
from rtcsend.manifest.sums import FileSums

Pieces = AsyncGenerator[tuple[int, Data], None]


class Rereadable(Protocol):
    """A source of which parts can be read again beside the reading of it."""

    @property
    def manifest(self) -> Manifest:
        """What is there to be sent; closed."""
        ...

    def blocks(self, selection: Selection, *, start: int = 0) -> Pieces:
        """Yield (position, data), and hash; see :class:`rtcsend.transfer.ports.Source`."""
        ...

    def reread(self, selection: Selection, *, start: int) -> Pieces:
        """Yield the same, and hash nothing; any number of them beside each other."""
        ...

    def another(self) -> "Rereadable":
        """Return a new source of the same, for who wants another selection of it."""
        ...

    async def digest(self) -> str:
        """Return the digest of the stream, once all is given out."""
        ...

    def sums(self) -> FileSums | None:
        """Return checksums of the files' digests; None: there is one."""
        ...

    async def aclose(self) -> None:
        """Close it."""
        ...


class SharedSource:
    """A context in which several receivers share a source.

    Args:
        source: Open; its owner closes it, after this.
        window: Bytes that are kept for who is not at the front.

    Attributes:
        read: Bytes that were read for all, once.
        reread: Bytes that receivers who were far behind have read by themselves.
    """

    def __init__(self, source: Rereadable, *, window: int = WINDOW) -> None:
        self._source = source
        self._window = window
        self._streams: list[_Stream] = []
        self.read = 0
        self.reread = 0

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for number, stream in enumerate(self._streams):
            await stream.aclose()
            if number:  # the first one has the source that was given
                await stream.source.aclose()

    @property
    def manifest(self) -> Manifest:
        """All that there is."""
        return self._source.manifest

    def view(self) -> "View":
        """Return the source of one more receiver."""
        return View(self)

    def stream(self, selection: Selection) -> "_Stream":
        """Return the stream of those who want the same.

        Who wants something else of a tree (it has the rest already) has another stream, with
        other positions, and shares nothing with the others.
        """
        for stream in self._streams:
            if stream.selection == selection:
                return stream
        source = self._source.another() if self._streams else self._source
        stream = _Stream(self, source, selection, window=self._window)
        self._streams.append(stream)
        return stream


class View:
    """What one receiver's sending session takes for a source of its own.

    Made by :meth:`SharedSource.view`; fulfils :class:`rtcsend.transfer.ports.Source`.
    """

    def __init__(self, shared: SharedSource) -> None:
        self._shared = shared
        self._stream: _Stream | None = None

    @property
    def manifest(self) -> Manifest:
        """All that there is."""
        return self._shared.manifest

    async def blocks(self, selection: Selection, *, start: int) -> Pieces:
        """Yield (position, data) from ``start`` to the end of the stream.

        Raises:
            CannotRead: The disk fails, or a file is not what it was when it was found.
        """
        stream = self._stream = self._shared.stream(selection)
        position = start
        while not await stream.is_end(position):
            data = stream.window.get(position)
            if data is not None:
                yield position, data
                position += len(data)
                continue
            async with aclosing(stream.source.reread(selection, start=position)) as behind:
                async for _position, data in behind:
                    self._shared.reread += len(data)
                    yield position, data
                    position += len(data)
                    if position >= stream.window.start:
                        break

    def release(self, position: int) -> None:
        """Do nothing: what is shared can be read again."""

    async def digest(self) -> str:
        """Return the digest of the stream, once all is given out."""
        return await self._read().digest()

    def sums(self) -> FileSums | None:
        """Return checksums of the files' digests, once all is given out; None: there is one."""
        return self._read().sums()

    def _read(self) -> Rereadable:
        if self._stream is None:
            raise InternalError("The digest of a stream was asked for before it was read.")
        return self._stream.source


class _Stream:
    """The stream of one selection, as far as it was read."""

    def __init__(
        self, shared: SharedSource, source: Rereadable, selection: Selection, *, window: int
    ) -> None:
        self._shared = shared
        self.source = source
        self.selection = selection
        self.window = SharedWindow(capacity=window)
        self._pieces = source.blocks(selection, start=0)
        self._reading: asyncio.Task[None] | None = None
        self._is_over = False
        self._failure: Exception | None = None

    async def is_end(self, position: int) -> bool:
        """Return whether nothing follows a position; what does was read by then.

        Somebody who has read by himself may be a little ahead of the front.

        Raises:
            CannotRead: What follows cannot be read.
        """
        while position >= self.window.end and not self._is_over:
            if self._failure is not None:
                raise _again(self._failure)
            # A task of its own: a receiver that goes away must not take the others' piece along.
            if self._reading is None or self._reading.done():
                self._reading = asyncio.create_task(self._read())
            await asyncio.wait([self._reading])
        return position >= self.window.end

    async def _read(self) -> None:
        try:
            _position, data = await anext(self._pieces)
        except StopAsyncIteration:
            self._is_over = True
        except Exception as exc:  # passed on to each who waits
            self._failure = exc
        else:
            self._shared.read += len(data)
            self.window.add(data)

    async def aclose(self) -> None:
        """End the reading."""
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.gather(self._reading, return_exceptions=True)
        await self._pieces.aclose()


def _again(failure: Exception) -> Exception:
    """Return the same error once more: each who gets it adds to it where it came by."""
    if isinstance(failure, CannotRead):
        return CannotRead(failure.message, hint=failure.hint)
    return failure
