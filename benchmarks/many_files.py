"""Folders of many small files, disk to disk, beside tar over a socket and magic-wormhole.

Each run writes into an empty folder, on loopback; seconds run from the start of the receiving
command, the sending one being ready, to the end of both. tar is two processes with one TCP
connection between them and nothing else: no encryption, no check, and no sync; a second figure
adds the sync of the file system that rtcsend makes before it says that all is saved.

A million entries are proposed, and declined: what both sides take to list, carry, check and
show them, besides the files of any transfer.
"""

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

from benchmarks.figures import Figure, figure
from benchmarks.wormhole import CODE, READY, Took, finish, installed, mailbox, started

TREES = ((10_000, 4_096), (100_000, 1_024))  # files, and bytes of each
IN_A_FOLDER = 1_000
MILLION = 1_000_000
DECLINED = 40


def measure(
    folder: Path, *, runs: int, trees: Sequence[tuple[int, int]], wormhole: Path | None
) -> Iterator[Figure]:
    """Measure trees of files of some bytes each, and the memory of a million."""
    for files, size in trees:
        source = make_tree(folder / f"{files}x{size}", files, size)
        yield from _rates(source, files, runs=runs, wormhole=installed(folder, wormhole))
        shutil.rmtree(source)
    source = make_tree(folder / "million", MILLION, 0)
    yield from _memory(source, folder)
    shutil.rmtree(source)


def make_tree(path: Path, files: int, size: int) -> Path:
    """Write files of random bytes, IN_A_FOLDER in each folder; folders count as files here."""
    for first in range(0, files, IN_A_FOLDER):
        inner = path / f"{first // IN_A_FOLDER:04}"
        inner.mkdir(parents=True)
        for number in range(first, min(first + IN_A_FOLDER, files)):
            (inner / f"{number % IN_A_FOLDER:04}.bin").write_bytes(os.urandom(size))
    return path


def _rates(source: Path, files: int, *, runs: int, wormhole: Path) -> Iterator[Figure]:
    out = source.with_name("out")
    ways = {"rtcsend": _rtcsend, "tar": _tar, "tar and sync": _tar_and_sync}
    took: dict[str, list[Took]] = {name: [] for name in (*ways, "wormhole")}
    with mailbox(wormhole, None, "127.0.0.1") as url:
        for _ in range(runs):
            for name, way in ways.items():
                with _empty(out):
                    took[name].append(way(source, out))
            with _empty(out):
                took["wormhole"].append(_wormhole(source, out, wormhole / "bin" / "wormhole", url))
    for name, each in took.items():
        rates = [files / one.seconds for one in each]
        yield figure("many_files", f"{source.name}: {name}", "files/s", rates)
        cpu = [one.cpu / files * 1e6 for one in each]
        yield figure("many_files", f"{source.name}: CPU of both sides, {name}", "us/file", cpu)
    for name, goal in (("tar", ">= 0.5"), ("tar and sync", ""), ("wormhole", ">= 2")):
        pairs = zip(took["rtcsend"], took[name], strict=True)
        ratios = [other.seconds / mine.seconds for mine, other in pairs]
        yield figure("many_files", f"{source.name}: rtcsend / {name}", "times", ratios, goal=goal)


def _empty(out: Path) -> ExitStack:
    """Return a context in which a folder is there and empty; afterwards it is gone."""
    out.mkdir()
    os.sync()  # what runs before leave to be written is not measured
    stack = ExitStack()
    stack.callback(shutil.rmtree, out)
    return stack


def _rtcsend(source: Path, out: Path) -> Took:
    program = [sys.executable, "-m", "rtcsend"]
    with started(None, [*program, "send", "--json", str(source)], source.parent) as sending:
        code = _code(sending)
        time.sleep(READY)
        command = [*program, "receive", "--json", "--yes", "--output", str(out), code]
        return finish(sending, None, command, source.parent)


def _wormhole(source: Path, out: Path, program: Path, url: str) -> Took:
    base = [str(program), f"--relay-url={url}", "--transit-helper=tcp:127.0.0.1:1"]
    send = [*base, "send", "--hide-progress", f"--code={CODE}", str(source)]
    with started(None, send, source.parent) as sending:
        time.sleep(READY)
        target = f"--output-file={out / source.name}"
        command = [*base, "receive", "--accept-file", "--hide-progress", target, CODE]
        return finish(sending, None, command, source.parent)


def _tar(source: Path, out: Path, *, sync: bool = False) -> Took:
    """Unpack what another process packs, over one TCP connection."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        began = time.monotonic()
        with socket.create_connection(server.getsockname()) as ours, server.accept()[0] as theirs:
            pack = ["tar", "-c", "-C", str(source.parent), source.name]
            packing = subprocess.Popen(pack, stdout=ours.fileno())
            unpacking = subprocess.Popen(["tar", "-x", "-C", str(out)], stdin=theirs.fileno())
    cpu = 0.0
    for process in (packing, unpacking):
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            raise RuntimeError(f"tar ended with {process.returncode}")
        cpu += usage.ru_utime + usage.ru_stime
    if sync:
        subprocess.run(["sync", "--file-system", str(out)], check=True)
    return Took(seconds=time.monotonic() - began, cpu=cpu)


def _tar_and_sync(source: Path, out: Path) -> Took:
    return _tar(source, out, sync=True)


def _memory(source: Path, folder: Path) -> Iterator[Figure]:
    """Propose everything to a receiver that wants fewer files."""
    program = [sys.executable, "-m", "rtcsend"]
    with started(None, [*program, "send", "--json", str(source)], folder) as sending:
        code = _code(sending)
        options = ["--json", "--yes", "--max-files", "10", "--output", str(folder), code]
        began = time.monotonic()
        with started(None, [*program, "receive", *options], folder) as receiving:
            peaks = [_declined(receiving), _declined(sending)]
        seconds = time.monotonic() - began
    for side, peak in zip(("receiver", "sender"), peaks, strict=True):
        yield figure("many_files", f"a million entries, {side}", "MB", [peak / 1e6], goal="< 200")
    yield figure("many_files", "a million entries, until they are shown", "s", [seconds])


def _declined(process: "subprocess.Popen[str]") -> int:
    """Wait for the end of a side that saw a proposal declined; return its peak in bytes."""
    assert process.stdout is not None, "it was started with a pipe"
    process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != DECLINED:
        raise RuntimeError(f"declining ended with {process.returncode}")
    return usage.ru_maxrss * 1024  # Linux counts in KiB


def _code(sending: "subprocess.Popen[str]") -> str:
    assert sending.stdout is not None, "it was started with a pipe"
    for line in sending.stdout:
        event = json.loads(line)
        if event["event"] == "code":
            return str(event["code"])
    raise RuntimeError("rtcsend send has no code")
