"""The servers that are put under load: ours in one process or several, and magic-wormhole's."""

import contextlib
import os
import re
import socket
import subprocess
import sys
import time
import venv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from benchmarks.load_client import RtcsendPairing, WormholePairing
from benchmarks.wormhole import PACKAGES

READY = 10.0  # seconds for a server to start
LIFTED = (
    "mailboxes_per_source",
    "new_sockets_per_minute",
    "nameplates_per_minute",
    "claims_per_minute",
    "frames_per_minute",
)
MANY = 10**9


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A server under load: one process or several."""

    name: str
    ports: tuple[int, ...]
    pids: tuple[int, ...]
    pairing: type[RtcsendPairing | WormholePairing] = RtcsendPairing

    def cpu(self) -> float:
        """Return the CPU seconds of all processes so far."""
        return sum(_cpu(pid) for pid in self.pids)

    def memory(self) -> float:
        """Return the bytes of all processes that are in memory."""
        pages = (int(Path(f"/proc/{pid}/statm").read_text().split()[1]) for pid in self.pids)
        return float(sum(pages) * os.sysconf("SC_PAGE_SIZE"))


@contextlib.contextmanager
def rtcsend(
    folder: Path, count: int, *, store: str | None = None, limits: tuple[str, ...] = ()
) -> Iterator[Target]:
    lifted = [f"{name}={MANY}" for name in LIFTED]
    lifted += ["sockets_per_source=100000", "max_sockets=100000", "max_mailboxes=100000", *limits]
    options = [word for limit in lifted for word in ("--limit", limit)]
    if store is not None:
        options += ["--store", store]
    command = [sys.executable, "-m", "signal_server", "--host", "127.0.0.1", "--port", "0"]
    with contextlib.ExitStack() as stack:
        processes = [stack.enter_context(_started([*command, *options])) for _ in range(count)]
        ports = tuple(_port_of(process) for process in processes)
        name = "one process" if count == 1 else f"{count} processes on one Redis"
        yield Target(name=name, ports=ports, pids=tuple(process.pid for process in processes))


@contextlib.contextmanager
def wormhole(folder: Path, environment: Path | None) -> Iterator[Target]:
    if environment is None:
        environment = folder / "wormhole"
        venv.create(environment, with_pip=True)
        pip = [str(environment / "bin" / "pip"), "install", "--quiet", *PACKAGES]
        subprocess.run(pip, check=True, stdout=subprocess.DEVNULL)
    port = _free_port()
    command = [str(environment / "bin" / "twist"), "wormhole-mailbox", "--channel-db=:memory:"]
    with _started([*command, f"--port=tcp:{port}:interface=127.0.0.1"], cwd=folder) as process:
        _wait_for(port)
        yield Target(
            name="magic-wormhole's", ports=(port,), pids=(process.pid,), pairing=WormholePairing
        )


@contextlib.contextmanager
def redis(folder: Path) -> Iterator[str]:
    port = _free_port()
    command = ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", ""]
    with _started([*command, "--dir", str(folder)]):
        _wait_for(port)
        yield f"redis://127.0.0.1:{port}/0"


@contextlib.contextmanager
def _started(command: list[str], *, cwd: Path | None = None) -> Iterator["subprocess.Popen[str]"]:
    process = subprocess.Popen(
        command,
        cwd=cwd or Path(__file__).parents[1],
        stdin=subprocess.DEVNULL,
        # Of ours the first line is read; what others say there would fill a pipe.
        stdout=subprocess.PIPE if command[0] == sys.executable else subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def _port_of(process: "subprocess.Popen[str]") -> int:
    assert process.stdout is not None, "it was started with a pipe"
    found = re.search(r"ws://[0-9.]+:(\d+)", process.stdout.readline())
    if found is None:
        raise RuntimeError("the server did not start")
    return int(found[1])


def _wait_for(port: int) -> None:
    deadline = time.monotonic() + READY
    while True:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
            return
        if time.monotonic() > deadline:
            raise RuntimeError("the server did not start")
        time.sleep(0.05)


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        return int(sock.getsockname()[1])


def _cpu(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
