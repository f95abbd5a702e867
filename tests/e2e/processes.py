"""Real processes for end-to-end tests: started, read line by line, always ended.

What every process must do, whatever the test is about, is checked for all of them at the
end of each test: :meth:`Machine.check`.
"""

import asyncio
import fcntl
import json
import os
import pty
import re
import signal
import struct
import sys
import termios
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from rtcsend.life import phases_of
from rtcsend.options import DATAPATH_VARIABLE
from tests.events_schema import check_event

if TYPE_CHECKING:
    from tests.e2e.forks import Forks

STEP_TIMEOUT = 90.0  # seconds for any single thing to happen; the machine may be busy
ROOT = Path(__file__).parents[2]

FORKED = ("rtcsend", "signal_server")
"""What the fork server has imported."""

FOR_COMMANDS: dict[str, str] = {}
"""Variables of the commands' environment that this process does not have itself."""

T = TypeVar("T")

_BUG = re.compile(
    r"Traceback|never retrieved|never awaited|was destroyed|Exception ignored|\w+Warning\b"
    r"|Unhandled|Something in rtcsend itself"
)
_ONE_SENTENCE = re.compile(r"\S[^\n]*[.?!]")


@dataclass
class Side:
    """One running command, its JSON events and what it says on standard error."""

    process: asyncio.subprocess.Process
    arguments: tuple[str, ...] = ()
    master: int = -1
    """The other end of its terminal, if it is on one."""
    events: list[dict[str, Any]] = field(default_factory=list)
    stdout: list[str] = field(default_factory=list)
    stderr: str = ""
    _changed: asyncio.Event = field(default_factory=asyncio.Event)
    _readers: list[asyncio.Task[None]] = field(default_factory=list)

    async def event(self, name: str, *, after: int = 0) -> dict[str, Any]:
        """Return the first event of that name, when it comes; ``after`` so many of any name."""
        return await self._first(
            lambda: (event for event in self.events[after:] if event["event"] == name), name
        )

    async def moving(self, count: int = 1) -> None:
        """Return when so many bytes are written at the receiver."""
        await self._first(
            lambda: (
                event
                for event in self.events
                if event["event"] == "progress" and event["bytes"] >= count
            ),
            "bytes written",
        )

    async def line(self, text: str) -> str:
        """Return the first line of standard output that holds ``text``, when it comes."""
        return await self._first(lambda: (line for line in self.stdout if text in line), text)

    async def stderr_has(self, text: str) -> None:
        """Return when ``text`` has appeared on standard error."""
        await self._first(lambda: (True for _ in (0,) if text in self.stderr), text)

    async def _first(self, found: Callable[[], Iterator[T]], what: str) -> T:
        """Return the first of what is ``found``, asking again whenever something was read."""
        async with asyncio.timeout(STEP_TIMEOUT):
            while True:
                for result in found():
                    return result
                if all(reader.done() for reader in self._readers):
                    raise AssertionError(f"{what!r} never came: {self.stdout} {self.stderr}")
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

    async def ends_within(self, seconds: float) -> bool:
        """Return whether the process has ended, after that long at most."""
        _, pending = await asyncio.wait(self._readers, timeout=seconds)
        return not pending

    async def fails(self, code: str) -> dict[str, Any]:
        """Return the error event, when the process has ended with it.

        Exit code, JSON and standard error must agree, and say one sentence each about what
        happened and what to do; standard error holds nothing else.
        """
        status = await self.exit()
        assert self.events, f"no error event; exit code {status}: {self.stderr}"
        error = self.last()
        assert (error["event"], error["code"], error["exit"]) == ("error", code, status), error
        assert _ONE_SENTENCE.fullmatch(error["message"]), error
        assert _ONE_SENTENCE.fullmatch(error["hint"]), error
        assert [event["event"] for event in self.events].count("error") == 1
        if not self.has_option("-v", "-vv") and self.master < 0:
            sentences = "".join(self.stderr.removeprefix("rtcsend: ").split("\n"))
            assert self.stderr.count("\n") == 2, self.stderr
            if (error["message"] + error["hint"]).isprintable():
                assert sentences == error["message"] + error["hint"]
        return error

    async def succeeds(self) -> dict[str, Any]:
        """Return the final event, when the process has ended well; with --json, in silence."""
        assert await self.exit() == 0, self.stderr
        done = self.last()
        assert done["event"] == "done"
        if not self.has_option("-v", "-vv") and self.master < 0:
            assert self.stderr == ""
        return done

    def has_option(self, *names: str) -> bool:
        """Return whether one of these was on its command line."""
        return not set(names).isdisjoint(self.arguments)

    def type(self, keys: str) -> None:
        """Press keys on its terminal."""
        os.write(self.master, keys.encode())

    def echoes(self) -> bool:
        """Return whether its terminal is in the ordinary mode, in which shells want it."""
        flags: int = termios.tcgetattr(self.master)[3]
        return bool(flags & termios.ECHO) and bool(flags & termios.ICANON)

    def check(self) -> None:
        """Check what holds for every process: no sign of a bug; with --json, nothing but JSON."""
        text = self.stderr + "\n".join(self.stdout)
        assert not _BUG.search(text), text
        assert self.process.returncode != 1, text
        assert self.master >= 0 or "\x1b" not in text, text
        if self.has_option("--json"):
            for line in self.stdout:
                check_event(json.loads(line))
        if {"send", "receive"} & set(self.arguments[:1]):
            # In an order that is promised.
            phases_of(
                (event.get("receiver", event.get("visit")), event["event"]) for event in self.events
            )

    def names(self) -> list[str]:
        """Return the names of all events so far, but of those that may come at any time.

        A busy machine may have no turn for either side for so long that it is told of as a stall.
        """
        at_any_time = ("progress", "route", "stalled")
        return [event["event"] for event in self.events if event["event"] not in at_any_time]

    def has_stalled(self) -> bool:
        """Return whether it has said that nothing moves."""
        return any(event["event"] == "stalled" for event in self.events)

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

    def _read_terminal(self) -> asyncio.Task[None]:
        """Collect what is shown on the terminal in ``stderr``, until its last user is gone."""
        loop = asyncio.get_running_loop()
        hung_up = asyncio.Event()

        def on_readable() -> None:
            try:
                data = os.read(self.master, 65536)
            except OSError:  # Linux says EIO when the last process has closed the terminal
                data = b""
            if not data:
                loop.remove_reader(self.master)
                hung_up.set()
            self.stderr += data.decode("utf-8", "surrogateescape")
            self._changed.set()

        async def read() -> None:
            await hung_up.wait()

        loop.add_reader(self.master, on_readable)
        return asyncio.create_task(read())

    async def _read_stderr(self) -> None:
        assert self.process.stderr is not None
        while chunk := await self.process.stderr.read(4096):
            self.stderr += chunk.decode(errors="replace")
            self._changed.set()
        self._changed.set()


