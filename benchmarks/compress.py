"""Files that shrink, and one that does not, over a slow link: compressed on their way, and not.

Two real commands in the laboratory of ``tests/lab``, 100 Mbit/s and 20 ms; both ways one after the
other, for each file. Linux, root, a C compiler.
"""

import json
import os
import random
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from benchmarks.figures import Figure, figure
from tests.lab import Lab
from tests.lab.namespace import Namespace
from tests.lab.required import missing

RTT = 20  # ms
RATE = 100  # Mbit/s
SIZE = 50_000_000  # bytes; four seconds of the link
MODES = ("never", "auto")
CODE = "7-guitar-velvet"
ROOT = Path(__file__).parents[1]


def measure(folder: Path, *, runs: int) -> Iterator[Figure]:
    """Measure each file both ways; nothing, and why, where there can be no laboratory."""
    if (reason := missing()) is not None:
        print(f"compress: {reason}", file=sys.stderr)
        return
    with Lab() as lab:
        server = lab.rendezvous()
        lab.links(rtt_ms=RTT, rate_mbit=RATE, loss_percent=0.0)
        for name, make in CONTENTS.items():
            source = folder / name
            source.write_bytes(make())
            yield from _measured(lab, server, source, runs)
            source.unlink()


def _measured(lab: Lab, server: str, source: Path, runs: int) -> Iterator[Figure]:
    rates: dict[str, list[float]] = {mode: [] for mode in MODES}
    shares, cpu = [], []
    for _ in range(runs):
        for mode in MODES:
            before = os.times()
            done = _transfer(lab, server, source, mode)
            after = os.times()
            rates[mode].append(SIZE / 1e6 / done["seconds"])
            took = after.children_user + after.children_system
            cpu.append(took - before.children_user - before.children_system)
            if mode == "auto":
                shares.append(done["wire"] / SIZE)
    for mode in MODES:
        yield figure("compress", f"{source.name}: {mode}", "MB/s", rates[mode])
    pairs = zip(rates["auto"], rates["never"], strict=True)
    yield figure("compress", f"{source.name}: auto / never", "times", [a / n for a, n in pairs])
    yield figure("compress", f"{source.name}: sent, of it", "times", shares)
    more = [a - n for n, a in zip(cpu[::2], cpu[1::2], strict=True)]
    yield figure("compress", f"{source.name}: more CPU, both sides", "s", more)


def _transfer(lab: Lab, server: str, source: Path, mode: str) -> Any:
    """Send it; return the last event of the receiver."""
    options = ("--server", server, "--json")
    sender = _start(
        lab.alice, source.parent, "send", source, "--code", CODE, "--compress", mode, *options
    )
    with sender:
        assert sender.stdout is not None
        sender.stdout.readline()  # the code: it can be claimed
        command = ("receive", "-y", "--overwrite", "-o", f"{source}.copy", CODE, *options)
        with _start(lab.bob, source.parent, *command) as receiver:
            assert receiver.stdout is not None
            done = json.loads(receiver.stdout.readlines()[-1])
            sender.stdout.read()
    if sender.returncode or receiver.returncode:
        raise RuntimeError(f"they ended with {sender.returncode} and {receiver.returncode}")
    return done


def _start(host: Namespace, folder: Path, *arguments: str | Path) -> "subprocess.Popen[bytes]":
    return host.popen(
        [sys.executable, "-m", "rtcsend", *map(str, arguments)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        env={**os.environ, "XDG_RUNTIME_DIR": str(folder), "RTCSEND_DISCOVERY": "local"},
        cwd=ROOT,
    )


def _source_code() -> bytes:
    text = b"".join(path.read_bytes() for path in sorted(ROOT.glob("*/**/*.py")))
    return (text * (SIZE // len(text) + 1))[:SIZE]


def _log() -> bytes:
    chance = random.Random(1)
    lines = (
        f"2026-11-21T17:{n // 6000 % 60:02}:{n // 100 % 60:02}.{n % 100:02}0 INFO "
        f"worker-{chance.randrange(8)} request id={chance.getrandbits(32):08x} "
        f"path=/api/v1/items/{chance.randrange(5000)} status={chance.choice((200, 304, 404))} "
        f"took {chance.randrange(5000)} us\n"
        for n in range(SIZE // 90)
    )
    return "".join(lines).encode()[:SIZE].ljust(SIZE, b"\n")


CONTENTS: dict[str, Callable[[], bytes]] = {
    "source.txt": _source_code,
    "server.log": _log,
    "random.bin": lambda: random.Random(1).randbytes(SIZE),
}
