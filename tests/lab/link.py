"""Links that can be made bad while they run: the Python side of ``link.c``, which tells more.

The emulator is compiled when it is first needed, into the user's cache folder; nothing of it
is left in the repository.
"""

import hashlib
import os
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from tests.lab.namespace import LabError, Namespace

SOURCE: Final = Path(__file__).with_name("link.c")
READY_TIMEOUT: Final = 50.0  # seconds
PER_MS: Final = 1e6  # nanoseconds
PER_MBIT: Final = 1e6  # bits
Direction = Literal["up", "down"]
BOTH: Final[tuple[Direction, ...]] = ("up", "down")


@dataclass(frozen=True, slots=True, kw_only=True)
class Counters:
    """What became of the frames of one way since the start."""

    came: int
    left: int
    lost: int
    full: int
    """The queue was."""
    large: int
    cut: int
    failed: int
    """The kernel did not take it; always 0, or the figures are wrong."""


class Emulator:
    """The running program: one or more wires, each between two interfaces of a namespace.

    Args:
        where: The namespace of the interfaces.
        wires: The ends of each, inside and outside.
    """

    def __init__(self, where: Namespace, wires: list[tuple[str, str]]) -> None:
        ends = [end for wire in wires for end in wire]
        self._process = where.popen(
            [compiled(), *ends], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        if self._answer() != "ready":
            raise LabError("the link emulator did not start")
        self.links = tuple(Link(self, number) for number in range(len(wires)))

    def ask(self, line: str) -> str:
        """Give it a command; return its answer.

        Raises:
            LabError: It has ended, or does not know the command.
        """
        assert self._process.stdin is not None, "it was started with a pipe"
        try:
            self._process.stdin.write(line + "\n")
            self._process.stdin.flush()
        except BrokenPipeError as exc:
            raise LabError("the link emulator has ended") from exc
        answer = self._answer()
        if answer in ("", "error"):
            raise LabError(f"the link emulator refused: {line}")
        return answer

    def _answer(self) -> str:
        assert self._process.stdout is not None, "it was started with a pipe"
        return str(self._process.stdout.readline()).strip()


class Link:
    """One wire. ``up`` leads from the hosts into the net, ``down`` back."""

    def __init__(self, emulator: Emulator, number: int) -> None:
        self._emulator = emulator
        self._ways = {"up": 2 * number, "down": 2 * number + 1}

    def set(
        self,
        *,
        rtt_ms: float | None = None,
        rate_mbit: float | None = None,
        queue_bytes: float | None = None,
        loss_percent: float | None = None,
        jitter_ms: float | None = None,
        reorder_percent: float | None = None,
        mtu: int | None = None,
        seed: int | None = None,
        ways: tuple[Direction, ...] = BOTH,
    ) -> None:
        """Change some conditions from now on; the others stay.

        Args:
            rtt_ms: Delay, half of it on each way.
            rate_mbit: Mbit/s of whole Ethernet frames; 0: no limit.
            queue_bytes: In front of that; 0: what the rate carries in 100 ms.
            loss_percent: Of each way, drawn for each frame.
            jitter_ms: More delay, drawn evenly from 0 to this; frames keep their order.
            reorder_percent: Frames that have no delay, and so overtake the others.
            mtu: Bytes of IP; longer packets vanish without a word. 0: any.
            seed: The ways draw the same numbers again.
            ways: Which of them.
        """
        settings = {
            "delay": None if rtt_ms is None else rtt_ms / 2 * PER_MS,
            "rate": None if rate_mbit is None else rate_mbit * PER_MBIT,
            "queue": queue_bytes,
            "loss": None if loss_percent is None else loss_percent / 100,
            "jitter": None if jitter_ms is None else jitter_ms * PER_MS,
            "reorder": None if reorder_percent is None else reorder_percent / 100,
            "mtu": mtu,
            "seed": seed,
        }
        pairs = [f"{name}={value:.9f}" for name, value in settings.items() if value is not None]
        self._set(pairs, ways)

    def cut(self, *, ways: tuple[Direction, ...] = BOTH) -> None:
        """Let nothing through, also nothing that is under way."""
        self._set(["cut=1"], ways)

    def heal(self, *, ways: tuple[Direction, ...] = BOTH) -> None:
        """Undo :meth:`cut`."""
        self._set(["cut=0"], ways)

    def counters(self, way: Direction) -> Counters:
        """Return what has happened so far."""
        numbers = self._emulator.ask(f"show {self._ways[way]}").split()
        return Counters(**dict(zip(Counters.__slots__, map(int, numbers), strict=True)))

    def _set(self, pairs: list[str], ways: tuple[Direction, ...]) -> None:
        for way in ways:
            self._emulator.ask(f"set {self._ways[way]} {' '.join(pairs)}")


def compiled() -> Path:
    """Return the emulator's program, compiled if this version of it was not yet.

    Raises:
        LabError: There is no working C compiler.
    """
    source = SOURCE.read_bytes()
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "rtcsend-lab")
    program = cache / f"link-{hashlib.sha256(source).hexdigest()[:16]}"
    if program.exists():
        return program
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache) as folder:
        made = Path(folder, "link")
        command = ["cc", "-O2", "-Wall", "-Wextra", "-Werror", "-o", str(made), str(SOURCE)]
        try:
            result = subprocess.run(command, capture_output=True, text=True, check=False)
        except FileNotFoundError as exc:
            raise LabError("there is no C compiler (Debian: apt install gcc libc6-dev)") from exc
        if result.returncode:
            raise LabError(result.stderr)
        made.replace(program)  # another process may do the same
    return program
