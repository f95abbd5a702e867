"""Before the first byte: what can be known of the place for a file, and how it is taken [shell].

Nothing is made before the user has said yes: :func:`free_space` and :func:`target_exists` only
look. Place in the flow: the receiver's decision asks, then :mod:`rtcsend.files.sink` opens.
"""

import asyncio
import errno
import os
import shutil
from pathlib import Path

from rtcsend.files.folder import Folder
from rtcsend.files.jobs import run_to_end
from rtcsend.files.leftovers import bytes_there, claim_partial
from rtcsend.files.partial import (
    PartialFile,
    already_there,
    create_partial,
    mode_of_new_files,
)
from rtcsend.files.store import O_DIRECT
from rtcsend.options import Conflict


async def free_space(folder: Path, name: str, *, size: int, sample: str) -> int | None:
    """Return how many bytes a file of this user may still take there; None if nobody knows.

    What an earlier run has left of it counts as free.
    """

    def look() -> int:
        with Folder(folder) as opened:
            return shutil.disk_usage(folder).free + bytes_there(
                opened, name, size=size, sample=sample
            )

    try:
        return await run_to_end(asyncio.to_thread(look))
    except (OSError, ValueError):
        return None


def target_exists(folder: Path, name: str) -> bool:
    """Return whether the name is taken, be it by a symbolic link to nothing."""
    return os.path.lexists(folder / name)


def prepare(
    path: Path,
    name: str,
    *,
    size: int,
    sample: str,
    conflict: Conflict,
    mode: int | None,
    preserve: bool,
) -> tuple[Folder, PartialFile]:
    """Open the folder, and in it what an earlier run has left, or a new partial file.

    A blocking call; arguments and errors are those of ``FileSink.create``, errors of the disk
    as they come.
    """
    folder = Folder(path)
    try:
        _check_target(folder, name, conflict)
        if mode is not None and not preserve:
            mode = mode_of_new_files(folder, mode)
        return folder, claim_partial(folder, name, size=size, sample=sample, mode=mode)
    except BaseException:
        folder.close()
        raise


def prepare_new(path: Path, name: str, *, conflict: Conflict) -> tuple[Folder, PartialFile]:
    """Open the folder, and in it a new partial file: for what no run can go on with.

    A blocking call; arguments and errors are those of :func:`prepare`.
    """
    folder = Folder(path)
    try:
        _check_target(folder, name, conflict)
        return folder, create_partial(folder, name, mode=None)
    except BaseException:
        folder.close()
        raise


def open_direct_again(folder: Folder, partial_file: PartialFile) -> int:
    """Open the partial file once more; what has its name by now must be that file."""
    fd = folder.open(partial_file.name, os.O_WRONLY | O_DIRECT)
    if os.path.samestat(os.fstat(fd), os.fstat(partial_file.fd)):
        return fd
    os.close(fd)
    raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))


def _check_target(folder: Folder, name: str, conflict: Conflict) -> None:
    """Say early what would fail at the end; the end checks again, in one step with the rename."""
    if conflict is Conflict.RENAME or folder.stat(name) is None:
        return
    if conflict is not Conflict.OVERWRITE:
        raise already_there(folder, name)
    if folder.is_folder(name):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
