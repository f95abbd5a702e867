"""Where each entry of a manifest goes: safe components below the receiver's folder [pure].

The entries are walked several times, to decide, to write, to publish, and come out the same
each time. Nothing is kept of them in between: names that are safe as they are, which is all of
most trees, are just taken, those of a folder at a time. Where some are not, the whole policy of
:mod:`rtcsend.files.paths` is gone through, entry by entry, and what has become of these is
remembered; if that is too much, all of it is gone through again each time.
"""

from bisect import bisect_left
from collections.abc import Iterator
from itertools import compress
from typing import NamedTuple

from rtcsend.errors import UnsafePath
from rtcsend.files.link_target import safe_target_untrusted
from rtcsend.files.names import (
    MAX_UNTRUSTED_BYTES,
    SafeName,
    are_plain_names,
    is_plain_name,
    safe_component_untrusted,
)
from rtcsend.files.paths import MAX_DEPTH, Oddity, ProposedPaths, SafePath, oddities
from rtcsend.manifest.entry import ManifestEntry
from rtcsend.manifest.manifest import Manifest
from rtcsend.manifest.selection import Selection
from rtcsend.manifest.siblings import Siblings, siblings_of

_NOTHING: frozenset[Oddity] = frozenset()
_MAX_RENAMED = 1 << 22  # characters of names that are remembered, since they are others
_MAX_PLAIN = MAX_UNTRUSTED_BYTES // 4  # characters; no more than 4 bytes each


class Place(NamedTuple):
    """An entry, and where it goes."""

    entry: ManifestEntry
    components: tuple[str, ...]
    """Safe ones."""
    odd: frozenset[Oddity] = _NOTHING
    """What a person should know, as far as somebody has asked for it."""

    @property
    def path(self) -> str:
        """The components between slashes."""
        return "/".join(self.components)


class PlacedSiblings(NamedTuple):
    """Entries of one kind and folder, and where they go."""

    group: Siblings
    """As the sender says."""
    folder: tuple[str, ...]
    """Safe components of their folder."""
    names: list[str]
    """Safe names in it."""
    odd: frozenset[Oddity] = _NOTHING
    """Of one that is alone, what a person should know."""

    @property
    def prefix(self) -> str:
        """What comes before a name in its path."""
        return "".join(f"{component}/" for component in self.folder)

    def places(self) -> Iterator[Place]:
        """Yield each by itself."""
        for entry, name in zip(self.group.entries(), self.names, strict=True):
            yield Place(entry, (*self.folder, name), self.odd)


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
        self._renames: dict[int, str] | None = None  # by number; None: not known, or too many

    def check_untrusted(self) -> Iterator[PlacedSiblings]:
        """Yield all entries; to be gone through once, first.

        Raises:
            UnsafePath: One of them cannot be made safe, or is a link that points elsewhere.
        """
        groups = (group for _, group in self.manifest.siblings())
        self._is_plain = not self._folding and all(map(self._stay, groups))
        renames, length = dict[int, str](), 0
        for number, placed in self.all_siblings():
            if placed.group.kind == "link":
                for place in placed.places():
                    self.target_of(place)
            if placed.names is not placed.group.names and placed.names != placed.group.names:
                length += len(placed.names[0])
                if length <= _MAX_RENAMED:
                    renames[number] = placed.names[0]
            yield placed
        self._renames = renames if length <= _MAX_RENAMED else None

    def siblings(self, selection: Selection) -> Iterator[PlacedSiblings]:
        """Yield the entries that are wanted, some at a time."""
        if self._is_plain:
            yield from map(_placed, selection.siblings())
            return
        # Those that are not wanted have their places all the same.
        for number, placed in self.all_siblings():
            flags = [selection.is_wanted(number + at) for at in range(len(placed.names))]
            if all(flags):
                yield placed
            elif any(flags):
                names = list(compress(placed.names, flags))
                yield placed._replace(group=placed.group.chosen(flags), names=names)

    def places(self, selection: Selection, *, files: bool = True) -> Iterator[Place]:
        """Yield the entries that are wanted, one by one.

        Args:
            selection: What is wanted.
            files: Whether files too, or only folders and links.
        """
        for placed in self.siblings(selection):
            if files or placed.group.kind != "file":
                yield from placed.places()

    def all_siblings(self) -> Iterator[tuple[int, PlacedSiblings]]:
        """Yield all entries, some at a time, with the number of the first."""
        if self._is_plain:
            for number, group in self.manifest.siblings():
                yield number, _placed(group)
            return
        if self._renames is not None:
            yield from self._renamed(self._renames)
            return
        paths = ProposedPaths(windows=self._windows, folding=self._folding, key=self._key)
        for entry in self.manifest.entries():
            paths.expect_untrusted(entry.path, is_folder=entry.kind == "directory")
        for number, entry in enumerate(self.manifest.entries()):
            safe, odd = paths.add_untrusted(entry.path, is_folder=entry.kind == "directory")
            *folder, name = safe.components
            yield number, PlacedSiblings(siblings_of(entry), tuple(folder), [name], odd)

    def _renamed(self, renames: dict[int, str]) -> Iterator[tuple[int, PlacedSiblings]]:
        """Yield all entries, when it is known which have other names."""
        numbers = sorted(renames)
        folders: list[tuple[str, tuple[str, ...]]] = [("", ())]  # the way to the last one
        for number, group in self.manifest.siblings():
            while folders[-1][0] != group.folder:
                folders.pop()
            safe, names = folders[-1][1], group.names
            end = number + len(names)
            first, last = bisect_left(numbers, number), bisect_left(numbers, end)
            if first < last:
                names = list(names)
                for other in numbers[first:last]:
                    names[other - number] = renames[other]
            if group.kind == "directory":
                folders.append((group.prefix + group.names[-1], (*safe, names[-1])))
            yield number, PlacedSiblings(group, safe, names)

    def target_of(self, place: Place) -> str:
        """Return where a link may point.

        Raises:
            UnsafePath: It points elsewhere.
        """
        return safe_target_untrusted(place.path, place.entry.target, windows=self._windows)

    def _stay(self, group: Siblings) -> bool:
        """Return whether paths stay as they are, whatever others there are.

        Their folders have entries of their own, before them; and names that stay as they are
        differ, as they came.
        """
        names, folder = group.names, group.folder
        longest = len(folder) + 1 + max(map(len, names))
        if longest > _MAX_PLAIN or (folder and folder.count("/") + 1 >= MAX_DEPTH):
            return False
        if are_plain_names(names):
            return True
        try:
            return all(map(self._stays, names)) and (bool(folder) or ":" not in "".join(names))
        except UnsafePath:
            return False  # is to be said in the order of the entries

    def _stays(self, name: str) -> bool:
        return is_plain_name(name) or not self._safe(name).changed

    def _safe(self, name: str) -> SafeName:
        return safe_component_untrusted(name, windows=self._windows)


def _placed(group: Siblings) -> PlacedSiblings:
    """Return where entries go that stay as they are."""
    folder = tuple(group.folder.split("/")) if group.folder else ()
    return PlacedSiblings(group, folder, group.names)


def with_oddities(place: Place) -> Place:
    """Return a place with what is odd about its path, if that was not asked before."""
    if place.odd:
        return place
    return place._replace(odd=oddities(SafePath(place.components, changed=False)))
