"""rtcsend's two commands over the laboratory: real processes, their JSON events, how they ended."""

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from tests.lab.namespace import Namespace

ROOT: Final = Path(__file__).parents[2]
READY: Final = 2.0  # seconds until a sending command has imported everything and waits
STEP_TIMEOUT: Final = 90.0  # seconds for any single thing to happen
END_TIMEOUT: Final = 600.0  # seconds for a whole transfer

Record = list[tuple[float, int]]
"""How many bytes there were at what monotonic time; all processes share that clock."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Took:
    """What a whole transfer took.

    Attributes:
        seconds: From acceptance to the final acknowledgement, as the sender says.
        whole: From the start of the receiving command to the end of both.
        peaks: The largest resident set of sender and receiver, in bytes.
    """

    seconds: float
    whole: float
    peaks: tuple[int, int]


@dataclass
class Command:
    """A command that prints JSON events, which a thread reads as they come."""

    process: "subprocess.Popen[str]"
    events: list[dict[str, Any]] = field(default_factory=list)
    record: Record = field(default_factory=list)
    first: dict[str, float] = field(default_factory=dict)
    """When an event of that name came for the first time, in monotonic seconds."""
    peak: int = 0
    """Bytes of the largest resident set, as of the last event."""
    changed: threading.Condition = field(default_factory=threading.Condition)
    is_over: bool = False

    def __post_init__(self) -> None:
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def wait_for(self, name: str, *, timeout: float) -> dict[str, Any]:
        """Return the first event of that name, when it comes.

        Raises:
            RuntimeError: It did not.
        """
        end = time.monotonic() + timeout
        with self.changed:
            while True:
                for event in self.events:
                    if event["event"] == name and event.get("bytes") != 0:
                        return event
                left = end - time.monotonic()
                if self.is_over or not self.changed.wait(left):
                    raise RuntimeError(f"no event {name!r}: {self.events[-3:]}")

    def _read(self) -> None:
        assert self.process.stdout is not None, "it was started with a pipe"
        for line in self.process.stdout:
            event = json.loads(line)
            with self.changed:
                self.events.append(event)
                self.first.setdefault(event["event"], time.monotonic())
                if event["event"] == "progress":
                    self.record.append((time.monotonic(), event["bytes"]))
                self.peak = max(self.peak, _peak(self.process.pid))
                self.changed.notify_all()
        with self.changed:
            self.is_over = True
            self.changed.notify_all()


class Transfer:
    """``rtcsend send`` on one host and ``rtcsend receive`` on another.

    Args:
        hosts: Which, the sender first.
        server: The rendezvous.
        source: What is sent.
        folder: For what arrives.
        options: Of both commands.
        env: For both.
        envs: For each besides.
        module: What is run; :mod:`tests.lab.preloaded` loads everything beforehand.

    Attributes:
        sender: The one command.
        receiver: The other.
        started: When the receiver was, in monotonic seconds.
    """

    def __init__(
        self,
        hosts: tuple[Namespace, Namespace],
        *,
        server: str,
        source: Path,
        folder: Path,
        options: Sequence[str] = (),
        env: Mapping[str, str] | None = None,
        envs: tuple[Mapping[str, str], Mapping[str, str]] = ({}, {}),
        module: str = "rtcsend",
    ) -> None:
        self._module = module
        self._folder, self._env = folder, {**_environment(folder), **(env or {})}
        options = ("--json", "--server", server, *options)
        self.sender = self._start(hosts[0], "send", *options, source, env=envs[0])
        code = self.sender.wait_for("code", timeout=STEP_TIMEOUT)["code"]
        time.sleep(READY if module == "rtcsend" else 0)
        self._target = folder / f"{time.monotonic_ns()}.out"
        self._trace = self._target.with_suffix(".trace")
        self.started = time.monotonic()
        arguments = ("-y", "--trace", self._trace, "-o", self._target, code)
        self.receiver = self._start(hosts[1], "receive", *options, *arguments, env=envs[1])

    @property
    def record(self) -> Record:
        """What the receiver has written."""
        return self.receiver.record

    @property
    def arrived(self) -> Path:
        """What has arrived, until :meth:`stop`."""
        return self._target

    def steps(self) -> dict[str, float]:
        """Return when each step of the receiver's trace was first, in monotonic seconds."""
        lines = map(json.loads, self._trace.read_text().splitlines())
        first: dict[str, float] = {}
        for line in lines:
            first.setdefault(line["step"], line["t"])
        began = self.receiver.first["proposal"] - first["proposal"]
        return {step: began + at for step, at in first.items()}

    def wait_until_moving(self) -> None:
        """Return when the first bytes are written."""
        self.receiver.wait_for("progress", timeout=STEP_TIMEOUT)

    def finish(self) -> Took:
        """Wait for the end.

        Raises:
            RuntimeError: It was not a good one.
        """
        code, whole = self.wait()
        if code:
            raise RuntimeError(f"it failed: {self.receiver.events[-1:]} {self.sender.events[-1:]}")
        done = self.sender.wait_for("done", timeout=STEP_TIMEOUT)
        peaks = self.sender.peak, self.receiver.peak
        return Took(seconds=done["seconds"], whole=whole, peaks=peaks)

    def wait(self) -> tuple[int, float]:
        """Wait for both; return the receiver's exit code, or the sender's, and ``Took.whole``."""
        codes = [
            command.process.wait(timeout=END_TIMEOUT) for command in (self.receiver, self.sender)
        ]
        whole = time.monotonic() - self.started
        return codes[0] or codes[1], whole

    def stop(self) -> None:
        """End both, if they have not ended, and remove what has arrived."""
        for command in (self.receiver, self.sender):
            end(command.process)
        for path in self._folder.glob(f"*{self._target.stem}*"):
            path.unlink()

    def _start(self, host: Namespace, *arguments: str | Path, env: Mapping[str, str]) -> Command:
        process = host.popen(
            [sys.executable, "-m", self._module, *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env={**self._env, **env},
            cwd=ROOT,
        )
        return Command(process)


def end(process: "subprocess.Popen[str]") -> None:
    """End a process, if it has not ended."""
    if process.poll() is None:
        process.terminate()
        process.wait()


def _environment(folder: Path) -> dict[str, str]:
    kept = {name: text for name, text in os.environ.items() if not name.startswith("RTCSEND_")}
    own = {"RTCSEND_DISCOVERY": "local", "XDG_RUNTIME_DIR": str(folder), "TMPDIR": str(folder)}
    return kept | own


def _peak(pid: int) -> int:
    """Return a process's largest resident set; 0 if it has just ended."""
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    return 0
