"""``rtcsend`` that writes down its peak of memory, on a disk that may be slow.

::

    PEAK_FILE=peak.txt SECONDS_PER_BLOCK=0.4 python -m tests.e2e.weighed receive …

A block is 1 MiB. Linux.
"""

import asyncio
import os
import time
from pathlib import Path

from rtcsend.cli.main import run
from rtcsend.files.sink import FileSink


def make_disk_slow(seconds: float) -> None:
    """Let each block take so much longer; the event loop is free meanwhile, as it is in truth."""
    store = FileSink._store

    async def store_slowly(self: FileSink, block: bytearray) -> None:
        await asyncio.to_thread(time.sleep, seconds)
        await store(self, block)

    FileSink._store = store_slowly  # type: ignore[method-assign]  # on purpose


def peak_rss() -> int:
    """Return the largest resident set that this process has had, in bytes."""
    status = Path("/proc/self/status").read_text()
    line = next(line for line in status.splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) * 1024


if __name__ == "__main__":
    if slowness := float(os.environ.get("SECONDS_PER_BLOCK", "0")):
        make_disk_slow(slowness)
    try:
        run()
    finally:
        Path(os.environ["PEAK_FILE"]).write_text(str(peak_rss()))
