"""Where a tree goes, and the staging folder that is taken for it [shell].

Place in the flow: the receiver's decision says where; :mod:`rtcsend.files.tree_sink` opens it.
"""

import os
from array import array
from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from rtcsend.blocks import BLOCK_SIZE
from rtcsend.files.folder import Folder
from rtcsend.files.proposed_tree import Place, PlacedSiblings, ProposedTree
from rtcsend.files.staging import Staging, claim_staging, purge
from rtcsend.files.tree_journal import TreeJournal
from rtcsend.manifest.selection import Selection
from rtcsend.options import Conflict


@dataclass(frozen=True, slots=True, kw_only=True)
class TreeTarget:
    """Where a tree goes.

    Attributes:
        folder: An existing folder.
        tree: What was proposed, checked.
        selection: What of it is wanted; something.
        names: The final names of what is at the top, by its safe name; others keep that.
        conflict: What to do when a name is taken. With ASK nothing is replaced.
        preserve: Whether permissions are to be those of the sender, whatever the umask says.
        on_digest: Told the digest and the sender's path of each file, in a thread.
    """

    folder: Path
    tree: ProposedTree
    selection: Selection
    names: dict[str, str]
    conflict: Conflict
    preserve: bool = False
    on_digest: Callable[[str, str], None] | None = None

    def siblings(self) -> Iterator[PlacedSiblings]:
        """Yield what is wanted, in the order of the manifest, some at a time."""
        return self.tree.siblings(self.selection)

    def places(self) -> Iterator[Place]:
        """Yield what is wanted, one by one."""
        return self.tree.places(self.selection)

    def tops(self) -> Iterator[tuple[str, str]]:
        """Yield the safe and the final names of what is at the top."""
        seen = ""
        for placed in self.siblings():
            for name in placed.folder[:1] or placed.names:
                if name != seen:
                    seen = name
                    yield name, self.names.get(name, name)


def prepare_tree(target: TreeTarget) -> tuple[Folder, Staging, Sequence[tuple[str, str]]]:
    """Open the folder, and in it a staging folder, with nothing in it but what belongs there."""
    parent = Folder(target.folder)
    try:
        tops = list(target.tops())
        name = tops[0][0]
        journal = TreeJournal(
            manifest=target.selection.manifest.digest,
            name=name,
            tops=len(tops),
            files=target.selection.layout.files,
            bytes=target.selection.layout.size,
            time=int(datetime.now(UTC).timestamp()),
        )
        staging = claim_staging(parent, name, journal)
        if not staging.is_fresh:
            keys = partial(_key, is_same=staging.is_same)
            wanted = array("q", sorted(map(keys, target.places())))  # 8 bytes an entry
            purge(staging.folder, partial(_is_among, wanted))
    except BaseException:
        parent.close()
        raise
    return parent, staging, tops


def _is_among(wanted: "array[int]", path: str, facts: os.stat_result) -> bool:
    for key in (hash(path), hash((path, facts.st_size, facts.st_mtime_ns))):
        at = bisect_left(wanted, key)
        if at < len(wanted) and wanted[at] == key:
            return True
    return False


def _key(place: Place, *, is_same: bool) -> int:
    """Return what tells something in the staging folder from all else, in little memory.

    What is left of another manifest may be somebody else's, and whoever is told the digest of a
    small file can try what it is. So such a file counts only for a sender who knows its size and
    time as well, to the nanosecond. It is dated when it is whole.
    """
    path, entry = place.path, place.entry
    if entry.kind == "directory":
        return hash(f"{path}/")
    if entry.kind != "file":
        return 0
    if is_same or entry.size >= BLOCK_SIZE:
        return hash(path)
    return hash((path, entry.size, entry.mtime_ns))
