"""What a proposed tree would do to the receiver's folder, before anybody has said yes [shell].

Looks, and makes nothing but an empty file of our own that shows whether the folder folds case.
The manifest is walked, some entries at a time, and nothing is kept of them but counts, the first
of them, and the numbers of those that are there already.

Blocking calls, for a thread. Place in the flow: :mod:`rtcsend.target` decides by it.
"""

import os
import secrets
import shutil
import stat
from array import array
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from rtcsend.errors import UnsafePath
from rtcsend.files.folder import Folder
from rtcsend.files.open_folders import OpenFolders
from rtcsend.files.paths import Oddity
from rtcsend.files.proposed_tree import Place, PlacedSiblings, ProposedTree, with_oddities
from rtcsend.files.staging import bytes_staged
from rtcsend.manifest.manifest import Manifest

MAX_SHOWN: Final = 100  # entries of which more is kept than a count
MAX_EXISTING_SHOWN: Final = 10
_EXECUTABLE: Final = 0o111
_KEY_SIZE: Final = 32
_WINDOWS: Final = os.name == "nt"

Stop = Callable[[], bool]


class PlanStopped(Exception):
    """Whoever wanted the plan does not want it any more."""


@dataclass(slots=True)
class Outlook:
    """What is in a tree, as a person should know it.

    Attributes:
        tree: Checked.
        shown: The first MAX_SHOWN entries, with what is odd about them.
        tops: The safe names of what is at the top.
        directories: How many entries are folders.
        links: How many are symbolic links.
        empty: How many folders have nothing in them.
        executables: How many files are executable.
        renamed: How many have another name than at the sender, or a number behind it.
    """

    tree: ProposedTree
    shown: list[Place] = field(default_factory=list)
    tops: list[str] = field(default_factory=list)
    directories: int = 0
    links: int = 0
    empty: int = 0
    executables: int = 0
    renamed: int = 0


@dataclass(slots=True)
class Existing:
    """What of a tree is there already.

    Attributes:
        tops: The final names at the top that are taken.
        files: How many files and links are there.
        shown: The paths of the first MAX_EXISTING_SHOWN.
        blocked: The first path at which a folder and a file meet; empty when none do.
        numbers: Of the entries that are there, or cannot be put there; but for folders.
        missing: How many entries are not there, folders included.
    """

    tops: list[str] = field(default_factory=list)
    files: int = 0
    shown: list[str] = field(default_factory=list)
    blocked: str = ""
    numbers: "array[int]" = field(default_factory=lambda: array("Q"))
    missing: int = 0

    def ranges(self) -> Iterator[tuple[int, int]]:
        """Yield the ranges of these numbers, (first, end)."""
        first = end = -1
        for number in self.numbers:
            if number != end:
                if end >= 0:
                    yield first, end
                first = number
            end = number + 1
        if end >= 0:
            yield first, end


def look_at_tree(
    folder: Path, manifest: Manifest, accept: Callable[[Place], None] | None, *, is_stopped: Stop
) -> Outlook:
    """Return what is in a tree, and have each entry accepted.

    Args:
        folder: Where it would go.
        manifest: Complete.
        accept: Raises what an entry is declined with; None: nobody has anything against any.
        is_stopped: Asked now and then; True ends it.

    Raises:
        UnsafePath: An entry cannot be made safe.
        OSError: The folder is missing, or cannot be written.
        PlanStopped: When ``is_stopped`` says so.
    """
    with Folder(folder) as opened:
        folding = opened.folds_case()
    tree = ProposedTree(
        manifest, windows=_WINDOWS, folding=folding, key=secrets.token_bytes(_KEY_SIZE)
    )
    outlook = Outlook(tree)
    last = ""  # path of the folder in which nothing was found yet
    for placed in tree.check_untrusted():
        if is_stopped():
            raise PlanStopped
        if accept is not None:
            for place in placed.places():
                accept(place)
        outlook.empty += bool(last) and last + "/" != placed.prefix
        last = _count(outlook, placed)
    outlook.empty += bool(last)
    return outlook


