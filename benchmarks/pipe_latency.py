"""How long a line takes through ``rtcsend send - | … | rtcsend receive -o -``, over a long link.

Two real commands in the laboratory of ``tests/lab``; the lines are written into the one's pipe and
read from the other's here, so that one clock tells both. Half of the round trip is the link's:
the rest is what the two processes, their pipes and the protocol add. Linux, root, a C compiler.
"""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.figures import Figure, figure
from tests.lab import Lab
from tests.lab.namespace import Namespace
from tests.lab.required import missing

RTT = 40  # ms
LOSSES = (0.0, 1.0)  # percent
LINES = 100
PAUSE = 0.1  # seconds between two lines
CODE = "7-guitar-velvet"
ROOT = Path(__file__).parents[1]


def measure(folder: Path) -> Iterator[Figure]:
    """Measure the lines; nothing, and why, where there can be no laboratory."""
    if (reason := missing()) is not None:
        print(f"pipe_latency: {reason}", file=sys.stderr)
        return
    with Lab() as lab:
        server = lab.rendezvous()
        for loss in LOSSES:
            lab.links(rtt_ms=RTT, rate_mbit=100, loss_percent=loss)
            with _pipe(lab, server, folder) as (into, out):
                took = [_line(into, out, number) for number in range(LINES + 1)][1:]
            link = f"{RTT} ms, {loss:g} %"
            goal = "" if loss else "< 100"
            yield figure("pipe_latency", f"{link}: a line", "ms", took, goal=goal)


@contextmanager
def _pipe(lab: Lab, server: str, folder: Path) -> Iterator[tuple[int, int]]:
    """Within it, both commands run; yield where to write and where to read."""
    options = ("--server", server, "--quiet")
    sender = _start(lab.alice, folder, "send", "-", "--code", CODE, *options)
    with sender:
        assert sender.stdout is not None
        sender.stdout.readline()  # the code: it can be claimed
        command = ("receive", "-y", "-o", "-", CODE, *options)
        with _start(lab.bob, folder, *command) as receiver:
            assert sender.stdin is not None
            assert receiver.stdout is not None
            yield sender.stdin.fileno(), receiver.stdout.fileno()
            sender.stdin.close()
    if sender.returncode or receiver.returncode:
        raise RuntimeError(f"they ended with {sender.returncode} and {receiver.returncode}")


def _start(host: Namespace, folder: Path, *arguments: str) -> "subprocess.Popen[bytes]":
    return host.popen(
        [sys.executable, "-m", "rtcsend", *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "XDG_RUNTIME_DIR": str(folder), "RTCSEND_DISCOVERY": "local"},
        cwd=ROOT,
    )


def _line(into: int, out: int, number: int) -> float:
    """Send a line, and return how many milliseconds it took."""
    line = b"line %d\n" % number
    started = time.monotonic()
    os.write(into, line)
    left = len(line)
    while left:
        left -= len(os.read(out, left))
    took = time.monotonic() - started
    time.sleep(PAUSE)
    return took * 1000
