"""A folder held open: every name in it is looked up in that folder, and nowhere else.

Where the system can (all but Windows), the folder is opened once and everything is done
relative to its descriptor: who renames the folder, or puts a symbolic link in its place, while
a file arrives, cannot move the writing elsewhere. No link in the folder is ever followed, be it
the last component or a folder on the way; only the folder itself may be one, the user's own.
Folders on the way are opened one by one, each relative to the one before, so that at no time a
path of several components is handed to the system. Who renames a folder that is open already
takes along what is written to it: that needs the user's rights, and is the user's wish.

The differences between systems are all in this file. Windows has no descriptors of folders:
there each folder on the way is looked at before it is used, and somebody who has the user's
rights there could put a link in its place between the two.

Only plain blocking calls: the sink runs them in threads.
"""

import errno
import itertools
import os
import stat
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Self

from rtcsend.errors import InternalError, UnsafePath
from rtcsend.files.names import OWN_MARK

if sys.platform != "win32":
    import fcntl

_HAS_DIR_FD = {
    *(os.open, os.stat, os.unlink, os.link, os.rename, os.mkdir, os.rmdir)
} <= os.supports_dir_fd
KEEPS_OPEN_FILES = sys.platform == "win32"
"""True where an open file can be neither renamed nor removed: there it is closed before."""

