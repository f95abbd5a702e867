"""The tap on a connection to a TURN server: over a real TCP connection, and over datagrams."""

import asyncio
import socket
import struct
from collections.abc import AsyncIterator

import pytest
from aioice import stun
from aioice.turn import TurnClientTcpProtocol, TurnClientUdpProtocol, TurnTransport

from rtcsend.datapath import relay as relay_module
from rtcsend.datapath.loop import new_event_loop
from rtcsend.datapath.relay import RelayTap, is_stream
from rtcsend.datapath.turn_frames import channel_data

CHANNEL, UNBOUND = 0x4000, 0x4001
PEER = ("192.0.2.1", 1000)
DTLS, STUN = b"\x17dtls", b"\x00stun"


class Above(asyncio.DatagramProtocol):
    """What aioice has above the relay."""

    def __init__(self) -> None:
        self.received: list[tuple[bytes, object]] = []
        self.heard = asyncio.Event()
        self.lost = asyncio.Event()

    def datagram_received(self, data: bytes, addr: object) -> None:
        self.received.append((data, addr))
        self.heard.set()

    def connection_lost(self, _exc: Exception | None) -> None:
        self.lost.set()


class Path:
    """What the data path is told."""

    def __init__(self) -> None:
        self.taken: list[tuple[bytes, int, object]] = []
        self.batches = 0
        self.batch = asyncio.Event()
        self.writable = asyncio.Event()

    def take(self, view: memoryview, size: int, address: object) -> None:
        self.taken.append((bytes(view), size, address))

    def end_batch(self) -> None:
        self.batches += 1
        self.batch.set()

    def tap(self, relay: TurnTransport) -> RelayTap:
        return RelayTap(
            relay, take=self.take, on_batch_end=self.end_batch, on_writable=self.writable.set
        )


class Server:
    """A TURN server by TCP that says what the test wants."""

    def __init__(self) -> None:
        self.connected = asyncio.Event()
        self.reader = asyncio.StreamReader()
        self.writer: asyncio.StreamWriter | None = None

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer
        self.connected.set()

    def say(self, data: bytes) -> None:
        assert self.writer is not None
        self.writer.write(data)


Ends = tuple[Server, TurnTransport, TurnClientTcpProtocol, Above]


@pytest.fixture
async def ends() -> AsyncIterator[Ends]:
    server = Server()
    listener = await asyncio.start_server(server.serve, "127.0.0.1", 0, limit=1 << 24)
    address = listener.sockets[0].getsockname()
    _, client = await asyncio.get_running_loop().create_connection(
        lambda: TurnClientTcpProtocol(address, None, None, 600, 500), *address
    )
    await server.connected.wait()
    above = Above()
    client.receiver = above
    client.channel_to_peer[CHANNEL] = PEER
    yield server, TurnTransport(client), client, above
    client.transport.abort()
    await above.lost.wait()
    assert server.writer is not None
    server.writer.transport.abort()
    listener.close()
    await listener.wait_closed()


def framed(payload: bytes, channel: int = CHANNEL) -> bytes:
    if not payload:
        return struct.pack("!HH", channel, 0)
    return channel_data(payload, len(payload), channel, padded=True)


def data_indication(data: bytes) -> bytes:
    message = stun.Message(
        message_method=stun.Method.DATA,
        message_class=stun.Class.INDICATION,
        transaction_id=b"t" * 12,
    )
    message.attributes["DATA"] = data
    message.attributes["XOR-PEER-ADDRESS"] = PEER
    return bytes(message)


@pytest.mark.net
async def test_dtls_comes_in_batches_and_the_rest_to_aioice(ends: Ends) -> None:
    server, relay, client, above = ends
    client.peer_to_channel[PEER] = CHANNEL  # the permission that aioice looks for
    path = Path()
    path.tap(relay)
    assert is_stream(relay)
    server.say(
        b"".join(
            [
                *map(framed, (DTLS, DTLS, STUN, DTLS + b"!", b"")),
                *map(framed, (DTLS, STUN), (UNBOUND, UNBOUND)),  # from nobody
                data_indication(b"indicated"),
                framed(DTLS),
            ]
        )
    )
    await path.batch.wait()
    assert path.taken == [(DTLS + DTLS, 5, PEER), (DTLS + b"!", 6, PEER), (DTLS, 5, PEER)]
    assert above.received == [(STUN, PEER), (b"", PEER), (b"indicated", PEER)]
    assert path.batches == 1


