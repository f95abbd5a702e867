"""The digest of many files, taken as they pass: no byte is hashed twice [pure].

Place in the flow: both sides of a tree hold one, :mod:`rtcsend.files.tree_reader` and
:mod:`rtcsend.files.tree_writer`. Source: docs/transfer-protocol.md §6.
"""

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from blake3 import blake3

from rtcsend.blocks import Data
from rtcsend.manifest.digest import ListDigest
from rtcsend.manifest.entry import MAX_ENTRIES
from rtcsend.manifest.sums import SUM_BYTES, Differing, FileSums, differing, sums_of

_PREFIX: Final = 2 * SUM_BYTES  # hexadecimal digits


class Paths(NamedTuple):
    """Paths of files in one folder."""

    prefix: str
    """What comes before each name; ends with a slash, or is empty."""
    names: Sequence[str]

    def since(self, first: int) -> "Paths":
        """Return all but the first so many."""
        return Paths(self.prefix, self.names[first:])


class TreeDigest:
    """Takes contents in the order of the stream; what comes again is passed over.

    Args:
        on_digest: Told the digest and the path of each file, once, in the order of the stream: the
            path here, where that is another than at the sender.
    """

    def __init__(self, on_digest: Callable[[str, str], None] | None = None) -> None:
        self.files = 0
        """Files that are hashed whole; the next one has this number."""
        self._on_digest = on_digest
        self._list = ListDigest()
        self._prefixes = bytearray()  # of the digest of each file: 8 MB of a million
        self._file = blake3()
        self._length = 0  # of the next file, hashed already

    def add_files(
        self, index: int, paths: Paths, contents: Sequence[Data], *, stored: Paths | None = None
    ) -> None:
        """Take whole files.

        Args:
            index: Number of the first in the stream.
            paths: As they are in the manifest; at least as many as there are contents.
            contents: All of each.
            stored: Where they are here, for whoever is told; None: the same.
        """
        known = self.files - index  # that come again
        if known:
            paths, contents = paths.since(known), contents[known:]
            stored = None if stored is None else stored.since(known)
        if not contents:
            return
        prefix, names = paths
        digests = [blake3(content).hexdigest() for content in contents]
        self._list.add_all(
            [f"{digest}  {prefix}{name}\n" for digest, name in zip(digests, names, strict=False)]
        )
        self._prefixes += bytes.fromhex("".join([digest[:_PREFIX] for digest in digests]))
        self.files += len(contents)
        self._begin_next()
        if self._on_digest is not None:
            prefix, names = stored or paths
            for digest, name in zip(digests, names, strict=False):
                self._on_digest(digest, prefix + name)

    def add_digest(self, index: int, path: str, digest: str, *, stored: str | None = None) -> None:
        """Take a whole file of which the digest is known, in hexadecimal."""
        if index != self.files:
            return
        self._list.add(digest, path)
        self._prefixes += bytes.fromhex(digest[:_PREFIX])
        self.files += 1
        self._begin_next()
        if self._on_digest is not None:
            self._on_digest(digest, path if stored is None else stored)

    def add_part(self, index: int, offset: int, data: Data) -> None:
        """Take a piece of a file; the pieces come without gaps, but may come again."""
        fresh = offset + len(data) - self._length
        if index != self.files or fresh <= 0:
            return
        assert offset <= self._length, "the bytes before were hashed"
        self._file.update(memoryview(data)[len(data) - fresh :])
        self._length += fresh

    def end_file(self, index: int, path: str, *, stored: str | None = None) -> None:
        """Note that the parts of a file were all of it."""
        if index == self.files:
            self.add_digest(index, path, self._file.hexdigest(), stored=stored)

    def hexdigest(self) -> str:
        """Return the digest of all files so far."""
        return self._list.hexdigest()

    def sums(self) -> FileSums:
        """Return what lets the other side find out which of the files so far differ there."""
        return sums_of(self._prefixes)

    def differing(self, theirs: FileSums) -> Differing:
        """Return which of the files so far differ from those of the other side."""
        return differing(self._prefixes, theirs)

    def _begin_next(self) -> None:
        if self._length:
            self._file, self._length = blake3(), 0


class NoDigest(TreeDigest):
    """Hashes nothing: everything was hashed before."""

    def __init__(self) -> None:
        super().__init__()
        self.files = MAX_ENTRIES  # so no file is the next one

    def add_files(
        self, index: int, paths: Paths, contents: Sequence[Data], *, stored: Paths | None = None
    ) -> None:
        """Drop some files."""

    def add_part(self, index: int, offset: int, data: Data) -> None:
        """Drop a piece."""
