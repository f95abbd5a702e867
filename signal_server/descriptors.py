"""File descriptors: each socket needs one, and the system gives a process few of them at first.

Shell.
"""

import logging
import math
import sys

from signal_server.logs import log

SPARE = 512  # for listening sockets, logs, the store, and connections that are about to be refused


def raise_descriptor_limit(sockets: int) -> None:
    """Have the system allow as many descriptors as ``sockets`` need, as far as it does.

    What it does not is logged: the server then takes fewer, and the limit of its own says more
    than it can keep.
    """
    if sys.platform == "win32":
        return  # there is no such limit
    import resource  # noqa: PLC0415 - not on Windows

    wanted = sockets + SPARE
    soft, hard = (_finite(limit) for limit in resource.getrlimit(resource.RLIMIT_NOFILE))
    if soft < wanted:
        limits = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (int(min(wanted, hard)), limits[1]))
    if hard < wanted:
        log(logging.WARNING, "few file descriptors", allowed=int(hard), wanted=wanted)


def _finite(limit: int) -> float:
    """Return a limit as a number that compares: there may be none."""
    return math.inf if limit < 0 else limit  # RLIM_INFINITY is -1 here
