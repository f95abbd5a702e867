"""Small files that nobody else may read or change [shell].

Folders 0700, files 0600, both of this user; anything else is refused and not repaired, since
others may have read what is there. Written whole or not at all, and synced. Plain blocking calls on
files of a few hundred bytes.
"""

import os
import stat
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Final

from rtcsend.errors import CannotRead, CannotWrite

FOLDER_MODE: Final = 0o700
_OTHERS: Final = 0o077
_NOFOLLOW: Final = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
_IS_POSIX: Final = sys.platform != "win32"


def make_folder(folder: Path) -> None:
    """Make a folder and those above it, as far as they are missing; check it.

    Raises:
        CannotRead: It is another user's, or open to others.
        CannotWrite: It cannot be made.
    """
    try:
        folder.parent.mkdir(parents=True, exist_ok=True, mode=FOLDER_MODE)
        with suppress(FileExistsError):
            folder.mkdir(mode=FOLDER_MODE)
        status = folder.lstat()
    except OSError as exc:
        raise _unwritable(folder, exc) from exc
    _check(folder, status, is_kind=stat.S_ISDIR(status.st_mode), kind="folder")


def check_folder(folder: Path) -> bool:
    """Return whether the folder is there.

    Raises:
        CannotRead: It is another user's, or open to others, or no folder.
    """
    try:
        status = folder.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as exc:
        raise _unreadable(folder, exc) from exc
    _check(folder, status, is_kind=stat.S_ISDIR(status.st_mode), kind="folder")
    return True


class TooLong(CannotRead):
    """A file of this user's has more in it than rtcsend ever wrote."""


def read_private(path: Path, *, max_size: int) -> tuple[bytes, int] | None:
    """Return what is in a file, and when it was changed (s); None when it is not there.

    Raises:
        CannotRead: It is another user's, or open to others, or cannot be read.
        TooLong: It is too long.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | _NOFOLLOW)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as exc:
        raise _unreadable(path, exc) from exc
    with os.fdopen(descriptor, "rb") as file:
        status = os.fstat(descriptor)
        _check(path, status, is_kind=stat.S_ISREG(status.st_mode), kind="file")
        try:
            data = file.read(max_size + 1)
        except OSError as exc:
            raise _unreadable(path, exc) from exc
    if len(data) > max_size:
        raise TooLong(f"The file {path} is too long.", hint="It is none of rtcsend's.")
    return data, int(status.st_mtime)


def write_new(path: Path, data: bytes) -> bool:
    """Write a file that is not there yet; return False when it is.

    Raises:
        CannotWrite: It cannot be written.
    """
    try:
        temporary = _write_temporary(path.parent, data)
        try:
            _put_in_place(temporary, path)
        except FileExistsError:
            return False
        finally:
            with suppress(FileNotFoundError):
                temporary.unlink()
        _sync_folder(path.parent)
    except OSError as exc:
        raise _unwritable(path, exc) from exc
    return True


def write_over(path: Path, data: bytes) -> None:
    """Write a file in the place of the one that may be there.

    Raises:
        CannotWrite: It cannot be written.
    """
    try:
        temporary = _write_temporary(path.parent, data)
        try:
            temporary.replace(path)
        except OSError:
            with suppress(OSError):
                temporary.unlink()
            raise
        _sync_folder(path.parent)
    except OSError as exc:
        raise _unwritable(path, exc) from exc


def remove(path: Path) -> bool:
    """Remove a file; return False when it is not there.

    Raises:
        CannotWrite: It cannot be removed.
    """
    try:
        path.unlink()
        _sync_folder(path.parent)
    except FileNotFoundError:
        return False
    except OSError as exc:
        raise _unwritable(path, exc) from exc
    return True


def _write_temporary(folder: Path, data: bytes) -> Path:
    # mkstemp: mode 0600, O_EXCL, a name that nobody knows before.
    descriptor, name = tempfile.mkstemp(prefix=".new-", dir=folder)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(descriptor)
    except BaseException:
        with suppress(OSError):
            os.unlink(name)  # noqa: PTH108 - as mkstemp gave it
        raise
    return Path(name)


def _put_in_place(temporary: Path, path: Path) -> None:
    """Give the file its name, if nobody has it: by a second name, where the file system has such.

    Raises:
        FileExistsError: Somebody has it.
    """
    if _IS_POSIX:
        try:
            os.link(temporary, path)
        except FileExistsError:
            raise
        except OSError:  # a file system without hard links: two at once are not told apart
            if path.exists():
                raise FileExistsError from None
        else:
            return
    temporary.rename(path)  # on Windows fails when the name is taken


def _sync_folder(folder: Path) -> None:
    if not _IS_POSIX:
        return
    descriptor = os.open(folder, os.O_RDONLY | getattr(os, "O_DIRECTORY", 0))
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _check(path: Path, status: os.stat_result, *, is_kind: bool, kind: str) -> None:
    if not is_kind:
        raise CannotRead(f"{path} is no {kind}.", hint="Move it away: rtcsend keeps keys there.")
    if not _IS_POSIX:
        return
    if status.st_uid != os.geteuid():
        raise CannotRead(
            f"The {kind} {path} belongs to another user.",
            hint="It holds keys: it has to be this user's own.",
        )
    mode = stat.S_IMODE(status.st_mode)
    if mode & _OTHERS:
        right = "700" if kind == "folder" else "600"
        raise CannotRead(
            f"The {kind} {path} is open to other users: its permissions are {mode:o}.",
            hint=f"Run “chmod {right} {path}”; if others may have read the keys, pair again.",
        )


def _unreadable(path: Path, exc: OSError) -> CannotRead:
    return CannotRead(
        f"{path} cannot be read: {exc.strerror}.", hint="It holds the keys of known machines."
    )


def _unwritable(path: Path, exc: OSError) -> CannotWrite:
    return CannotWrite(
        f"{path} cannot be written: {exc.strerror}.",
        hint="It holds the keys of known machines: check the folder, and the space on the disk.",
    )
