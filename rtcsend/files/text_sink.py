"""A text that arrives: kept in memory until it is verified, shown, and never stored."""

from pathlib import Path

from blake3 import blake3

from rtcsend.blocks import Data
from rtcsend.errors import PeerProtocolError
from rtcsend.files.checks import check_digest, check_room, check_whole
from rtcsend.files.nothing_left import NothingLeft
from rtcsend.manifest.entry import MAX_TEXT, ManifestEntry
from rtcsend.manifest.selection import one_file
from rtcsend.manifest.sums import FileSums
from rtcsend.options import ShowText


class TextSink(NothingLeft):
    """A text as a sink.

    Args:
        size: Bytes that were proposed, MAX_TEXT at most.
        show: Who wants to see it at once; None: nobody.
    """

    is_held = False
    """Nobody takes anything from here."""

    def __init__(self, *, size: int, show: ShowText | None) -> None:
        assert size <= MAX_TEXT, "checked when it was proposed"
        self.selection = one_file(ManifestEntry(path="text", kind="text", size=size))
        """What comes: this text."""
        self.text: str | None = None
        """The whole of it, once it is verified."""
        self._size = size
        self._show = show
        self._data = bytearray()

    @property
    def written(self) -> int:
        """Bytes that are here."""
        return len(self._data)

    @property
    def stored(self) -> int:
        """The same."""
        return len(self._data)

    async def write(self, data: Data) -> None:
        """Append.

        Raises:
            PeerProtocolError: It would be more than was proposed.
        """
        end = len(self._data) + memoryview(data).nbytes
        check_room(end, size=self._size, name="the text")
        self._data += data

    async def flush(self) -> None:
        """Do nothing: there is nowhere else to put it."""

    async def watch(self) -> None:
        """Return: nothing is known before it is tried."""

    async def finish(self, expected_digest: str, sums: FileSums | None = None) -> tuple[Path, ...]:
        """Verify, and show it.

        Returns:
            No path: it is stored nowhere.

        Raises:
            PeerProtocolError: Less arrived than was proposed, or it is no text.
            DigestMismatch: The bytes are not the sender's.
            RtcsendError: It cannot be shown.
        """
        check_whole(len(self._data), size=self._size, name="the text")
        check_digest(blake3(self._data).hexdigest(), expected_digest, name="The text")
        try:
            text = self._data.decode()
        except UnicodeDecodeError as exc:
            raise PeerProtocolError("The sender sent a text that is no valid UTF-8.") from exc
        if self._show is not None:
            await self._show(text)
        self.text = text
        return ()

    async def abandon(self, *, keep_partial: bool) -> None:
        """Do nothing: nothing is left."""
