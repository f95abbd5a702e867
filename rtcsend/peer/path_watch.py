"""Looking every second whether this machine could still send on a path.

A shell around :class:`~rtcsend.peer.path_health.PathHealth`. Whether there is an address, an
interface and a route is asked of the system in one go: it is told to bind and connect a UDP
socket as the path's own is, which sends nothing.
"""

import asyncio
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass

from rtcsend.errors import ConnectionLost
from rtcsend.peer.path_health import POLL_INTERVAL, PathHealth


@dataclass(frozen=True, slots=True)
class Ends:
    """The two ends of what this machine sends on: to the other side, or to a relay."""

    local: str
    """Address without port."""
    remote: tuple[str, int]


async def watch_path(ends: Callable[[], Ends | None]) -> None:
    """Watch until cancelled; without ends only for the machine's sleep.

    Args:
        ends: Returns them as they are now: ICE may have found a better path.

    Raises:
        ConnectionLost: The path cannot work any more.
    """
    loop = asyncio.get_running_loop()
    health = PathHealth(now=loop.time(), uptime=uptime())
    while True:
        await asyncio.sleep(POLL_INTERVAL)
        now_used = ends()
        error = None if now_used is None else maybe_error(now_used)
        if reason := health.maybe_lost(now=loop.time(), uptime=uptime(), error=error):
            raise ConnectionLost(reason)


def uptime() -> float:
    """Return seconds of a clock that goes on while the machine sleeps.

    On Linux one that nobody can set; elsewhere the time of day, where it is not better known.
    """
    clock = getattr(time, "CLOCK_BOOTTIME", None)
    # On macOS this one goes on, and the one that Python calls monotonic does not.
    clock = getattr(time, "CLOCK_MONOTONIC_RAW", None) if clock is None else clock
    return time.clock_gettime(clock) if clock is not None else time.time()  # noqa: TID251 - above


def maybe_error(ends: Ends) -> int | None:
    """Return the error number with which the system refuses to send from one end to the other."""
    family = socket.AF_INET6 if ":" in ends.remote[0] else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.bind((ends.local, 0))
            probe.connect(ends.remote)
    except OSError as exc:
        return exc.errno
    return None
