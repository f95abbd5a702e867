"""``rtcsend`` that writes down its peak of memory, on a disk that may be slow.

::

    PEAK_FILE=peak.txt SECONDS_PER_BLOCK=0.4 python -m tests.e2e.weighed receive …

A block is 1 MiB. Linux.
"""

import os
import time
from pathlib import Path

from rtcsend.blocks import BLOCK_SIZE
from rtcsend.cli.main import run
from rtcsend.files.store import Store


def make_disk_slow(seconds: float) -> None:
    """Let each block take so much longer; the event loop is free meanwhile, as it is in truth."""
    write = Store.write

    def write_slowly(self: Store, data: memoryview, position: int) -> tuple[int, OSError | None]:
        time.sleep(seconds * len(data) / BLOCK_SIZE)  # in the disk's own thread
        return write(self, data, position)

    Store.write = write_slowly  # type: ignore[method-assign]  # on purpose


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
