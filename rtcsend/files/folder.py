"""A folder held open: every name in it is looked up in that folder, and nowhere else.

Where the system can (all but Windows), the folder is opened once and everything is done
relative to its descriptor: who renames the folder, or puts a symbolic link in its place, while
a file arrives, cannot move the writing elsewhere. The last component is never followed. The
differences between systems are all in this file. Only plain blocking calls: the sink runs them
in threads.
"""

import errno
import os
import stat
import sys
from pathlib import Path

if sys.platform != "win32":
    import fcntl

_HAS_DIR_FD = {os.open, os.stat, os.unlink, os.link, os.rename} <= os.supports_dir_fd
KEEPS_OPEN_FILES = sys.platform == "win32"
"""True where an open file can be neither renamed nor removed: there it is closed before."""

# No hard links on FAT, on some network and user-space file systems, and on Android.
_NO_LINKS = frozenset(
    {errno.EPERM, errno.EACCES, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP, errno.EMLINK}
)
# Some file systems cannot sync a folder, and need not.
_NO_FOLDER_SYNC = frozenset({errno.EINVAL, errno.EBADF, errno.EOPNOTSUPP, errno.ENOTSUP})


class Folder:
    """The folder that files are written into.

    Args:
        path: An existing folder. It may be a symbolic link: it is the user's own.

    Raises:
        OSError: It is missing, not a folder, or not accessible.
        ValueError: The path has NUL in it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._fd: int | None = None
        if _HAS_DIR_FD:
            self._fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        elif not path.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))

    def close(self) -> None:
        """Let the folder go. May be called again."""
        fd, self._fd = self._fd, None
        if fd is not None:
            os.close(fd)

    def open(self, name: str, flags: int, mode: int = 0o600) -> int:
        """Open a file in the folder; a symbolic link is an error (ELOOP), a fifo never blocks."""
        flags |= getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NOFOLLOW", 0)
        flags |= getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
        return os.open(self._at(name), flags, mode, dir_fd=self._fd)

    def stat(self, name: str) -> os.stat_result | None:
        """Return the facts of the name itself, links not followed; None when it is not there."""
        try:
            return os.stat(self._at(name), dir_fd=self._fd, follow_symlinks=False)
        except FileNotFoundError:
            return None

    def is_folder(self, name: str) -> bool:
        """Return whether the name is a folder, and not a link to one."""
        facts = self.stat(name)
        return facts is not None and stat.S_ISDIR(facts.st_mode)

    def unlink(self, name: str) -> None:
        """Remove a name; a symbolic link itself, not what it points to."""
        os.unlink(self._at(name), dir_fd=self._fd)

    def rename_over(self, old: str, new: str) -> None:
        """Rename atomically; what had the new name before is gone."""
        os.replace(self._at(old), self._at(new), src_dir_fd=self._fd, dst_dir_fd=self._fd)

    def rename_new(self, old: str, new: str) -> bool:
        """Rename, unless the new name exists: then return False. Never replaces anything."""
        if sys.platform == "win32":
            return self._rename_windows(old, new)
        try:
            self._link(old, new)
        except FileExistsError:
            return False
        except OSError as exc:
            if exc.errno not in _NO_LINKS:
                raise
            return self._rename_over_placeholder(old, new)
        self.unlink(old)
        return True

    def sync(self) -> None:
        """Make the folder's names last through a power cut, where the system can."""
        if self._fd is None:
            return
        try:
            os.fsync(self._fd)
        except OSError as exc:
            if exc.errno not in _NO_FOLDER_SYNC:
                raise

    def _at(self, name: str) -> str:
        return name if self._fd is not None else str(self.path / name)

    def _link(self, old: str, new: str) -> None:
        os.link(
            self._at(old),
            self._at(new),
            src_dir_fd=self._fd,
            dst_dir_fd=self._fd,
            follow_symlinks=False,
        )

    def _rename_over_placeholder(self, old: str, new: str) -> bool:
        """Take the name with an empty file of our own, then rename over that.

        A crash between the two leaves the empty file; there is no better way without links
        that every system has.
        """
        try:
            os.close(self.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL))
        except FileExistsError:
            return False
        try:
            self.rename_over(old, new)
        except OSError:
            self.unlink(new)
            raise
        return True

    def _rename_windows(self, old: str, new: str) -> bool:
        try:
            os.rename(self._at(old), self._at(new))  # noqa: PTH104  as all others here
        except FileExistsError:  # rename on Windows never replaces
            return False
        return True


def shown(path: Path) -> str:
    """Return how errors call a folder; a lone dot would be lost at the end of a sentence."""
    return "the current folder" if path == Path() else str(path)


def lock(fd: int) -> bool:
    """Mark an open file as in use by this process; return False when another holds it.

    The mark goes with the descriptor, however the process ends. On Windows there is no such
    lock, and the answer is True: open files cannot be removed there anyway.

    Raises:
        OSError: The file system has no locks.
    """
    if sys.platform == "win32":
        return True
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
