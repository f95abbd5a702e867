"""The kernel's TCP from alice to bob in the laboratory, and what flows got in the same seconds."""

import contextlib
import json
import subprocess
import sys
from collections.abc import Iterator

from tests.lab import Lab
from tests.lab.namespace import Namespace
from tests.lab.transfer import END_TIMEOUT, ROOT, Record, Transfer, end

ENDLESS = 1 << 40  # bytes; more than anybody waits for
TCP_PORT = 7000


class Tcp:
    """One TCP connection, from memory to nowhere.

    Args:
        lab: Where.
        control: Its congestion control.
        size: Bytes to move.
        seconds: How long at most.
    """

    def __init__(
        self, lab: Lab, *, control: str, size: int = ENDLESS, seconds: float = END_TIMEOUT
    ) -> None:
        self._receiver = _tcp(lab.bob, "receive", str(TCP_PORT), str(size), str(seconds))
        assert self._receiver.stdout is not None, "it was started with a pipe"
        if self._receiver.stdout.readline() != "ready\n":
            raise RuntimeError("the TCP receiver did not start")
        self._sender = _tcp(lab.alice, "send", control, lab.bob.address, str(TCP_PORT))

    def finish(self) -> tuple[float, Record]:
        """Return the rate in bytes per second, and the record."""
        received, sent = (
            json.loads(end.communicate()[0]) for end in (self._receiver, self._sender)
        )
        record = [(at, count) for at, count in received["record"]]
        return received["bytes"] / sent["seconds"], record

    def stop(self) -> None:
        """End both processes, if they have not ended."""
        end(self._receiver)
        end(self._sender)


@contextlib.contextmanager
def running(flow: "Transfer | Tcp") -> Iterator[None]:
    """End a flow when the context is left."""
    try:
        yield
    finally:
        flow.stop()


def between(record: Record, start: float, end: float) -> float:
    """Return how many bytes came from one time to another, the record's steps drawn as lines."""
    return _count_at(record, end) - _count_at(record, start)


def _count_at(record: Record, when: float) -> float:
    before = max((entry for entry in record if entry[0] <= when), default=record[0])
    after = min((entry for entry in record if entry[0] > when), default=record[-1])
    if after[0] <= before[0]:
        return before[1]
    share = (when - before[0]) / (after[0] - before[0])
    return before[1] + share * (after[1] - before[1])


def _tcp(host: Namespace, *arguments: str) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "tests.lab.tcp", *arguments]
    return host.popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT)
