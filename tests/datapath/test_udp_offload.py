"""Segmentation and coalescing as the kernel really does them, and the tap above them."""

import asyncio
import errno
import os
import socket
import subprocess
import sys
import textwrap
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack

import pytest

from rtcsend.datapath import gso
from rtcsend.datapath.gso import Address
from tests.datapath.udp_ends import DTLS, STUN, End, Make, numbered, udp_ends


def kernel_has_offload() -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        try:
            sock.setsockopt(gso.SOL_UDP, gso.UDP_SEGMENT, 0)
            sock.setsockopt(gso.SOL_UDP, gso.UDP_GRO, 1)
        except OSError:
            return False
    return sys.platform == "linux"


pytestmark = [
    pytest.mark.net,
    pytest.mark.skipif(not kernel_has_offload(), reason="no UDP_SEGMENT or UDP_GRO here"),
]


@pytest.fixture
async def make() -> AsyncIterator[Make]:
    async with udp_ends() as make_end:
        yield make_end


class Taps:
    """What a tap was given, copied, and when batches ended."""

    def __init__(self, end: End) -> None:
        self.end = end
        self.buffers: list[tuple[bytes, int]] = []
        self.order: list[str] = []
        self.views: list[memoryview] = []
        end.transport.set_tap(self)
        end.transport.on_batch_end = self.on_batch_end

    def __call__(self, view: memoryview, segment_size: int, addr: Address) -> None:
        self.buffers.append((bytes(view), segment_size))
        self.views.append(view)
        self.order.append("tap")
        self.end.protocol.changed.set()

    def on_batch_end(self) -> None:
        self.order.append("end")
        self.end.protocol.changed.set()

    @property
    def size(self) -> int:
        return sum(len(data) for data, _ in self.buffers)


