"""The staging folder: where a tree grows until all of it is there [shell].

Hidden, private and locked, in the folder that the tree is for, so that the last renames stay on
one file system. It is named like the partial file of the first thing at the top, and holds a
journal and the tree, under safe names. One without a lock was left by a process that is gone,
and is gone on with when it is of the same manifest, or at least of the same names: first of all,
what does not belong is removed from it, so that nothing is ever published but what arrived, and
nobody is told of what is left of somebody else's.

Plain blocking calls.
"""

import errno
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from rtcsend.errors import CannotWrite, UnsafePath
from rtcsend.files.folder import KEEPS_OPEN_FILES, Folder, shown
from rtcsend.files.folder_trees import (
    facts_of,
    lock_folder,
    make_folder,
    make_writable,
    remove_tree,
    set_folder_mode,
)
from rtcsend.files.journal import NotAJournal
from rtcsend.files.partial import partial_names
from rtcsend.files.paths import MAX_DEPTH, OWN_MARK, PARTIAL_SUFFIX
from rtcsend.files.permissions import ALL
from rtcsend.files.positional import read_whole
from rtcsend.files.tree_journal import (
    MAX_TREE_JOURNAL_SIZE,
    TreeJournal,
    parse_tree_journal_untrusted,
    serialize_tree_journal,
)

TREE_JOURNAL: Final = f"{OWN_MARK}journal"
"""Of a staging folder, in it. No peer can name a file so."""

MAX_LOOKED_AT: Final = 100_000  # names of a folder
MAX_STAGINGS: Final = 100  # staging folders whose journals are read

_UNIT: Final = 512  # bytes; of st_blocks, POSIX <sys/stat.h>
_PRIVATE: Final = 0o700
_OWN: Final = stat.S_IRUSR | stat.S_IWUSR
_NAMES_AT_ONCE: Final = 1 << 21  # of one folder in a staging folder; more than a manifest has


Belongs = Callable[[str, os.stat_result], bool]


@dataclass(slots=True)
class Staging:
    """A staging folder that this process holds.

    Attributes:
        parent: Where it is; not closed here.
        name: In its parent.
        folder: Itself, open and locked.
        is_fresh: Whether nothing was left in it.
        is_same: Whether what was left is of the same manifest, and not just of the same names.
        mask: Permission bits that the system leaves of those that are asked for, here.
    """

    parent: Folder
    name: str
    folder: Folder
    is_fresh: bool
    is_same: bool
    mask: int

    def close(self) -> None:
        """Let go of it. May be called again."""
        self.folder.close()

    def remove(self) -> None:
        """Remove it with all that is in it, and let go of it.

        Raises:
            OSError: It cannot be removed.
        """
        if KEEPS_OPEN_FILES:
            self.close()
        try:
            remove_tree(self.parent, self.name)
        finally:
            self.close()


def claim_staging(parent: Folder, target: str, journal: TreeJournal) -> Staging:
    """Take over what an earlier run has left of a tree, or make a new staging folder; locked.

    Args:
        parent: Where the tree will be.
        target: The safe name of the first thing at its top.
        journal: Of the tree.

    Raises:
        CannotWrite: All its names are taken.
        OSError: The folder cannot be written.
    """
    for name in _suitable(parent, journal):
        folder = open_staging(parent, name)
        if folder is not None:
            return _begin(parent, name, folder, journal)
    for name in partial_names(target):
        with suppress(FileExistsError):
            make_folder(parent, name)
            folder = open_staging(parent, name)
            if folder is not None:
                return _begin(parent, name, folder, journal)
    raise CannotWrite(
        f"{target} cannot be written in {shown(parent.path)}: "
        "all names for its staging folder are taken.",
        for_peer=f"The receiver cannot write {target}: its partial files are in the way.",
        hint="Remove what earlier transfers left there with “rtcsend clean”, and try again.",
    )


def open_staging(parent: Folder, name: str) -> Folder | None:
    """Open and lock a staging folder; None when it must be left alone. Never fails."""
    try:
        folder = parent.open_subfolder((name,))
    except (OSError, UnsafePath):
        return None
    try:
        if _is_own(facts_of(folder)) and lock_folder(folder):
            return folder
    except OSError:
        pass
    folder.close()
    return None


def staging_names(parent: Folder) -> Iterator[str]:
    """Yield the names of staging folders, held or not.

    Raises:
        OSError: The folder cannot be read.
    """
    found = 0
    for name in sorted(parent.names(limit=MAX_LOOKED_AT)):
        if name.startswith(".") and name.endswith(PARTIAL_SUFFIX) and parent.is_folder(name):
            found += 1
            if found > MAX_STAGINGS:
                return
            yield name


