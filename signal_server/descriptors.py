"""File descriptors: each socket needs one, and the system gives a process few of them at first.

Shell.
"""

import math
import sys

SPARE = 512  # for listening sockets, logs, the store, and connections that are about to be refused


def raise_descriptor_limit(sockets: int) -> int | None:
    """Have the system allow as many descriptors as ``sockets`` need, as far as it does.

    Returns:
        How many it allows, if these are too few; the server then takes fewer sockets than its
        own limit says.
    """
    if sys.platform == "win32":
        return None  # there is no such limit
    import resource  # noqa: PLC0415 - not on Windows

    wanted = sockets + SPARE
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    # RLIM_INFINITY is -1 here, or larger than any other.
    soft, hard = (math.inf if limit < 0 else limit for limit in limits)
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (int(min(wanted, hard)), limits[1]))
    return int(hard) if hard < sockets else None
