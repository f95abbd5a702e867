"""Processes by the fork server, which has imported aiortc already: a tenth of a start's work.

What runs is ``python -m MODULE ARGUMENTS`` in a process of its own, but for the start of the
interpreter and the imports; coverage is told as it is where they are started in full.
"""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import cast

from tests.e2e.processes import ROOT, Machine, Side

COVERAGE = "COVERAGE_PROCESS_CONFIG"  # for what is started, and not for the server itself


class Forked:
    """As far as :class:`Side` needs it, an asyncio process.

    Attributes:
        returncode: When it has ended; as soon as that is told.
        peak: Largest resident set in bytes, when it has ended.
    """

    def __init__(self, pid: int, control: asyncio.StreamReader) -> None:
        self.pid = pid
        self.returncode: int | None = None
        self.peak = 0
        self.stdout = asyncio.StreamReader()
        self.stderr = asyncio.StreamReader()
        self._ending = asyncio.create_task(self._end(control))

    async def _end(self, control: asyncio.StreamReader) -> int:
        end = json.loads(await control.read())
        self.returncode, self.peak = int(end["exit"]), end["peak"]
        return self.returncode

    async def wait(self) -> int:
        return await asyncio.shield(self._ending)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def send_signal(self, number: signal.Signals) -> None:
        if self.returncode is None:
            with suppress(ProcessLookupError):  # it has just ended
                os.kill(self.pid, number)


class Forks:
    """Starts commands for a :class:`Machine`."""

    def __init__(self, path: Path) -> None:
        self._path = path

    @asynccontextmanager
    async def run(
        self,
        machine: Machine,
        *arguments: str | Path,
        module: str = "rtcsend",
        cwd: Path | None = None,
        **env: str,
    ) -> AsyncIterator[Side]:
        """Run ``python -m MODULE ARGUMENTS``, as :meth:`Machine.run` does."""
        words = tuple(map(str, arguments))
        request = {
            "module": module,
            "arguments": words,
            "env": {**machine.env, **env},
            "cwd": str(cwd or machine.folder),
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


async def _read_pipe(fd: int, into: asyncio.StreamReader) -> asyncio.BaseTransport:
    transport, _ = await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(into), os.fdopen(fd, "rb", buffering=0)
    )
    return transport


@contextmanager
def forking(path: Path) -> Iterator[None]:
    """Run a fork server at a socket for as long as the context lasts."""
    environment = {name: value for name, value in os.environ.items() if name != COVERAGE}
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.e2e.hostile.fork_server", str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**environment, "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "default"},
    )
    with process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        yield
