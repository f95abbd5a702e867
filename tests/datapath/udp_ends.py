"""Ends of UDP paths for the tests: a recording protocol, a socket that can refuse."""

import asyncio
import errno
import os
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, cast

from rtcsend.datapath.gso import Address
from rtcsend.datapath.udp import BatchedDatagramTransport

DTLS = b"\x17\xfe\xfd"  # application data, DTLS 1.2
STUN = b"\x00\x01\x00\x00"


class Recorder(asyncio.DatagramProtocol):
    """Notes all that a transport tells it."""

    def __init__(self) -> None:
        self.datagrams: list[bytes] = []
        self.senders: list[Address] = []
        self.errors: list[Exception] = []
        self.calls: list[str] = []
        self.lost = asyncio.Event()
        self.changed = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.calls.append("made")
        self.changed.set()

    def connection_lost(self, exc: Exception | None) -> None:
        assert exc is None
        self.calls.append("lost")
        self.lost.set()

    def datagram_received(self, data: bytes, addr: Address) -> None:
        assert type(data) is bytes
        self.datagrams.append(data)
        self.senders.append(addr)
        self.changed.set()

    def error_received(self, exc: Exception) -> None:
        self.errors.append(exc)
        self.changed.set()

    def pause_writing(self) -> None:
        self.calls.append("pause")

    def resume_writing(self) -> None:
        self.calls.append("resume")
        self.changed.set()

    async def until(self, condition: Callable[[], bool]) -> None:
        while not condition():
            self.changed.clear()
            await self.changed.wait()


class OddSocket(socket.socket):
    """Raises what a test lays in: the kernels and devices that one does not have at hand."""

    batch_errors: list[int]
    single_errors: list[int]
    read_errors: list[int]
    calls: list[tuple[str, int]]
    is_full: bool
    """True: every call would block, until a test says otherwise."""

    def __new__(cls, *args: Any, **kwargs: Any) -> "OddSocket":
        self = super().__new__(cls)
        self.batch_errors, self.single_errors, self.read_errors, self.calls = [], [], [], []
        self.is_full = False
        return self

    def _call(self, name: str, size: int, errors: list[int]) -> None:
        self.calls.append((name, size))
        if self.is_full and not errors:
            raise BlockingIOError(errno.EAGAIN, "full")
        if errors and (code := errors.pop(0)):
            raise OSError(code, os.strerror(code))

    def sendmsg(self, buffers: Any, *args: Any) -> int:
        self._call("batch", sum(map(len, buffers)), self.batch_errors)
        return super().sendmsg(buffers, *args)

    def sendto(self, data: Any, *args: Any) -> int:
        self._call("single", len(data), self.single_errors)
        return super().sendto(data, *args)

    def send(self, data: Any, flags: int = 0) -> int:
        self._call("single", len(data), self.single_errors)
        return super().send(data, flags)

    def recvmsg_into(self, *args: Any) -> Any:
        if self.read_errors:
            code = self.read_errors.pop(0)
            raise OSError(code, os.strerror(code))
        return super().recvmsg_into(*args)


class End:
    """A transport with what belongs to it."""

    def __init__(self, host: str, *, offload: bool = True, peer: Address | None = None) -> None:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self.sock = OddSocket(family, socket.SOCK_DGRAM)
        self.sock.bind((host, 0))
        if peer is not None:
            self.sock.connect(peer)
        self.protocol = Recorder()
        self.transport = BatchedDatagramTransport(
            asyncio.get_running_loop(), self.sock, self.protocol, offload=offload
        )

    @property
    def address(self) -> Address:
        return cast("Address", self.transport.get_extra_info("sockname"))

    async def close(self) -> None:
        self.transport.abort()
        await self.protocol.lost.wait()


Make = Callable[..., End]


@asynccontextmanager
async def udp_ends() -> AsyncIterator[Make]:
    """Give a function that makes ends; end them all."""
    ends: list[End] = []

    def make_end(host: str = "127.0.0.1", **options: Any) -> End:
        ends.append(End(host, **options))
        return ends[-1]

    yield make_end
    for end in ends:
        await end.close()


def numbered(count: int, size: int, *, last: int | None = None, first: bytes = DTLS) -> list[bytes]:
    """Make ``count`` datagrams that differ, the last one perhaps shorter."""
    datagrams = [
        (first + number.to_bytes(4) + number.to_bytes(2) * size)[:size] for number in range(count)
    ]
    if last is not None:
        datagrams[-1] = datagrams[-1][:last]
    return datagrams
