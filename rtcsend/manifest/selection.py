"""What is wanted of a manifest, and the stream that follows from it. Pure."""

from collections.abc import Iterable, Iterator
from itertools import compress, count

from rtcsend.manifest.entry import WITH_CONTENT, ManifestEntry
from rtcsend.manifest.layout import Layout, OpenLayout
from rtcsend.manifest.manifest import Manifest


class Selection:
    """The entries of a closed manifest but for some. Both sides have the same one.

    Args:
        manifest: All entries.
        skipped: Ranges of numbers of entries, (first, end), that are not wanted.
    """

    def __init__(self, manifest: Manifest, skipped: Iterable[tuple[int, int]] = ()) -> None:
        self.manifest = manifest
        self._skipped = bytearray(len(manifest))  # a million take 1 MB
        for first, end in skipped:
            self._skipped[first:end] = b"\1" * (end - first)
        self.entries = self._skipped.count(0)
        """How many are wanted, of all kinds."""
        self.layout = OpenLayout() if manifest.is_stream else Layout(self._sizes())
        """Of the files that are wanted."""
        self.bytes = 0 if self.layout.is_open else self.layout.size
        """The sum of their sizes, as far as these are known."""

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Selection)
            and self.manifest.digest == other.manifest.digest
            and self._skipped == other._skipped
        )

    __hash__ = None  # type: ignore[assignment]  # like a list

    def _sizes(self) -> Iterator[int]:
        for size, is_skipped in zip(self.manifest.sizes(), self._skipped, strict=True):
            if size >= 0 and not is_skipped:
                yield size

    def is_wanted(self, number: int) -> bool:
        """Return whether the entry of a number is wanted."""
        return not self._skipped[number]

    def skipped(self) -> Iterator[tuple[int, int]]:
        """Yield the ranges of entries that are not wanted, (first, end), ascending."""
        end = 0
        while (first := self._skipped.find(1, end)) >= 0:
            end = self._skipped.find(0, first)
            end = len(self._skipped) if end < 0 else end
            yield first, end

    def wanted(self) -> Iterator[tuple[int, ManifestEntry]]:
        """Yield the wanted entries of all kinds, with their numbers."""
        numbered = zip(count(), self.manifest.entries(), strict=False)
        return compress(numbered, map(_is_zero, self._skipped))

    def wanted_files(self, first: int = 0) -> Iterator[tuple[int, ManifestEntry]]:
        """Yield the wanted files with the numbers of their entries, in the order of the stream.

        Args:
            first: Of the stream's files, the one to begin with.
        """
        number = self._entry_of(first)
        if number is None:
            return
        for entry in self.manifest.entries(number):
            if entry.kind in WITH_CONTENT and not self._skipped[number]:
                yield number, entry
            number += 1

    def _entry_of(self, index: int) -> int | None:
        """Return the number of the entry that is a file of the stream."""
        flags = zip(self.manifest.sizes(), self._skipped, strict=True)
        wanted = (size >= 0 and not is_skipped for size, is_skipped in flags)
        numbers = compress(count(), wanted)
        for _ in range(index):
            next(numbers, None)
        return next(numbers, None)


def _is_zero(value: int) -> bool:
    return not value


def one_file(entry: ManifestEntry) -> Selection:
    """Return the selection that is a single file, stream or text."""
    manifest = Manifest()
    manifest.add(entry)
    manifest.close()
    return Selection(manifest)
