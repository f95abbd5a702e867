"""Running rtcsend as a user would, and reading its JSON events with the time at which they came.

Nothing leaves the machine: the runtime folder is an own one, and the LAN is not asked.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

BLOCK = 1 << 20  # bytes


class Command:
    """A running process; entered and left as a context, which ends it.

    Attributes:
        started_at: Monotonic seconds, just before it was started.
    """

    def __init__(
        self,
        *arguments: str | Path,
        folder: Path,
        stdin: bool = False,
        env: Mapping[str, str] | None = None,
    ) -> None:
        self._complaints = folder / f"{time.monotonic_ns()}.log"
        with self._complaints.open("wb") as complaints:
            self.started_at = time.monotonic()
            self._process = subprocess.Popen(
                [sys.executable, *map(str, arguments)],
                env={**environment(folder), **(env or {})},
                cwd=Path(__file__).parents[1],
                stdin=subprocess.PIPE if stdin else subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=complaints,
                text=True,
            )

    @property
    def pid(self) -> int:
        """Number of the process."""
        return self._process.pid

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._process.poll() is None:
            self._process.terminate()
        self._process.communicate()

    def wait_for(self, name: str) -> dict[str, Any]:
        """Return the next event of that name, with ``at``: monotonic seconds of its coming.

        Raises:
            RuntimeError: The process ended without it.
        """
        for event in self._events():
            if event["event"] == name:
                return event
        raise RuntimeError(f"no event {name!r}: {self._complaints.read_text()}")

    def finish(self) -> float:
        """Wait for the end; return the seconds of processor time that it has used.

        Raises:
            RuntimeError: It was not a good one.
        """
        for _ in self._events():
            pass
        _, status, usage = os.wait4(self.pid, 0)
        self._process.returncode = os.waitstatus_to_exitcode(status)
        if self._process.returncode:
            raise RuntimeError(self._complaints.read_text())
        return usage.ru_utime + usage.ru_stime

    def write_line(self, text: str) -> None:
        """Write to its standard input."""
        assert self._process.stdin is not None, "it was started with a pipe"
        self._process.stdin.write(text + "\n")
        self._process.stdin.flush()

    def _events(self) -> Iterator[dict[str, Any]]:
        assert self._process.stdout is not None, "it was started with a pipe"
        while line := self._process.stdout.readline():
            at = time.monotonic()
            yield {**json.loads(line), "at": at}


@contextmanager
def sender(source: Path, *, folder: Path) -> Iterator[tuple[Command, str]]:
    """Run ``rtcsend send``; yield it and its code, when it is as ready as for a person."""
    with Command("-m", "rtcsend", "send", "--json", source, folder=folder) as command:
        code = str(command.wait_for("code")["code"])
        time.sleep(1.0)  # it loads WebRTC while a person reads the code aloud
        yield command, code


def random_file(path: Path, size: int) -> Path:
    """Write random bytes, and return the path."""
    with path.open("wb") as file:
        for start in range(0, size, BLOCK):
            file.write(os.urandom(min(BLOCK, size - start)))
    return path


def inherited() -> dict[str, str]:
    """Return our variables without what would change rtcsend.

    Bytecode is kept, as an installation has it: what is compiled anew at each start costs more
    than the start.
    """
    return {
        name: text
        for name, text in os.environ.items()
        if not name.startswith("RTCSEND_") and name != "PYTHONDONTWRITEBYTECODE"
    }


def environment(folder: Path) -> dict[str, str]:
    """Return variables for a command that leaves the machine alone."""
    return {
        **inherited(),
        "RTCSEND_DISCOVERY": "local",
        "XDG_RUNTIME_DIR": str(folder),
        "TMPDIR": str(folder),
    }