@pytest.mark.net
async def test_channels_of_two_peers_are_kept_apart(ends: Ends) -> None:
    server, relay, client, _ = ends
    other = ("192.0.2.2", 2000)
    client.channel_to_peer[UNBOUND] = other
    path = Path()
    path.tap(relay)
    server.say(framed(DTLS) + framed(DTLS, UNBOUND) + framed(DTLS))
    await path.batch.wait()
    assert path.taken == [(DTLS, 5, PEER), (DTLS, 5, other), (DTLS, 5, PEER)]


@pytest.mark.net
@pytest.mark.parametrize(
    "garbage", [b"\xff" * 8, b"\x15\x03\x03\0" + bytes(40), b"\0\1\0\0" + b"x" * 20]
)
async def test_garbage_ends_the_connection(ends: Ends, garbage: bytes) -> None:
    server, relay, client, above = ends
    path = Path()
    tap = path.tap(relay)
    server.say(garbage)
    await above.lost.wait()
    assert client.transport.is_closing()
    assert not tap.writable
    assert path.taken == []


@pytest.mark.net
async def test_the_server_hangs_up(ends: Ends) -> None:
    server, relay, _, above = ends
    Path().tap(relay)
    assert server.writer is not None
    server.writer.close()
    await above.lost.wait()


@pytest.mark.net
async def test_a_full_connection_says_so_and_when_there_is_room(ends: Ends) -> None:
    server, relay, client, _ = ends
    path = Path()
    tap = path.tap(relay)
    written = 0
    while tap.writable:
        client.transport.write(bytes(1 << 16))
        written += 1 << 16
    assert client.transport.get_write_buffer_size() <= relay_module.HIGH_WATER + (1 << 16)
    assert not path.writable.is_set()
    await server.reader.readexactly(written)
    await path.writable.wait()
    assert tap.writable


@pytest.mark.net
@pytest.mark.skipif(not hasattr(socket, "TCP_NOTSENT_LOWAT"), reason="Linux and macOS have it")
async def test_the_kernel_keeps_little_unsent(ends: Ends) -> None:
    _, relay, client, _ = ends
    Path().tap(relay)
    sock = client.transport.get_extra_info("socket")
    unsent = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT)
    assert unsent == relay_module.UNSENT
    assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


@pytest.mark.net
async def test_what_aioice_had_read_of_a_message_is_not_lost(ends: Ends) -> None:
    server, relay, client, _ = ends
    message = framed(DTLS)
    client.data_received(message[:3])
    path = Path()
    path.tap(relay)
    server.say(message[3:])
    await path.batch.wait()
    assert path.taken == [(DTLS, 5, PEER)]


@pytest.mark.net
async def test_aioice_gets_its_connection_back(ends: Ends) -> None:
    server, relay, client, above = ends
    path = Path()
    tap = path.tap(relay)
    tap.data_received(framed(DTLS)[:3])
    tap.remove()
    server.say(framed(DTLS)[3:])
    await above.heard.wait()
    assert above.received == [(DTLS, PEER)]
    assert path.taken == []
    assert client.transport.get_protocol() is client


@pytest.mark.net
def test_datagrams_are_batched_too() -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        server, _ = await loop.create_datagram_endpoint(
            asyncio.DatagramProtocol, local_addr=("127.0.0.1", 0)
        )
        address = server.get_extra_info("sockname")
        transport, client = await loop.create_datagram_endpoint(
            lambda: TurnClientUdpProtocol(address, None, None, 600, 500), remote_addr=address
        )
        above = Above()
        client.receiver = above
        client.channel_to_peer[CHANNEL] = PEER
        relay = TurnTransport(client)
        path = Path()
        tap = path.tap(relay)
        assert not is_stream(relay)
        back = transport.get_extra_info("sockname")
        for message in (DTLS, DTLS, STUN):
            server.sendto(channel_data(message, 5, CHANNEL, padded=False), back)
        while len(path.taken) + len(above.received) < 2 or not above.received:
            path.batch.clear()
            await path.batch.wait()
        assert b"".join(data for data, _, _ in path.taken) == DTLS + DTLS
        assert above.received == [(STUN, PEER)]
        above.heard.clear()
        tap.remove()
        server.sendto(channel_data(DTLS, 5, CHANNEL, padded=False), back)
        await above.heard.wait()
        assert above.received[1:] == [(DTLS, PEER)]
        transport.close()
        server.close()
        await above.lost.wait()

    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        runner.run(main())
