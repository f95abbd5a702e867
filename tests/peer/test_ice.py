import asyncio
import gc
import ipaddress
import struct
from collections.abc import Callable

import aioice
import pytest
from aioice import stun
from aioice.ice import CandidatePair, StunProtocol

from rtcsend.peer.consent import CONSENT_EXPIRY, CONSENT_INTERVAL
from rtcsend.peer.gathering import loopback_addresses
from rtcsend.peer.ice import MAX_UNREAD, IceConnection, SelectedPair
from rtcsend.peer.ice_servers import Servers, StunServer
from rtcsend.peer.transaction import CONSENT_WAITS
from tests.fakes.clock import run_virtual

LOCAL, REMOTE = ("127.0.0.1", 1000), ("127.0.0.1", 2000)
PASSWORD = "p" * 22
STUN_HEADER = struct.Struct("!HHI12s")  # RFC 8489 §5


class Wire(asyncio.DatagramTransport):
    """Takes the requests of a StunProtocol, and answers each as late as it is told to."""

    def __init__(self, protocol: StunProtocol, delay: Callable[[], float | None]) -> None:
        super().__init__()
        self.requests = 0
        self._protocol = protocol
        self._delay = delay

    def get_extra_info(self, name: str, default: object = None) -> object:
        return LOCAL if name == "sockname" else default

    def sendto(self, data: object, _addr: object = None) -> None:
        assert isinstance(data, bytes)
        self.requests += 1
        request = stun.parse_message(data)
        response = stun.Message(
            message_method=request.message_method,
            message_class=stun.Class.RESPONSE,
            transaction_id=request.transaction_id,
        )
        response.attributes["XOR-MAPPED-ADDRESS"] = LOCAL
        response.add_message_integrity(PASSWORD.encode())
        delay = self._delay()
        if delay is not None:
            loop = asyncio.get_running_loop()
            loop.call_later(delay, self._protocol.datagram_received, bytes(response), REMOTE)

    def close(self) -> None:
        asyncio.get_running_loop().call_soon(self._protocol.connection_lost, None)


def connected(delay: Callable[[], float | None]) -> tuple[IceConnection, Wire]:
    """Return an agent with a selected pair, whose checks are answered after ``delay`` s."""
    connection = IceConnection(ice_controlling=True)
    connection.remote_username, connection.remote_password = "user", PASSWORD
    protocol = StunProtocol(connection)
    wire = Wire(protocol, delay)
    protocol.connection_made(wire)
    protocol.local_candidate = candidate(LOCAL, "host")
    connection._protocols.append(protocol)
    connection._nominated[1] = CandidatePair(protocol, candidate(REMOTE, "srflx"))
    return connection, wire


def candidate(address: tuple[str, int], kind: str) -> aioice.Candidate:
    return aioice.Candidate(
        foundation="1",
        component=1,
        transport="udp",
        priority=1,
        host=address[0],
        port=address[1],
        type=kind,
    )


async def seconds_until_consent_ends(connection: IceConnection, at_most: float) -> float | None:
    """Run the consent checks; return when they gave up, None when they live on."""
    loop = asyncio.get_running_loop()
    started = loop.time()
    connection._query_consent_task = task = asyncio.create_task(connection.query_consent())
    done, _ = await asyncio.wait([task], timeout=at_most)
    if done:
        task.result()
        return loop.time() - started
    await connection.close()
    assert task.cancelled()
    return None


@pytest.mark.parametrize("round_trip", [0.0, 0.6, 2.0, 6.9])
def test_slow_answers_are_consent(round_trip: float) -> None:
    async def main() -> float | None:
        connection, _ = connected(lambda: round_trip)
        return await seconds_until_consent_ends(connection, at_most=600.0)

    assert run_virtual(main) is None


@pytest.mark.parametrize("round_trip", [None, 7.6])
def test_silence_ends_the_connection(round_trip: float | None) -> None:
    async def main() -> float | None:
        connection, _ = connected(lambda: round_trip)
        ended = await seconds_until_consent_ends(connection, at_most=600.0)
        assert connection.selected_pair() is None  # it has closed itself
        return ended

    ended = run_virtual(main)
    assert ended is not None
    # RFC 7675 §5.1: 30 s; a check that is under way then takes its time still.
    assert CONSENT_EXPIRY <= ended <= CONSENT_EXPIRY + 1.2 * CONSENT_INTERVAL + 7.5


def test_a_cut_of_twenty_seconds_heals() -> None:
    async def main() -> float | None:
        loop = asyncio.get_running_loop()
        connection, _ = connected(lambda: None if 40.0 < loop.time() < 60.0 else 0.1)
        return await seconds_until_consent_ends(connection, at_most=600.0)

    assert run_virtual(main) is None


def test_checks_come_every_four_to_six_seconds() -> None:
    async def main() -> int:
        connection, wire = connected(lambda: 0.01)
        await seconds_until_consent_ends(connection, at_most=600.0)
        return wire.requests

    assert 600 / 6.1 - 1 <= run_virtual(main) <= 600 / 4.0


def test_the_round_trip_is_measured() -> None:
    async def main() -> float | None:
        connection, _ = connected(lambda: 0.125)
        return await connection.measure_rtt()

    assert run_virtual(main) == pytest.approx(0.125)


