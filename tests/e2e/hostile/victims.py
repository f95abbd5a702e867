"""The honest side: real commands, started by the fork server, weighed, and held to their end."""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, cast

from rtcsend.pairing.keys import Role
from tests.e2e.hostile.peer import Peer
from tests.e2e.hostile.trick import Play, Trick
from tests.e2e.processes import ROOT, Machine, Side

MEMORY_LIMIT = 150_000_000  # bytes, as promised for files of any size; 75 of them are Python's
TIME_LIMIT = 90.0  # seconds for a whole trick, which takes half of one; the machine may be busy


class Forked:
    """As far as :class:`Side` needs it, an asyncio process."""

    def __init__(self, pid: int, control: asyncio.StreamReader) -> None:
        self.pid = pid
        self.returncode: int | None = None
        self.peak = 0
        """Largest resident set in bytes, when it has ended."""
        self.stdout = asyncio.StreamReader()
        self.stderr = asyncio.StreamReader()
        self._control = control

    async def wait(self) -> int:
        if self.returncode is None:
            end = json.loads(await self._control.read())
            self.returncode, self.peak = int(end["exit"]), end["peak"]
        return self.returncode

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def send_signal(self, number: signal.Signals) -> None:
        os.kill(self.pid, number)


class ForkServer:
    """Starts commands for a :class:`Machine`."""

    def __init__(self, path: Path) -> None:
        self._path = path

    @asynccontextmanager
    async def run(
        self, machine: Machine, *arguments: str | Path, module: str = "rtcsend", **env: str
    ) -> AsyncIterator[Side]:
        """Run ``python -m MODULE ARGUMENTS``, as :meth:`Machine.run` does."""
        words = tuple(map(str, arguments))
        request = {
            "module": module,
            "arguments": words,
            "env": {**machine.env, **env},
            "cwd": str(machine.folder),
        }
        ours, theirs = zip(*(os.pipe() for _ in range(2)), strict=True)
        connection = socket.socket(socket.AF_UNIX)
        connection.connect(str(self._path))
        socket.send_fds(connection, [json.dumps(request).encode()], theirs)
        for fd in theirs:
            os.close(fd)
        reader, writer = await asyncio.open_unix_connection(sock=connection)
        process = Forked(int(await reader.readline()), reader)
        side = Side(cast("asyncio.subprocess.Process", process), words)
        machine.sides.append(side)
        transports = [
            await _read_pipe(fd, into)
            for fd, into in zip(ours, (process.stdout, process.stderr), strict=True)
        ]
        side._readers = [
            asyncio.create_task(side._read_stdout()),
            asyncio.create_task(side._read_stderr()),
        ]
        try:
            yield side
        finally:
            if not all(reader.done() for reader in side._readers):
                process.kill()
            await asyncio.gather(process.wait(), *side._readers)
            for transport in transports:
                transport.close()
            writer.close()

    async def receive(
        self, machine: Machine, url: str, out: Path, play: Trick | Play, *, module: str = "rtcsend"
    ) -> Side:
        """Play against ``rtcsend receive``: a trick ends as it says, another play well."""
        async with Peer(Role.SENDER, url) as peer:
            command = ("receive", "--json", "-y", peer.code, "--server", url, "-o", out)
            async with self.run(machine, *command, *_options(play), module=module) as side:
                async with asyncio.timeout(TIME_LIMIT):
                    await peer.connect()
                    await _play(peer, side, play)
        _weigh(side)
        return side

    async def send(
        self, machine: Machine, url: str, film: Path, play: Trick | Play, *, module: str = "rtcsend"
    ) -> Side:
        """Play against ``rtcsend send``: a trick ends as it says, another play well."""
        command = ("send", "--json", film, "--server", url)
        async with self.run(machine, *command, *_options(play), module=module) as side:
            async with Peer(Role.RECEIVER, url, code=await side.code()) as peer:
                async with asyncio.timeout(TIME_LIMIT):
                    await peer.connect()
                    await _play(peer, side, play)
        _weigh(side)
        return side


def _options(play: Trick | Play) -> tuple[str, ...]:
    return play.options if isinstance(play, Trick) else ()


async def _play(peer: Peer, side: Side, play: Trick | Play) -> None:
    if not isinstance(play, Trick):
        await play(peer)
        await side.succeeds()
        return
    await play.play(peer)
    told = await peer.hear_end()
    _check_end(side, play, await side.exit())
    assert told == play.told
    assert "done" not in side.names()


async def _read_pipe(fd: int, into: asyncio.StreamReader) -> asyncio.BaseTransport:
    transport, _ = await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(into), os.fdopen(fd, "rb", buffering=0)
    )
    return transport


@contextmanager
def fork_server(path: Path) -> Iterator[ForkServer]:
    """Run a fork server at a socket for as long as the context lasts."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.e2e.hostile.fork_server", str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "default"},
    )
    with process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        yield ForkServer(path)


def _check_end(side: Side, trick: Trick, status: int) -> None:
    """Check how a process has ended, and what it says: in its own words, or clean ones."""
    error = side.last()
    assert (error["event"], error["code"], error["exit"]) == ("error", trick.code, status), error
    assert trick.sentence in error["message"], error
    assert all(line.isprintable() for line in side.stderr.splitlines()), side.stderr
    assert all(line.isascii() for line in side.stdout) or not trick.quotes
    assert len(side.stderr) < 5_000
    if not trick.quotes:
        assert error["message"].endswith(".")
        assert side.stderr == f"rtcsend: {error['message']}\n{error['hint']}\n"


def _weigh(side: Side) -> None:
    process: Any = side.process
    assert 0 < process.peak < MEMORY_LIMIT
