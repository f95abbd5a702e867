"""A process on a terminal of its own, and what a person would see there.

Not a terminal emulator: it knows the few sequences that rich and we use, and fails on any
other, so that nothing gets past it unseen.
"""

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

ROOT = Path(__file__).parents[2]
PATIENCE = 90.0  # seconds until a test gives up waiting
_SEQUENCE = re.compile(r"\x1b\[(\??)([0-9;]*)([A-Za-z])")


class PtyProcess:
    """Runs a command on a pseudo-terminal of 80 columns, as its controlling terminal.

    ``stdout`` makes standard output a pipe instead, as in ``$(...)``.
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        environment: Mapping[str, str] | None = None,
        stdout_is_pipe: bool = False,
        columns: int = 80,
    ) -> None:
        self._master, terminal = pty.openpty()
        fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        self.output = ""
        self._seen = 0  # characters of it that expect() has passed
        self._process = subprocess.Popen(
            command,
            cwd=ROOT,
            env={**os.environ, "TERM": "xterm-256color", **(environment or {})},
            stdin=terminal,
            stdout=subprocess.PIPE if stdout_is_pipe else terminal,
            stderr=terminal,
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(2, termios.TIOCSCTTY, 0),  # noqa: PLW1509 - one call
        )
        os.close(terminal)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()
        os.close(self._master)

    def expect(self, text: str) -> None:
        """Wait until ``text`` was printed, behind what was expected before."""
        deadline = time.monotonic() + PATIENCE
        while (found := self.output.find(text, self._seen)) < 0:
            assert self._read(deadline), f"{text!r} never came: {self.output!r}"
        self._seen = found + len(text)

    def type(self, keys: str) -> None:
        os.write(self._master, keys.encode())

    def type_until(self, keys: str, text: str) -> None:
        """Type ``keys``, again every second, until ``text`` was printed.

        For Ctrl-C at a prompt of readline: Python loses a signal that comes between the
        prompt and the system call that waits for keys, which no person is quick enough for.
        """
        for _ in range(int(PATIENCE)):
            self.type(keys)
            deadline = time.monotonic() + 1.0
            while text not in self.output and self._read(deadline):
                pass
            if text in self.output:
                return
        raise AssertionError(f"{text!r} never came: {self.output!r}")

    def kill(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    def wait(self) -> int:
        """Read to the end; return the exit code."""
        deadline = time.monotonic() + PATIENCE
        while self._read(deadline):
            pass
        return self._process.wait(PATIENCE)

    def stdout(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.read().decode()

    def lines(self) -> list[str]:
        """What is on the screen, and above it, without empty lines at the end."""
        return Screen(self.output).lines()

    def echoes(self) -> bool:
        """Whether the terminal is in its ordinary mode."""
        flags: int = termios.tcgetattr(self._master)[3]
        return bool(flags & termios.ECHO) and bool(flags & termios.ICANON)

    def _read(self, deadline: float) -> bool:
        ready, _, _ = select.select([self._master], [], [], max(0.0, deadline - time.monotonic()))
        if not ready:
            return False
        try:
            data = os.read(self._master, 65536)
        except OSError:  # Linux says EIO when the last process has closed the terminal
            return False
        self.output += data.decode("utf-8", "surrogateescape")
        return bool(data)


class Screen:
    """Lines and a cursor."""

    def __init__(self, output: str) -> None:
        self._rows: list[list[str]] = [[]]
        self._row = self._column = 0
        self.cursor_shown = True
        position = 0
        while position < len(output):
            if match := _SEQUENCE.match(output, position):
                self._sequence(match[1], match[2], match[3])
                position = match.end()
            else:
                self._character(output[position])
                position += 1

    def lines(self) -> list[str]:
        text = ["".join(row).rstrip() for row in self._rows]
        while text and not text[-1]:
            text.pop()
        return text

    def _character(self, char: str) -> None:
        if char == "\r":
            self._column = 0
        elif char == "\n":
            self._row += 1
            if self._row == len(self._rows):
                self._rows.append([])
        elif char == "\b":
            self._column -= 1
        else:
            assert char.isprintable() or char == "\a", f"{char!r} reached the terminal"
            row = self._rows[self._row]
            row += [" "] * (self._column + 1 - len(row))
            row[self._column] = char
            self._column += 1

    def _sequence(self, private: str, numbers: str, letter: str) -> None:
        if letter == "m":
            return
        if private:
            assert (numbers, letter in "hl") in {("25", True), ("2004", True)}, numbers + letter
            if numbers == "25":
                self.cursor_shown = letter == "h"
        elif letter == "A":
            self._row -= int(numbers or 1)
        elif letter == "K":
            row = self._rows[self._row]
            del row[0 if numbers == "2" else self._column :]
        else:
            raise AssertionError(f"unknown sequence {numbers}{letter}")
