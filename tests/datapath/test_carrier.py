"""The carrier over a fake ICE connection: who gets what, and whether there is room."""

import asyncio
import struct
from typing import TYPE_CHECKING, cast

from aioice.turn import TurnClientTcpProtocol, TurnTransport

from rtcsend.datapath.carrier import LANE_BURST, Carrier
from rtcsend.datapath.turn_frames import FrameReader, maybe_channel_data_untrusted
from rtcsend.peer.ice import Way
from rtcsend.peer.turn_client import TurnTcpClient

if TYPE_CHECKING:
    from rtcsend.peer.ice import IceConnection

PEER = ("192.0.2.1", 1000)
SIZE = 1_000  # bytes of a record


class Stream(asyncio.Transport):
    """A connection to a TURN server that is full when the test says so."""

    def __init__(self, protocol: TurnClientTcpProtocol) -> None:
        super().__init__()
        self.protocol: asyncio.BaseProtocol = protocol
        self.written: list[bytes] = []
        self.closing = False

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self.protocol = protocol

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        assert high is not None
        assert low is not None

    def is_closing(self) -> bool:
        return self.closing

    def write(self, data: object) -> None:
        assert isinstance(data, bytes)
        self.written.append(data)

    def fill(self) -> None:
        cast("asyncio.Protocol", self.protocol).pause_writing()

    def drain(self) -> None:
        cast("asyncio.Protocol", self.protocol).resume_writing()

    def records(self) -> list[bytes]:
        """Return what was written, taken apart."""
        frames = FrameReader().receive_untrusted(b"".join(self.written))
        found = [maybe_channel_data_untrusted(frame) for frame in frames]
        return [payload for _, payload in filter(None, found)]


class Relay(TurnTransport):
    """aioice's transport with a channel bound; what it is given itself is counted."""

    def __init__(self, *, bound: bool = True) -> None:
        client = TurnTcpClient(("203.0.113.1", 3478), username="ada", password="secret")
        super().__init__(client)
        self.stream = Stream(client)
        client.connection_made(self.stream)
        if bound:
            client.peer_to_channel[PEER] = 0x4000
        self.plain: list[bytes] = []

    def sendto(self, data: bytes, addr: tuple[str, int]) -> None:
        assert addr == PEER
        self.plain.append(data)


class Host(asyncio.DatagramTransport):
    """A transport of another event loop."""

    def __init__(self) -> None:
        super().__init__()
        self.sent: list[object] = []

    def sendto(self, data: object, addr: object = None) -> None:
        self.sent.append((data, addr))


class FakeIce:
    """The part of an ICE connection that the carrier uses."""

    def __init__(self, *transports: object) -> None:
        self._ways = [cast("Way", (transport, PEER)) for transport in transports]
        self.own_peer = False
        self.on_transport: object = None
        self.widened = 0

    def transports(self) -> list[asyncio.DatagramTransport]:
        return [transport for transport, _ in self._ways]

    def selected_transport(self) -> Way | None:
        return self._ways[0] if self._ways else None

    def widen(self) -> None:
        self.widened += 1

    def lanes(self) -> list[Way]:
        return self._ways[1:]


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


def test_it_is_wide_with_more_than_one_way() -> None:
    assert not Ends(Relay()).carrier.is_wide()
    assert Ends(Relay(), Relay()).carrier.is_wide()


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