def _passes(name: str) -> bool:
    """Return whether a variable of the tests' environment is for the processes as well.

    Of ours only the choice of the data path: the whole suite is to pass on both.
    """
    return not name.startswith("RTCSEND_") or name == DATAPATH_VARIABLE


class Machine:
    """Where the commands of one test run: an own home, runtime folder and current folder.

    ``rtcsend`` processes of different tests neither find nor disturb each other.
    """

    def __init__(self, folder: Path, forks: "Forks | None" = None) -> None:
        self.folder = folder
        self._forks = forks
        (folder / "run").mkdir(mode=0o700)
        (folder / "home").mkdir()
        (folder / "tmp").mkdir()
        self.sides: list[Side] = []
        self.env = {
            **{name: value for name, value in os.environ.items() if _passes(name)},
            **FOR_COMMANDS,
            "XDG_RUNTIME_DIR": str(folder / "run"),
            "HOME": str(folder / "home"),
            "TMPDIR": str(folder / "tmp"),
            "XDG_CONFIG_HOME": str(folder / "config"),
            "XDG_DATA_HOME": str(folder / "data"),
            "PYTHONPATH": str(ROOT),  # for the modules of tests/, wherever a process runs
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
        """Run ``python -m MODULE ARGUMENTS``; it is killed when the context ends before it.

        By the fork server, where nothing about its start matters.
        """
        is_usual = not (env or wrapper) and stdin == asyncio.subprocess.DEVNULL
        if self._forks is not None and is_usual and module in FORKED:
            async with self._forks.run(self, *arguments, module=module, cwd=cwd) as side:
                yield side
            return
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
        side = Side(process, tuple(map(str, arguments)))
        self.sides.append(side)
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

    @asynccontextmanager
    async def on_terminal(
        self,
        *arguments: str | Path,
        env: dict[str, str] | None = None,
        module: str = "rtcsend",
        stdout_is_pipe: bool = False,
    ) -> AsyncIterator[Side]:
        """Run ``python -m MODULE ARGUMENTS`` on a terminal of its own, of 80 columns.

        What the terminal shows is in ``stderr``. With ``stdout_is_pipe`` standard output is
        read for events instead, as in a script that is started by a person.
        """
        master, terminal = pty.openpty()
        fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            module,
            *map(str, arguments),
            env={**self.env, "TERM": "xterm-256color", **(env or {})},
            cwd=self.folder,
            stdin=terminal,
            stdout=asyncio.subprocess.PIPE if stdout_is_pipe else terminal,
            stderr=terminal,
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(2, termios.TIOCSCTTY, 0),  # one system call
        )
        os.close(terminal)
        side = Side(process, tuple(map(str, arguments)), master)
        self.sides.append(side)
        side._readers = [side._read_terminal()]
        if stdout_is_pipe:
            side._readers.append(asyncio.create_task(side._read_stdout()))
        try:
            yield side
        finally:
            if process.returncode is None:
                process.kill()
            await asyncio.gather(process.wait(), *side._readers)
            os.close(master)

    @asynccontextmanager
    async def server(self, *arguments: str, port: int = 0) -> AsyncIterator[tuple[Side, str]]:
        """Run ``rtcsend-server`` on loopback; yields it, and its URL."""
        command = ("--host", "127.0.0.1", "--port", str(port), *arguments)
        async with self.run(*command, module="signal_server") as side:
            line = await side.line("ws://")
            yield side, re.search(r"ws://[0-9.:]+", line)[0]  # type: ignore[index]  # it is there

    def announcements(self) -> list[str]:
        """Return what the runtime folder still says about embedded servers."""
        return [path.name for path in (self.folder / "run").rglob("*") if path.is_file()]

    def check(self) -> None:
        """Check what holds for every process of every test; call when all have ended."""
        for side in self.sides:
            side.check()
        assert not list((self.folder / "home").iterdir())
        assert not list((self.folder / "tmp").iterdir())

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


def listing(folder: Path) -> list[str]:
    """Return everything below ``folder``, hidden files too."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))
