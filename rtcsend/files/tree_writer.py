"""Writing a stream of many files into a staging folder [shell].

The entries are walked in the order of the manifest, and the folders on the way are open: each
file is made relative to its own, with O_NOFOLLOW, and nothing ever looks up a path. Small new
files, most of most trees, are made in a loop with nothing in it but what each of them needs of the
system: make, write, date, close. What an earlier run has left of a file is written over in place:
other blocks of it may still be wanted. Links are not made here.

Plain blocking calls, of the one thread of :class:`rtcsend.files.tree_sink.TreeSink`.
"""

import os
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from rtcsend.errors import InternalError
from rtcsend.files.folder import ALWAYS, Folder
from rtcsend.files.holes import HOLE, is_hole
from rtcsend.files.open_folders import OpenFolders
from rtcsend.files.permissions import Permissions, set_mode, set_times
from rtcsend.files.positional import read_whole, sync_all, write_at
from rtcsend.files.proposed_tree import PlacedSiblings
from rtcsend.files.tree_digest import Paths, TreeDigest

_PRIVATE: Final = 0o600  # permission bits of a file that is being written, at least
_PIECE: Final = 1 << 20  # bytes read at once
_NOTHING: Final = memoryview(b"")
_FLAGS: Final = os.O_RDWR | os.O_CREAT | ALWAYS


@dataclass(slots=True)
class _Row:
    """Files of one folder that are written one after the other.

    Attributes:
        placed: What they are, and where they go.
        folder: Open.
        told: How the system is told their names.
        mode: The permission bits that they are to have.
        at: The next one of them.
    """

    placed: PlacedSiblings
    folder: Folder
    told: Sequence[str]
    mode: int
    at: int = 0

    @property
    def size(self) -> int:
        """Bytes of the next one."""
        return self.placed.group.sizes[self.at]

    def paths(self) -> tuple[Paths, Paths]:
        """Return the paths of those that are left, at the sender and here."""
        placed, at = self.placed, self.at
        theirs = Paths(placed.group.prefix, placed.group.names[at:])
        return theirs, Paths(placed.prefix, placed.names[at:])

    def path(self) -> tuple[str, str]:
        """Return the paths of the next one, at the sender and here."""
        placed, at = self.placed, self.at
        theirs = placed.group.prefix + placed.group.names[at]
        return theirs, placed.prefix + placed.names[at]


@dataclass(slots=True)
class _Open:
    """The file that is being written.

    Attributes:
        row: Of which it is the next one.
        fd: Of the file.
        size: That it is to have.
        offset: Up to where it is written, or kept.
        length: Bytes that an earlier run had left in it.
    """

    row: _Row
    fd: int
    size: int
    offset: int = 0
    length: int = 0


