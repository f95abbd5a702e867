"""What is wanted of a manifest, and the stream that follows from it. Pure."""

from collections.abc import Iterable, Iterator
from itertools import compress, count

from rtcsend.manifest.entry import ManifestEntry
from rtcsend.manifest.layout import Layout, OpenLayout
from rtcsend.manifest.manifest import Manifest
from rtcsend.manifest.siblings import Siblings


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

    def siblings(self, first: int = 0) -> Iterator[Siblings]:
        """Yield the wanted entries from a number on, some at a time."""
        for number, group in self.manifest.siblings(first):
            skipped = self._skipped[number : number + len(group.names)]
            if not any(skipped):
                yield group
            elif not all(skipped):
                yield group.chosen(map(_is_zero, skipped))

    def files(self, first: int = 0) -> Iterator[Siblings]:
        """Yield the wanted files in the order of the stream, some at a time.

        Args:
            first: Of the stream's files, the one to begin with.
        """
        number = self._entry_of(first)
        if number is not None:
            yield from (group for group in self.siblings(number) if group.has_content)

    def wanted_files(self, first: int = 0) -> Iterator[ManifestEntry]:
        """Yield the wanted files in the order of the stream, from one on."""
        for group in self.files(first):
            yield from group.entries()

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
