"""A network for one test: loopback and one more interface, with no way out.

Other implementations take the machine's real interfaces; with root on Linux the test, with all
threads and processes that it starts, gets a namespace without them. Elsewhere it goes by the
addresses that there are, to this same machine all the same.
"""

import ctypes
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

_CLONE_NEWNET = 0x4000_0000  # linux/sched.h
_OWN_NAMESPACE = "/proc/thread-self/ns/net"
_SETUP = (
    "link set lo up",
    # libwebrtc looks over loopback: an interface whose other end nobody holds.
    "link add own type veth peer name nobody",
    "address add 10.0.0.1/24 dev own",
    "link set own up",
    "link set nobody up",
)


@contextmanager
def private_network() -> Iterator[None]:
    """Move the calling thread into a new network namespace, and back."""
    if sys.platform != "linux" or os.geteuid() != 0:
        yield
        return
    libc = ctypes.CDLL(None, use_errno=True)
    before = os.open(_OWN_NAMESPACE, os.O_RDONLY | os.O_CLOEXEC)
    try:
        if libc.unshare(_CLONE_NEWNET) != 0:  # a container may forbid it to its root
            yield
            return
        try:
            for command in _SETUP:
                subprocess.run(["ip", *command.split()], check=True)
            yield
        finally:
            if libc.setns(before, _CLONE_NEWNET) != 0:
                raise OSError(ctypes.get_errno(), "the thread could not leave its namespace")
    finally:
        os.close(before)
