"""``rtcsend`` with a disk that writes nothing until the transfer is given up.

python -m tests.e2e.hostile.stuck_disk receive …
"""

import threading
from typing import Any

from rtcsend.cli.main import run
from rtcsend.files.sink import FileSink
from rtcsend.files.store import Store

_given_up = threading.Event()
_write = Store.write
_abandon = FileSink.abandon


def write(self: Store, data: memoryview, position: int) -> Any:
    _given_up.wait()  # in the disk's own thread
    return _write(self, data, position)


async def abandon(self: FileSink, *, keep_partial: bool) -> None:
    _given_up.set()
    await _abandon(self, keep_partial=keep_partial)


if __name__ == "__main__":
    Store.write = write  # type: ignore[method-assign]  # on purpose
    FileSink.abandon = abandon  # type: ignore[method-assign]  # on purpose
    run()
