"""Reading and writing at a position, on every system [shell].

Several threads use one descriptor here, and none of them moves the others' place in the file.
Windows has no ``pread`` and ``pwrite``: there a lock makes one step of seeking and reading.
Only plain blocking calls.
"""

import errno
import os
import threading
from collections.abc import Callable

_seeking = threading.Lock()  # one for all files: where it is needed, speed is not what counts


def _seek_and_read(fd: int, count: int, offset: int) -> bytes:
    with _seeking:
        os.lseek(fd, offset, os.SEEK_SET)
        return os.read(fd, count)


def _seek_and_write(fd: int, data: memoryview, offset: int) -> int:
    with _seeking:
        os.lseek(fd, offset, os.SEEK_SET)
        return os.write(fd, data)


read_at: Callable[[int, int, int], bytes] = getattr(os, "pread", _seek_and_read)
"""``read_at(fd, count, offset)``: up to ``count`` bytes; fewer at the end of the file."""

write_at: Callable[[int, memoryview, int], int] = getattr(os, "pwrite", _seek_and_write)
"""``write_at(fd, data, offset)``: how many bytes were written."""

# Of a file system that cannot be asked; what it was given is then as safe as it gets.
_NO_SYNC = frozenset({errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP})


def sync_data(fd: int) -> None:
    """Wait until the disk has the content of a file, and what is needed to find it.

    Raises:
        OSError: The disk fails; also for what was written before, and only once.
    """
    _unless_impossible(getattr(os, "fdatasync", os.fsync), fd)


def sync_all(fd: int) -> None:
    """Wait until the disk has a file, with its permissions and times.

    Raises:
        OSError: As for :func:`sync_data`.
    """
    _unless_impossible(os.fsync, fd)


def _unless_impossible(sync: Callable[[int], None], fd: int) -> None:
    try:
        sync(fd)
    except OSError as exc:
        if exc.errno not in _NO_SYNC:
            raise


def read_whole(fd: int, count: int, offset: int) -> bytes:
    """Return ``count`` bytes from ``offset``; fewer only when the file ends there.

    Raises:
        OSError: The disk fails.
    """
    data = read_at(fd, count, offset)
    if len(data) in (0, count):
        return data
    pieces = [data]
    while data and (count := count - len(data)):
        offset += len(data)
        data = read_at(fd, count, offset)
        pieces.append(data)
    return b"".join(pieces)
