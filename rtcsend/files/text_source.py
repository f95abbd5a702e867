"""A text that is sent as it is: a few bytes in memory."""

from collections.abc import AsyncGenerator
from typing import Final

from blake3 import blake3

from rtcsend.blocks import Data
from rtcsend.errors import UsageError
from rtcsend.manifest.entry import MAX_TEXT, ManifestEntry
from rtcsend.manifest.selection import Selection, one_file

DEFAULT_NAME: Final = "message.txt"  # for who wants to have it in a file


class TextSource:
    """A text as a source.

    Args:
        text: Of 1 to MAX_TEXT bytes in UTF-8.
        name: For who wants to have it in a file.

    Raises:
        UsageError: It is empty, too long, or no Unicode.
    """

    def __init__(self, text: str, *, name: str = DEFAULT_NAME) -> None:
        try:
            self._data = text.encode()
        except UnicodeEncodeError as exc:
            raise UsageError(
                "The text is no valid Unicode.", hint="Send it as a file, or through a pipe."
            ) from exc
        if not 0 < len(self._data) <= MAX_TEXT:
            raise UsageError(
                f"A text has 1 to {MAX_TEXT} bytes, not {len(self._data)}.",
                hint="Send a longer one as a file, or through a pipe: rtcsend send -",
            )
        entry = ManifestEntry(path=name, kind="text", size=len(self._data))
        self.manifest = one_file(entry).manifest

    async def blocks(
        self, selection: Selection, *, start: int
    ) -> AsyncGenerator[tuple[int, Data], None]:
        """Yield what comes from ``start`` on, if anything does."""
        if start < selection.layout.size:
            yield start, memoryview(self._data)[start:]

    def release(self, position: int) -> None:
        """Do nothing: it stays."""

    async def digest(self) -> str:
        """Return its BLAKE3, in lower-case hexadecimal."""
        return blake3(self._data).hexdigest()

    def sums(self) -> None:
        """Return nothing: there is one text."""