def look_for_existing(
    folder: Path, outlook: Outlook, names: dict[str, str], *, is_stopped: Stop
) -> Existing:
    """Return what of a tree is there already.

    Args:
        folder: Where it would go.
        outlook: Of the tree.
        names: Final names of what is at the top, where they are others.
        is_stopped: Asked now and then; True ends it.

    Raises:
        OSError: The folder is missing, or cannot be read.
        PlanStopped: When ``is_stopped`` says so.
    """
    existing = Existing()
    with Folder(folder) as opened:
        finals = (names.get(top, top) for top in outlook.tops)
        existing.tops = [name for name in finals if opened.stat(name) is not None]
        if existing.tops:
            walk = _Walk(opened, existing, names)
            try:
                for number, placed in outlook.tree.all_siblings():
                    if is_stopped():
                        raise PlanStopped
                    for at, place in enumerate(placed.places(), number):
                        walk.see(at, place)
            finally:
                walk.folders.close()
    return existing


def free_for_tree(folder: Path, outlook: Outlook) -> int | None:
    """Return how many bytes the tree may take; None if nobody knows.

    What an earlier run has left of it counts as free.
    """
    with suppress(OSError, ValueError), Folder(folder) as opened:
        there = bytes_staged(opened, outlook.tree.manifest.digest)
        return shutil.disk_usage(folder).free + there
    return None


class _Walk:
    """Looks at each entry of a tree in the folder that it would go to."""

    def __init__(self, folder: Folder, existing: Existing, names: dict[str, str]) -> None:
        self.folders = OpenFolders(folder, create=False)
        self._existing = existing
        self._names = names
        self._closed: tuple[str, ...] = ()  # what is below is not there, or cannot be put there
        self._is_blocked = False

    def see(self, number: int, place: Place) -> None:
        top, *rest = place.components
        components = (self._names.get(top, top), *rest)
        if self._closed and components[: len(self._closed)] == self._closed:
            self._note(number, is_there=self._is_blocked)
            return
        self._closed = ()
        is_folder = place.entry.kind == "directory"
        try:
            facts = self.folders.enter(components[:-1]).stat(components[-1])
        except (OSError, UnsafePath):  # changes under our hands, or is not open to us
            self._block(number, components)
            return
        if facts is None:
            self._note(number, is_there=False)
            if is_folder:
                self._closed, self._is_blocked = components, False
        elif is_folder != stat.S_ISDIR(facts.st_mode):
            self._block(number, components)
        elif not is_folder:
            self._existing.files += 1
            if len(self._existing.shown) < MAX_EXISTING_SHOWN:
                self._existing.shown.append("/".join(components))
            self._note(number, is_there=True)

    def _block(self, number: int, components: tuple[str, ...]) -> None:
        self._existing.blocked = self._existing.blocked or "/".join(components)
        self._closed, self._is_blocked = components, True
        self._note(number, is_there=True)

    def _note(self, number: int, *, is_there: bool) -> None:
        if is_there:
            self._existing.numbers.append(number)
        else:
            self._existing.missing += 1


def _count(outlook: Outlook, placed: PlacedSiblings) -> str:
    """Count some entries; return the path of a folder that is the last of them, else nothing."""
    for _, place in zip(range(MAX_SHOWN - len(outlook.shown)), placed.places(), strict=False):
        outlook.shown.append(with_oddities(place))
    if not placed.folder:
        outlook.tops += placed.names
    group, count = placed.group, len(placed.names)
    if Oddity.CHANGED in placed.odd or Oddity.CLASH in placed.odd:
        outlook.renamed += count
    if group.kind == "directory":
        outlook.directories += count
        outlook.empty += count - 1
        return placed.prefix + placed.names[-1]
    if group.kind == "link":
        outlook.links += count
    elif group.mode is not None and group.mode & _EXECUTABLE:
        outlook.executables += count
    return ""
