"""Machines on a network of their own: network namespaces, joined by cables, with no way out.

Linux, root. Every interface that is made here ends in a namespace that is made here, so no
packet can leave. All of it is gone when the context ends.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count

import pytest

_numbers = count()


def require_namespaces() -> None:
    """Skip the test where namespaces cannot be made; fail it in CI."""
    reason = _missing()
    if reason is None:
        return
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)


class Host:
    """A machine.

    Attributes:
        inside: What to put in front of a command that is to run there.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.inside = ("ip", "netns", "exec", name)

    def ip(self, *arguments: str) -> None:
        """Run ``ip`` there."""
        _run("ip", "-n", self.name, *arguments)

    def device(self, address: str) -> str:
        """Return the interface whose IPv4 address begins so."""
        command = ("ip", "-n", self.name, "-o", "-4", "address")
        listed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        return next(line.split()[1] for line in listed.splitlines() if f" {address}" in line)

    def change_address(self, old: str, new: str) -> None:
        """Give the interface with one address another one, on the same network of 24 bits."""
        device = self.device(f"{old}/")
        self.ip("address", "del", f"{old}/24", "dev", device)
        self.ip("address", "add", f"{new}/24", "dev", device)

    def forward(self, *, on: bool) -> None:
        """Pass on packets for others, or not."""
        _run(*self.inside, "sh", "-c", f"echo {int(on)} >/proc/sys/net/ipv4/ip_forward")


@contextmanager
def hosts(number: int) -> Iterator[list[Host]]:
    """Make machines that are connected to nothing yet."""
    prefix = f"rtcsend-{os.getpid()}-{next(_numbers)}"
    made: list[Host] = []
    try:
        for index in range(number):
            host = Host(f"{prefix}-{index}")
            _run("ip", "netns", "add", host.name)
            made.append(host)
            host.ip("link", "set", "lo", "up")
        yield made
    finally:
        for host in made:
            _run("ip", "netns", "delete", host.name)


def cable(one: Host, one_address: str, other: Host, other_address: str) -> None:
    """Join two machines; the addresses are on one network of 24 bits."""
    ends = (f"eth{next(_numbers)}", f"eth{next(_numbers)}")
    one.ip("link", "add", ends[0], "type", "veth", "peer", "name", ends[1], "netns", other.name)
    for host, end, address in ((one, ends[0], one_address), (other, ends[1], other_address)):
        host.ip("address", "add", f"{address}/24", "dev", end)
        host.ip("link", "set", end, "up")


def _missing() -> str | None:
    if sys.platform != "linux" or os.geteuid() != 0:
        return "network namespaces take root on Linux"
    if shutil.which("ip") is None:
        return "iproute2 is missing (Debian, Ubuntu: apt install iproute2)"
    try:
        with hosts(2) as (one, other):
            cable(one, "10.77.0.1", other, "10.77.0.2")
            one.forward(on=False)
    except subprocess.CalledProcessError as exc:
        return f"network namespaces cannot be made here: {exc.stderr.strip()}"
    return None


def _run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True, text=True)
