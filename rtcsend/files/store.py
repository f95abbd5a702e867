"""Writing pieces of one file at their places, past the page cache where that is cheaper [shell].

A large file that arrives is not read again soon. Through the page cache its bytes are copied
once more, other files are pushed out, and the writer is made to wait when too much is dirty;
with O_DIRECT (Linux, most local file systems) the disk takes them from the ring, and what is
written is on its way to the medium. It wants positions and lengths that are multiples of the
disk's sector: the ends that are not go through the cache. Where O_DIRECT is refused once, it is
not tried again. Runs of zeros behind the end of what is there are left out: a sparse file stays
one.

Plain blocking calls, of one thread.
"""

import logging
import os
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from rtcsend.files.holes import next_run
from rtcsend.files.positional import write_at

DIRECT_MINIMUM: Final = 64 << 20  # bytes of a file; smaller ones are often read again at once
ALIGNMENT: Final = 4096  # bytes; a sector of today's disks, and a page

O_DIRECT: Final[int] = getattr(os, "O_DIRECT", 0)

logger = logging.getLogger("rtcsend.files")


class Store:
    """Writes at positions, in the thread of the file.

    Args:
        fd: Open for writing; not closed here.
        open_direct: Opens the same file with O_DIRECT; None when it is not to be tried.
    """

    def __init__(self, fd: int, *, open_direct: Callable[[], int] | None) -> None:
        self._fd = fd
        self._open_direct = open_direct
        self._direct: int | None = None
        self._failed = False
        self._length = os.fstat(fd).st_size

    def write(self, data: memoryview, position: int) -> tuple[int, OSError | None]:
        """Write all of the data; return how much was written, and why not more.

        After a failure nothing more is written: it would leave a hole.
        """
        rest = data
        try:
            while rest and not self._failed:
                length, is_hole = next_run(rest)
                put = self._leave_out if is_hole else self._write_some
                rest = rest[put(rest[:length], position + len(data) - len(rest)) :]
        except OSError as exc:
            self._failed = True
            return len(data) - len(rest), exc
        return len(data) - len(rest), None

    def close(self) -> None:
        """Close what was opened here; after the last job."""
        fd, self._direct, self._open_direct = self._direct, None, None
        if fd is not None:
            with suppress(OSError):
                os.close(fd)

    def _leave_out(self, zeros: memoryview, position: int) -> int:
        """Let the file become longer by zeros; where it has something already, write them."""
        if position < self._length:
            return self._write_some(zeros, position)
        self._length = position + len(zeros)
        os.ftruncate(self._fd, self._length)
        return len(zeros)

    def _write_some(self, data: memoryview, position: int) -> int:
        count = self._write_at(data, position)
        self._length = max(self._length, position + count)
        return count

    def _write_at(self, data: memoryview, position: int) -> int:
        odd = position % ALIGNMENT
        if odd:
            return write_at(self._fd, data[: ALIGNMENT - odd], position)
        whole = len(data) - len(data) % ALIGNMENT
        if whole and (fd := self._direct_fd()) is not None:
            try:
                return write_at(fd, data[:whole], position)
            except OSError as exc:
                # Refused here; or the disk is full, and through the cache it takes what still
                # fits. A disk that fails does so again.
                logger.debug("= no more O_DIRECT here: %s", exc.strerror)
                self.close()
        return write_at(self._fd, data, position)

    def _direct_fd(self) -> int | None:
        opener, self._open_direct = self._open_direct, None
        if opener is not None:
            with suppress(OSError):
                self._direct = opener()
        return self._direct