# Segmentation


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
async def test_a_batch_is_one_call_out_and_one_buffer_in(make: Make, host: str) -> None:
    sender, receiver = make(host), make(host)
    taps = Taps(receiver)
    size = gso.batch_size(1_200)
    data = b"".join(numbered(size // 1_200, 1_200))
    sender.transport.send_segments(data * 2, 1_200, receiver.address)
    assert sender.sock.calls == [("batch", size)] * 2
    await receiver.protocol.until(lambda: taps.size == 2 * size)
    assert b"".join(data for data, _ in taps.buffers) == data * 2
    assert {size for _, size in taps.buffers} == {1_200}
    assert sender.transport.segmentation
    assert receiver.transport.coalescing


@pytest.mark.parametrize("code", sorted(gso.REFUSALS))
@pytest.mark.parametrize("connected", [False, True])
async def test_a_refusal_is_remembered_and_nothing_is_lost(
    make: Make, code: int, connected: bool
) -> None:
    receiver = make()
    sender = make(peer=receiver.address if connected else None)
    address = None if connected else receiver.address
    datagrams = numbered(200, 1_000, last=3)
    sender.sock.batch_errors = [0, code]  # the second batch
    sender.transport.send_segments(b"".join(datagrams), 1_000, address)
    assert not sender.transport.segmentation
    sender.transport.send_segments(b"".join(datagrams), 1_000, address)
    await receiver.protocol.until(lambda: len(receiver.protocol.datagrams) >= 400)
    assert receiver.protocol.datagrams == datagrams * 2
    assert [name for name, _ in sender.sock.calls].count("batch") == 2
    assert sender.protocol.errors == []
    assert sender.transport.dropped == 0


async def test_a_refusal_while_the_socket_is_full_loses_nothing(make: Make) -> None:
    sender, receiver = make(), make()
    datagrams = numbered(50, 1_000)
    sender.sock.batch_errors = [errno.EIO]
    sender.sock.single_errors = [0] * 20 + [errno.EAGAIN]
    sender.transport.send_segments(b"".join(datagrams), 1_000, receiver.address)
    assert sender.transport.get_write_buffer_size() == 30_000 + gso.ENTRY_COST
    await receiver.protocol.until(lambda: len(receiver.protocol.datagrams) == 50)
    assert receiver.protocol.datagrams == datagrams
    assert not sender.transport.segmentation


@pytest.mark.parametrize("single", [errno.EMSGSIZE, errno.EINVAL, errno.EAGAIN])
async def test_what_fails_plainly_too_says_nothing_of_segmentation(make: Make, single: int) -> None:
    sender, receiver = make(), make()
    sender.sock.batch_errors = [errno.EINVAL]  # as older kernels say of segments over the MTU
    sender.sock.single_errors = [single] * 2
    sender.transport.send_segments(b"aabb", 2, receiver.address)
    assert sender.transport.segmentation


# The tap


async def test_the_tap_gets_dtls_only(make: Make) -> None:
    sender, receiver = make(), make()
    taps = Taps(receiver)
    sender.transport.sendto(STUN + b"1", receiver.address)
    sender.transport.sendto(DTLS + b"1", receiver.address)
    sender.transport.sendto(STUN + b"2", receiver.address)
    await receiver.protocol.until(lambda: len(receiver.protocol.datagrams) == 2)
    assert receiver.protocol.datagrams == [STUN + b"1", STUN + b"2"]
    assert taps.buffers == [(DTLS + b"1", 4)]


async def test_a_mixed_buffer_is_split_into_runs(make: Make) -> None:
    sender, receiver = make(), make()
    taps = Taps(receiver)
    kinds = [DTLS, DTLS, STUN, DTLS, b"\x80\x00", STUN, DTLS]
    datagrams = [kind.ljust(99, bytes([number])) for number, kind in enumerate(kinds)]
    datagrams[-1] = datagrams[-1][:50]
    sender.transport.send_segments(b"".join(datagrams), 99, receiver.address)
    await receiver.protocol.until(lambda: taps.order[-1:] == ["end"])
    assert taps.buffers == [
        (datagrams[0] + datagrams[1], 99),
        (datagrams[3], 99),
        (datagrams[6], 99),
    ]
    assert receiver.protocol.datagrams == [datagrams[2], datagrams[4], datagrams[5]]


async def test_the_view_is_dead_after_the_call(make: Make) -> None:
    sender, receiver = make(), make()
    taps = Taps(receiver)
    sender.transport.sendto(DTLS, receiver.address)
    await receiver.protocol.until(lambda: bool(taps.views))
    with pytest.raises(ValueError, match="released"):
        len(taps.views[0])


async def test_a_removed_tap_gives_dtls_back(make: Make) -> None:
    sender, receiver = make(), make()
    taps = Taps(receiver)

    def remove(data: bytes, addr: Address) -> None:
        receiver.protocol.datagrams.append(data)
        receiver.transport.set_tap(None)
        receiver.protocol.changed.set()

    receiver.protocol.datagram_received = remove  # type: ignore[method-assign]  # within the buffer
    sender.transport.send_segments(DTLS + STUN[:3] + DTLS + DTLS, 3, receiver.address)
    await receiver.protocol.until(lambda: len(receiver.protocol.datagrams) == 3)
    assert taps.buffers == [(DTLS, 3)]
    assert receiver.protocol.datagrams == [STUN[:3], DTLS, DTLS]


@pytest.mark.parametrize("bad", [b"", STUN])
async def test_what_the_protocol_chokes_on_costs_itself(make: Make, bad: bytes) -> None:
    """Anybody can send anything: it is handed on once, told once, and what follows is read."""
    told: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _loop, context: told.append(context))
    sender, receiver = make(), make()
    taps = Taps(receiver)

    def choke(data: bytes, addr: Address) -> None:
        receiver.protocol.changed.set()
        raise ZeroDivisionError

    receiver.protocol.datagram_received = choke  # type: ignore[method-assign]
    sender.transport._live_socket().sendto(bad, receiver.address)
    await receiver.protocol.until(lambda: bool(told))
    for _ in range(3):
        sender.transport.send_segments(DTLS * 4, len(DTLS), receiver.address)
    await receiver.protocol.until(lambda: sum(len(data) for data, _ in taps.buffers) == 36)
    assert len(told) == 1


async def test_a_tap_may_close(make: Make) -> None:
    sender, receiver = make(), make()
    receiver.transport.set_tap(lambda view, size, addr: receiver.transport.close())
    sender.transport.send_segments(DTLS + STUN[:3] + DTLS, 3, receiver.address)
    await receiver.protocol.lost.wait()
    assert receiver.protocol.datagrams == []


async def test_one_wake_up_is_one_bounded_batch(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rtcsend.datapath.udp_reader.MAX_READS", 3)
    sender, receiver = make(), make()
    taps = Taps(receiver)
    await receiver.protocol.until(lambda: "made" in receiver.protocol.calls)
    await asyncio.sleep(0)  # reading has begun, nothing is there
    for number in range(7):
        sender.transport.sendto(DTLS + bytes([number]), receiver.address)
    await receiver.protocol.until(lambda: taps.order.count("end") == 3)
    assert taps.order == ["tap", "end"] * 3
    assert taps.buffers == [
        (b"".join(DTLS + bytes([number]) for number in numbers), len(DTLS) + 1)
        for numbers in ((0, 1, 2), (3, 4, 5), (6,))
    ]


async def test_a_batch_is_bounded_in_bytes_too(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rtcsend.datapath.udp_reader.MAX_READ_BYTES", 1)
    sender, receiver = make(), make()
    taps = Taps(receiver)
    for _ in range(3):
        sender.transport.sendto(DTLS, receiver.address)
    await receiver.protocol.until(lambda: taps.order.count("end") == 3)
    assert taps.order == ["tap", "end"] * 3


async def test_what_is_read_together_keeps_its_order(make: Make) -> None:
    sender, receiver = make(), make()
    taps = Taps(receiver)
    await receiver.protocol.until(lambda: "made" in receiver.protocol.calls)
    await asyncio.sleep(0)  # reading has begun, nothing is there
    for data in (b"a", b"b", b"cc", b"d", b"e"):
        sender.transport.sendto(DTLS + data, receiver.address)
        if data == b"d":
            sender.transport.sendto(b"\0\1" + DTLS[1:], receiver.address)
    await receiver.protocol.until(lambda: "end" in taps.order)
    each = len(DTLS) + 1
    assert taps.buffers == [
        (DTLS + b"a" + DTLS + b"b", each),
        (DTLS + b"cc", each + 1),
        (DTLS + b"d", each),
        (DTLS + b"e", each),
    ]
    assert receiver.protocol.datagrams == [b"\0\1" + DTLS[1:]]


# Over veth


PEER = """
    import asyncio, sys
    from rtcsend.datapath.loop import DatagramBatchingLoop
    from rtcsend.datapath.gso import MAX_BATCH

    role, family = sys.argv[1:]
    hosts = {"4": ("10.77.0.1", "10.77.0.2"), "6": ("fd77::1", "fd77::2")}[family]
    headers = {"4": 28, "6": 48}[family]

    class Echo(asyncio.DatagramProtocol):
        def __init__(self):
            self.sizes, self.largest_buffer, self.done = [], 0, asyncio.Event()
            self.errors = []
        def tap(self, view, segment_size, addr):
            self.largest_buffer = max(self.largest_buffer, len(view))
            for start in range(0, len(view), segment_size):
                self.sizes.append(len(view[start:start + segment_size]))
            if self.sizes[-1] == 9:
                self.transport.sendto(b"\\x01done", addr)
        def connection_made(self, transport):
            self.transport = transport
            transport.set_tap(self.tap)
        def error_received(self, exc):
            self.errors.append(exc.errno)
        def datagram_received(self, data, addr):
            self.done.set()
            if role == "receive":
                self.transport.sendto(b"\\x01ready", addr)

    async def main():
        loop = asyncio.get_running_loop()
        mine = hosts[role == "receive"]
        transport, echo = await loop.create_datagram_endpoint(Echo, local_addr=(mine, 7_777))
        peer = (hosts[1], 7_777)
        if role == "receive":
            await echo.done.wait()
            while not echo.sizes or echo.sizes[-1] != 9:
                await asyncio.sleep(0.01)
            print(len(echo.sizes), max(echo.sizes), echo.largest_buffer)
        else:
            while not echo.done.is_set():  # until the other side listens
                transport.sendto(b"\\x01hello", peer)
                await asyncio.sleep(0.02)
            echo.done.clear()
            full = 1_500 - headers
            transport.send_segments(b"\\x17" * (full + 1) * 5, full + 1, peer)
            transport.sendto(b"\\x17" * (full + 1), peer)
            transport.send_segments(b"\\x17" * full * 100, full, peer)
            while not echo.done.is_set():
                transport.sendto(b"\\x17" * 9, peer)
                await asyncio.sleep(0.02)
            print(echo.errors, transport.segmentation, transport.dropped)
        transport.close()

    with asyncio.Runner(loop_factory=DatagramBatchingLoop) as runner:
        runner.run(asyncio.wait_for(main(), 80))
"""


def ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True)


@pytest.fixture
def two_hosts() -> Iterator[list[str]]:
    """Two network namespaces with a cable of MTU 1500, and no way out."""
    if os.geteuid():
        pytest.skip("network namespaces need root")
    hosts = [f"rtcsend-udp-{os.getpid()}-{end}" for end in "ab"]
    with ExitStack() as stack:
        for host in hosts:
            ip("netns", "add", host)
            stack.callback(ip, "netns", "del", host)
            ip("-n", host, "link", "set", "lo", "up")
        ip("link", "add", "veth0", "netns", hosts[0], "mtu", "1500", "type", "veth",
           "peer", "name", "veth0", "mtu", "1500", "netns", hosts[1])  # fmt: skip
        for number, host in enumerate(hosts, start=1):
            ip("-n", host, "address", "add", f"10.77.0.{number}/24", "dev", "veth0")
            ip("-n", host, "address", "add", f"fd77::{number}/64", "dev", "veth0", "nodad")
            ip("-n", host, "link", "set", "veth0", "up")
        yield hosts


@pytest.mark.lab
@pytest.mark.parametrize("family", ["4", "6"])
def test_full_packets_cross_an_mtu_of_1500_and_larger_ones_are_told(
    two_hosts: list[str], family: str
) -> None:
    def run(host: str, role: str) -> subprocess.Popen[str]:
        code = textwrap.dedent(PEER)
        command = ["ip", "netns", "exec", host, sys.executable, "-c", code, role, family]
        return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)

    with run(two_hosts[1], "receive") as receiver, run(two_hosts[0], "send") as sender:
        sent, _ = sender.communicate(timeout=90)
        received, _ = receiver.communicate(timeout=90)
    full = 1_500 - (28 if family == "4" else 48)
    assert sent.strip() == f"[{errno.EMSGSIZE}, {errno.EMSGSIZE}] True 6"
    count, largest, buffer = map(int, received.split())
    assert count >= 101
    assert largest == full
    assert buffer > 10 * full  # coalesced
