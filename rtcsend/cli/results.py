"""Standard output: the lines that scripts read, and nothing else.

With ``-o -`` it carries the file, and the lines go to standard error.

A line is written by a thread of its own, because the event loop must not stand still when
a reader does: a pipe holds some 64 KiB, and while the loop waits for room in it, ICE's
consent checks fail and the connection dies. Lines that the next one replaces (progress)
are dropped while the reader is behind; all others are kept, in order.

A reader that goes away (``| head -1``) ends the transfer, as SIGPIPE would end another
program, but with a word to the other side: see ``on_broken``.

Place in the flow: the last thing that an event passes.
"""

import os
import queue
import sys
import threading
from collections.abc import Callable
from typing import Final, TextIO

_MAX_QUEUED: Final = 1024  # lines; a transfer has some ten that may not be dropped
_MAX_DROPPABLE_QUEUED: Final = 16  # lines; four seconds of progress


class ResultLines:
    """Lines on standard output, written in order by a thread of their own.

    Call :meth:`close` at the end: it waits until all is written.

    Args:
        on_broken: Called once, from the writing thread, when nobody reads any more.
        to_stderr: Write to standard error instead: standard output carries the file.
    """

    def __init__(self, *, on_broken: Callable[[], None], to_stderr: bool = False) -> None:
        self._on_broken = on_broken
        self._lines: queue.Queue[bytes | None] = queue.Queue(_MAX_QUEUED)
        self._fd = _standard(sys.stderr if to_stderr else sys.stdout)
        self._thread = threading.Thread(target=self._write, name="rtcsend-stdout", daemon=True)
        self._thread.start()

    def put(self, line: str, *, droppable: bool = False) -> None:
        """Write a line, without its line end; returns at once.

        Args:
            line: What to write. Names of files may hold undecodable bytes (surrogates): they
                come out as they went in.
            droppable: Leave it out when the reader is far behind.
        """
        if droppable and self._lines.qsize() >= _MAX_DROPPABLE_QUEUED:
            return
        self._lines.put(os.fsencode(line) + b"\n")

    def close(self) -> None:
        """Wait until everything is written, or nobody reads any more."""
        self._lines.put(None)
        self._thread.join()

    def _write(self) -> None:
        broken = False
        while (line := self._lines.get()) is not None:
            if broken:
                continue
            try:
                write_all(self._fd, line)
            except OSError:
                broken = True
                self._on_broken()


def _standard(stream: TextIO | None) -> int:
    """Return its file descriptor; of nothing, where the process was started without one."""
    if stream is None:
        return os.open(os.devnull, os.O_WRONLY)
    stream.flush()
    return stream.fileno()


def write_all(fd: int, data: bytes) -> None:
    """Write all of ``data`` to a file descriptor.

    Raises:
        OSError: Nobody reads, or there is no space.
    """
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]
