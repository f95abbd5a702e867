"""The hidden file that holds what has arrived: made or taken over, published at the end.

Beside the target, so that the last rename stays on one file system. Who holds it has a lock on
it: a partial file without one was left by a process that is gone, and may be gone on with, see
:mod:`rtcsend.files.leftovers`; one with a lock belongs to another transfer, and is passed by.
What is not a regular file (a planted symbolic link, a fifo) was not left by us, and is neither
followed nor removed; nor is what another user owns, or what has another name besides.

Only plain blocking calls: the sink runs them in threads.
"""

import logging
import os
import secrets
import stat
from collections.abc import Iterator
from dataclasses import dataclass

from rtcsend.errors import CannotWrite, TargetExists
from rtcsend.files.folder import KEEPS_OPEN_FILES, Folder, lock, shown
from rtcsend.files.paths import OWN_MARK, numbered_name, partial_name
from rtcsend.files.permissions import set_mode, set_times
from rtcsend.files.positional import sync_all
from rtcsend.options import Conflict

MAX_PARTIALS = 32  # names tried; as many transfers of one name at once, and more than anyone has
MAX_NUMBER = 9999  # numbers tried for --rename; beyond, somebody fills the folder on purpose

_PRIVATE = 0o600  # permission bits while incomplete
_NEW_FILE = 0o666  # permission bits that programs ask for; the umask takes some away
_PERMISSIONS = 0o777  # no set-user-id, set-group-id or sticky bit is ever given to a file

logger = logging.getLogger("rtcsend.files")


@dataclass(frozen=True, slots=True)
class PartialFile:
    """A partial file that this process holds.

    Attributes:
        name: In its folder.
        fd: Open for reading and writing, and locked.
        final_mode: Permission bits of the finished file.
        length: Bytes that an earlier run has left in it.
    """

    name: str
    fd: int
    final_mode: int
    length: int = 0


def partial_names(target: str) -> Iterator[str]:
    """Yield the names that partial files of a target may have, in the order they are tried."""
    for number in range(MAX_PARTIALS):
        yield partial_name(target, tag=str(number) if number else "")


def create_partial(folder: Folder, target: str, *, mode: int | None) -> PartialFile:
    """Make a partial file for a target, empty and private, and lock it.

    Args:
        folder: Where the target will be.
        target: The safe name of the target.
        mode: Permission bits of the finished file; None: what the umask leaves.

    Raises:
        CannotWrite: All its names are taken.
        OSError: The folder cannot be written.
    """
    for name in partial_names(target):
        partial = _create(folder, name, mode=mode)
        if partial is not None:
            return partial
    raise CannotWrite(
        f"{target} cannot be written in {shown(folder.path)}: "
        "all names for its partial file are taken.",
        for_peer=f"The receiver cannot write {target}: its partial files are in the way.",
        hint="Remove what earlier transfers left there with “rtcsend clean”, and try again.",
    )


def hold_partial(folder: Folder, name: str, *, mode: int | None) -> PartialFile | None:
    """Take over a partial file that an earlier run has left, with all that is in it.

    Args:
        folder: Where it is.
        name: Its name.
        mode: As for :func:`create_partial`.

    Returns:
        None when it is not ours, is held by somebody, or has just gone.

    Raises:
        OSError: The folder cannot be written.
    """
    fd = open_leftover(folder, name)
    if fd is None:
        return None
    if os.fstat(fd).st_nlink != 1:
        # Another name of some file of this user's, which nobody asked us to overwrite.
        os.close(fd)
        return None
    try:
        final_mode = mode_of_new_files(folder) if mode is None else mode & _PERMISSIONS
        if hasattr(os, "fchmod"):
            os.fchmod(fd, _PRIVATE)
        return PartialFile(name, fd, final_mode, os.fstat(fd).st_size)
    except BaseException:
        os.close(fd)
        raise


def open_leftover(folder: Folder, name: str) -> int | None:
    """Open and lock what an earlier run has left; None when it must be left alone.

    Never fails; the caller closes it.
    """
    facts = folder.stat(name)
    if facts is None or not is_own_file(facts):
        return None
    try:
        if KEEPS_OPEN_FILES:
            # There is no lock on such systems, but this fails for a file that is open.
            folder.rename_over(name, name)
        fd = folder.open(name, os.O_RDWR)
    except OSError:  # another user's, or gone in this moment
        return None
    try:
        if _try_lock(fd, otherwise=False) and _is_ours(folder, name, fd):
            return fd
    except OSError:
        pass
    os.close(fd)
    return None


def is_own_file(facts: os.stat_result) -> bool:
    """Return whether a file can be one that a process of this user has left.

    Somebody else may have put one of his own here, to have it filled and published.
    """
    is_own = not hasattr(os, "geteuid") or facts.st_uid == os.geteuid()
    return stat.S_ISREG(facts.st_mode) and is_own


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


def seal(partial: PartialFile, *, mtime_ns: int | None = None) -> None:
    """Give the complete file its permissions and time, and wait until the disk has all of it.

    Args:
        partial: Complete.
        mtime_ns: When it was last changed, in nanoseconds since 1970; None: just now.

    Raises:
        OSError: The disk says no; errors of earlier writes may show only here.
    """
    set_mode(partial.fd, partial.final_mode)
    if mtime_ns is not None:
        set_times(partial.fd, mtime_ns)
    sync_all(partial.fd)


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
    birth_mode = _NEW_FILE if mode is None else _PRIVATE
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


def mode_of_new_files(folder: Folder, wanted: int = _NEW_FILE) -> int:
    """Return what the umask, or the folder's default ACL, leaves of a new file's permissions."""
    name = f".{os.getpid()}-{secrets.token_hex(4)}{OWN_MARK}mode"
    fd = folder.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, wanted & _PERMISSIONS)
    try:
        return stat.S_IMODE(os.fstat(fd).st_mode)
    finally:
        os.close(fd)
        folder.unlink(name)


def _try_lock(fd: int, *, otherwise: bool) -> bool:
    try:
        return lock(fd)
    except OSError:  # no locks on this file system
        return otherwise
