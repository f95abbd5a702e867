"""Real processes for end-to-end tests: started, read line by line, always ended."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

STEP_TIMEOUT = 40.0  # seconds for any single thing to happen; the machine may be busy


@dataclass
class Side:
    """One running command, its JSON events and what it says on standard error."""

    process: asyncio.subprocess.Process
    events: list[dict[str, Any]] = field(default_factory=list)
    stdout: list[str] = field(default_factory=list)
    stderr: str = ""
    _changed: asyncio.Event = field(default_factory=asyncio.Event)
    _readers: list[asyncio.Task[None]] = field(default_factory=list)

    async def event(self, name: str) -> dict[str, Any]:
        """Return the first event of that name, when it comes."""
        async with asyncio.timeout(STEP_TIMEOUT):
            while True:
                for event in self.events:
                    if event["event"] == name:
                        return event
                if all(reader.done() for reader in self._readers):
                    raise AssertionError(f"no {name} event; got {self.events} {self.stderr}")
                self._changed.clear()
                await self._changed.wait()

    async def stderr_has(self, text: str) -> None:
        """Return when ``text`` has appeared on standard error."""
        async with asyncio.timeout(STEP_TIMEOUT):
            while text not in self.stderr:
                if all(reader.done() for reader in self._readers):
                    raise AssertionError(f"{text!r} never came: {self.stderr}")
                self._changed.clear()
                await self._changed.wait()

    async def code(self) -> str:
        """Return the code that a sender shows."""
        code: str = (await self.event("code"))["code"]
        return code

    async def exit(self) -> int:
        """Return the exit code, when the process has ended and everything is read."""
        async with asyncio.timeout(STEP_TIMEOUT):
            await asyncio.gather(*self._readers)
            return await self.process.wait()

    def names(self) -> list[str]:
        """Return the names of all events so far, progress left out."""
        return [event["event"] for event in self.events if event["event"] != "progress"]

    def last(self) -> dict[str, Any]:
        """Return the last event."""
        return self.events[-1]

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to this process alone."""
        self.process.send_signal(number)

    def peak_rss(self) -> int:
        """Return the largest resident set so far, in bytes (Linux)."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        line = next(line for line in status.splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) * 1024

    async def _read_stdout(self) -> None:
        assert self.process.stdout is not None
        async for raw in self.process.stdout:
            line = raw.decode(errors="surrogateescape").rstrip("\n")
            self.stdout.append(line)
            if line.startswith("{"):
                self.events.append(json.loads(line))
            self._changed.set()
        self._changed.set()

    async def _read_stderr(self) -> None:
        assert self.process.stderr is not None
        while chunk := await self.process.stderr.read(4096):
            self.stderr += chunk.decode(errors="replace")
            self._changed.set()
        self._changed.set()


class Machine:
    """Where the commands of one test run: an own home, runtime folder and current folder.

    ``rtcsend`` processes of different tests neither find nor disturb each other.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "run").mkdir(mode=0o700)
        (folder / "home").mkdir()
        self.env = {
            **{name: value for name, value in os.environ.items() if "RTCSEND" not in name},
            "XDG_RUNTIME_DIR": str(folder / "run"),
            "HOME": str(folder / "home"),
            "RTCSEND_DISCOVERY": "local",
            "PYTHONWARNINGS": "default",
            "PYTHONASYNCIODEBUG": "",
            "NO_COLOR": "1",
        }

    @asynccontextmanager
    async def run(
        self,
        *arguments: str | Path,
        env: dict[str, str] | None = None,
        module: str = "rtcsend",
        cwd: Path | None = None,
        wrapper: tuple[str, ...] = (),
        stdin: int = asyncio.subprocess.DEVNULL,
    ) -> AsyncIterator[Side]:
        """Run ``python -m MODULE ARGUMENTS``; it is killed when the context ends before it."""
        process = await asyncio.create_subprocess_exec(
            *wrapper,
            sys.executable,
            "-m",
            module,
            *map(str, arguments),
            env={**self.env, **(env or {})},
            cwd=cwd or self.folder,
            stdin=stdin,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        side = Side(process)
        side._readers = [
            asyncio.create_task(side._read_stdout()),
            asyncio.create_task(side._read_stderr()),
        ]
        try:
            yield side
        finally:
            if process.returncode is None:
                process.kill()
            await asyncio.gather(process.wait(), *side._readers)

    def send(self, *arguments: str | Path, **kwargs: Any) -> Any:
        """Run ``rtcsend send --json ARGUMENTS``."""
        return self.run("send", "--json", *arguments, **kwargs)

    def receive(self, *arguments: str | Path, **kwargs: Any) -> Any:
        """Run ``rtcsend receive --json -y ARGUMENTS``."""
        return self.run("receive", "--json", "-y", *arguments, **kwargs)


def random_file(path: Path, size: int, *, seed: int = 1) -> Path:
    """Write ``size`` reproducible random bytes and return the path."""
    import random

    generator = random.Random(seed)
    with path.open("wb") as file:
        while size > 0:
            block = min(size, 1 << 20)
            file.write(generator.randbytes(block))
            size -= block
    return path
