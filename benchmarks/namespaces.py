"""Two network namespaces with a veth pair between them, MTU 1500 and no way out. Linux, root."""

import ctypes
import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

CLONE_NEWNET = 0x4000_0000  # linux/sched.h
ADDRESSES = ("10.99.0.1", "10.99.0.2")


def available() -> bool:
    """Return whether namespaces can be had here."""
    return hasattr(os, "geteuid") and os.geteuid() == 0 and Path("/proc/self/ns/net").exists()


@contextmanager
def veth_pair(*, mtu: int = 1500) -> Iterator[tuple[str, str]]:
    """Make the namespaces; yield their names."""
    names = (f"rtcsend-{os.getpid()}-a", f"rtcsend-{os.getpid()}-b")
    made = []
    try:
        for name in names:
            _ip(f"netns add {name}")
            made.append(name)
        _ip(f"-n {names[0]} link add veth0 mtu {mtu} type veth peer name veth0 netns {names[1]}")
        for name, address in zip(names, ADDRESSES, strict=True):
            _ip(f"-n {name} link set veth0 mtu {mtu} up")
            _ip(f"-n {name} link set lo up")
            _ip(f"-n {name} address add {address}/24 dev veth0")
        yield names
    finally:
        for name in made:
            _ip(f"netns delete {name}")


def inside(name: str | None, end: Callable[..., Any]) -> Callable[..., Any]:
    """Return ``end``, to run in a namespace; as it is where there is none."""
    return end if name is None else partial(run_inside, name, end)


def run_inside(name: str, end: Callable[..., Any], *arguments: Any) -> Any:
    """Move this process into a namespace, and call ``end``."""
    libc = ctypes.CDLL(None, use_errno=True)
    with Path(f"/run/netns/{name}").open("rb") as file:
        if libc.setns(file.fileno(), CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), "cannot enter the namespace")
    return end(*arguments)


def _ip(arguments: str) -> None:
    subprocess.run(["ip", *arguments.split()], check=True)
