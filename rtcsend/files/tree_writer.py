"""Writing a stream of many files into a staging folder [shell].

The entries are walked in the order of the manifest, and the folders on the way are open: each
file is made relative to its own, with O_NOFOLLOW, and nothing ever looks up a path. A small
file is made, written, dated and closed in one go. What an earlier run has left of a file is
written over in place: other blocks of it may still be wanted. Links are not made here.

Plain blocking calls, of the one thread of :class:`rtcsend.files.tree_sink.TreeSink`.
"""

import os
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from rtcsend.errors import InternalError
from rtcsend.files.folder import Folder
from rtcsend.files.open_folders import OpenFolders
from rtcsend.files.permissions import Permissions, set_mode, set_times
from rtcsend.files.positional import read_whole, sync_all, write_at
from rtcsend.files.proposed_tree import Place
from rtcsend.files.tree_digest import TreeDigest

_PRIVATE: Final = 0o600  # permission bits of a file that is being written, at least
_PIECE: Final = 1 << 20  # bytes read at once
_HOLE: Final = 1 << 16  # bytes; a run of zeros of that length is not written
_ZEROS: Final = bytes(_HOLE)
_FLAGS: Final = os.O_RDWR | os.O_CREAT


@dataclass(slots=True)
class _Open:
    """The file that is being written.

    Attributes:
        place: What it is, and where.
        fd: Of the file.
        mode: The permission bits that it is to have.
        offset: Up to where it is written, or kept.
        length: Bytes that an earlier run had left in it.
    """

    place: Place
    fd: int
    mode: int
    offset: int = 0
    length: int = 0


class TreeWriter:
    """Writes the files of a stream, one after the other.

    Args:
        staging: Where the tree grows; not closed here.
        places: What is wanted, in the order of the manifest.
        permissions: What files and folders are to have.
        is_fresh: Whether an earlier run has left nothing in the staging folder.
        sync_each: Whether to sync each file when it is written: there is no way to sync all.
        on_digest: Told the digest and the path of each file, in the thread that writes.
    """

    def __init__(
        self,
        staging: Folder,
        places: Iterable[Place],
        *,
        permissions: Permissions,
        is_fresh: bool,
        sync_each: bool,
        on_digest: Callable[[str, str], None] | None = None,
    ) -> None:
        self.digest = TreeDigest(on_digest)
        self._places = iter(places)
        self._folders = OpenFolders(staging, create=True)
        self._permissions = permissions
        self._flags = _FLAGS | os.O_EXCL if is_fresh else _FLAGS
        self._is_fresh = is_fresh
        self._sync_each = sync_each
        self._index = 0
        self._file: _Open | None = None
        self._failed = False

    def write(self, data: memoryview, position: int) -> tuple[int, OSError | None]:
        """Write all of the data; return how much was written, and why not more.

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
                place = self._next_file()
                known = digest_of(self._index) if place.entry.size <= length else None
                if known is not None:
                    self._keep_whole(place, known)
                    length -= place.entry.size
                    continue
                self._file = self._open(place)
            length -= self._keep_some(self._file, length)

    def complete(self) -> None:
        """Make what is left: empty files and folders at the end.

        Raises:
            OSError: The folder cannot be written.
            InternalError: Bytes are missing.
        """
        if self._file is not None or self._find_file() is not None:
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
            place = self._next_file()
            size = place.entry.size
            if self._is_fresh and size <= len(data) and size <= _HOLE:
                self._write_small(place, data[:size])
                return size
            file = self._file = self._open(place)
        piece = data[: file.place.entry.size - file.offset]
        self._put(file, piece)
        self.digest.add_part(self._index, file.offset, piece)
        file.offset += len(piece)
        self._close_if_whole(file)
        return len(piece)

    def _write_small(self, place: Place, content: memoryview) -> None:
        """Make a whole new file."""
        self._file = file = self._create(place)  # so that it is closed when something fails
        _write_all(file.fd, content, 0)
        self.digest.add_file(self._index, place.entry.path, content)
        self._finish(file)

    def _put(self, file: _Open, data: memoryview) -> None:
        """Write, but for runs of zeros where nothing was before."""
        offset = file.offset
        while data:
            piece, data = data[:_HOLE], data[_HOLE:]
            if offset < file.length or not _is_hole(piece):
                _write_all(file.fd, piece, offset)
            offset += len(piece)

    def _close_if_whole(self, file: _Open) -> None:
        if file.offset == file.place.entry.size:
            self.digest.end_file(self._index, file.place.entry.path)
            # Cuts what was too long, and ends with a hole what ended with zeros.
            os.ftruncate(file.fd, file.offset)
            self._finish(file)

    def _finish(self, file: _Open) -> None:
        """Give a whole file its permissions and times, and close it."""
        entry = file.place.entry
        if not self._is_fresh or self._permissions.needs_change(file.mode):
            set_mode(file.fd, file.mode)
        if entry.mtime_ns is not None:
            set_times(file.fd, entry.mtime_ns)
        if self._sync_each:
            sync_all(file.fd)
        self._file = None
        self._index += 1
        os.close(file.fd)

    def _keep_whole(self, place: Place, digest: bytes) -> None:
        self._file = file = self._open(place)
        file.offset = place.entry.size
        self.digest.add_digest(self._index, place.entry.path, digest.hex())
        os.ftruncate(file.fd, file.offset)
        self._finish(file)

    def _keep_some(self, file: _Open, length: int) -> int:
        """Read again, for the digest, what is kept of a file."""
        kept = min(length, file.place.entry.size - file.offset)
        end = file.offset + kept
        while file.offset < end:
            piece = read_whole(file.fd, min(_PIECE, end - file.offset), file.offset)
            if not piece:
                raise InternalError("What is not there was to be kept.")
            self.digest.add_part(self._index, file.offset, piece)
            file.offset += len(piece)
        self._close_if_whole(file)
        return kept

    def _next_file(self) -> Place:
        place = self._find_file()
        if place is None:
            raise InternalError("More was to be written than is in the manifest.")
        return place

    def _find_file(self) -> Place | None:
        """Make what comes before the next file with content, and return that; None: the end."""
        for place in self._places:
            kind = place.entry.kind
            if kind == "directory":
                self._folders.enter(place.components)
            elif kind == "file" and place.entry.size:
                return place
            elif kind == "file":
                file = self._file = self._open(place)
                self._close_if_whole(file)
        return None

    def _open(self, place: Place) -> _Open:
        """Open a file that may be there already."""
        file = self._create(place)
        if not self._is_fresh:
            file.length = os.fstat(file.fd).st_size
        return file

    def _create(self, place: Place) -> _Open:
        folder = self._folders.enter(place.components[:-1])
        mode = self._permissions.of_file(place.entry.mode)
        return _Open(place, folder.open(place.components[-1], self._flags, mode | _PRIVATE), mode)


def _is_hole(piece: memoryview) -> bool:
    return not (piece[0] or piece[-1]) and len(piece) == _HOLE and bytes(piece) == _ZEROS


def _write_all(fd: int, data: memoryview, position: int) -> None:
    while data:
        count = write_at(fd, data, position)
        data, position = data[count:], position + count