def test_the_round_trip_without_an_answer() -> None:
    async def main() -> tuple[float | None, int]:
        connection, wire = connected(lambda: None)
        return await connection.measure_rtt(), wire.requests

    assert run_virtual(main) == (None, len(CONSENT_WAITS))


def test_the_selected_pair() -> None:
    async def main() -> SelectedPair | None:
        return connected(lambda: None)[0].selected_pair()

    assert run_virtual(main) == SelectedPair(
        local_type="host",
        remote_type="srflx",
        local_address=LOCAL,
        remote_address=REMOTE,
        is_relayed=False,
        is_vpn=False,
        rtt=None,
    )


async def test_before_there_is_a_pair() -> None:
    connection = IceConnection(ice_controlling=True)
    assert connection.selected_pair() is None
    assert await connection.measure_rtt() is None


UNREADABLE = [  # a header, and an attribute that is shorter than its kind: LIFETIME, PRIORITY, …
    STUN_HEADER.pack(0x0001, 8, 0x2112_A442, bytes(12))
    + bytes([kind >> 8, kind & 0xFF, 0, 1])
    + bytes(4)
    for kind in (0x000C, 0x000D, 0x0024, 0x8029)
]


@pytest.mark.parametrize("datagram", UNREADABLE)
async def test_stun_that_nobody_can_read_is_dropped(datagram: bytes) -> None:
    connection = IceConnection(ice_controlling=True)
    taken: list[bytes] = []
    connection.on_datagram = taken.append
    protocol = connection.make_protocol()
    protocol.local_candidate = candidate(LOCAL, "host")
    protocol.datagram_received(datagram, REMOTE)
    protocol.datagram_received(b"data", REMOTE)
    assert taken == [b"data"]


async def test_what_waits_for_the_handshake_is_bounded() -> None:
    connection = IceConnection(ice_controlling=True)
    protocol = connection.make_protocol()
    protocol.local_candidate = candidate(LOCAL, "host")
    for _ in range(MAX_UNREAD + 10):
        protocol.datagram_received(b"of anybody", REMOTE)
    assert connection._queue.qsize() == MAX_UNREAD


def without_network(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rtcsend.peer.ice.host_addresses", list)


@pytest.mark.net
async def test_without_a_network_there_is_loopback(monkeypatch: pytest.MonkeyPatch) -> None:
    without_network(monkeypatch)
    connection = IceConnection(ice_controlling=True)
    await connection.gather_candidates()
    found = [
        (c.type, ipaddress.ip_address(c.host).is_loopback) for c in connection.local_candidates
    ]
    assert found
    assert set(found) == {("host", True)}
    await connection.close()


async def test_without_a_network_relays_only_are_none(monkeypatch: pytest.MonkeyPatch) -> None:
    without_network(monkeypatch)
    connection = IceConnection(ice_controlling=True, transport_policy=aioice.TransportPolicy.RELAY)
    await connection.gather_candidates()
    assert connection.local_candidates == []
    await connection.close()


@pytest.mark.parametrize("steps", range(8))
async def test_a_cancelled_gathering_leaves_no_socket(
    steps: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    connection = IceConnection(ice_controlling=True)
    addresses = loopback_addresses(["127.0.0.1"] * 4)
    monkeypatch.setattr("rtcsend.peer.ice.host_addresses", lambda: addresses)
    gathering = asyncio.create_task(connection.gather_candidates())
    for _ in range(steps):
        await asyncio.sleep(0)
    gathering.cancel()
    await asyncio.gather(gathering, return_exceptions=True)
    await connection.close()
    gc.collect()  # a transport that was not closed says so, and warnings are errors


async def test_datagrams_go_to_the_queue_or_to_whoever_wants_them() -> None:
    connection = IceConnection(ice_controlling=True)
    connection.data_received(b"handshake", 1)
    taken: list[bytes] = []
    connection.on_datagram = taken.append
    connection.data_received(b"data", 1)
    connection.on_datagram = None
    connection.data_received(b"more", 1)
    assert taken == [b"data"]
    assert [connection._queue.get_nowait() for _ in range(2)] == [(b"handshake", 1), (b"more", 1)]
    await connection.close()


def test_what_carries_the_data() -> None:
    async def main() -> None:
        connection, wire = connected(lambda: None)
        assert connection.selected_transport() == (wire, REMOTE)
        assert connection.transports() == [wire]
        await connection.close()
        assert connection.selected_transport() is None

    run_virtual(main)


class DeafServer(asyncio.DatagramProtocol):
    """A STUN server that hears and does not answer."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()

    def datagram_received(self, _data: bytes, _address: object) -> None:
        self.asked.set()


@pytest.mark.net
@pytest.mark.usefixtures("loopback", "no_task_left")
async def test_a_gathering_that_is_cancelled_leaves_nothing_behind() -> None:
    loop = asyncio.get_running_loop()
    transport, server = await loop.create_datagram_endpoint(DeafServer, local_addr=("127.0.0.1", 0))
    address = transport.get_extra_info("sockname")[:2]
    connection = IceConnection(ice_controlling=True, servers=Servers(stun=(StunServer(*address),)))
    gathering = asyncio.create_task(connection.gather_candidates())
    await server.asked.wait()
    gathering.cancel()
    with pytest.raises(asyncio.CancelledError):
        await gathering
    await connection.close()
    transport.close()
