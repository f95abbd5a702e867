"""Rendezvous servers of this machine and user, found through files.

    $XDG_RUNTIME_DIR/rtcsend/42-12345.json      nameplate 42, in process 12345
    {"v":1,"url":"ws://127.0.0.1:40123/v1"}

A sender that waits for a known machine announces a note in the place of a nameplate: 38
characters that mean something to that machine alone (:mod:`rtcsend.pairing.doors`).

Where there is no such variable, the folder is ``rtcsend-UID`` in the temporary folder,
which is everybody's: it is used only when it is a real folder, ours, and closed to others.
So nobody else can read which nameplates wait here, or lead a receiver to another server.

Shell; small files, read and written at once. Source:
docs/rendezvous-protocol.md, "Finding a server".
"""

import contextlib
import json
import logging
import os
import re
import stat
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from rtcsend.errors import UsageError
from rtcsend.rendezvous.messages import NOTE_LENGTH, is_nameplate
from rtcsend.rendezvous.server_url import normalise_server_url

MAX_FILE = 4_096  # bytes; a URL has 2,048 at most
MAX_FILES = 1_000  # looked at in one folder; more is not ours
PRIVATE_FOLDER = 0o700

_NAME = re.compile(
    rf"(?P<name>[1-9][0-9]{{0,8}}|[A-Za-z0-9_-]{{{NOTE_LENGTH}}})-(?P<pid>[1-9][0-9]{{0,9}})\.json",
    re.ASCII,
)
_log = logging.getLogger("rtcsend.rendezvous.local")


@contextlib.contextmanager
def announce_local(nameplate: str, url: str) -> Iterator[None]:
    """Let receivers of this machine and user find ``url`` for as long as the context lasts.

    ``nameplate`` may be a note as well.

    What goes wrong is logged and ignored: ``--server`` always works.
    """
    path: Path | None = None
    try:
        path = _write(nameplate, url)
    except OSError as exc:
        _log.info("! not announced on this machine: %s", exc.strerror)
    try:
        yield
    finally:
        if path is not None:
            with contextlib.suppress(OSError):
                path.unlink()


def find_local(nameplate: str) -> list[str]:
    """Return the URLs that processes of this machine announce for ``nameplate``."""
    urls = []
    for found, path in _announcements():
        url = _read_untrusted(path) if found == nameplate else None
        if url is not None and url not in urls:
            urls.append(url)
    return urls


def local_nameplates() -> set[str]:
    """Return what processes of this machine announce."""
    return {name for name, _ in _announcements() if is_nameplate(name)}


def any_local() -> bool:
    """Return whether any process of this machine announces a nameplate."""
    return bool(local_nameplates())


def local_notes() -> list[tuple[str, str]]:
    """Return the notes that processes of this machine announce, each with its URL."""
    found = [(name, path) for name, path in _announcements() if not is_nameplate(name)]
    read = [(name, _read_untrusted(path)) for name, path in found]
    return [(name, url) for name, url in read if url is not None]


def _announcements() -> Iterator[tuple[str, Path]]:
    """Yield nameplate (or note) and file of each living process; remove the files of dead ones."""
    for folder in _folders():
        if not _is_private(folder):
            continue
        try:
            paths = [path for _, path in zip(range(MAX_FILES), folder.iterdir(), strict=False)]
        except OSError:
            continue
        for path in sorted(paths):
            match = _NAME.fullmatch(path.name)
            if match is None:
                continue
            if _is_alive(int(match["pid"])):
                yield match["name"], path
            else:
                with contextlib.suppress(OSError):
                    path.unlink()


def _folders() -> list[Path]:
    """Return where announcements may be, the best place first.

    Both are read: a sender's session may have had XDG_RUNTIME_DIR when the receiver's has not.
    """
    folders = []
    runtime = os.environ.get("XDG_RUNTIME_DIR", "")
    if runtime and Path(runtime).is_absolute():
        folders.append(Path(runtime) / "rtcsend")
    # Windows has no user numbers, and a temporary folder for each user.
    user = "user" if sys.platform == "win32" else str(os.getuid())
    folders.append(Path(tempfile.gettempdir()) / f"rtcsend-{user}")
    return folders


def _is_private(folder: Path) -> bool:
    """Return whether ``folder`` is a real folder, ours, and closed to everybody else."""
    try:
        status = folder.lstat()
    except OSError:
        return False
    if not stat.S_ISDIR(status.st_mode):
        return False
    if sys.platform == "win32":
        return True
    return status.st_uid == os.getuid() and not stat.S_IMODE(status.st_mode) & 0o077


def _usable_folder() -> Path:
    """Return the first folder that can be had and is private.

    Raises:
        OSError: There is none.
    """
    for folder in _folders():
        with contextlib.suppress(OSError):
            folder.mkdir(mode=PRIVATE_FOLDER)
        if _is_private(folder):
            return folder
    raise PermissionError(0, "no private folder for announcements")


def _write(nameplate: str, url: str) -> Path:
    """Write the announcement so that it is either whole or not there, and return its path.

    Raises:
        OSError: It cannot be written.
    """
    folder = _usable_folder()
    path = folder / f"{nameplate}-{os.getpid()}.json"
    # Made with mode 0600 and O_EXCL; the name is none that _NAME matches.
    descriptor, temporary = tempfile.mkstemp(prefix=".new-", dir=folder)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            json.dump({"v": 1, "url": url}, file)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    return path


def _read_untrusted(path: Path) -> str | None:
    """Return the URL of an announcement, or None when it is not one."""
    try:
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | _NONBLOCK)
        with os.fdopen(descriptor, "rb") as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                return None
            data = file.read(MAX_FILE + 1)
    except OSError:
        return None
    if len(data) > MAX_FILE:
        return None
    try:
        value = json.loads(data)
        url = value.get("url") if isinstance(value, dict) and value.get("v") == 1 else None
        return normalise_server_url(url) if isinstance(url, str) else None
    except (ValueError, RecursionError, UsageError):
        return None


_NONBLOCK = getattr(os, "O_NONBLOCK", 0)  # opening a named pipe must not wait for a writer


if sys.platform == "win32":
    import ctypes

    _SYNCHRONIZE = 0x0010_0000  # the least right with which a process can be opened

    def _is_alive(pid: int) -> bool:
        """Return whether there is such a process; os.kill(pid, 0) would end it on Windows."""
        handle = ctypes.windll.kernel32.OpenProcess(_SYNCHRONIZE, False, pid)
        if not handle:
            return False
        ctypes.windll.kernel32.CloseHandle(handle)
        return True

else:

    def _is_alive(pid: int) -> bool:
        """Return whether there is such a process; signal 0 only asks. Source: POSIX kill()."""
        try:
            os.kill(pid, 0)
        except PermissionError:
            return True  # another user's
        except (ProcessLookupError, OverflowError):
            return False
        return True
