"""The two processes of the demo: started, listened to, weighed and ended.

A child prints ``--json`` lines; a thread for each puts them into one bounded queue, with
the time at which they came, so that a single loop hears both. The peak of its memory is
what the operating system says when it has ended (``wait4``), in one unit for all systems;
on Linux it cannot be less than the peak of the process that started it, which is small.

Does not: know what the lines mean. Place in the flow: used by :mod:`rtcsend.cli.demo`.
"""

import contextlib
import json
import os
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

MAX_LINE: Final = 1 << 20  # bytes; a proposal of 100 long names takes a tenth of it
_MAX_QUEUED: Final = 256  # lines; a child that is not heard waits
_STOP_TIMEOUT: Final = 5.0  # seconds; the engine takes two at most to say goodbye
_POLL: Final = 0.2  # seconds between two looks at whether to stop; people do not notice
_POLL_EXIT: Final = 0.01  # seconds; a process that has closed its output is about to end
_MAX_COMPLAINT: Final = 500  # characters of a line that are worth repeating


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One event that a child printed.

    Attributes:
        child: Who printed it.
        event: The JSON object; None: it closed its standard output.
        at: Monotonic seconds.
    """

    child: "Child"
    event: dict[str, Any] | None
    at: float


LineQueue = queue.Queue[Line]


def make_queue() -> LineQueue:
    """Return a queue for the lines of all children."""
    return queue.Queue(_MAX_QUEUED)


class Child:
    """A process of ours.

    Args:
        command: What to run.
        environment: All of its environment.
        complaints: File for its standard error.
        lines: Where its lines go.

    Attributes:
        started_at: Monotonic seconds.
        exit_code: None while it runs.
        peak_bytes: The most memory it had at once; None while it runs, or where the system
            does not tell.
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        environment: Mapping[str, str],
        complaints: Path,
        lines: LineQueue,
    ) -> None:
        self.exit_code: int | None = None
        self.peak_bytes: int | None = None
        self._complaints = complaints
        self._lines = lines
        self.started_at = time.monotonic()
        with complaints.open("wb") as stderr:
            # A session of its own: Ctrl-C is for the demo, which ends its children in order.
            self._process = subprocess.Popen(  # noqa: S603 - our own program
                command,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=stderr,
                start_new_session=sys.platform != "win32",
            )
        threading.Thread(target=self._read, name="rtcsend-child", daemon=True).start()

    def poll(self) -> int | None:
        """Return its exit code; None while it runs."""
        if self.exit_code is None and sys.platform == "win32":
            self.exit_code = self._process.poll()
        elif self.exit_code is None:
            pid, status, usage = os.wait4(self._process.pid, os.WNOHANG)
            if pid:
                self.exit_code = self._process.returncode = os.waitstatus_to_exitcode(status)
                # Kilobytes, except that macOS says bytes.
                self.peak_bytes = usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)
        return self.exit_code

    def wait(self, *, timeout: float) -> int | None:
        """Return its exit code as soon as it has one; None after ``timeout`` seconds."""
        deadline = time.monotonic() + timeout
        while self.poll() is None and time.monotonic() < deadline:
            time.sleep(_POLL_EXIT)
        return self.exit_code

    def stop(self) -> None:
        """End it if it still runs: politely, and after a while not."""
        if self.poll() is None:
            self._process.terminate()
        if self.wait(timeout=_STOP_TIMEOUT) is None:
            self._process.kill()
            self.wait(timeout=_STOP_TIMEOUT)

    def complaint(self) -> str:
        """Return the last line that it wrote to standard error: of a traceback, the error."""
        with contextlib.suppress(OSError):
            text = self._complaints.read_text(encoding="utf-8", errors="replace")
            return text.rstrip().rpartition("\n")[2][:_MAX_COMPLAINT]
        return ""

    def _read(self) -> None:
        stdout = self._process.stdout
        assert stdout is not None, "the process was started with a pipe"
        with stdout:
            while line := stdout.readline(MAX_LINE):
                with contextlib.suppress(ValueError):  # no event: not ours to judge
                    event = json.loads(line)
                    if isinstance(event, dict):
                        self._lines.put(Line(child=self, event=event, at=time.monotonic()))
        self._lines.put(Line(child=self, event=None, at=time.monotonic()))


def lines_until_closed(
    lines: LineQueue, children: Sequence[Child], *, check: Callable[[], None]
) -> Iterator[Line]:
    """Yield the lines of ``children`` as they come, until all have closed their output.

    A child that has failed takes the others with it: they get a few seconds to say why.

    Args:
        lines: The queue of all children.
        children: Whose lines are awaited.
        check: Called several times a second; raises when it is time to stop.
    """
    open_children = set(children)
    deadline = float("inf")
    while open_children and time.monotonic() < deadline:
        check()
        try:
            line = lines.get(timeout=_POLL)
        except queue.Empty:
            continue
        yield line
        if line.event is None:
            open_children.discard(line.child)
            if line.child.wait(timeout=_STOP_TIMEOUT) != 0:
                deadline = min(deadline, time.monotonic() + _STOP_TIMEOUT)
