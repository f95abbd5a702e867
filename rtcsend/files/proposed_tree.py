"""Where each entry of a manifest goes: safe components below the receiver's folder [pure].

The entries are walked several times, to decide, to write, to publish, and come out the same
each time. Nothing is kept of them in between: names that are safe as they are, which is all of
most trees, are just split; only where some are not, the whole policy of
:mod:`rtcsend.files.paths` is gone through again.
"""

from collections.abc import Iterator
from typing import NamedTuple

from rtcsend.errors import UnsafePath
from rtcsend.files.link_target import safe_target_untrusted
from rtcsend.files.names import (
    MAX_UNTRUSTED_BYTES,
    SafeName,
    is_plain_name,
    safe_component_untrusted,
)
from rtcsend.files.paths import MAX_DEPTH, Oddity, ProposedPaths, SafePath, oddities
from rtcsend.manifest.entry import ManifestEntry
from rtcsend.manifest.manifest import Manifest
from rtcsend.manifest.selection import Selection

_NOTHING: frozenset[Oddity] = frozenset()
_MAX_PLAIN = MAX_UNTRUSTED_BYTES // 4  # characters; no more than 4 bytes each


class Place(NamedTuple):
    """An entry, and where it goes."""

    number: int
    """Of the entry."""
    entry: ManifestEntry
    components: tuple[str, ...]
    """Safe ones."""
    odd: frozenset[Oddity] = _NOTHING
    """What a person should know; only of :meth:`ProposedTree.check_untrusted`."""

    @property
    def path(self) -> str:
        """The components between slashes."""
        return "/".join(self.components)


class ProposedTree:
    """A manifest of the other side, with a safe place for each entry.

    Args:
        manifest: Complete.
        windows: Whether the file system's rules are those of Windows.
        folding: Whether it takes names for the same that differ in case alone.
        key: Random bytes, see :class:`rtcsend.files.paths.ProposedPaths`.
    """

    def __init__(self, manifest: Manifest, *, windows: bool, folding: bool, key: bytes) -> None:
        self.manifest = manifest
        self._windows = windows
        self._folding = folding
        self._key = key
        self._is_plain = False

    def check_untrusted(self) -> Iterator[Place]:
        """Yield all entries with what is odd about them; to be gone through once, first.

        Raises:
            UnsafePath: One of them cannot be made safe, or is a link that points elsewhere.
        """
        self._is_plain = not self._folding and all(map(self._stays, self.manifest.entries()))
        for place in self.all_places():
            if place.entry.kind == "link":
                self.target_of(place)
            yield place

    def places(self, selection: Selection, *, files: bool = True) -> Iterator[Place]:
        """Yield the entries that are wanted.

        Args:
            selection: What is wanted.
            files: Whether files too, or only folders and links.
        """
        if self._is_plain:
            for number, entry in selection.wanted():
                if files or entry.kind != "file":
                    yield Place(number, entry, tuple(entry.path.split("/")))
            return
        # Those that are not wanted have their places all the same.
        for place in self._checked():
            if selection.is_wanted(place.number) and (files or place.entry.kind != "file"):
                yield place

    def target_of(self, place: Place) -> str:
        """Return where a link may point.

        Raises:
            UnsafePath: It points elsewhere.
        """
        return safe_target_untrusted(place.path, place.entry.target, windows=self._windows)

    def _stays(self, entry: ManifestEntry) -> bool:
        """Return whether a path stays as it is, whatever others there are.

        Its folders have entries of their own, before it; and names that stay as they are differ,
        as they came.
        """
        path = entry.path
        name = path.rpartition("/")[2]
        if len(path) > _MAX_PLAIN or path.count("/") >= MAX_DEPTH or (name == path and ":" in name):
            return False
        try:
            return is_plain_name(name) or not self._safe(name).changed
        except UnsafePath:
            return False  # is to be said in the order of the entries

    def _safe(self, name: str) -> SafeName:
        return safe_component_untrusted(name, windows=self._windows)

    def all_places(self) -> Iterator[Place]:
        """Yield all entries; what is odd about them is said again."""
        if not self._is_plain:
            yield from self._checked()
            return
        for number, entry in enumerate(self.manifest.entries()):
            path = entry.path
            odd = _NOTHING if "-" not in path and "." not in path else _oddities(path)
            yield Place(number, entry, tuple(path.split("/")), odd)

    def _checked(self) -> Iterator[Place]:
        paths = ProposedPaths(windows=self._windows, folding=self._folding, key=self._key)
        for number, entry in enumerate(self.manifest.entries()):
            is_folder = entry.kind == "directory"
            safe, odd = paths.add_untrusted(entry.path, is_folder=is_folder)
            yield Place(number, entry, safe.components, odd)


def _oddities(path: str) -> frozenset[Oddity]:
    return oddities(SafePath(tuple(path.split("/")), changed=False))
