"""How fast a file goes from one process to another here, beside plain aiortc and raw hashing.

Three ways: rtcsend with its own data path, rtcsend on aiortc's SCTP, and aiortc alone without
file or digest. All in one run and in turns, since a shared machine is fast in one minute and
slow in the next: compare within a run only.
"""

import hashlib
import os
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from blake3 import blake3

from benchmarks.commands import BLOCK, Command, random_file
from benchmarks.figures import Figure, figure
from rtcsend.options import DATAPATH_VARIABLE, STOCK

HASHED = 256 << 20  # bytes


def measure(folder: Path, *, size: int, runs: int) -> Iterator[Figure]:
    """Measure transfers of ``size`` bytes."""
    own, stock, plain = [], [], []
    for _ in range(runs):
        own.append(size / 1e6 / _demo_seconds(size, folder, datapath=""))
        stock.append(size / 1e6 / _demo_seconds(size, folder, datapath=STOCK))
        plain.append(size / 1e6 / _plain_seconds(size, folder))
    megabytes = size // 1_000_000
    yield figure("throughput", f"rtcsend, {megabytes} MB, disk to disk", "MB/s", own)
    yield figure("throughput", "the same on aiortc's SCTP", "MB/s", stock)
    yield figure("throughput", "aiortc alone, memory to memory", "MB/s", plain)
    yield figure("throughput", "rtcsend / aiortc alone", "times", _ratios(own, plain))
    yield figure("throughput", "BLAKE3, one thread", "MB/s", [_hash_rate(blake3().update)])
    yield figure("throughput", "SHA-256, one thread", "MB/s", [_hash_rate(hashlib.sha256().update)])
    yield figure("throughput", "copy and sync a file", "MB/s", [_copy_rate(folder, size)])


def _ratios(ones: Sequence[float], others: Sequence[float]) -> list[float]:
    return [one / other for one, other in zip(ones, others, strict=True)]


def _demo_seconds(size: int, folder: Path, *, datapath: str) -> float:
    """Return the seconds from the first byte to the receiver's word that all is safe."""
    command = ("-m", "rtcsend", "demo", "--json", "--size", str(size))
    with Command(*command, folder=folder, env={DATAPATH_VARIABLE: datapath}) as demo:
        return float(demo.wait_for("demo")["seconds"])


def _plain_seconds(size: int, folder: Path) -> float:
    with Command("-m", "benchmarks.plain_aiortc", str(size), folder=folder) as plain:
        return float(plain.wait_for("done")["seconds"])


def _hash_rate(update: Callable[[bytes], object]) -> float:
    block = os.urandom(BLOCK)
    started = time.monotonic()
    for _ in range(HASHED // BLOCK):
        update(block)
    return HASHED / 1e6 / (time.monotonic() - started)


def _copy_rate(folder: Path, size: int) -> float:
    source = random_file(folder / "copy.source", size)
    started = time.monotonic()
    with source.open("rb") as reader, (folder / "copy").open("wb") as writer:
        shutil.copyfileobj(reader, writer, BLOCK)
        os.fsync(writer.fileno())
    return size / 1e6 / (time.monotonic() - started)
