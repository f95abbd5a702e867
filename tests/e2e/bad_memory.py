"""``rtcsend`` whose memory changes one bit of what arrives, at the position FLIP of the stream.

FLIP=1000 python -m tests.e2e.bad_memory receive …
"""

import os

from rtcsend.cli.main import run
from rtcsend.files.tree_writer import TreeWriter

_FLIP = int(os.environ["FLIP"])
_write = TreeWriter.write


def write(self: TreeWriter, data: memoryview, position: int) -> tuple[int, OSError | None]:
    at = _FLIP - position
    if 0 <= at < len(data):
        changed = bytearray(data)
        changed[at] ^= 1
        data = memoryview(changed)
    return _write(self, data, position)


if __name__ == "__main__":
    TreeWriter.write = write  # type: ignore[method-assign]  # on purpose
    run()
