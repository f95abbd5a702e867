"""The list of all that is sent. Pure; append-only; a million entries take some 25 MB.

It is kept as it travels: in pages, see :mod:`rtcsend.manifest.page`. Order: depth first,
each directory before what is in it, names sorted by their bytes within a directory; those at
the top in the order of the command line. :mod:`rtcsend.manifest.reading` checks one that comes.
"""

import zlib
from array import array
from bisect import bisect_right
from collections.abc import Iterator
from itertools import repeat
from typing import Final

from blake3 import blake3

from rtcsend.errors import InternalError, UsageError
from rtcsend.manifest.entry import MAX_ENTRIES, MAX_PATH_LENGTH, WITH_CONTENT, ManifestEntry
from rtcsend.manifest.open_page import OpenPage
from rtcsend.manifest.page import MAX_PAGE_SIZE, read_page
from rtcsend.manifest.siblings import Siblings
from rtcsend.strict_json import MAX_INTEGER

MAX_MANIFEST_SIZE: Final = 64 << 20  # bytes of memory that the pages may take
MAX_UNPACKED_SIZE: Final = 1 << 30  # bytes of JSON in all; pages of nothing shrink to nothing
PAGE_COSTS: Final = 128  # bytes of memory for a page, besides its content
_LEVEL: Final = 3  # of zlib; more takes twice the time for a tenth of the size
_NO_FILE: Final = -1  # in place of a size


class Manifest:
    """Entries: :meth:`add` them, :meth:`close` it, read it as often as you like."""

    def __init__(self) -> None:
        self.files = 0
        """How many entries have content: files, or the one stream or text."""
        self.bytes = 0
        """The sum of their sizes; a stream counts 0."""
        self.holes = 0
        """How many of these are holes of sparse files, and need no space, as the sender says."""
        self.is_stream = False
        """Whether it is one stream, whose size nobody knows."""
        self.top: list[str] = []
        """The paths of what is in no folder of it, as the sender says: unsafe until checked."""
        self._pages: list[bytes] = []
        self._page_firsts = array("I")
        self._in_pages = 0
        self.stored = 0
        """Bytes of memory that the pages take, about."""
        self.unpacked = 0
        """Bytes of JSON in the pages."""
        self._sizes = array("q")  # of each entry; _NO_FILE
        self._open = OpenPage()
        self._is_full = False  # there is no room for another page, when the open one is full
        self._hash = blake3()

    def __len__(self) -> int:
        return len(self._sizes)

    @property
    def pages(self) -> int:
        """How many pages there are, once it is closed."""
        return len(self._pages)

    @property
    def digest(self) -> str:
        """BLAKE3 of all pages as they are before they are compressed, in hexadecimal."""
        return self._hash.hexdigest()

    @property
    def is_one_file(self) -> bool:
        """Whether it is a single file, stream or text: its digest is that of the transfer."""
        return len(self) == self.files == 1

    def add(self, entry: ManifestEntry) -> None:
        """Append an entry.

        Raises:
            UsageError: There are too many, or its names are too long.
        """
        is_full = self._is_full or len(self._sizes) >= MAX_ENTRIES
        if is_full or self.bytes + entry.size > MAX_INTEGER:
            raise UsageError(
                "There is too much to send at once.", hint="Send it in several parts, or packed."
            )
        longest = max(len(entry.path), len(entry.target))
        if longest > MAX_PATH_LENGTH or not self._put(entry):
            raise UsageError(f"The name of an entry is too long: {longest} characters.")
        is_file = entry.kind in WITH_CONTENT
        self.is_stream = entry.kind == "stream"
        self._sizes.append(entry.size if is_file else _NO_FILE)
        self.files += is_file
        self.bytes += entry.size
        if "/" not in entry.path:
            self.top.append(entry.path)

    def close(self) -> None:
        """Finish the last page; to be called after the last entry."""
        if self._open:
            page = self._open.take()
            self._append(page, zlib.compress(page, _LEVEL))

    def append_page(self, page: bytes, compressed: bytes, groups: list[Siblings]) -> None:
        """Append a page of another manifest, as it came.

        Raises:
            InternalError: It was mixed with single entries.
        """
        if self._open:
            raise InternalError("A page was added to a manifest that is being made.")
        for group in groups:
            self._note(group)
        self._append(page, compressed)

    def page(self, number: int) -> tuple[int, bytes]:
        """Return the number of a page's first entry, and the page, compressed."""
        return self._page_firsts[number], self._pages[number]

    def entries(self, first: int = 0) -> Iterator[ManifestEntry]:
        """Yield the entries from a number on; each is made anew."""
        for _, group in self.siblings(first):
            yield from group.entries()

    def siblings(self, first: int = 0) -> Iterator[tuple[int, Siblings]]:
        """Yield the entries from a number on, some at a time, with the number of the first."""
        if first >= len(self):
            return
        page = bisect_right(self._page_firsts, first) - 1
        number = self._page_firsts[page]
        for compressed in self._pages[page:]:
            for group in read_page(zlib.decompress(compressed)):
                end = number + len(group.names)
                if end > first:
                    begin = max(number, first)
                    yield begin, group.since(begin - number)
                number = end

    def sizes(self) -> Iterator[int]:
        """Yield, for each entry, the bytes of the file; -1 if it is none."""
        return iter(self._sizes)

    def _put(self, entry: ManifestEntry) -> bool:
        if self._open.add(entry):
            return True
        self.close()
        return self._open.add(entry)

    def _note(self, group: Siblings) -> None:
        count = len(group.names)
        self.is_stream = group.kind == "stream"
        self._sizes.extend(group.sizes or repeat(0 if self.is_stream else _NO_FILE, count))
        self.files += count if group.has_content else 0
        self.bytes += sum(group.sizes)
        if not group.folder:
            self.top.extend(group.names)

    def _append(self, page: bytes, compressed: bytes) -> None:
        """Append a page of the entries that were noted since the last one."""
        self._pages.append(compressed)
        self._page_firsts.append(self._in_pages)
        self._in_pages = len(self)
        self.stored += len(compressed) + PAGE_COSTS
        self.unpacked += len(page)
        self._hash.update(page)
        self._is_full = (
            self.stored > MAX_MANIFEST_SIZE or self.unpacked > MAX_UNPACKED_SIZE - MAX_PAGE_SIZE
        )
