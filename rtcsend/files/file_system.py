"""Asking a whole file system to keep what it was given [shell].

One call for a hundred thousand files, where each fsync would wait for the disk. Python has no
``syncfs`` (Linux); the C library has. Errors of earlier writes are reported by it since Linux
5.8, as by fsync. Plain blocking calls.
"""

import ctypes
import os
import sys
from typing import Final


def _find_syncfs() -> "ctypes._NamedFuncPointer | None":
    if sys.platform != "linux":
        return None
    try:
        return ctypes.CDLL(None, use_errno=True).syncfs
    except (OSError, AttributeError):
        return None


_SYNCFS: Final = _find_syncfs()
CAN_SYNC: Final = _SYNCFS is not None
"""Whether there is such a call; without it each file is to be synced by itself."""


def sync_file_system(fd: int) -> None:
    """Wait until the disk has all that was written to the file system of an open file.

    Raises:
        OSError: The disk fails, or has failed since the file was opened.
    """
    if _SYNCFS is not None and _SYNCFS(fd):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
