"""What a tree needs of a folder besides what a single file does [shell].

As in :mod:`rtcsend.files.folder`: relative to descriptors, and no link is ever followed. Plain
blocking calls.
"""

import errno
import os
import shutil
import stat
import sys
from contextlib import suppress
from typing import Final

from rtcsend.files.folder import Folder, lock
from rtcsend.files.permissions import ALL

# What file systems without symbolic links say, and Windows to whom it does not trust with them.
_NO_LINKS: Final = frozenset(
    {errno.EPERM, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP, errno.EINVAL}
)


def make_folder(folder: Folder, name: str) -> None:
    """Make a folder, with the permissions that the umask leaves.

    Raises:
        FileExistsError: The name is taken.
        OSError: The folder cannot be written.
    """
    os.mkdir(folder.at(name), dir_fd=folder.dir_fd)


def facts_of(folder: Folder) -> os.stat_result:
    """Return the facts of an open folder itself."""
    return folder.path.stat() if folder.dir_fd is None else os.fstat(folder.dir_fd)


def lock_folder(folder: Folder) -> bool:
    """Mark an open folder as in use by this process; return False when another holds it."""
    if folder.dir_fd is None:
        return True
    with suppress(OSError):  # no locks on this file system
        return lock(folder.dir_fd)
    return True


def remove_tree(folder: Folder, name: str) -> None:
    """Remove a name, with all that is in it.

    Raises:
        OSError: Something cannot be removed.
    """
    if not folder.is_folder(name):
        folder.unlink(name)
    elif folder.dir_fd is None:
        shutil.rmtree(folder.at(name))
    else:
        shutil.rmtree(folder.at(name), dir_fd=folder.dir_fd)


def make_writable(folder: Folder, name: str) -> None:
    """Give ourselves a file back that an earlier run has made and closed to itself.

    Raises:
        OSError: It is not ours.
    """
    os.chmod(folder.at(name), 0o600, dir_fd=folder.dir_fd)


def make_link(folder: Folder, name: str, target: str) -> bool:
    """Make a symbolic link; return False where there can be none.

    Raises:
        OSError: The folder cannot be written.
    """
    try:
        os.symlink(target, folder.at(name), dir_fd=folder.dir_fd)
    except FileExistsError:
        raise
    except OSError as exc:
        if exc.errno not in _NO_LINKS and sys.platform != "win32":
            raise
        return False
    return True


def set_link_times(folder: Folder, name: str, mtime_ns: int) -> None:
    """Set the time of change of a link itself, where the system can."""
    if os.utime in os.supports_follow_symlinks:
        with suppress(OSError, OverflowError):
            times = (mtime_ns, mtime_ns)
            os.utime(folder.at(name), ns=times, dir_fd=folder.dir_fd, follow_symlinks=False)


def set_folder_mode(folder: Folder, mode: int) -> None:
    """Set the permission bits of an open folder; what it has inherited besides stays.

    Raises:
        OSError: That is not allowed.
    """
    if folder.dir_fd is not None:
        now = stat.S_IMODE(facts_of(folder).st_mode)
        if now & ALL != mode:
            os.fchmod(folder.dir_fd, now & ~ALL | mode)


def set_folder_times(folder: Folder, mtime_ns: int) -> None:
    """Set the time of change of an open folder, where the system can."""
    with suppress(OSError, OverflowError):
        place = folder.path if folder.dir_fd is None else folder.dir_fd
        os.utime(place, ns=(mtime_ns, mtime_ns))


def move_new(folder: Folder, name: str, to: Folder, new: str) -> bool:
    """Move a name into another folder, unless something is there: then return False.

    Between the look and the move of a folder or link, somebody could put something there: an
    empty folder, or a link, would be replaced.

    Raises:
        OSError: One of the folders cannot be written.
    """
    facts = folder.stat(name)
    if facts is not None and stat.S_ISREG(facts.st_mode):
        return folder.rename_new(name, new, to=to)
    if to.stat(new) is not None:
        return False
    try:
        os.rename(folder.at(name), to.at(new), src_dir_fd=folder.dir_fd, dst_dir_fd=to.dir_fd)
    except OSError as exc:
        if exc.errno not in {errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR, errno.EISDIR}:
            raise
        return False
    return True
