"""Room in a pipe, so that whole pieces of a fast stream pass through it at once [shell].

A pipe of Linux holds 64 KiB, and a read or write of more is cut to that, each with a switch between
two programs. Other systems grow their pipes by themselves, or not at all.
"""

import os
import stat
import sys
from contextlib import suppress
from typing import Final

if sys.platform == "linux":
    import fcntl

PIPE_SIZE: Final = 1 << 20  # bytes; what Linux lets everybody have, /proc/sys/fs/pipe-max-size


def widen_pipe(fd: int) -> None:
    """Make a pipe as large as that, if it is one; it stays as it is where that is not allowed."""
    if sys.platform != "linux":
        return
    with suppress(OSError):
        if stat.S_ISFIFO(os.fstat(fd).st_mode):
            fcntl.fcntl(fd, fcntl.F_SETPIPE_SZ, PIPE_SIZE)
