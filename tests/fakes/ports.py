"""Ports for servers that have to be told one, or that come back to where they were."""

import random
import socket
from contextlib import closing
from typing import Final

_RANGE: Final = range(12_000, 32_000)
"""Below what systems give to sockets that ask for any port (Linux: from 32768 on).

A port out of that range may become the own port of any client on this machine, before the server
has bound it, or while it is down.
"""
_choose: Final = random.SystemRandom()  # the workers of a run seed the other one alike


def free_port() -> int:
    """Return a port of loopback that nobody has, by TCP or UDP, and that nobody gets by chance."""
    while True:
        port = _choose.choice(_RANGE)
        if all(_is_free(port, kind) for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM)):
            return port


def _is_free(port: int, kind: socket.SocketKind) -> bool:
    with closing(socket.socket(socket.AF_INET, kind)) as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