class TreeWriter:
    """Writes the files of a stream, one after the other.

    Args:
        staging: Where the tree grows; not closed here.
        siblings: What is wanted, in the order of the manifest.
        permissions: What files and folders are to have.
        is_fresh: Whether an earlier run has left nothing in the staging folder.
        sync_each: Whether to sync each file when it is written: there is no way to sync all.
        on_digest: Told the digest and the path here of each file, in the thread that writes.
    """

    def __init__(
        self,
        staging: Folder,
        siblings: Iterable[PlacedSiblings],
        *,
        permissions: Permissions,
        is_fresh: bool,
        sync_each: bool,
        on_digest: Callable[[str, str], None] | None = None,
    ) -> None:
        self.digest = TreeDigest(on_digest)
        self._siblings = iter(siblings)
        self._folders = OpenFolders(staging, create=True)
        self._permissions = permissions
        self._flags = _FLAGS | os.O_EXCL if is_fresh else _FLAGS
        self._is_fresh = is_fresh
        self._sync_each = sync_each
        self._index = 0
        self._row: _Row | None = None
        self._file: _Open | None = None
        self._failed = False

    def write(self, data: memoryview, position: int) -> tuple[int, OSError | None]:
        """Write all of the data; return how much was written at least, and why not more.

        Args:
            data: Of the stream.
            position: In the stream, behind what was written or kept before.

        After a failure nothing more is written.
        """
        rest = data
        try:
            while rest and not self._failed:
                rest = rest[self._write_some(rest) :]
        except OSError as exc:
            self._failed = True
            return len(data) - len(rest), exc
        return len(data) - len(rest), None

    def keep(self, length: int, digest_of: Callable[[int], bytes | None]) -> None:
        """Take the next bytes of the stream for right as they are.

        Args:
            length: How many.
            digest_of: Returns the digest of a whole file by its number in the stream; None when
                that is not known: the file is read again.

        Raises:
            OSError: The disk fails.
        """
        while length:
            if self._file is None:
                row = self._next_row()
                size = row.size
                known = digest_of(self._index) if size <= length else None
                if known is not None:
                    self._keep_whole(row, known)
                    length -= size
                    continue
                self._file = self._open(row)
            length -= self._keep_some(self._file, length)

    def complete(self) -> None:
        """Make the empty files and folders that come after all content.

        Raises:
            OSError: The folder cannot be written.
            InternalError: Bytes are missing.
        """
        if self._file is not None or self._find_row() is not None:
            raise InternalError("A tree was ended before all of it was written.")
        self._folders.close()

    def close(self) -> None:
        """Close everything. May be called again."""
        file, self._file = self._file, None
        if file is not None:
            with suppress(OSError):
                os.close(file.fd)
        self._folders.close()

    def _write_some(self, data: memoryview) -> int:
        file = self._file
        if file is None:
            row = self._next_row()
            if self._is_fresh and row.size <= min(len(data), HOLE):
                return self._write_small(row, data)
            file = self._file = self._open(row)
        piece = data[: file.size - file.offset]
        self._put(file, piece)
        self.digest.add_part(self._index, file.offset, piece)
        file.offset += len(piece)
        self._close_if_whole(file)
        return len(piece)

    def _write_small(self, row: _Row, data: memoryview) -> int:
        """Make new files, as many of the row as are small and all there; return their bytes."""
        group, flags, told, dir_fd = row.placed.group, self._flags, row.told, row.folder.dir_fd
        sizes, times, mode = group.sizes, group.mtimes_ns, row.mode
        is_settled = not (self._sync_each or self._permissions.needs_change(mode))
        contents: list[memoryview] = []
        taken = 0
        for at in range(row.at, len(sizes)):
            end = taken + sizes[at]
            if end > len(data) or end - taken > HOLE:
                break
            content = data[taken:end]
            fd = os.open(told[at], flags, mode | _PRIVATE, dir_fd=dir_fd)
            try:
                if os.write(fd, content) < end - taken:
                    _write_all(fd, content, 0)
                if times:
                    set_times(fd, times[at])
                if not is_settled:
                    self._settle(fd, mode)
            finally:
                os.close(fd)
            contents.append(content)
            taken = end
        paths, stored = row.paths()
        self.digest.add_files(self._index, paths, contents, stored=stored)
        row.at += len(contents)
        self._index += len(contents)
        return taken

    def _settle(self, fd: int, mode: int) -> None:
        """Give a file its permissions, and sync it, where that is needed."""
        if not self._is_fresh or self._permissions.needs_change(mode):
            set_mode(fd, mode)
        if self._sync_each:
            sync_all(fd)

    def _put(self, file: _Open, data: memoryview) -> None:
        """Write, but for runs of zeros where nothing was before."""
        offset = file.offset
        while data:
            piece, data = data[:HOLE], data[HOLE:]
            if offset < file.length or not is_hole(piece):
                _write_all(file.fd, piece, offset)
            offset += len(piece)

    def _close_if_whole(self, file: _Open) -> None:
        if file.offset == file.size:
            path, stored = file.row.path()
            self.digest.end_file(self._index, path, stored=stored)
            # Cuts what was too long, and ends with a hole what ended with zeros.
            os.ftruncate(file.fd, file.offset)
            self._finish(file)

    def _finish(self, file: _Open) -> None:
        """Give a whole file its times and permissions, and close it."""
        row = file.row
        times = row.placed.group.mtimes_ns
        if times:
            set_times(file.fd, times[row.at])
        self._settle(file.fd, row.mode)
        self._file = None
        self._index += 1
        row.at += 1
        os.close(file.fd)

    def _keep_whole(self, row: _Row, digest: bytes) -> None:
        self._file = file = self._open(row)
        file.offset = file.size
        path, stored = row.path()
        self.digest.add_digest(self._index, path, digest.hex(), stored=stored)
        os.ftruncate(file.fd, file.offset)
        self._finish(file)

    def _keep_some(self, file: _Open, length: int) -> int:
        """Read again, for the digest, what is kept of a file."""
        kept = min(length, file.size - file.offset)
        end = file.offset + kept
        while file.offset < end:
            piece = read_whole(file.fd, min(_PIECE, end - file.offset), file.offset)
            if not piece:
                raise InternalError("What is not there was to be kept.")
            self.digest.add_part(self._index, file.offset, piece)
            file.offset += len(piece)
        self._close_if_whole(file)
        return kept

    def _next_row(self) -> _Row:
        row = self._find_row()
        if row is None:
            raise InternalError("More was to be written than is in the manifest.")
        return row

    def _find_row(self) -> _Row | None:
        """Make what comes before the next file with content, and return its row; None: the end."""
        while True:
            row = self._row
            if row is None or row.at == len(row.told):
                row = self._row = self._begin_row()
            if row is None:
                return None
            if row.size:
                return row
            if self._is_fresh:
                self._write_small(row, _NOTHING)
                continue
            file = self._file = self._open(row)
            self._close_if_whole(file)

    def _begin_row(self) -> _Row | None:
        """Make folders, and go to the folder of the next files; None: the end."""
        for placed in self._siblings:
            if placed.group.kind == "directory":
                for name in placed.names:
                    self._folders.enter((*placed.folder, name))
            elif placed.group.kind == "file":
                folder = self._folders.enter(placed.folder)
                mode = self._permissions.of_file(placed.group.mode)
                return _Row(placed, folder, folder.all_at(placed.names), mode)
        return None

    def _open(self, row: _Row) -> _Open:
        """Open a file that may be there already."""
        fd = row.folder.open(row.placed.names[row.at], self._flags, row.mode | _PRIVATE)
        file = _Open(row, fd, row.size)
        if not self._is_fresh:
            self._file = file  # so that it is closed when something fails
            file.length = os.fstat(fd).st_size
        return file


def _write_all(fd: int, data: memoryview, position: int) -> None:
    while data:
        count = write_at(fd, data, position)
        data, position = data[count:], position + count
