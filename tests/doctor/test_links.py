"""Links on loopback: whom they hear, what ends them, and who is told."""

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager, suppress

import pytest

from rtcsend.doctor.binding import StreamBinding
from rtcsend.doctor.codec import Endpoint, binding_request
from rtcsend.doctor.conclusion import Mapping
from rtcsend.doctor.links import Driver, UdpLink, stream_link, udp_link
from rtcsend.doctor.probing import Outgoing
from rtcsend.doctor.stun_family import StunFamily
from tests.doctor.world import drawn, plain

pytestmark = pytest.mark.net

V4, V6 = socket.AF_INET, socket.AF_INET6
Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@contextmanager
def bound(family: socket.AddressFamily = V4) -> Iterator[tuple[socket.socket, Endpoint]]:
    """Yield a UDP socket of loopback, and its address."""
    with socket.socket(family, socket.SOCK_DGRAM) as sock:
        try:
            sock.bind(("::1" if family == V6 else "127.0.0.1", 0))
        except OSError:
            pytest.skip("no IPv6 on loopback")
        sock.setblocking(False)
        yield sock, sock.getsockname()[:2]


@asynccontextmanager
async def connected(handler: Handler) -> AsyncIterator[tuple[Driver, StreamBinding]]:
    """Yield a question that is asked of a TCP server."""
    over = asyncio.Event()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionResetError):
            await handler(reader, writer)
        writer.transport.abort()
        over.set()

    async with await asyncio.start_server(handle, "127.0.0.1", 0) as server:
        endpoint = server.sockets[0].getsockname()
        probe = StreamBinding(entropy=drawn(), now=asyncio.get_running_loop().time())
        async with (
            stream_link(endpoint, server_name="", tls=None, patience=5) as link,
            Driver(probe, [link]) as driver,
        ):
            yield driver, probe
        await over.wait()
        await asyncio.sleep(0)  # the transport closes its socket


async def heard(link: UdpLink, count: int) -> list[tuple[bytes, Endpoint | None]]:
    """Return the first datagrams that a link passes on."""
    got: list[tuple[bytes, Endpoint | None]] = []
    enough = asyncio.Event()

    def take(data: bytes, source: Endpoint | None) -> None:
        got.append((data, source))
        if len(got) == count:
            enough.set()

    reading = asyncio.create_task(link.receive(take))
    async with asyncio.timeout(90):
        await enough.wait()
    reading.cancel()
    return got


async def test_only_the_server_is_heard() -> None:
    with ExitStack() as stack:
        server, address = stack.enter_context(bound())
        stranger, _ = stack.enter_context(bound())
        link = stack.enter_context(udp_link(V4, server=address))
        to = ("127.0.0.1", link.port)
        stranger.sendto(b"I am the server", to)
        server.sendto(b"I am", to)
        assert await heard(link, 1) == [(b"I am", address)]
        link.send(Outgoing(place=0, data=b"hello"))
        assert await asyncio.get_running_loop().sock_recv(server, 9) == b"hello"


async def test_without_a_server_everybody_is_heard() -> None:
    with bound() as (one, address), bound() as (other, second), udp_link(V4) as link:
        one.sendto(b"1", ("127.0.0.1", link.port))
        other.sendto(b"2", ("127.0.0.1", link.port))
        assert sorted(await heard(link, 2)) == [(b"1", address), (b"2", second)]


async def test_what_cannot_be_sent_is_lost() -> None:
    with bound() as (_, address), udp_link(V4, whole=True) as link:
        link.send(Outgoing(place=0, data=bytes(70_000), to=address))
        link.send(Outgoing(place=0, data=b"", to=("::1", 9)))


async def answering(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    request = await reader.readexactly(20)
    ((_, answer),) = plain(request, ("127.0.0.1", 1), ("127.0.0.1", 2))
    for byte in answer:  # in pieces: a stream has no messages
        writer.write(bytes([byte]))
        await writer.drain()
    await reader.read()


async def test_an_answer_over_a_stream() -> None:
    async with connected(answering) as (driver, probe):
        assert await driver.run(lambda: probe.done)
        assert probe.answered


async def rude(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"\x15\x03\x01\x00\x02\x02\x28\x00")  # an alert of TLS: not STUN's cookie
    await writer.drain()
    await reader.read()


async def leaving(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.close()


@pytest.mark.parametrize("handler", [rude, leaving])
async def test_a_stream_that_ends_or_makes_no_sense_is_over(handler: Handler) -> None:
    async with connected(handler) as (driver, probe):
        assert not await driver.run(lambda: probe.done)
        assert not probe.answered


async def test_another_transaction_is_no_answer() -> None:
    probe = StreamBinding(entropy=drawn(), now=0)
    ((_, answer),) = plain(binding_request(bytes(12)), ("192.0.2.1", 1), ("192.0.2.2", 2))
    probe.receive_untrusted(answer, place=0, source=None, now=0.1)
    assert not probe.answered


@pytest.mark.parametrize("version", [4, 6])
async def test_a_family_is_asked_from_one_port(version: int) -> None:
    loop = asyncio.get_running_loop()
    with bound(V6 if version == 6 else V4) as (server, address):

        async def serve() -> None:
            while True:
                data, source = await loop.sock_recvfrom(server, 2_048)
                for _, answer in plain(data, source[:2], address):
                    await loop.sock_sendto(server, answer, source)

        serving = asyncio.create_task(serve())
        async with asyncio.timeout(90), StunFamily(version) as family:
            heard_ = await family.ask(address)
            nat = await family.nat()
            size = await family.path_mtu(address, rtt=0.01)
        serving.cancel()
    assert heard_.binding is not None
    assert heard_.binding.mapped[0] == address[0]
    assert nat is not None
    assert (nat.version, nat.mapping, nat.port_preserved) == (version, Mapping.NONE, True)
    assert size is not None
    assert size.bytes == 1_500
