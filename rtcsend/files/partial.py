"""The hidden file that holds what has arrived: claimed at the start, published at the end.

Beside the target, so that the last rename stays on one file system. Who holds it has a lock on
it: a partial file without one was left by a process that is gone, and is replaced; one with a
lock belongs to another transfer of the same name, and is passed by. What is not a regular file
(a planted symbolic link, a fifo) was not left by us, and is neither followed nor removed.

Only plain blocking calls: the sink runs them in threads.
"""

import logging
import os
import stat
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass

from rtcsend.errors import CannotWrite, TargetExists
from rtcsend.files.folder import KEEPS_OPEN_FILES, Folder, lock, shown
from rtcsend.files.paths import numbered_name, partial_name
from rtcsend.options import Conflict

MAX_PARTIALS = 32  # names tried; as many transfers of one name at once, and more than anyone has
MAX_NUMBER = 9999  # numbers tried for --rename; beyond, somebody fills the folder on purpose

_PRIVATE = 0o600  # permission bits while incomplete
_PERMISSIONS = 0o777  # no set-user-id, set-group-id or sticky bit is ever given to a file

logger = logging.getLogger("rtcsend.files")


@dataclass(frozen=True, slots=True)
class PartialFile:
    """A partial file that this process holds; ``fd`` is open for writing, and locked."""

    name: str
    fd: int
    final_mode: int


def claim_partial(folder: Folder, target: str, *, mode: int | None) -> PartialFile:
    """Make the partial file for a target, empty and private, and lock it.

    Args:
        folder: Where the target will be.
        target: The safe name of the target.
        mode: Permission bits of the finished file; None: what the umask leaves.

    Raises:
        CannotWrite: All its names are taken.
        OSError: The folder cannot be written.
    """
    for number in range(MAX_PARTIALS):
        name = partial_name(target, tag=str(number) if number else "")
        if not _clear(folder, name):
            continue
        partial = _create(folder, name, mode=mode)
        if partial is not None:
            return partial
    raise CannotWrite(
        f"{target} cannot be written in {shown(folder.path)}: "
        "all names for its partial file are taken.",
        for_peer=f"The receiver cannot write {target}: its partial files are in the way.",
        hint=f"Remove the files like {partial_name(target)} there, and run both commands again.",
    )


def publish(folder: Folder, partial: PartialFile, target: str, *, conflict: Conflict) -> str:
    """Give the complete partial file its final name, and return it.

    Atomic: at no time is there anything but the old file or the whole new one.

    Args:
        folder: Where both are.
        partial: Complete, verified and synced.
        target: The name it should have.
        conflict: What to do when the name is taken: OVERWRITE and RENAME do as they say, with
            the others it is an error.

    Returns:
        The name it got: with RENAME the first free one.

    Raises:
        TargetExists: The name, and with RENAME all numbered ones, are taken.
        CannotWrite: Somebody replaced the partial file.
        OSError: The folder cannot be written, or the target is a folder.
    """
    if not KEEPS_OPEN_FILES and not _is_ours(folder, partial.name, partial.fd):
        raise CannotWrite(
            f"The partial file of {target} in {shown(folder.path)} was removed or replaced.",
            for_peer=f"The receiver cannot write {target}: its partial file was removed.",
        )
    if conflict is Conflict.OVERWRITE:
        folder.rename_over(partial.name, target)
        return target
    for name in _candidates(target, conflict):
        if folder.rename_new(partial.name, name):
            return name
    raise already_there(folder, target)


def already_there(folder: Folder, target: str) -> TargetExists:
    """Return the error for a name that is taken."""
    return TargetExists(
        f"{target} already exists in {shown(folder.path)}.",
        for_peer=f"The receiver has a file {target} already.",
    )


def seal(partial: PartialFile) -> None:
    """Give the complete file its permissions, and wait until the disk has all of it.

    Raises:
        OSError: The disk says no; errors of earlier writes may show only here.
    """
    if hasattr(os, "fchmod"):
        os.fchmod(partial.fd, partial.final_mode)
    os.fsync(partial.fd)


def remove_partial(folder: Folder, partial: PartialFile) -> None:
    """Remove the partial file, unless its name means something else by now. Never fails."""
    try:
        if KEEPS_OPEN_FILES or _is_ours(folder, partial.name, partial.fd):
            folder.unlink(partial.name)
    except OSError as exc:
        logger.warning("! a partial file could not be removed: %s", exc.strerror)


def _is_ours(folder: Folder, name: str, fd: int) -> bool:
    """Return whether the name still means the file that is open."""
    facts = folder.stat(name)
    return facts is not None and os.path.samestat(facts, os.fstat(fd))


def _candidates(target: str, conflict: Conflict) -> Iterator[str]:
    yield target
    if conflict is Conflict.RENAME:
        yield from (numbered_name(target, number) for number in range(1, MAX_NUMBER + 1))


def _create(folder: Folder, name: str, *, mode: int | None) -> PartialFile | None:
    """Create, lock and return the file; None when another process was faster."""
    # Without a mode the file is born with what the umask (or the folder's default ACL) leaves,
    # which is read back as the final mode: asking for the umask itself would change it for
    # all threads. It is made private while still empty.
    birth_mode = 0o666 if mode is None else _PRIVATE
    try:
        fd = folder.open(name, os.O_RDWR | os.O_CREAT | os.O_EXCL, birth_mode)
    except FileExistsError:
        return None
    try:
        final_mode = stat.S_IMODE(os.fstat(fd).st_mode) if mode is None else mode & _PERMISSIONS
        if hasattr(os, "fchmod"):
            os.fchmod(fd, _PRIVATE)
        # Between creation and lock another process may take the file for a leftover.
        if _try_lock(fd, otherwise=True) and _is_ours(folder, name, fd):
            return PartialFile(name, fd, final_mode)
    except BaseException:
        os.close(fd)
        raise
    os.close(fd)
    return None


def _clear(folder: Folder, name: str) -> bool:
    """Make way for a new partial file; return False when the name must be left alone."""
    facts = folder.stat(name)
    if facts is None:
        return True
    if not stat.S_ISREG(facts.st_mode):
        return False
    try:
        fd = folder.open(name, os.O_RDWR)
    except OSError:  # another user's, or gone in this moment: another name will do
        return False
    try:
        if _try_lock(fd, otherwise=False) and _is_ours(folder, name, fd):
            return _unlink_leftover(folder, name, fd)
    finally:
        with suppress(OSError):  # closed already on Windows
            os.close(fd)
    return False


def _unlink_leftover(folder: Folder, name: str, fd: int) -> bool:
    if KEEPS_OPEN_FILES:
        os.close(fd)
    try:
        folder.unlink(name)
    except OSError:
        return False
    logger.debug("= removed a partial file that a process before left")
    return True


def _try_lock(fd: int, *, otherwise: bool) -> bool:
    try:
        return lock(fd)
    except OSError:  # no locks on this file system
        return otherwise
