"""The digest of many files, taken as they pass: no byte is hashed twice [pure].

Place in the flow: both sides of a tree hold one, :mod:`rtcsend.files.tree_reader` and
:mod:`rtcsend.files.tree_writer`. Source: docs/transfer-protocol.md §6.
"""

from collections.abc import Callable

from blake3 import blake3

from rtcsend.blocks import Data
from rtcsend.manifest.digest import ListDigest
from rtcsend.manifest.entry import MAX_ENTRIES


class TreeDigest:
    """Takes contents in the order of the stream; what comes again is passed over.

    Args:
        on_digest: Told the digest and the path of each file, once, in the order of the stream.
    """

    def __init__(self, on_digest: Callable[[str, str], None] | None = None) -> None:
        self.files = 0
        """Files that are hashed whole; the next one has this number."""
        self._on_digest = on_digest
        self._list = ListDigest()
        self._file = blake3()
        self._length = 0  # of the next file, hashed already

    def add_file(self, index: int, path: str, content: Data) -> None:
        """Take a whole file.

        Args:
            index: Number of the file in the stream.
            path: As it is in the manifest.
            content: All of it.
        """
        if index == self.files:
            self.add_digest(index, path, blake3(content).hexdigest())

    def add_digest(self, index: int, path: str, digest: str) -> None:
        """Take a whole file of which the digest is known, in hexadecimal."""
        if index != self.files:
            return
        self._list.add(digest, path)
        if self._on_digest is not None:
            self._on_digest(digest, path)
        self.files += 1
        if self._length:
            self._file, self._length = blake3(), 0

    def add_part(self, index: int, offset: int, data: Data) -> None:
        """Take a piece of a file; the pieces come without gaps, but may come again."""
        fresh = offset + len(data) - self._length
        if index != self.files or fresh <= 0:
            return
        assert offset <= self._length, "the bytes before were hashed"
        self._file.update(memoryview(data)[len(data) - fresh :])
        self._length += fresh

    def end_file(self, index: int, path: str) -> None:
        """Note that the parts of a file were all of it."""
        if index == self.files:
            self.add_digest(index, path, self._file.hexdigest())

    def hexdigest(self) -> str:
        """Return the digest of all files so far."""
        return self._list.hexdigest()


class NoDigest(TreeDigest):
    """Hashes nothing: everything was hashed before."""

    def __init__(self) -> None:
        super().__init__()
        self.files = MAX_ENTRIES  # so no file is the next one

    def add_part(self, index: int, offset: int, data: Data) -> None:
        """Drop a piece."""
