"""Starts ``rtcsend`` by forking, so that a hundred of them do not import aiortc a hundred times.

::

    python -m tests.e2e.hostile.fork_server SOCKET

Each connection to the socket is one process: it says what to run, and brings standard output and
error; it is told the process's number at once, and how it has ended. What runs is the command
line in a process of its own, with its own environment, folder, and exit code. It ends, and kills
what it has started, when its standard input ends. Linux.
"""

import contextlib
import importlib
import json
import os
import runpy
import selectors
import signal
import socket
import sys
from dataclasses import dataclass
from typing import Any

import coverage

from rtcsend.cli.commands import COMMANDS

LATE = (
    *("rtcsend.connecting", "rtcsend.datapath.stock", "rtcsend.rendezvous.embedded"),
    *("rtcsend.sending", "rtcsend.tree_sources", "rtcsend.files.shared_source", "pathspec"),
    *("rtcsend.receiving", "rtcsend.tree_decision", "rtcsend.listening", "rtcsend.serving.several"),
    *("rtcsend.meeting.introducing", "rtcsend.meeting.known_sending", "urllib.request"),
    "signal_server.cli",
)
"""What commands import when they need it."""

PRELOADED = [
    importlib.import_module(name)
    for name in ("rtcsend.cli.main", *(f"rtcsend.cli.{name}" for name in COMMANDS), *LATE)
]
MAX_REQUEST = 1 << 16  # bytes; arguments and environment


@dataclass
class Child:
    pid: int
    connection: socket.socket


def serve(path: str) -> dict[str, Any] | None:
    """Fork for each connection; return the request in the child, None at the end."""
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.listen(64)
    print("ready", flush=True)
    selector = selectors.DefaultSelector()
    selector.register(listener, selectors.EVENT_READ)
    selector.register(sys.stdin, selectors.EVENT_READ)
    children: dict[int, Child] = {}
    while True:
        for key, _ in selector.select():
            if key.fileobj is listener:
                connection = listener.accept()[0]
                text, output, _, _ = socket.recv_fds(connection, MAX_REQUEST, 2)
                pid = os.fork()
                if not pid:
                    selector.close()
                    for one in (listener, connection, *(c.connection for c in children.values())):
                        one.close()
                    return become(json.loads(text), output)
                for fd in output:
                    os.close(fd)
                say(connection, f"{pid}\n")
                watch = os.pidfd_open(pid)
                children[watch] = Child(pid, connection)
                selector.register(watch, selectors.EVENT_READ)
            elif key.fileobj is sys.stdin:
                for child in children.values():
                    os.kill(child.pid, signal.SIGKILL)
                    child.connection.close()
                selector.close()
                listener.close()
                return None
            else:
                selector.unregister(key.fd)
                os.close(key.fd)
                tell(children.pop(key.fd))


def tell(child: Child) -> None:
    """Say how a process has ended, and what it has cost."""
    _, status, usage = os.wait4(child.pid, 0)
    end = {"exit": os.waitstatus_to_exitcode(status), "peak": usage.ru_maxrss * 1024}
    with child.connection:
        say(child.connection, json.dumps(end))


def say(connection: socket.socket, text: str) -> None:
    """Tell a test; one that was cancelled is there no more, and the others go on."""
    with contextlib.suppress(BrokenPipeError):
        connection.sendall(text.encode())


def become(request: dict[str, Any], output: list[int]) -> dict[str, Any]:
    """Forget the server: own streams, own environment, own folder."""
    for number, fd in enumerate([os.open(os.devnull, os.O_RDONLY), *output]):
        os.dup2(fd, number)
    os.closerange(3, 1024)
    os.environ.clear()
    os.environ.update(request["env"])
    os.chdir(request["cwd"])
    sys.argv = ["rtcsend", *request["arguments"]]
    if "COVERAGE_PROCESS_CONFIG" in os.environ:
        coverage.process_startup()
    return request


if __name__ == "__main__":
    if request := serve(sys.argv[1]):
        runpy.run_module(request["module"], run_name="__main__", alter_sys=True)
