"""The kernel's TCP over the laboratory, from memory to nowhere; a process for each end.

::

    python -m tests.lab.tcp receive PORT SIZE SECONDS
    python -m tests.lab.tcp send CONTROL HOST PORT

The receiver takes SIZE bytes, or what comes in SECONDS, and then answers with one byte. It prints
``ready``, and in the end a JSON object: the bytes, and how many there were at what time. The
sender prints one as well: the seconds from its first byte to that answer.
"""

import json
import select
import socket
import sys
import time
from contextlib import suppress
from typing import Final

BLOCK: Final = 1 << 18  # bytes
STEP: Final = 0.25  # seconds between two entries of the record


def receive(port: int, size: int, seconds: float) -> None:
    """Take from whoever connects first."""
    with socket.create_server(("", port)) as server:
        print("ready", flush=True)
        connection, _ = server.accept()
    with connection:
        taken, started = 0, time.monotonic()
        record = [(started, 0)]
        while taken < size and time.monotonic() - started < seconds:
            block = connection.recv(BLOCK)
            if not block:
                break
            taken += len(block)
            now = time.monotonic()
            if now - record[-1][0] >= STEP:
                record.append((now, taken))
        record.append((time.monotonic(), taken))
        print(json.dumps({"bytes": taken, "record": record}), flush=True)
        with suppress(OSError):
            connection.sendall(b"1")
            connection.shutdown(socket.SHUT_WR)
            while connection.recv(BLOCK):  # what is under way: else the answer is a reset
                pass


def send(control: str, host: str, port: int) -> None:
    """Send until the other end answers."""
    with socket.socket() as sock:
        sock.connect((host, port))
        # Not before: connecting takes what the route says.
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, control.encode())
        sock.setblocking(False)
        block = bytes(BLOCK)
        started = time.monotonic()
        while True:
            readable, writable, _ = select.select([sock], [sock], [])
            if readable:
                break
            if writable:
                sock.send(block)
        print(json.dumps({"seconds": time.monotonic() - started}), flush=True)


if __name__ == "__main__":
    verb, *rest = sys.argv[1:]
    if verb == "receive":
        receive(int(rest[0]), int(rest[1]), float(rest[2]))
    else:
        send(rest[0], rest[1], int(rest[2]))