def bytes_staged(parent: Folder, manifest: str) -> int:
    """Return how much of the disk a staging folder of a manifest takes already."""
    for name in staging_names(parent):
        with suppress(OSError, UnsafePath), parent.open_subfolder((name,)) as folder:
            journal = read_tree_journal(folder)
            if journal is not None and journal.manifest == manifest:
                return sum(allocated(facts) for facts in files_in(folder))
    return 0


def allocated(facts: os.stat_result) -> int:
    """Return how many bytes of the disk a file takes."""
    return _UNIT * int(getattr(facts, "st_blocks", -(-facts.st_size // _UNIT)))


def files_in(folder: Folder, *, levels: int = MAX_DEPTH) -> Iterator[os.stat_result]:
    """Yield the facts of all files in a staging folder, and in the folders in it.

    Raises:
        OSError: It cannot be read; or it is deeper than any that we have made.
    """
    if levels < 0:
        raise OSError(errno.ENAMETOOLONG, os.strerror(errno.ENAMETOOLONG))
    for name in folder.names(limit=_NAMES_AT_ONCE):
        facts = folder.stat(name)
        if facts is None:
            continue
        if stat.S_ISDIR(facts.st_mode):
            with folder.open_subfolder((name,)) as below:
                yield from files_in(below, levels=levels - 1)
        elif name != TREE_JOURNAL:
            yield facts


def read_tree_journal(staging: Folder) -> TreeJournal | None:
    """Return what the journal of a staging folder says; None when there is none that counts."""
    try:
        fd = staging.open(TREE_JOURNAL, os.O_RDONLY)
    except OSError:
        return None
    try:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            return None
        return parse_tree_journal_untrusted(read_whole(fd, MAX_TREE_JOURNAL_SIZE + 1, 0))
    except (OSError, NotAJournal):
        return None
    finally:
        os.close(fd)


def purge(folder: Folder, belongs: Belongs, prefix: str = "") -> None:
    """Remove from a staging folder what does not belong to the tree.

    Args:
        folder: The staging folder, or one in it.
        belongs: Whether a path does, in the staging folder, with such facts; those of folders end
            with a slash.
        prefix: Of its path in the staging folder, with a slash at the end.

    Raises:
        OSError: Something cannot be removed.
    """
    for name in folder.names(limit=_NAMES_AT_ONCE):
        path = prefix + name
        facts = folder.stat(name)
        if facts is None or path == TREE_JOURNAL:
            continue
        if stat.S_ISDIR(facts.st_mode) and belongs(f"{path}/", facts):
            with folder.open_subfolder((name,)) as below:
                purge(below, belongs, f"{path}/")
        elif not (_is_plain(facts) and belongs(path, facts)):
            remove_tree(folder, name)
        elif facts.st_mode & _OWN != _OWN:
            make_writable(folder, name)


def _suitable(parent: Folder, journal: TreeJournal) -> list[str]:
    """Return the names of the staging folders that may be gone on with, the best first.

    A folder of such a name without a journal may be somebody's own.
    """
    same: list[str] = []
    similar: list[str] = []
    for name in staging_names(parent):
        with suppress(OSError, UnsafePath), parent.open_subfolder((name,)) as folder:
            found = read_tree_journal(folder)
            if found is None:
                continue
            if found.manifest == journal.manifest:
                same.append(name)
            elif (found.name, found.tops) == (journal.name, journal.tops):
                similar.append(name)
    return same + similar


def _begin(parent: Folder, name: str, folder: Folder, journal: TreeJournal) -> Staging:
    """Make a folder that is locked ready for a tree."""
    try:
        set_folder_mode(folder, _PRIVATE)
        mask = _mask(folder)
        is_fresh = not folder.names(limit=1)
        found = read_tree_journal(folder)
        is_same = found is not None and found.manifest == journal.manifest
        with suppress(OSError):
            folder.unlink(TREE_JOURNAL)
        fd = folder.open(TREE_JOURNAL, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
        try:
            os.write(fd, serialize_tree_journal(journal))
        finally:
            os.close(fd)
    except BaseException:
        folder.close()
        raise
    return Staging(parent, name, folder, is_fresh, is_same, mask)


def _mask(folder: Folder) -> int:
    """Return what the umask, or the folder's default ACL, leaves of all permissions."""
    name = f"{OWN_MARK}mask"
    with suppress(FileNotFoundError):
        remove_tree(folder, name)  # of a run that was killed; or something else that was put there
    make_folder(folder, name)
    try:
        facts = folder.stat(name)
        return ALL if facts is None else stat.S_IMODE(facts.st_mode) & ALL
    finally:
        folder.remove_folder(name)


def _is_own(facts: os.stat_result) -> bool:
    return not hasattr(os, "geteuid") or facts.st_uid == os.geteuid()


def _is_plain(facts: os.stat_result) -> bool:
    """Return whether it can be a file that we have made: no other name of somebody's file."""
    return stat.S_ISREG(facts.st_mode) and facts.st_nlink == 1 and _is_own(facts)
