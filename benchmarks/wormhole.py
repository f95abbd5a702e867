"""Whole commands: ``rtcsend send`` and ``receive`` beside those of magic-wormhole, disk to disk.

magic-wormhole and its mailbox server are installed by pip into a virtual environment of their
own; the mailbox runs here, and there is no transit relay, so that its bytes go straight over
TCP as ours go over the DataChannel. Seconds run from the start of the receiving command, the
sending one being ready, to the end of both. CPU is what the operating system says of both
processes when they have ended, everything included: imports, hashing, the disk.
"""

import contextlib
import json
import os
import socket
import subprocess
import sys
import time
import venv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.commands import inherited, random_file
from benchmarks.figures import Figure, figure
from benchmarks.namespaces import ADDRESSES, available, veth_pair

PACKAGES = ("magic-wormhole==0.24.0", "magic-wormhole-mailbox-server==0.8.0")
READY = 2.0  # seconds until a sending command has imported everything and waits
CODE = "7-guitar-velvet"
TIMEOUT = 300.0  # seconds
Names = tuple[str | None, str | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Took:
    """What one transfer took: seconds on the clock, and of CPU, both sides together."""

    seconds: float
    cpu: float


def measure(folder: Path, *, size: int, runs: int, environment: Path | None) -> Iterator[Figure]:
    """Measure transfers of ``size`` bytes on loopback, and on veth where there are namespaces."""
    environment = installed(folder, environment)
    source = random_file(folder / "wormhole.bin", size)
    yield from _on((None, None), "127.0.0.1", source, environment, runs=runs)
    if available():
        with veth_pair() as names:
            yield from _on(names, ADDRESSES[0], source, environment, runs=runs)


def installed(folder: Path, environment: Path | None) -> Path:
    """Return a virtual environment with magic-wormhole: the given one, or one in a folder."""
    if environment is None:
        environment = folder / "wormhole"
    if not environment.exists():
        venv.create(environment, with_pip=True)
        pip = [str(environment / "bin" / "pip"), "install", "--quiet", *PACKAGES]
        subprocess.run(pip, check=True, stdout=subprocess.DEVNULL)
    return environment


def _on(
    names: Names, address: str, source: Path, environment: Path, *, runs: int
) -> Iterator[Figure]:
    network = "veth" if names[0] else "loopback"
    own, theirs = [], []
    with (
        mailbox(environment, names[0], address) as url,
        _rendezvous(environment, names[0], address) as server,
    ):
        for _ in range(runs):
            own.append(_rtcsend(source, names, server))
            theirs.append(_wormhole(source, names, environment / "bin" / "wormhole", url, address))
    size = source.stat().st_size
    for title, took in (("rtcsend", own), ("wormhole", theirs)):
        rates = [size / 1e6 / each.seconds for each in took]
        yield figure("wormhole", f"{network}: {title}, {size // 10**6} MB", "MB/s", rates)
        cpu = [each.cpu / size * 1e9 for each in took]
        yield figure("wormhole", f"{network}: CPU of both sides, {title}", "s/GB", cpu)
    pairs = list(zip(own, theirs, strict=True))
    rates = [other.seconds / mine.seconds for mine, other in pairs]
    goal = ">= 2" if network == "loopback" else ">= 1.2"
    yield figure("wormhole", f"{network}: rtcsend / wormhole", "times", rates, goal=goal)
    cpu = [mine.cpu / other.cpu for mine, other in pairs]
    yield figure("wormhole", f"{network}: CPU, rtcsend / wormhole", "times", cpu, goal="<= 1")


@contextlib.contextmanager
def mailbox(environment: Path, name: str | None, address: str) -> Iterator[str]:
    port = _free_port()
    server = f"tcp:{port}:interface={address}"
    command = [str(environment / "bin" / "twist"), "wormhole-mailbox", f"--port={server}"]
    command.append("--channel-db=:memory:")
    with started(name, command, environment.parent, text=False):
        time.sleep(2 * READY)
        yield f"ws://{address}:{port}/v1"


@contextlib.contextmanager
def _rendezvous(environment: Path, name: str | None, address: str) -> Iterator[str]:
    port = _free_port()
    options = ["serve", "--host", address, "--port", str(port)]
    command = [sys.executable, "-m", "rtcsend", *options]
    with started(name, command, environment.parent, text=False):
        time.sleep(READY)
        yield f"ws://{address}:{port}/v1"


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        return int(sock.getsockname()[1])


def _rtcsend(source: Path, names: Names, server: str) -> Took:
    program = [sys.executable, "-m", "rtcsend"]
    with started(
        names[0], [*program, "send", "--json", "--server", server, str(source)], source.parent
    ) as sender:
        assert sender.stdout is not None, "it was started with a pipe"
        code = json.loads(sender.stdout.readline())
        time.sleep(READY)
        options = ["--json", "--yes", "--overwrite", "--output", str(source) + ".copy"]
        command = [*program, "receive", *options, "--server", server, code["code"]]
        return finish(sender, names[1], command, source.parent)


def _wormhole(source: Path, names: Names, program: Path, url: str, address: str) -> Took:
    base = [str(program), f"--relay-url={url}", f"--transit-helper=tcp:{address}:1"]
    Path(str(source) + ".copy").unlink(missing_ok=True)
    send = [*base, "send", "--hide-progress", f"--code={CODE}", str(source)]
    with started(names[0], send, source.parent) as sender:
        time.sleep(READY)
        options = ["--accept-file", "--hide-progress", f"--output-file={source}.copy"]
        command = [*base, "receive", *options, CODE]
        return finish(sender, names[1], command, source.parent)


def finish(
    sender: "subprocess.Popen[str]", name: str | None, command: Sequence[str], folder: Path
) -> Took:
    began = time.monotonic()
    cpu = 0.0
    with started(name, command, folder) as receiver:
        for process in (receiver, sender):
            assert process.stdout is not None, "it was started with a pipe"
            process.stdout.read()
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
            if process.returncode:
                raise RuntimeError(f"{command[0]} ended with {process.returncode}")
            cpu += usage.ru_utime + usage.ru_stime
    return Took(seconds=time.monotonic() - began, cpu=cpu)


@contextlib.contextmanager
def started(
    name: str | None, command: Sequence[str], folder: Path, *, text: bool = True
) -> Iterator["subprocess.Popen[str]"]:
    """Run a command, in a namespace if there is one; end it at the end."""
    process = subprocess.Popen(
        [*(["ip", "netns", "exec", name] if name else []), *command],
        env={**inherited(), "RTCSEND_DISCOVERY": "local", "XDG_RUNTIME_DIR": str(folder)},
        cwd=Path(__file__).parents[1],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE if text else subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.terminate()
            process.wait(TIMEOUT)
        if process.stdout is not None:
            process.stdout.close()
