"""Reading many files in a row, as one stream [shell].

A small file is opened, read and closed in one go, and shares its piece with others; a large one
stays open and is given out block by block. Each is compared with what the scan found, before
and after it is read: its size, when it was changed, and that it is a file at all.

Plain blocking calls, of the one thread of :class:`rtcsend.files.tree_source.TreeSource`.
"""

import errno
import os
import stat
from dataclasses import dataclass
from typing import Final

from rtcsend.blocks import Data
from rtcsend.errors import CannotRead
from rtcsend.files.names import shown_untrusted
from rtcsend.files.positional import read_whole
from rtcsend.files.scan import Root, Scan
from rtcsend.files.tree_digest import TreeDigest
from rtcsend.manifest.entry import ManifestEntry
from rtcsend.manifest.selection import Selection

BATCH: Final = 4 << 20  # bytes of one job; few handoffs, and what a disk likes
PIECE: Final = 1 << 20  # bytes of small files that go together; larger files go by the block

_FLAGS: Final = (
    os.O_RDONLY
    | getattr(os, "O_CLOEXEC", 0)
    | getattr(os, "O_BINARY", 0)
    | getattr(os, "O_NONBLOCK", 0)  # a fifo that took a file's place would block for good
    | getattr(os, "O_NOCTTY", 0)
)
# Gone; a link, or no folder any more, in its place.
_IS_ANOTHER: Final = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENXIO})
_NO_FOLLOW: Final[int] = getattr(os, "O_NOFOLLOW", 0)

Piece = tuple[int, Data]
"""Bytes, and where they are in the stream; they end where a block does."""


@dataclass(slots=True)
class _Large:
    """A file that is read block by block."""

    index: int
    entry: ManifestEntry
    fd: int
    offset: int


class TreeReader:
    """One pass over the stream, from a position to its end.

    Args:
        scan: What there is.
        selection: What of it is wanted.
        start: At most what was given out before.
        digest: Takes what is read, and was not before.
    """

    def __init__(self, scan: Scan, selection: Selection, *, start: int, digest: TreeDigest) -> None:
        layout = selection.layout
        self._digest = digest
        self._block_size = layout.block_size
        self._roots = iter((*scan.roots, Root(len(scan.manifest), b"")))
        self._root, self._next_root = next(self._roots), next(self._roots)
        self._flags = _FLAGS if scan.follows else _FLAGS | _NO_FOLLOW
        self._position = start
        self._resumed, self._offset = layout.file_at(start)
        # Empty files have no position: those that were not given out are before it.
        self._index = min(self._resumed, digest.files)
        self._files = selection.wanted_files(self._index)
        self._current: ManifestEntry | None = None
        self._large: _Large | None = None

    def read(self) -> list[Piece]:
        """Return the next pieces, BATCH bytes or a little more; nothing at the end.

        Raises:
            CannotRead: A file cannot be read, or is not what the scan found.
        """
        pieces: list[Piece] = []
        end = self._position + BATCH
        try:
            while self._position < end:
                piece = self._small_files() if self._large is None else self._block(self._large)
                if piece is not None:
                    pieces.append(piece)
                elif self._large is None:
                    break
        except (OSError, EOFError) as exc:
            raise _cannot_read(self._current, exc) from exc
        return pieces

    def close(self) -> None:
        """Close what is open. May be called again."""
        large, self._large = self._large, None
        if large is not None:
            os.close(large.fd)

    def _small_files(self) -> Piece | None:
        """Return a piece of small files; None if there is none before a large file or the end."""
        contents: list[bytes] = []
        begin = self._position
        for number, entry in self._files:
            self._current = entry
            path = self._path_of(number, entry)
            offset = self._offset if self._index == self._resumed else 0
            if entry.size > PIECE or offset:
                self._open_large(entry, path, offset)
                break
            content = self._read_small(entry, path)
            self._digest.add_file(self._index, entry.path, content)
            self._index += 1
            self._position += len(content)
            contents.append(content)
            if self._position - begin >= PIECE:
                break
        return (begin, b"".join(contents)) if self._position > begin else None

    def _read_small(self, entry: ManifestEntry, path: bytes) -> bytes:
        fd = os.open(path, self._flags)
        try:
            _check(entry, os.fstat(fd))
            content = os.read(fd, entry.size + 1)
            if len(content) < entry.size:  # some file systems give less at once
                content = read_whole(fd, entry.size + 1, 0)
            _check(entry, os.fstat(fd))
        finally:
            os.close(fd)
        if len(content) != entry.size:
            raise EOFError
        return content

    def _open_large(self, entry: ManifestEntry, path: bytes, offset: int) -> None:
        fd = os.open(path, self._flags)
        self._large = _Large(self._index, entry, fd, offset)
        _check(entry, os.fstat(fd))
        if hasattr(os, "posix_fadvise"):
            os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_SEQUENTIAL)

    def _block(self, large: _Large) -> Piece:
        """Return the next block of the large file; close it after the last."""
        entry, offset = large.entry, large.offset
        length = min(self._block_size - offset % self._block_size, entry.size - offset)
        data = read_whole(large.fd, length, offset)
        _check(entry, os.fstat(large.fd))
        if len(data) != length:
            raise EOFError
        self._digest.add_part(large.index, offset, data)
        begin, self._position = self._position, self._position + length
        large.offset += length
        if large.offset == entry.size:
            self._digest.end_file(large.index, entry.path)
            self._index += 1
            self.close()
        return begin, data

    def _path_of(self, number: int, entry: ManifestEntry) -> bytes:
        while number >= self._next_root.first:
            self._root, self._next_root = self._next_root, next(self._roots)
        _top, slash, below = entry.path.partition("/")
        return self._root.path + os.fsencode(slash + below)


def _check(entry: ManifestEntry, facts: os.stat_result) -> None:
    """Compare a file with what the scan found.

    Raises:
        EOFError: It is another.
    """
    is_same = facts.st_size == entry.size and facts.st_mtime_ns == entry.mtime_ns
    if not (is_same and stat.S_ISREG(facts.st_mode)):
        raise EOFError


def _cannot_read(entry: ManifestEntry | None, exc: OSError | EOFError) -> CannotRead:
    name = shown_untrusted("" if entry is None else entry.path)
    if isinstance(exc, OSError) and exc.errno not in _IS_ANOTHER:
        return CannotRead(f"{name} cannot be read: {exc.strerror or exc}.")
    return CannotRead(
        f"{name} changed while it was sent.", hint="Send it again when it is at rest."
    )
