"""Reading many files in a row, as one stream [shell].

A small file is opened, read and closed in one go, and shares its piece with others; a large one
stays open and is given out block by block. Each is compared with what the scan found when it has
been read: its size, when it was changed, and that it is a file at all.

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
from rtcsend.files.scan import Scan
from rtcsend.files.source_folders import SourceFolders
from rtcsend.files.tree_digest import Paths, TreeDigest
from rtcsend.manifest.selection import Selection
from rtcsend.manifest.siblings import Siblings

BATCH: Final = 4 << 20  # bytes of one job; few handoffs, and what a disk likes
PIECE: Final = 1 << 20  # bytes of small files that go together; larger files go by the block

_FLAGS: Final = (
    os.O_RDONLY
    | getattr(os, "O_CLOEXEC", 0)
    | getattr(os, "O_BINARY", 0)
    | getattr(os, "O_NONBLOCK", 0)  # a fifo that took a file's place would block for good
    | getattr(os, "O_NOCTTY", 0)
)
# Gone; a link, a folder, a pipe, or no folder any more, in its place.
_IS_ANOTHER: Final = frozenset(
    {errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENXIO, errno.EISDIR, errno.EAGAIN}
)
_NO_FOLLOW: Final[int] = getattr(os, "O_NOFOLLOW", 0)

_Facts = tuple[int, int | None]

Piece = tuple[int, Data]
"""Bytes, and where they are in the stream; they end where a block does."""


@dataclass(slots=True)
class _Row:
    """Files of one folder that are read one after the other.

    Attributes:
        group: What the scan found.
        at: The next one of them.
    """

    group: Siblings
    at: int = 0

    @property
    def path(self) -> str:
        """Of the next one."""
        return self.group.prefix + self.group.names[self.at]

    @property
    def facts(self) -> _Facts:
        """Of the next one: bytes, and when it was changed."""
        times = self.group.mtimes_ns
        return self.group.sizes[self.at], times[self.at] if times else None


@dataclass(slots=True)
class _Large:
    """A file that is read block by block, the next one of the row."""

    fd: int
    size: int
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
        roots = {root.name: root.path for root in scan.roots}
        self._folders = SourceFolders(roots, follows=scan.follows)
        self._flags_below = _FLAGS if scan.follows else _FLAGS | _NO_FOLLOW
        self._position = start
        self._resumed, self._offset = layout.file_at(start)
        # Empty files have no position: those that were not given out are before it.
        self._index = min(self._resumed, digest.files)
        self._rows = map(_Row, selection.files(self._index))
        self._row: _Row | None = None
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
            raise _cannot_read(self._row, exc) from exc
        return pieces

    def close(self) -> None:
        """Close what is open. May be called again."""
        self._close_large()
        self._folders.close()

    def _small_files(self) -> Piece | None:
        """Return a piece of small files; None if there is none before a large file or the end."""
        contents: list[bytes] = []
        begin = self._position
        while self._large is None and self._position - begin < PIECE:
            row = self._next_row()
            if row is None:
                break
            if row.group.sizes[row.at] > PIECE or self._is_resumed:
                self._open_large(row)
            else:
                self._read_row(row, contents, room=PIECE - self._position + begin)
        return (begin, b"".join(contents)) if self._position > begin else None

    def _next_row(self) -> _Row | None:
        while self._row is None or self._row.at == len(self._row.group.names):
            self._row = next(self._rows, None)
            if self._row is None:
                return None
        return self._row

    @property
    def _is_resumed(self) -> bool:
        """Whether the next file is to be read from its middle on."""
        return self._offset > 0 and self._index == self._resumed

    def _place_of(self, row: _Row) -> tuple[list[str], int | None, int]:
        """Return the names of a row as the system is told, what with, and how to open them."""
        group = row.group
        if not group.folder:  # named by the user: a link to a file, too
            return [self._folders.root(name) for name in group.names], None, _FLAGS
        prefix, dir_fd = self._folders.enter(group.folder)
        names = [prefix + name for name in group.names] if prefix else group.names
        return names, dir_fd, self._flags_below

    def _read_row(self, row: _Row, contents: list[bytes], *, room: int) -> None:
        """Read small files of a row, until it ends, or with them as many bytes as there is room."""
        names, dir_fd, flags = self._place_of(row)
        sizes, begin, first = row.group.sizes, row.at, len(contents)
        end = len(names)
        if self._offset and self._index < self._resumed:
            end = min(end, begin + self._resumed - self._index)
        try:
            while row.at < end and room > 0 and sizes[row.at] <= PIECE:
                fd = os.open(names[row.at], flags, dir_fd=dir_fd)
                try:
                    content = _read_small(fd, *row.facts)
                finally:
                    os.close(fd)
                contents.append(content)
                room -= len(content)
                row.at += 1
        finally:
            paths = Paths(row.group.prefix, row.group.names[begin : row.at])
            self._digest.add_files(self._index, paths, contents[first:])
            self._index += row.at - begin
            self._position += sum(map(len, contents[first:]))

    def _open_large(self, row: _Row) -> None:
        names, dir_fd, flags = self._place_of(row)
        fd = os.open(names[row.at], flags, dir_fd=dir_fd)
        self._large = _Large(fd, row.facts[0], self._offset if self._is_resumed else 0)
        _check(os.fstat(fd), *row.facts)
        if hasattr(os, "posix_fadvise"):
            os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_SEQUENTIAL)

    def _block(self, large: _Large) -> Piece:
        """Return the next block of the large file; close it after the last."""
        row, offset = self._row, large.offset
        assert row is not None, "a large file is in a row"
        length = min(self._block_size - offset % self._block_size, large.size - offset)
        data = read_whole(large.fd, length, offset)
        _check(os.fstat(large.fd), *row.facts)
        if len(data) != length:
            raise EOFError
        self._digest.add_part(self._index, offset, data)
        begin, self._position = self._position, self._position + length
        large.offset += length
        if large.offset == large.size:
            self._digest.end_file(self._index, row.path)
            self._index += 1
            row.at += 1
            self._close_large()
        return begin, data

    def _close_large(self) -> None:
        large, self._large = self._large, None
        if large is not None:
            os.close(large.fd)


def _read_small(fd: int, size: int, mtime_ns: int | None) -> bytes:
    """Return all of a small file.

    Raises:
        EOFError: It is not what the scan found.
    """
    content = os.read(fd, size + 1)
    _check(os.fstat(fd), size, mtime_ns)
    if len(content) < size:  # some file systems give less at once
        content = read_whole(fd, size + 1, 0)
        _check(os.fstat(fd), size, mtime_ns)
    if len(content) != size:
        raise EOFError
    return content


def _check(facts: os.stat_result, size: int, mtime_ns: int | None) -> None:
    """Compare a file with what the scan found.

    Raises:
        EOFError: It is another.
    """
    is_same = facts.st_size == size and facts.st_mtime_ns == mtime_ns
    if not (is_same and stat.S_ISREG(facts.st_mode)):
        raise EOFError


def _cannot_read(row: _Row | None, exc: OSError | EOFError) -> CannotRead:
    name = shown_untrusted("" if row is None else row.path)
    if isinstance(exc, OSError) and exc.errno not in _IS_ANOTHER:
        return CannotRead(f"{name} cannot be read: {exc.strerror or exc}.")
    return CannotRead(
        f"{name} changed while it was sent.", hint="Send it again when it is at rest."
    )
