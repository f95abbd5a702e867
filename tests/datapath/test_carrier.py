"""The carrier over a fake ICE connection: who gets what, and whether there is room."""

import asyncio
import socket
import struct
import sys
from typing import TYPE_CHECKING, cast

import pytest

from rtcsend.datapath.carrier import LANE_BURST, Carrier, allow_fragmentation
from rtcsend.datapath.loop import new_event_loop
from rtcsend.datapath.udp import BatchedDatagramTransport
from tests.datapath.ways import PEER, FakeIce, Host, Relay

if TYPE_CHECKING:
    from rtcsend.peer.ice import IceConnection

SIZE = 1_000  # bytes of a record


class Ends:
    """A carrier, and how often it said that there is room."""

    def __init__(self, *transports: object) -> None:
        self.ice = FakeIce(*transports)
        self.carrier = Carrier(cast("IceConnection", self.ice), lanes=True)
        self.woken = 0
        self.carrier.open(take=nothing, on_batch_end=nothing, on_writable=self.wake)

    def wake(self) -> None:
        self.woken += 1


def nothing(*_arguments: object) -> None:
    pass


def batch(count: int) -> list[bytes]:
    return [struct.pack("!I", number) * (SIZE // 4) for number in range(count)]


def test_without_a_pair_nothing_is_sent() -> None:
    ends = Ends()
    assert ends.carrier.room()
    ends.carrier.send(b"x", 1)


def test_another_loops_transport_gets_each_packet() -> None:
    host = Host()
    Ends(host).carrier.send(b"aabbc", 2)
    assert host.sent == [(b"aa", PEER), (b"bb", PEER), (b"c", PEER)]


def test_one_connection_gets_a_batch_with_one_write() -> None:
    relay, records = Relay(), batch(50)
    Ends(relay).carrier.send(b"".join(records), SIZE)
    assert len(relay.stream.written) == 1
    assert relay.stream.records() == records
    assert relay.plain == []


def test_aioice_binds_the_channel() -> None:
    relay, records = Relay(bound=False), batch(3)
    Ends(relay).carrier.send(b"".join(records), SIZE)
    assert relay.plain == records
    assert relay.stream.records() == []


def test_lanes_take_turns_in_small_bursts() -> None:
    relays, records = [Relay() for _ in range(4)], batch(64)
    Ends(*relays).carrier.send(b"".join(records), SIZE)
    got = [relay.stream.records() for relay in relays]
    assert sorted(record for each in got for record in each) == sorted(records)
    assert all(sum(map(len, each)) <= LANE_BURST for each in got)


@pytest.mark.parametrize("counts", [(11, 4), (3,), (16,), (64, 1, 7)])
def test_lanes_get_as_much_each_however_large_the_batches_are(counts: tuple[int, ...]) -> None:
    relays = [Relay() for _ in range(4)]
    carrier = Ends(*relays).carrier
    for _ in range(100):
        for count in counts:
            carrier.send(b"".join(batch(count)), SIZE)
    got = [SIZE * len(relay.stream.records()) for relay in relays]
    assert sum(got) == 100 * sum(counts) * SIZE
    assert max(got) - min(got) <= LANE_BURST


def test_a_record_larger_than_a_turn_is_a_turn() -> None:
    relays = [Relay() for _ in range(2)]
    records = [bytes([number]) * (LANE_BURST + 4) for number in range(4)]
    Ends(*relays).carrier.send(b"".join(records), LANE_BURST + 4)
    assert [len(relay.stream.records()) for relay in relays] == [2, 2]


def test_its_width_is_the_number_of_ways() -> None:
    assert Ends().carrier.width() == 0
    assert Ends(Relay()).carrier.width() == 1
    assert Ends(Relay(), Relay()).carrier.width() == 2


def test_full_lanes_are_left_out_until_they_have_room() -> None:
    relays = [Relay() for _ in range(2)]
    ends, records = Ends(*relays), batch(64)
    relays[0].stream.fill()
    assert ends.carrier.room()
    ends.carrier.send(b"".join(records), SIZE)
    assert relays[0].stream.written == []
    assert relays[1].stream.records() == records
    relays[1].stream.fill()
    assert not ends.carrier.room()
    assert ends.woken == 0
    relays[0].stream.drain()
    assert ends.woken == 1
    assert ends.carrier.room()


def test_a_connection_that_is_lost_gets_nothing() -> None:
    relay = Relay()
    ends = Ends(relay)
    relay.stream.closing = True
    ends.carrier.send(b"x" * SIZE, SIZE)
    assert relay.stream.written == []


def test_a_lane_that_comes_later_is_tapped_and_given_back() -> None:
    first, later = Relay(), Relay()
    ends = Ends(first)
    assert ends.ice.own_peer
    assert callable(ends.ice.on_transport)
    client = later.stream.protocol
    ends.ice.on_transport(later)
    assert later.stream.protocol is not client
    ends.carrier.close()
    assert later.stream.protocol is client
    assert ends.ice.on_transport is None


IP_MTU_DISCOVER = 10  # linux/in.h
FORBIDDEN, ALLOWED = 3, 0  # IP_PMTUDISC_PROBE, IP_PMTUDISC_DONT


@pytest.mark.net
@pytest.mark.skipif(sys.platform != "linux", reason="other systems have other options")
def test_ip_may_cut_packets_where_it_is_let() -> None:
    """By the ways that there are, and by those that come later."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        made = [
            await loop.create_datagram_endpoint(asyncio.DatagramProtocol, ("127.0.0.1", 0))
            for _ in range(2)
        ]
        transports = [cast("BatchedDatagramTransport", transport) for transport, _ in made]
        first, later = transports
        ends = Ends(first, Host())  # another loop's socket is left alone
        assert [_discovery(each) for each in transports] == [FORBIDDEN, FORBIDDEN]
        ends.carrier.allow_fragmentation(allowed=True)
        assert callable(ends.ice.on_transport)
        ends.ice._ways.append((later, PEER))
        ends.ice.on_transport(later)
        assert [_discovery(each) for each in transports] == [ALLOWED, ALLOWED]
        ends.carrier.allow_fragmentation(allowed=False)
        assert [_discovery(each) for each in transports] == [FORBIDDEN, FORBIDDEN]
        allow_fragmentation(later, allowed=True)
        assert _discovery(later) == ALLOWED
        ends.carrier.close()
        for transport in transports:
            transport.close()
        await asyncio.sleep(0)

    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        runner.run(main())


def _discovery(transport: BatchedDatagramTransport) -> int:
    return transport._live_socket().getsockopt(socket.IPPROTO_IP, IP_MTU_DISCOVER)
