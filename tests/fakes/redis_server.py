"""A real redis-server of the test's own: started, stopped, paused and killed as it likes."""

import contextlib
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fakes.ports import free_port

PROGRAM = shutil.which("redis-server")
needs_redis = pytest.mark.skipif(PROGRAM is None, reason="needs redis-server (apt install)")
READY = 50.0  # seconds


class RedisServer:
    """One redis-server on loopback, with its log of changes in ``folder``."""

    def __init__(self, folder: Path, *options: str) -> None:
        self.folder = folder
        self._options = options
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> None:
        assert PROGRAM is not None, "its tests are skipped"
        self._process = subprocess.Popen(
            [
                *(PROGRAM, "--port", str(self.port), "--bind", "127.0.0.1", "--save", ""),
                *("--dir", str(self.folder), "--appendonly", "yes", "--appendfsync", "no"),
                *self._options,
            ],
            stdout=subprocess.DEVNULL,
        )
        self._wait_ready()

    def signal(self, number: signal.Signals) -> None:
        """Send a signal: SIGSTOP pauses it, SIGCONT lets it go on."""
        assert self._process is not None, "it was started"
        self._process.send_signal(number)

    def stop(self) -> None:
        """End it, as quickly as a crash."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def command(self, *words: str) -> bytes:
        """Return what it answers, or the beginning of that."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=READY) as connection:
            connection.sendall(" ".join(words).encode() + b"\r\n")
            return connection.recv(65_536)

    def _wait_ready(self) -> None:
        deadline = time.monotonic() + READY
        while True:
            with contextlib.suppress(OSError):
                if self.command("PING").startswith(b"+PONG"):
                    return
            assert time.monotonic() < deadline, "redis-server did not start"
            time.sleep(0.02)


@contextlib.contextmanager
def redis_server(folder: Path, *options: str) -> Iterator[RedisServer]:
    """Run one."""
    server = RedisServer(folder, *options)
    server.start()
    try:
        yield server
    finally:
        server.stop()
