"""``--trace FILE``: where the steps of a transfer go, and what may become of that place.

The file is this user's alone (mode 0600). A trace may be written over, anything else may not. A
disk that is full or a pipe that nobody reads ends the trace and never the transfer, which does not
wait for either. Place in the flow: around the engine, see :mod:`rtcsend.cli.transfer`.
"""

import logging
import os
import platform
import re
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from rtcsend import __version__
from rtcsend.cli.terminal import escape
from rtcsend.errors import CannotWrite, InternalError, RtcsendError, TargetExists, UsageError
from rtcsend.options import CommonOptions, SendOptions
from rtcsend.trace import TRACE_VERSION, Recorder, Step, note, recording

MODE: Final = 0o600
_MARK: Final = re.compile(rb'\{"t": [0-9.]+, "step": "start", "trace": ')  # how they all begin
_MARK_SIZE: Final = 64  # bytes, at most

logger = logging.getLogger("rtcsend.cli")


class TraceFile:
    """A file, or a pipe, that takes lines until it fails.

    Args:
        path: Where; made, if it is not there.

    Raises:
        TargetExists: There is something else than a trace.
        CannotWrite: It cannot be opened.
    """

    def __init__(self, path: Path) -> None:
        self._file = -1
        shown = escape(str(path))
        # Not blocking: a pipe that is full must not hold the transfer up.
        is_pipe = path.exists() and not path.is_file()  # or a terminal, or a folder
        flags = os.O_WRONLY if is_pipe else os.O_RDWR
        flags |= os.O_CREAT | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0)
        try:
            self._file = os.open(path, flags, MODE)
            if stat.S_ISREG(os.fstat(self._file).st_mode):
                self._claim(shown)
        except OSError as exc:
            self.close()
            raise CannotWrite(
                f"The trace cannot be written to {shown}: {exc.strerror}.",
                hint="Give --trace a file in a folder of your own.",
            ) from exc

    def _claim(self, shown: str) -> None:
        """Empty it, if it is a trace or empty already.

        Raises:
            TargetExists: It is neither.
        """
        head = os.read(self._file, _MARK_SIZE)
        if head and _MARK.match(head) is None:
            self.close()
            raise TargetExists(
                f"{shown} is there already, and is no trace.", hint="Give --trace another file."
            )
        os.lseek(self._file, 0, os.SEEK_SET)
        os.ftruncate(self._file, 0)
        if hasattr(os, "fchmod"):  # not on Windows
            os.fchmod(self._file, MODE)

    def write(self, line: str) -> None:
        """Write a line; the first that cannot be written is the end of the trace."""
        data = line.encode()
        try:
            if self._file >= 0 and os.write(self._file, data) != len(data):
                raise BlockingIOError  # half of a line is no line
        except OSError as exc:
            logger.info("! the trace ends here: %s", exc.strerror or "it is full")
            self.close()

    def close(self) -> None:
        """Close it; twice is harmless."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1


@contextmanager
def traced(
    path: Path | None, *, addresses: bool, command: str, options: CommonOptions
) -> Iterator[Recorder | None]:
    """Write what happens in this context to a file, from its start to its exit code.

    Args:
        path: Of the file; None: nothing is written.
        addresses: Show addresses as they are.
        command: Of the program.
        options: Of the transfer.

    Raises:
        UsageError: The file cannot be one.
        TargetExists: There is something else than a trace.
        CannotWrite: It cannot be opened.
    """
    if path is None:
        if addresses:
            raise UsageError("--trace-addresses goes with --trace FILE.", hint="Give both.")
        yield None
        return
    _check_path(path, options)
    file = TraceFile(path)
    try:
        recorder = Recorder(file.write, clock=time.monotonic, addresses=addresses)
        with recording(recorder):
            _note_start(command, options)
            yield from _to_the_end(recorder)
    finally:
        file.close()


def _check_path(path: Path, options: CommonOptions) -> None:
    """Refuse what would be lost."""
    if str(path) == "-":
        raise UsageError("--trace takes the name of a file.", hint="Give it another name than -.")
    if isinstance(options, SendOptions) and any(_is_same(path, sent) for sent in options.paths):
        raise UsageError(
            "--trace names a file that is to be sent.", hint="Give --trace another file."
        )


def _is_same(one: Path, other: Path) -> bool:
    try:
        return one.samefile(other)
    except OSError:
        return False


def _note_start(command: str, options: CommonOptions) -> None:
    note(
        Step.START,
        trace=TRACE_VERSION,
        command=command,
        version=__version__,
        python=platform.python_version(),
        system=f"{platform.system()} {platform.release()}",
        route=options.route.value,
        date=datetime.now(UTC).isoformat(timespec="seconds"),
    )


def _to_the_end(recorder: Recorder) -> Iterator[Recorder]:
    """Note how it ends."""
    try:
        yield recorder
    except RtcsendError as exc:
        note(Step.END, exit=exc.exit_code, error=exc.slug)
        raise
    except Exception:
        note(Step.END, exit=InternalError.exit_code, error=InternalError.slug)
        raise
    note(Step.END, exit=0, error=None)
