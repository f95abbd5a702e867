"""What a transfer needs from its neighbours, so that it depends on neither.

The data path before it and the files after it fulfil these protocols; tests put fakes in
their place.
"""

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Protocol

from rtcsend.events import Event


class Channels(Protocol):
    """The control and the data channel: :class:`rtcsend.datapath.channel.Channels`."""

    async def send_control(self, text: str) -> None:
        """Queue a control message."""
        ...

    async def send_data(self, frame: bytes) -> None:
        """Queue a frame; waits while too much is queued."""
        ...

    async def receive(self) -> str | bytes:
        """Return the next control message (text) or frame (bytes)."""
        ...

    async def wait_closed(self) -> None:
        """Return when the other side, or the network, has ended the connection."""
        ...


class Source(Protocol):
    """The file to send: :class:`rtcsend.files.source.FileSource`."""

    name: str
    size: int

    def blocks(self) -> AsyncIterator[bytes]:
        """Yield the file in order, about 1 MiB at a time."""
        ...

    async def digest(self) -> str:
        """Return the BLAKE3 digest of all blocks, in hexadecimal."""
        ...


class Sink(Protocol):
    """Where the file goes: :class:`rtcsend.files.sink.FileSink`."""

    @property
    def written(self) -> int:
        """Bytes that are with the operating system."""
        ...

    async def write(self, data: memoryview) -> None:
        """Append; may collect up to a block."""
        ...

    async def flush(self) -> None:
        """Hand over what is collected."""
        ...

    async def finish(self, expected_digest: str) -> Path:
        """Verify, sync and rename; return where the file is."""
        ...


Clock = Callable[[], float]
"""Monotonic seconds: the event loop's ``time``."""

Emit = Callable[[Event], None]
