"""The batched transport as asyncio and aioice see it, on loopback."""

import asyncio
import errno
import gc
import socket
import warnings
from collections.abc import AsyncIterator, Callable
from typing import Any, cast

import pytest

from rtcsend.datapath import gso, udp_socket
from rtcsend.datapath.udp import BatchedDatagramTransport
from tests.datapath.udp_ends import DTLS, STUN, Make, Recorder, numbered, udp_ends

pytestmark = pytest.mark.net

HOSTS = ["127.0.0.1", "::1"]


@pytest.fixture
async def make() -> AsyncIterator[Make]:
    async with udp_ends() as make_end:
        yield make_end


@pytest.fixture(params=HOSTS)
def host(request: pytest.FixtureRequest) -> str:
    return cast("str", request.param)


# Both ways


@pytest.mark.parametrize("offload", [(False, False), (False, True), (True, False), (True, True)])
@pytest.mark.parametrize(
    "shape",
    [(1, 1_200, None), (2, 1_200, 1), (54, 1_200, None), (300, 1_200, 7), (500, 13, None),
     (65, 100, 99), (3, 30_000, None), (2, 65_000, 500)],
)  # fmt: skip
async def test_batches_arrive_intact_and_in_order(
    make: Make, host: str, offload: tuple[bool, bool], shape: tuple[int, int, int | None]
) -> None:
    count, size, last = shape
    sender, receiver = make(host, offload=offload[0]), make(host, offload=offload[1])
    datagrams = numbered(count, size, last=last)
    assert sender.transport.send_segments(b"".join(datagrams), size, receiver.address)
    await receiver.protocol.until(lambda: len(receiver.protocol.datagrams) >= count)
    assert receiver.protocol.datagrams == datagrams
    assert {addr[:2] for addr in receiver.protocol.senders} == {sender.address[:2]}
    assert sender.transport.dropped == 0


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
async def test_any_buffer_can_be_sent_both_ways(make: Make, kind: Callable[[bytes], Any]) -> None:
    one, other = make(), make()
    one.transport.sendto(kind(b"single"), other.address)
    one.transport.send_segments(kind(b"aabbc"), 2, other.address)
    await other.protocol.until(lambda: len(other.protocol.datagrams) == 4)
    assert other.protocol.datagrams == [b"single", b"aa", b"bb", b"c"]


async def test_a_connected_pair(make: Make, host: str) -> None:
    receiver = make(host)
    sender = make(host, peer=receiver.address)
    assert sender.transport.get_extra_info("peername") == receiver.address
    sender.transport.sendto(b"single")
    sender.transport.sendto(b"named", receiver.address)
    sender.transport.send_segments(b"aabbc", 2)
    await receiver.protocol.until(lambda: len(receiver.protocol.datagrams) == 5)
    assert receiver.protocol.datagrams == [b"single", b"named", b"aa", b"bb", b"c"]
    for send in (
        lambda: sender.transport.sendto(b"x", (host, 9)),
        lambda: sender.transport.send_segments(b"x", 1, (host, 9)),
    ):
        with pytest.raises(ValueError, match="connected to another"):
            send()


async def test_misuse_is_refused_and_empty_data_ignored(make: Make) -> None:
    end, other = make(), make()
    with pytest.raises(ValueError, match="address"):
        end.transport.sendto(b"x")
    for size in (0, -1, 65_536):
        with pytest.raises(ValueError, match="segment_size"):
            end.transport.send_segments(b"x", size, other.address)
    with pytest.raises(ValueError, match="more data"):
        end.transport.send_segments(bytes(gso.MAX_QUEUED_BATCHES), 1_200, other.address)
    end.transport.sendto(b"", other.address)
    assert end.transport.send_segments(b"", 5, other.address)
    assert end.sock.calls == []


async def test_an_empty_datagram_is_received(make: Make) -> None:
    end = make()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as plain:
        plain.sendto(b"", end.address)
        await end.protocol.until(lambda: bool(end.protocol.datagrams))
    assert end.protocol.datagrams == [b""]


async def test_an_empty_datagram_with_a_tap_still_goes_to_the_protocol(make: Make) -> None:
    end = make()
    end.transport.set_tap(lambda view, size, addr: pytest.fail("nothing to tap"))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as plain:
        plain.sendto(b"", end.address)
        await end.protocol.until(lambda: bool(end.protocol.datagrams))
    assert end.protocol.datagrams == [b""]


# What the socket cannot do


