"""One network namespace: made, entered, given interfaces and commands to run, removed.

What the rest of the laboratory is made of. Nothing here knows of NATs or addresses.
"""

import ctypes
import fcntl
import os
import shutil
import signal
import socket
import struct
import subprocess
import time
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

CLONE_NEWNET: Final = 0x4000_0000  # linux/sched.h
SIOCETHTOOL: Final = 0x8946  # linux/sockios.h
# linux/ethtool.h: transmit checksums, TCP segmentation, segmentation, coalescing
OFFLOADS: Final = (0x17, 0x1F, 0x24, 0x2C)
ETC: Final = Path("/etc/netns")
RUN: Final = Path("/run/netns")
GRACE: Final = 3.0  # seconds a command has to end by itself
STEP: Final = 0.02  # seconds

_libc = ctypes.CDLL(None, use_errno=True)


class LabError(Exception):
    """The laboratory could not be built, or not do what was asked."""


class Namespace:
    """A namespace of that name, with its loopback up; IPv6 is off until :meth:`enable_ipv6`.

    Args:
        name: Unique on this machine.
        hosts: Lines of its own ``/etc/hosts``; no name server is ever asked.
    """

    def __init__(self, name: str, *, hosts: str = "") -> None:
        self.name = name
        self._processes: list[subprocess.Popen[Any]] = []
        ip("netns", "add", name)
        etc = ETC / name  # `ip netns exec` shows what is there in place of the machine's own
        etc.mkdir(parents=True, exist_ok=True)
        (etc / "hosts").write_text(f"127.0.0.1 localhost\n{hosts}")
        (etc / "resolv.conf").write_text("options timeout:1 attempts:1\n")
        for where in ("all", "default"):
            self.sysctl(f"ipv6/conf/{where}/disable_ipv6", 1)
            self.sysctl(f"ipv4/conf/{where}/rp_filter", 0)
        self.sysctl("ipv4/tcp_no_metrics_save", 1)  # each connection starts anew
        self.ip("link set dev lo up")

    def enable_ipv6(self) -> None:
        """Have IPv6 on all interfaces, those to come too, and believe what is configured."""
        for where in ("all", "default"):
            for key, value in (("disable_ipv6", 0), ("accept_dad", 0), ("accept_ra", 0)):
                self.sysctl(f"ipv6/conf/{where}/{key}", value)

    def remove(self) -> None:
        """End what runs in it, and remove it."""
        remove(self.name)
        for process in self._processes:
            process.kill()  # one that has not entered yet
            process.wait()
            for pipe in (process.stdin, process.stdout, process.stderr):
                if pipe is not None:
                    with suppress(BrokenPipeError):
                        pipe.close()

    @contextmanager
    def entered(self) -> Iterator[None]:
        """Move this thread into the namespace; sockets that are made stay there."""
        home_path, away_path = Path("/proc/thread-self/ns/net"), RUN / self.name
        with home_path.open("rb") as home, away_path.open("rb") as away:
            _enter(away.fileno())
            try:
                yield
            finally:
                _enter(home.fileno())

    def ip(self, *lines: str) -> None:
        """Run some lines of ``ip`` there."""
        ip("-n", self.name, "-batch", "-", stdin="\n".join(lines) + "\n")

    def nft(self, rules: str) -> None:
        """Load rules of nftables there."""
        _check_output([*self.inside, "nft", "-f", "-"], stdin=rules)

    def sysctl(self, key: str, value: int) -> None:
        """Set a value below ``/proc/sys/net``, where this kernel has it."""
        with self.entered(), suppress(FileNotFoundError):
            Path("/proc/sys/net", key).write_text(str(value))

    def without_offloads(self, interface: str) -> None:
        """Have frames leave an interface as they would be on a wire: whole and no larger."""
        with self.socket() as sock:
            for offload in OFFLOADS:
                value = ctypes.create_string_buffer(struct.pack("II", offload, 0))
                request = struct.pack("16sP16x", interface.encode(), ctypes.addressof(value))
                with suppress(OSError):  # a kernel that has no such thing does not do it either
                    fcntl.ioctl(sock, SIOCETHTOOL, request)

    def socket(
        self, kind: socket.SocketKind = socket.SOCK_DGRAM, protocol: int = 0
    ) -> socket.socket:
        """Return a socket that lives there, for this process to use."""
        with self.entered():
            return socket.socket(socket.AF_INET, kind, protocol)

    @property
    def inside(self) -> tuple[str, ...]:
        """What to put in front of a command that is to run there."""
        return ("ip", "netns", "exec", self.name)

    def popen(self, command: Sequence[str | Path], **options: Any) -> "subprocess.Popen[Any]":
        """Start a command there, as :class:`subprocess.Popen` does. It ends with the lab."""
        process = subprocess.Popen([*self.inside, *map(str, command)], **options)
        self._processes.append(process)
        return process

    def pids(self) -> list[int]:
        """Return the processes there."""
        return _pids(self.name)

    def run(self, command: Sequence[str | Path], **options: Any) -> str:
        """Run a command there; return what it wrote.

        Raises:
            LabError: It failed.
        """
        return _check_output([*self.inside, *map(str, command)], **options)


def remove(name: str) -> None:
    """End what runs in a namespace, and remove it; nothing happens if there is none."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        for pid in _pids(name):
            with suppress(ProcessLookupError):
                os.kill(pid, number)
        end = time.monotonic() + GRACE
        while _pids(name) and time.monotonic() < end:
            time.sleep(STEP)
    subprocess.run(["ip", "netns", "delete", name], capture_output=True, check=False)
    shutil.rmtree(ETC / name, ignore_errors=True)
    with suppress(OSError):
        ETC.rmdir()  # unless somebody else has something there


def cable(one: Namespace, one_end: str, other: Namespace, other_end: str) -> None:
    """Join two namespaces by a pair of interfaces, and set them up."""
    here = f"{one_end} netns {one.name} address {mac(one, one_end)}"
    there = f"name {other_end} netns {other.name} address {mac(other, other_end)}"
    ip(*f"link add {here} type veth peer {there}".split())
    one.ip(f"link set dev {one_end} up")
    other.ip(f"link set dev {other_end} up")


def mac(namespace: Namespace, interface: str) -> str:
    """Return the hardware address that :func:`cable` gives an interface."""
    number = zlib.crc32(f"{namespace.name}/{interface}".encode())
    return "02:00:" + number.to_bytes(4, "big").hex(":")  # 02: given by hand


def ip(*arguments: str, stdin: str = "") -> None:
    """Run ``ip``.

    Raises:
        LabError: It refused.
    """
    _check_output(["ip", *arguments], stdin=stdin)


def _check_output(command: Sequence[str], *, stdin: str = "", **options: Any) -> str:
    result = subprocess.run(
        command, input=stdin, capture_output=True, text=True, check=False, **options
    )
    if result.returncode:
        said = (result.stderr or result.stdout).strip()
        raise LabError(f"{' '.join(command)}: {said}")
    return str(result.stdout)


def _pids(name: str) -> list[int]:
    """Return the processes there, those left out that only wait to be reaped."""
    command = ["ip", "netns", "pids", name]
    listed = subprocess.run(command, capture_output=True, text=True, check=False)
    return [int(pid) for pid in listed.stdout.split() if int(pid) != os.getpid()]


def _enter(descriptor: int) -> None:
    if _libc.setns(descriptor, CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "cannot enter the namespace")