# No hard links on FAT, on some network and user-space file systems, and on Android.
_NO_LINKS = frozenset(
    {errno.EPERM, errno.EACCES, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP, errno.EMLINK}
)
# Some file systems cannot sync a folder, and need not.
_NO_FOLDER_SYNC = frozenset({errno.EINVAL, errno.EBADF, errno.EOPNOTSUPP, errno.ENOTSUP})
# What O_NOFOLLOW says of a link, with O_DIRECTORY: Linux the first, others the second.
_NO_FOLDER = frozenset({errno.ENOTDIR, errno.ELOOP, getattr(errno, "EFTYPE", errno.ELOOP)})
# IO_REPARSE_TAG_SYMLINK and IO_REPARSE_TAG_MOUNT_POINT: what leads elsewhere on Windows.
_WINDOWS_LINKS = frozenset({0xA000000C, 0xA0000003})
# With every file: not for children, no links, no waiting for a fifo, bytes as they are.
ALWAYS = (
    getattr(os, "O_CLOEXEC", 0)
    | getattr(os, "O_NOFOLLOW", 0)
    | getattr(os, "O_NONBLOCK", 0)
    | getattr(os, "O_BINARY", 0)
)
_MAX_TRIES = 8  # of making and opening a folder that somebody removes each time
_NOT_BARE = frozenset({"", ".", ".."})
_probes = itertools.count()
"""Numbers for files that come and go, so that two at once do not meet."""


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
        self._is_open = True
        if _HAS_DIR_FD:
            self._fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        elif not path.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def open_subfolder(
        self, components: Sequence[str], *, create: bool = False, sync: bool = True
    ) -> "Folder":
        """Open a folder inside this one, however deep; the caller closes it.

        Args:
            components: Safe names, from here downwards. None: this folder once more.
            create: Whether to make those that are missing, as the umask leaves them. What was
                made stays when a later one fails.
            sync: Whether a folder that was made lasts through a power cut at once. Without,
                :meth:`sync` of its parent is still to come.

        Raises:
            UnsafePath: One of them is a symbolic link, or a junction of Windows.
            OSError: One of them is missing or no folder, or not accessible.
            InternalError: A component is no bare name.
        """
        folder = self._again()
        for name in components:
            with folder:
                folder = folder._enter(name, create=create, sync=sync)
        return folder

    def close(self) -> None:
        """Let the folder go. May be called again."""
        fd, self._fd = self._fd, None
        self._is_open = False
        if fd is not None:
            os.close(fd)

    def open(self, name: str, flags: int, mode: int = 0o600) -> int:
        """Open a file in the folder; a symbolic link is an error (ELOOP), a fifo never blocks."""
        return os.open(self.at(name), flags | ALWAYS, mode, dir_fd=self._fd)

    def stat(self, name: str) -> os.stat_result | None:
        """Return the facts of the name itself, links not followed; None when it is not there."""
        try:
            return os.stat(self.at(name), dir_fd=self._fd, follow_symlinks=False)
        except FileNotFoundError:
            return None

    def is_folder(self, name: str) -> bool:
        """Return whether the name is a folder, and not a link to one."""
        facts = self.stat(name)
        return facts is not None and stat.S_ISDIR(facts.st_mode)

    def remove_folder(self, name: str) -> bool:
        """Remove a folder; return False when there is something in it."""
        try:
            os.rmdir(self.at(name), dir_fd=self._fd)
        except OSError as exc:
            if exc.errno not in {errno.ENOTEMPTY, errno.EEXIST}:
                raise
            return False
        return True

    def folds_case(self) -> bool:
        """Return whether names that differ in case alone are the same here.

        An empty file of our own comes and goes for it: what kind of file system it is tells
        nothing, since some of them have both kinds of folders.

        Raises:
            OSError: The folder cannot be written.
        """
        name = f".{os.getpid()}-{next(_probes)}{OWN_MARK}case"
        os.close(self.open(name, os.O_WRONLY | os.O_CREAT))
        try:
            return self.stat(name.upper()) is not None
        finally:
            self.unlink(name)

    def names(self, *, limit: int) -> list[str]:
        """Return the names in the folder, in no order, and not more than ``limit`` of them.

        Raises:
            OSError: The folder cannot be read.
        """
        self._check_open()
        with os.scandir(self.path if self._fd is None else self._fd) as entries:
            return [entry.name for entry in itertools.islice(entries, limit)]

    def unlink(self, name: str) -> None:
        """Remove a name; a symbolic link itself, not what it points to."""
        os.unlink(self.at(name), dir_fd=self._fd)

    def rename_over(self, old: str, new: str, *, to: "Folder | None" = None) -> None:
        """Rename atomically, into another folder if one is given; what was there is gone."""
        to = self if to is None else to
        os.replace(self.at(old), to.at(new), src_dir_fd=self._fd, dst_dir_fd=to.dir_fd)

    def rename_new(self, old: str, new: str, *, to: "Folder | None" = None) -> bool:
        """Rename a file, unless the new name exists: then return False. Replaces nothing."""
        to = self if to is None else to
        if sys.platform == "win32":
            return self._rename_windows(old, new, to)
        try:
            self._link(old, new, to)
        except FileExistsError:
            return False
        except OSError as exc:
            if exc.errno not in _NO_LINKS:
                raise
            return self._rename_over_placeholder(old, new, to)
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

    @property
    def dir_fd(self) -> int | None:
        """What goes with :meth:`at`; None where systems have no descriptors of folders."""
        return self._fd

    def at(self, name: str) -> str:
        """Return how the system is told a name here: with it goes ``dir_fd=self.dir_fd``."""
        if name in _NOT_BARE or "/" in name or "\0" in name or not _is_bare(name):
            raise InternalError("A name that is not safe came as far as the disk.")
        self._check_open()
        return name if self._fd is not None else str(self.path / name)

    def all_at(self, names: Sequence[str]) -> Sequence[str]:
        """Return how the system is told many names; as :meth:`at`, for less."""
        joined = "/".join(names)
        are_bare = _NOT_BARE.isdisjoint(names) and joined.count("/") == len(names) - 1
        if self._fd is None or not are_bare or "\0" in joined:
            return [self.at(name) for name in names]
        self._check_open()
        return names

    def _check_open(self) -> None:
        if not self._is_open:  # without its descriptor, the path may mean another folder by now
            raise InternalError("A folder was used after it was closed.")

    def _again(self) -> "Folder":
        self._check_open()
        return self._made(self.path, None if self._fd is None else os.dup(self._fd))

    def _made(self, path: Path, fd: int | None) -> "Folder":
        folder = type(self).__new__(type(self))
        folder.path, folder._fd, folder._is_open = path, fd, True
        return folder

    def _enter(self, name: str, *, create: bool, sync: bool) -> "Folder":
        """Open one folder in this one, and make it when it is missing."""
        for _ in range(_MAX_TRIES):
            try:
                return self._open_folder(name)
            except FileNotFoundError:
                if not create:
                    raise
            with suppress(FileExistsError):  # somebody was faster: it is looked at like any other
                os.mkdir(self.at(name), dir_fd=self._fd)
                if sync:
                    self.sync()
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))

    def _open_folder(self, name: str) -> "Folder":
        path = self.path / name
        if self._fd is None:
            return self._look_at_folder(name, path)
        flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
        try:
            return self._made(path, os.open(self.at(name), flags, dir_fd=self._fd))
        except OSError as exc:
            if exc.errno in _NO_FOLDER:
                # Refused in any case; this only says why.
                self._look_at_folder(name, path)
            raise

    def _look_at_folder(self, name: str, path: Path) -> "Folder":
        facts = os.stat(self.at(name), dir_fd=self._fd, follow_symlinks=False)
        tag = getattr(facts, "st_reparse_tag", 0)
        if stat.S_ISLNK(facts.st_mode) or tag in _WINDOWS_LINKS:
            raise UnsafePath(
                f"{path} is a link: nothing is written through it.",
                for_peer=f"The receiver has a link in place of the folder {name}.",
                hint="Remove the link, or receive into another folder.",
            )
        if not stat.S_ISDIR(facts.st_mode):
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
        return self._made(path, None)

    def _link(self, old: str, new: str, to: "Folder") -> None:
        os.link(
            self.at(old),
            to.at(new),
            src_dir_fd=self._fd,
            dst_dir_fd=to.dir_fd,
            follow_symlinks=False,
        )

    def _rename_over_placeholder(self, old: str, new: str, to: "Folder") -> bool:
        """Take the name with an empty file of our own, then rename over that.

        A crash between the two leaves the empty file; there is no better way without links
        that every system has.
        """
        try:
            os.close(to.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL))
        except FileExistsError:
            return False
        try:
            self.rename_over(old, new, to=to)
        except OSError:
            to.unlink(new)
            raise
        return True

    def _rename_windows(self, old: str, new: str, to: "Folder") -> bool:
        try:
            os.rename(self.at(old), to.at(new))  # noqa: PTH104  as all others here
        except FileExistsError:  # rename on Windows never replaces
            return False
        return True


def _is_bare(name: str) -> bool:
    """Return whether Windows too takes a name for one: no drive, no other separator."""
    return sys.platform != "win32" or Path(name).name == name


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
