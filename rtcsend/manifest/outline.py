"""Whether entries come in the order of a tree: so nothing comes twice. Pure.

Depth first, each directory before what is in it, names ascending within a directory: a place
is taken only once, and nothing can be inside what is no directory. What has to be remembered
is the way to the entry before, and the names at the top, which come in any order.
"""

from itertools import islice
from operator import lt
from typing import Final

from rtcsend.errors import PeerProtocolError, UnsafePath
from rtcsend.manifest.entry import path_bytes
from rtcsend.manifest.siblings import Siblings, sort_keys

MAX_DEPTH: Final = 128  # directories in one another
MAX_AT_TOP: Final = 1 << 17  # more than a command line holds
MAX_TOP_LENGTH: Final = 1 << 24  # characters of all names there, which stay in memory; the same
_NO_NAMES: Final = frozenset({"", ".", ".."})


class Outline:
    """Takes entries in their order."""

    def __init__(self) -> None:
        self._open: list[str] = []  # paths of the directories that the next entry may be in
        self._last: list[bytes] = []  # the last name in each of these, but at the top
        self._top: set[str] = set()
        self._top_length = 0

    def add_untrusted(self, group: Siblings) -> None:
        """Take the next entries.

        Raises:
            UnsafePath: One has a component that is no name.
            PeerProtocolError: One is out of order, there already, too deep, or in what is no
                directory.
        """
        names = group.names
        joined = "/".join(names)
        are_names = _NO_NAMES.isdisjoint(names) and joined.count("/") == len(names) - 1
        if not are_names or "\0" in joined:
            raise _unsafe()
        depth = self._depth_in(group.folder)
        if depth:
            self._check_order(depth - 1, names)
        else:
            self._add_at_top(names)
        del self._open[depth:]
        del self._last[depth:]
        if group.kind == "directory":
            if depth >= MAX_DEPTH:
                raise PeerProtocolError("The sender proposes folders that are nested too deeply.")
            self._open.append(group.prefix + names[-1])
            self._last.append(b"")

    def _depth_in(self, parent: str) -> int:
        """Return how deep something in a directory lies, which must be open."""
        if not parent:
            return 0
        depth = parent.count("/") + 1
        if depth > len(self._open) or self._open[depth - 1] != parent:
            if not _NO_NAMES.isdisjoint(parent.split("/")):
                raise _unsafe()
            raise PeerProtocolError("The sender proposes something in a folder that is not there.")
        return depth

    def _add_at_top(self, names: list[str]) -> None:
        self._top_length += sum(map(len, names))
        count = len(self._top) + len(names)
        self._top.update(names)
        if len(self._top) < count or count > MAX_AT_TOP or self._top_length > MAX_TOP_LENGTH:
            raise PeerProtocolError("The sender proposes something twice, or far too much.")

    def _check_order(self, level: int, names: list[str]) -> None:
        keys = sort_keys(names)
        if (
            not all(map(lt, keys, islice(keys, 1, None)))
            or path_bytes(names[0]) <= self._last[level]
        ):
            raise PeerProtocolError("The sender proposes something twice, or in disorder.")
        self._last[level] = path_bytes(names[-1])


def _unsafe() -> UnsafePath:
    return UnsafePath("The sender proposes something under a name that is none.")
