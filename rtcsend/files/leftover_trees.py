"""What interrupted transfers of many files have left in a folder: listed and removed [shell].

Only plain blocking calls. Place in the flow: ``rtcsend clean``, beside
:mod:`rtcsend.files.leftovers`.
"""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass

from rtcsend.errors import UnsafePath
from rtcsend.files.folder import KEEPS_OPEN_FILES, Folder
from rtcsend.files.folder_trees import facts_of, remove_tree
from rtcsend.files.staging import (
    allocated,
    files_in,
    open_staging,
    read_tree_journal,
    staging_names,
)
from rtcsend.files.tree_journal import TreeJournal


@dataclass(frozen=True, slots=True, kw_only=True)
class LeftoverTree:
    """A staging folder that nobody may hold any more.

    Attributes:
        name: In its folder.
        journal: What its journal says.
        length: Bytes of all files in it.
        allocated: Bytes that they take on the disk.
        modified: When the last one was written, in seconds since 1970.
    """

    name: str
    journal: TreeJournal
    length: int
    allocated: int
    modified: float


def leftover_trees(folder: Folder) -> Iterator[LeftoverTree]:
    """Yield all that earlier runs have left in a folder, held or not.

    Raises:
        OSError: The folder cannot be read.
    """
    for name in staging_names(folder):
        with suppress(OSError, UnsafePath), folder.open_subfolder((name,)) as opened:
            length = taken = 0
            journal = read_tree_journal(opened)
            if journal is None:  # it may be somebody's own
                continue
            # Files have the sender's times: when they were written is their change time.
            modified = facts_of(opened).st_mtime
            for facts in files_in(opened):
                length += facts.st_size
                taken += allocated(facts)
                modified = max(modified, facts.st_ctime)
            yield LeftoverTree(
                name=name,
                journal=journal,
                length=length,
                allocated=taken,
                modified=modified,
            )


def remove_leftover_tree(folder: Folder, leftover: LeftoverTree, *, dry_run: bool) -> bool:
    """Remove a leftover with all that is in it; return False when somebody holds it.

    Args:
        folder: Where it is.
        leftover: From :func:`leftover_trees`.
        dry_run: Whether to say only what would happen.

    Raises:
        OSError: It cannot be removed.
    """
    opened = open_staging(folder, leftover.name)
    if opened is None:
        return False
    with opened:
        if dry_run:
            return True
        if KEEPS_OPEN_FILES:
            opened.close()
        remove_tree(folder, leftover.name)
    return True