async def test_without_offload_no_batch_is_tried(make: Make) -> None:
    end, other = make(offload=False), make()
    assert not end.transport.segmentation
    assert not end.transport.coalescing
    end.transport.send_segments(b"aabbc", 2, other.address)
    assert end.sock.calls == [("single", 2), ("single", 2), ("single", 1)]


async def test_elsewhere_than_on_linux_nothing_is_tried(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rtcsend.datapath.udp_socket.IS_LINUX", False)
    end = make()
    assert not end.transport.segmentation
    assert not end.transport.coalescing


# Errors


async def test_a_closed_port_is_an_error_and_the_next_datagram_still_goes(make: Make) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as gone:
        gone.bind(("127.0.0.1", 0))
        address = gone.getsockname()
    end = make(peer=address)
    end.transport.sendto(b"nobody listens")
    await end.protocol.until(lambda: bool(end.protocol.errors))
    assert isinstance(end.protocol.errors[0], ConnectionRefusedError)
    assert not end.transport.is_closing()


@pytest.mark.parametrize("batch", [False, True])
async def test_an_answer_to_an_earlier_datagram_costs_no_later_one(make: Make, batch: bool) -> None:
    receiver = make()
    sender = make(peer=receiver.address, offload=batch)
    sender.sock.batch_errors = [errno.ECONNREFUSED]
    sender.sock.single_errors = [errno.ECONNREFUSED]
    sender.transport.send_segments(b"aabbc", 2)
    await receiver.protocol.until(lambda: len(receiver.protocol.datagrams) == 3)
    assert receiver.protocol.datagrams == [b"aa", b"bb", b"c"]
    assert [type(exc) for exc in sender.protocol.errors] == [ConnectionRefusedError]
    assert sender.transport.dropped == 0


@pytest.mark.parametrize("batch", [False, True])
async def test_fragmentation_needed_for_an_earlier_datagram_costs_no_later_one(
    make: Make, batch: bool
) -> None:
    receiver = make()
    sender = make(peer=receiver.address, offload=batch)
    sender.sock.batch_errors = [errno.EMSGSIZE]
    sender.sock.single_errors = [errno.EMSGSIZE]
    sender.transport.send_segments(b"aabbc", 2)
    await receiver.protocol.until(lambda: len(receiver.protocol.datagrams) == 3)
    assert receiver.protocol.datagrams == [b"aa", b"bb", b"c"]
    assert sender.protocol.errors == []
    assert sender.transport.dropped == 0


@pytest.mark.parametrize("offload", [False, True])
async def test_other_errors_drop_and_are_reported(make: Make, offload: bool) -> None:
    end, other = make(offload=offload), make()
    end.sock.batch_errors = [errno.EPERM]
    end.sock.single_errors = [errno.EPERM, errno.ENETUNREACH, errno.ENOBUFS]
    assert end.transport.send_segments(b"aabbc", 2, other.address)
    assert end.transport.dropped == 3
    assert {type(exc) for exc in end.protocol.errors} <= {PermissionError, OSError}
    assert len(end.protocol.errors) == (1 if end.transport.segmentation else 3)


@pytest.mark.parametrize("size", [1, 2])
async def test_an_impossible_port_drops_only_the_datagram(make: Make, size: int) -> None:
    end = make()
    end.transport.send_segments(b"aabb", size, ("127.0.0.1", 70_000))
    end.transport.sendto(b"x", ("127.0.0.1", 70_000))
    assert end.transport.dropped == 4 // size + 1
    assert {cast("OSError", exc).errno for exc in end.protocol.errors} == {errno.EINVAL}
    assert not end.transport.is_closing()


async def test_too_large_a_datagram_is_dropped_and_reported(make: Make) -> None:
    end, other = make(), make()
    end.transport.sendto(bytes(65_508), other.address)
    assert [cast("OSError", exc).errno for exc in end.protocol.errors] == [errno.EMSGSIZE]
    assert end.transport.dropped == 1


async def test_of_a_batch_that_is_too_large_the_short_end_goes(make: Make) -> None:
    end, other = make(), make()
    end.sock.batch_errors = [errno.EMSGSIZE]
    end.sock.single_errors = [errno.EMSGSIZE]
    before = end.transport.segmentation
    end.transport.send_segments(bytes(3_000) + b"end", 1_000, other.address)
    await other.protocol.until(lambda: bool(other.protocol.datagrams))
    assert other.protocol.datagrams == [b"end"]
    assert [cast("OSError", exc).errno for exc in end.protocol.errors] == [errno.EMSGSIZE]
    assert end.transport.dropped == 3
    assert end.transport.segmentation is before


async def test_a_reading_error_is_told_and_reading_goes_on(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    end, other = make(), make()
    end.sock.read_errors = [errno.EHOSTUNREACH]
    other.transport.sendto(b"x", end.address)
    await end.protocol.until(lambda: bool(end.protocol.datagrams))
    assert [cast("OSError", exc).errno for exc in end.protocol.errors] == [errno.EHOSTUNREACH]


async def test_a_datagram_cut_short_is_dropped_whole(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rtcsend.datapath.udp_reader.READ_SIZE", 100)
    end, other = make(), make()
    for size in (101, 100):
        other.transport.sendto(bytes(size), end.address)
    await end.protocol.until(lambda: bool(end.protocol.datagrams))
    assert end.protocol.datagrams == [bytes(100)]


# Back-pressure


async def test_what_the_socket_does_not_take_goes_later_in_order(make: Make) -> None:
    end, other = make(), make()
    datagrams = numbered(300, 1_000, last=5)
    data = bytearray(b"".join(datagrams))
    end.sock.is_full = True
    end.sock.batch_errors = [0, 0]  # two more batches fit
    assert end.transport.send_segments(data, 1_000, other.address)
    assert end.transport.get_write_buffer_size() > 0
    data[:] = bytes(len(data))  # the caller's again
    end.sock.is_full = False
    await other.protocol.until(lambda: len(other.protocol.datagrams) == 300)
    assert other.protocol.datagrams == datagrams
    assert end.transport.get_write_buffer_size() == 0


async def test_a_full_queue_pauses_refuses_and_resumes(make: Make) -> None:
    end, other = make(), make()
    end.sock.is_full = True
    resumed: list[bool] = []
    end.transport.on_writable = lambda: resumed.append(end.transport.writable)
    batch = bytes(60_000)
    taken = 0
    while end.transport.writable:
        assert end.transport.send_segments(batch, 1_200, other.address)
        taken += 1
    assert gso.HIGH_WATER < end.transport.get_write_buffer_size() < gso.HIGH_WATER + 70_000
    while end.transport.send_segments(batch, 1_200, other.address):  # who does not look
        taken += 1
    assert end.transport.get_write_buffer_size() > gso.MAX_QUEUED_BATCHES - 70_000
    assert end.transport.get_write_buffer_size() <= gso.MAX_QUEUED_BATCHES
    assert end.transport.dropped == 50
    await end.protocol.until(lambda: "made" in end.protocol.calls)
    assert end.protocol.calls == ["pause", "made"]
    end.sock.is_full = False
    await other.protocol.until(lambda: len(other.protocol.datagrams) == taken * 50)
    await end.protocol.until(lambda: "resume" in end.protocol.calls)
    assert end.protocol.calls == ["pause", "made", "resume"]
    assert resumed == [True]
    assert end.transport.writable


@pytest.mark.parametrize("kind", [bytes, bytearray, lambda data: memoryview(data + b"more")[:-4]])
async def test_what_is_queued_keeps_nothing_else_alive(
    make: Make, kind: Callable[[bytes], Any]
) -> None:
    end, other = make(), make()
    end.sock.is_full = True
    end.transport.send_segments(kind(bytes(5_000)), 1_000, other.address)
    queued = end.transport._queue.pop()
    assert queued.data == bytes(5_000)
    assert isinstance(queued.data.obj, bytes)
    assert len(queued.data.obj) == 5_000
    end.transport._queue.put_back(queued)


async def test_resuming_without_a_slot_and_while_closing(make: Make) -> None:
    end, other = make(), make()
    end.sock.is_full = True
    end.transport.send_segments(bytes(300_000), 1_200, other.address)
    assert not end.transport.writable
    end.sock.is_full = False
    await end.protocol.until(lambda: "resume" in end.protocol.calls)
    end.sock.is_full = True
    end.transport.on_writable = lambda: pytest.fail("not writable any more")
    end.transport.send_segments(bytes(300_000), 1_200, other.address)
    end.transport.close()
    end.sock.is_full = False
    await end.protocol.lost.wait()
    assert end.protocol.calls.count("lost") == 1


async def test_datagrams_pass_queued_batches_and_are_bounded(make: Make) -> None:
    end, other = make(), make()
    end.sock.is_full = True
    end.transport.send_segments(DTLS * 1_000, 300, other.address)
    end.transport.sendto(STUN + b"1", other.address)
    end.transport.sendto(STUN + b"2", other.address)
    end.sock.is_full = False
    end.transport.sendto(STUN + b"3", other.address)  # not before the first two
    await other.protocol.until(lambda: len(other.protocol.datagrams) == 13)
    assert other.protocol.datagrams[:3] == [STUN + b"1", STUN + b"2", STUN + b"3"]

    end.transport.send_segments(DTLS, 3, other.address)
    end.sock.is_full = True
    for _ in range(10_000):
        end.transport.sendto(STUN, other.address)
    assert end.transport.get_write_buffer_size() <= gso.MAX_QUEUED_DATAGRAMS
    assert end.transport.dropped > 0


async def test_a_datagram_is_tried_at_once_though_batches_wait(make: Make) -> None:
    end, other = make(), make()
    end.sock.is_full = True
    end.transport.send_segments(DTLS * 1_000, 300, other.address)
    end.sock.is_full = False
    end.sock.calls.clear()
    end.transport.sendto(STUN, other.address)
    assert end.sock.calls == [("single", 4)]


async def test_a_really_full_socket_blocks_and_recovers(monkeypatch: pytest.MonkeyPatch) -> None:
    # A pair of UNIX datagram sockets blocks for real when nobody reads; UDP on loopback never.
    monkeypatch.setattr(udp_socket, "SEND_BUFFER", 4_096)
    one, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    one.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4_096)
    protocol = Recorder()
    transport = BatchedDatagramTransport(asyncio.get_running_loop(), one, protocol, offload=False)
    other.setblocking(False)
    datagrams = numbered(200, 1_000)
    with other:
        assert transport.send_segments(b"".join(datagrams), 1_000)
        assert transport.get_write_buffer_size() > 0
        loop = asyncio.get_running_loop()
        assert [await loop.sock_recv(other, 2_000) for _ in datagrams] == datagrams
        transport.close()
        await protocol.lost.wait()


# Ending


async def test_close_ends_once_and_frees_everything(make: Make) -> None:
    end = make()
    fd = end.sock.fileno()
    loop = asyncio.get_running_loop()
    end.transport.close()
    end.transport.close()
    end.transport.abort()
    assert end.transport.is_closing()
    assert "lost" not in end.protocol.calls  # never from within the call
    await end.protocol.lost.wait()
    await asyncio.sleep(0)
    end.transport.abort()
    end.transport.close()
    await asyncio.sleep(0)
    assert end.protocol.calls == ["made", "lost"]
    assert end.sock.fileno() == -1
    assert not loop.remove_reader(fd)
    assert not loop.remove_writer(fd)
    end.transport.sendto(b"late", ("127.0.0.1", 9))
    assert not end.transport.send_segments(b"late", 1, ("127.0.0.1", 9))
    assert not end.transport.writable
    assert "closed" in repr(end.transport)


async def test_close_sends_what_is_queued_first(make: Make) -> None:
    end, other = make(), make()
    datagrams = numbered(100, 1_000)
    end.sock.is_full = True
    end.transport.send_segments(b"".join(datagrams), 1_000, other.address)
    end.transport.close()
    await asyncio.sleep(0)
    assert "lost" not in end.protocol.calls
    end.sock.is_full = False
    await end.protocol.lost.wait()
    await other.protocol.until(lambda: len(other.protocol.datagrams) == 100)
    assert other.protocol.datagrams == datagrams
    assert end.protocol.calls.count("lost") == 1


@pytest.mark.parametrize("closed_before", [False, True])
async def test_abort_forgets_what_is_queued(make: Make, closed_before: bool) -> None:
    end = make()
    end.sock.is_full = True
    end.transport.send_segments(bytes(5_000), 1_000, ("127.0.0.1", 9))
    fd = end.sock.fileno()
    if closed_before:
        end.transport.close()
    end.transport.abort()
    end.transport.abort()
    assert end.transport.get_write_buffer_size() == 0
    await end.protocol.lost.wait()
    assert end.protocol.calls.count("lost") == 1
    assert not asyncio.get_running_loop().remove_writer(fd)


@pytest.mark.parametrize("how", ["close", "abort"])
async def test_ending_from_within_an_error_while_the_queue_is_sent(make: Make, how: str) -> None:
    end, other = make(), make()
    end.sock.is_full = True
    end.transport.sendto(b"only one", other.address)
    fd = end.sock.fileno()
    end.protocol.error_received = lambda exc: getattr(end.transport, how)()  # type: ignore[method-assign]  # this protocol ends at the first error
    end.sock.single_errors = [errno.EPERM]
    await end.protocol.lost.wait()
    assert end.protocol.calls.count("lost") == 1
    assert not asyncio.get_running_loop().remove_writer(fd)


async def test_nothing_is_delivered_after_close(make: Make) -> None:
    end, other = make(), make()
    received: list[bytes] = []

    def close_at_first(data: bytes, addr: Any) -> None:
        received.append(data)
        end.transport.close()

    end.protocol.datagram_received = close_at_first  # type: ignore[method-assign]  # this protocol closes at once
    end.transport.on_batch_end = lambda: pytest.fail("no batch ends after close")
    other.transport.send_segments(b"aabbcc", 2, end.address)
    await end.protocol.lost.wait()
    assert received == [b"aa"]


async def test_a_forgotten_transport_warns_and_closes_its_socket() -> None:
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind(("127.0.0.1", 0))
    loop = asyncio.get_running_loop()
    transport = BatchedDatagramTransport(loop, sock, Recorder())
    await asyncio.sleep(0)
    loop.remove_reader(sock)
    gc.collect()  # what others left
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        del transport
        gc.collect()
    assert ["unclosed transport" in str(warning.message) for warning in caught] == [True]
    assert sock.fileno() == -1


# What asyncio promises


async def test_extra_info_names_no_socket(make: Make, host: str) -> None:
    end = make(host)
    assert end.transport.get_extra_info("sockname") == end.sock.getsockname()
    assert end.transport.get_extra_info("peername") is None
    assert end.transport.get_extra_info("socket") is None
    assert end.transport.get_extra_info("socket", "default") == "default"


async def test_the_protocol_can_be_replaced(make: Make) -> None:
    end, other = make(), make()
    replacement = Recorder()
    assert end.transport.get_protocol() is end.protocol
    await end.protocol.until(lambda: True)
    await asyncio.sleep(0)
    end.transport.set_protocol(replacement)
    other.transport.sendto(b"x", end.address)
    await replacement.until(lambda: bool(replacement.datagrams))
    assert end.protocol.datagrams == []
    end.transport.set_protocol(end.protocol)


async def test_an_error_of_the_protocol_costs_one_datagram(make: Make) -> None:
    class Fussy(Recorder):
        def datagram_received(self, data: bytes, addr: Any) -> None:
            if data == b"bad":
                raise ZeroDivisionError
            super().datagram_received(data, addr)

    told: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _loop, context: told.append(context))
    end, other = make(), make()
    await end.protocol.until(lambda: "made" in end.protocol.calls)
    fussy = Fussy()
    end.transport.set_protocol(fussy)
    other.transport.send_segments(b"onebadtwo", 3, end.address)
    await fussy.until(lambda: b"two" in fussy.datagrams)
    other.transport.sendto(b"later", end.address)
    await fussy.until(lambda: b"later" in fussy.datagrams)
    assert fussy.datagrams == [b"one", b"two", b"later"]
    assert [type(context["exception"]) for context in told] == [ZeroDivisionError]
    end.transport.set_protocol(end.protocol)


async def test_the_socket_is_prepared(make: Make, host: str) -> None:
    end = make(host)
    fresh = socket.socket(end.sock.family, socket.SOCK_DGRAM)
    with fresh:
        for option in (socket.SO_RCVBUF, socket.SO_SNDBUF):
            assert end.sock.getsockopt(socket.SOL_SOCKET, option) >= fresh.getsockopt(
                socket.SOL_SOCKET, option
            )
    assert not end.sock.getblocking()


class GrudgingSocket:
    """A system that refuses, rather than trims, what is too large, as macOS does."""

    def __init__(self) -> None:
        self.family = socket.AF_UNIX
        self.sizes = {socket.SO_RCVBUF: 8 << 20, socket.SO_SNDBUF: 9_216}

    def setblocking(self, flag: bool) -> None:
        assert not flag

    def getsockopt(self, level: int, option: int) -> int:
        return self.sizes[option]

    def setsockopt(self, level: int, option: int, value: int) -> None:
        if value > 1 << 20:
            raise OSError(errno.ENOBUFS, "too much")
        self.sizes[option] = value


def test_buffers_never_shrink_and_grow_as_far_as_allowed() -> None:
    sock = GrudgingSocket()
    udp_socket.prepare_socket(cast("socket.socket", sock))
    assert sock.sizes == {socket.SO_RCVBUF: 8 << 20, socket.SO_SNDBUF: 1 << 20}
