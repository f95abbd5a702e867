"""How this process keeps its memory, for a program that moves much through little of it.

Buffers of 64 KiB come and go by the thousand each second. The C library's allocator gives
the top of its heap back to the system as soon as 128 KiB are free there, and takes it again a
moment later, each page with a fault: that was a third of the processor time of a transfer. And
the garbage collector walks through what was imported again and again, and finds nothing.

Only for processes of our own: the settings are the whole process's, so a library must not.
"""

import ctypes
import gc
import sys
from typing import Final

KEPT: Final = 16 << 20  # bytes; freed memory that stays with the process
MMAP_THRESHOLD: Final = 4 << 20  # bytes; larger blocks are pages of their own, and go at once
COLLECT_AFTER: Final = 20_000  # allocations; a transfer makes no cycles, so seldom is enough
IMPORTED: Final = 100_000  # objects, which stay: more than any command imports

_M_TRIM_THRESHOLD: Final = -1  # mallopt(3), <malloc.h> of the GNU C library
_M_MMAP_THRESHOLD: Final = -3


_USUAL: Final = gc.get_threshold()


def import_first() -> None:
    """Collect no garbage before a command has been imported: there is none."""
    gc.set_threshold(IMPORTED)


def collect_as_usual() -> None:
    """Collect garbage as Python does: for a process that stays."""
    gc.set_threshold(*_USUAL)


def tune_memory() -> None:
    """Keep freed memory at hand, and leave what is there by now out of garbage collection."""
    if sys.platform == "linux":
        # Another C library than GNU's may lack it.
        mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
        if mallopt is not None:
            mallopt(_M_TRIM_THRESHOLD, KEPT)
            mallopt(_M_MMAP_THRESHOLD, MMAP_THRESHOLD)
    gc.freeze()
    gc.set_threshold(COLLECT_AFTER)
