"""Whether entries come in the order of a tree: so nothing comes twice. Pure.

Depth first, each directory before what is in it, names ascending within a directory: a place
is taken only once, and nothing can be inside what is no directory. What has to be remembered
is the way to the entry before, and the names at the top, which come in any order.
"""

from typing import Final

from rtcsend.errors import PeerProtocolError, UnsafePath
from rtcsend.manifest.entry import path_bytes

MAX_DEPTH: Final = 128  # directories in one another
MAX_AT_TOP: Final = 1 << 17  # more than a command line holds
MAX_TOP_LENGTH: Final = 1 << 24  # characters of all names there, which stay in memory; the same
_NO_NAMES: Final = frozenset({"", ".", ".."})


class Outline:
    """Takes the paths of entries in their order."""

    def __init__(self) -> None:
        self._open: list[str] = []  # paths of the directories that the next entry may be in
        self._last: list[bytes] = []  # the last name in each of these, but at the top
        self._top: set[str] = set()
        self._top_length = 0

    def add_untrusted(self, path: str, *, is_directory: bool) -> None:
        """Take the next entry.

        Raises:
            UnsafePath: It has a component that is no name.
            PeerProtocolError: It is out of order, there already, too deep, or in what is no
                directory.
        """
        parent, _, name = path.rpartition("/")
        if name in _NO_NAMES or "\0" in name:
            raise _unsafe()
        depth = self._depth_in(parent, is_inside="/" in path)
        if depth:
            self._check_order(depth - 1, path_bytes(name))
        else:
            self._add_at_top(path)
        del self._open[depth:]
        del self._last[depth:]
        if is_directory:
            if depth >= MAX_DEPTH:
                raise PeerProtocolError("The sender proposes folders that are nested too deeply.")
            self._open.append(path)
            self._last.append(b"")

    def _depth_in(self, parent: str, *, is_inside: bool) -> int:
        """Return how deep something in a directory lies, which must be open."""
        if not is_inside:
            return 0
        depth = parent.count("/") + 1
        if depth > len(self._open) or self._open[depth - 1] != parent:
            if not _NO_NAMES.isdisjoint(parent.split("/")):
                raise _unsafe()
            raise PeerProtocolError("The sender proposes something in a folder that is not there.")
        return depth

    def _add_at_top(self, path: str) -> None:
        self._top_length += len(path)
        is_full = len(self._top) >= MAX_AT_TOP or self._top_length > MAX_TOP_LENGTH
        if path in self._top or is_full:
            raise PeerProtocolError("The sender proposes something twice, or far too much.")
        self._top.add(path)

    def _check_order(self, level: int, name: bytes) -> None:
        if name <= self._last[level]:
            raise PeerProtocolError("The sender proposes something twice, or in disorder.")
        self._last[level] = name


def _unsafe() -> UnsafePath:
    return UnsafePath("The sender proposes something under a name that is none.")
