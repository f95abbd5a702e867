"""Gathering on virtual time: servers that answer when the table says, or never."""

import asyncio
import socket
import threading
from dataclasses import dataclass, field

import pytest
from aioice import Candidate, stun
from aioice.ice import StunProtocol

from rtcsend.events import RelayProtocol
from rtcsend.peer import gathering
from rtcsend.peer.allocation import ADDRESS_STAGGER, first_success
from rtcsend.peer.gathering import GATHERING_TIMEOUT, HEAD_START, Gathering
from rtcsend.peer.ice import IceConnection
from rtcsend.peer.ice_servers import Ladder, Servers, StunServer, TurnServer
from rtcsend.peer.interfaces import HostAddress
from rtcsend.peer.priorities import Network
from rtcsend.peer.transaction import Address
from rtcsend.resolving import addresses_of
from tests.fakes.clock import run_virtual

NEVER = 1e6
HOSTS = [HostAddress("192.0.2.1", Network.LAN), HostAddress("2001:db8::1", Network.LAN)]


class Wire(asyncio.DatagramTransport):
    """A socket that answers binding requests for the servers of the table."""

    def __init__(self, world: "World", made: StunProtocol, address: Address) -> None:
        super().__init__()
        self.world, self.made, self.address = world, made, address
        self.closed = False

    def get_extra_info(self, name: str, default: object = None) -> object:
        return self.address if name == "sockname" else default

    def sendto(self, data: object, addr: object = None) -> None:
        assert isinstance(data, bytes)
        assert isinstance(addr, tuple)
        found = self.world.stun.get(addr[0])
        if found is None:
            return
        delay, mapped = found
        request = stun.parse_message(data)
        answer = stun.Message(
            message_method=request.message_method,
            message_class=stun.Class.RESPONSE,
            transaction_id=request.transaction_id,
        )
        answer.attributes["XOR-MAPPED-ADDRESS"] = mapped
        loop = asyncio.get_running_loop()
        loop.call_later(delay, self.made.datagram_received, bytes(answer), addr)

    def close(self) -> None:
        self.closed = True


@dataclass
class World:
    """What there is, and what was found when."""

    stun: dict[str, tuple[float, Address]] = field(default_factory=dict)
    """Seconds and mapped address by server; others never answer."""
    turn: dict[tuple[str, str], float] = field(default_factory=dict)
    """Seconds by host and protocol; others never answer, and negative ones refuse."""
    handshakes: dict[str, float] = field(default_factory=dict)
    """Seconds of these, by protocol, that a connection takes; negative ones refuse."""
    found: list[tuple[float, str, str]] = field(default_factory=list)
    asked: list[tuple[float, str, str]] = field(default_factory=list)
    begun: list[tuple[float, str, str]] = field(default_factory=list)
    opened: list[Wire] = field(default_factory=list)
    relays: bool = True
    connection: IceConnection = field(default_factory=lambda: IceConnection(ice_controlling=True))

    def make_protocol(self) -> StunProtocol:
        return StunProtocol(self.connection)

    def add_local(self, protocol: StunProtocol, server: TurnServer | None = None) -> None:
        self.note("host" if server is None else server.protocol, protocol.local_candidate.host)

    def add_reflexive(self, candidate: Candidate) -> None:
        self.note(candidate.type, candidate.host)

    def note(self, kind: str, host: str) -> None:
        self.found.append((round(asyncio.get_running_loop().time(), 3), kind, host))

    async def may_relay(self) -> bool:
        return self.relays

    async def open(self, address: Address) -> tuple[Wire, StunProtocol]:
        if address[0].startswith("198.51.100."):
            raise OSError("not an address of this machine")
        made = self.make_protocol()
        wire = Wire(self, made, (address[0], 1000))
        made.connection_made(wire)
        self.opened.append(wire)
        return wire, made

    async def allocate(
        self,
        server: TurnServer,
        _make: object,
        *,
        place: int,
        hide_address: bool,
        may_ask: asyncio.Event,
    ) -> StunProtocol:
        assert place in (0, 1)
        assert not hide_address
        loop = asyncio.get_running_loop()
        self.begun.append((round(loop.time(), 3), server.host, server.protocol))
        handshake = self.handshakes.get(server.protocol, 0.0)
        await asyncio.sleep(abs(handshake))
        if handshake < 0:
            raise ConnectionRefusedError
        await may_ask.wait()
        self.asked.append((round(loop.time(), 3), server.host, server.protocol))
        delay = self.turn.get((server.host, server.protocol), NEVER)
        await asyncio.sleep(abs(delay))
        if delay < 0:
            raise ConnectionRefusedError
        _, made = await self.open((f"203.0.113.{place}", 0))
        made.local_candidate = Candidate("1", 1, "udp", 1, f"203.0.113.{place}", 1, "relay")
        return made

    def gather(self, *, servers: tuple[str, ...] = (), ladders: tuple[Ladder, ...] = ()) -> float:
        """Gather; return how long that took."""

        async def main() -> float:
            stun_servers = tuple(StunServer(host, 3478) for host in servers)
            await Gathering(
                self, Servers(stun_servers, ladders), addresses=HOSTS, hide_addresses=False
            ).run()
            return asyncio.get_running_loop().time()

        return run_virtual(main)


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    made = World()

    async def create_datagram_endpoint(
        _loop: object, _factory: object, local_addr: Address
    ) -> tuple[Wire, StunProtocol]:
        return await made.open(local_addr)

    monkeypatch.setattr(
        "tests.fakes.clock.VirtualClockLoop.create_datagram_endpoint", create_datagram_endpoint
    )
    monkeypatch.setattr(gathering, "allocate", made.allocate)
    return made


def ladder(host: str, *protocols: RelayProtocol) -> Ladder:
    return tuple(
        TurnServer(host=host, port=3478, protocol=each, username="u", credential="p")
        for each in protocols or ("udp", "tcp", "tls")
    )


FIRST = [(0.0, "host", "192.0.2.1"), (0.0, "host", "2001:db8::1")]


def test_own_addresses_are_there_at_once(world: World) -> None:
    assert world.gather() == 0.0
    assert world.found == FIRST


def test_a_dead_server_delays_nothing_but_the_end(world: World) -> None:
    world.stun = {"10.0.0.2": (0.03, ("198.18.0.1", 5))}
    world.turn = {("b", "udp"): 0.06}
    took = world.gather(servers=("10.0.0.1", "10.0.0.2"), ladders=(ladder("a"), ladder("b")))
    assert world.found == [*FIRST, (0.03, "srflx", "198.18.0.1"), (0.06, "udp", "203.0.113.1")]
    assert took == GATHERING_TIMEOUT


def test_the_end_comes_when_all_have_answered(world: World) -> None:
    world.stun = {"10.0.0.1": (0.03, ("198.18.0.1", 5))}
    world.turn = {("a", "udp"): 0.06}
    assert world.gather(servers=("10.0.0.1",), ladders=(ladder("a"),)) == pytest.approx(0.06)


@pytest.mark.parametrize(
    "said", [("203.0.113.9", 0), ("0.0.0.0", 9), ("224.0.0.1", 9), ("2001:db8::9", 9)]
)
def test_what_cannot_be_an_address_is_not_offered(world: World, said: Address) -> None:
    # The other side would find it at fault, and end.
    world.stun = {"10.0.0.1": (0.01, said), "10.0.0.2": (0.02, ("203.0.113.7", 7))}
    world.gather(servers=tuple(world.stun))
    assert [host for _, kind, host in world.found if kind == "srflx"] == ["203.0.113.7"]


def test_an_address_is_told_once(world: World) -> None:
    same, another, own = ("198.18.0.1", 5), ("198.18.0.1", 6), ("192.0.2.1", 1000)
    world.stun = {
        f"10.0.0.{number}": (0.01 * number, mapped)
        for number, mapped in enumerate((same, same, another, own), 1)
    }
    world.gather(servers=tuple(world.stun))
    assert [kind for _, kind, _ in world.found] == ["host", "host", "srflx", "srflx"]


@pytest.mark.parametrize(
    ("table", "found", "asked"),
    [
        # UDP answers: the others are spared.
        ({"udp": 0.8, "tcp": 0.5, "tls": 0.5}, [(0.8, "udp")], ["udp"]),
        # UDP is blocked: that costs the head start.
        ({"tcp": 0.8}, [(1.8, "tcp")], ["udp", "tcp"]),
        # Both are.
        ({"tls": 0.8}, [(2.8, "tls")], ["udp", "tcp", "tls"]),
        # UDP is refused: that costs nothing.
        ({"udp": -0.1, "tcp": 0.8}, [(0.9, "tcp")], ["udp", "tcp"]),
        # UDP answers late: it is better all the same.
        ({"udp": 8.0, "tcp": 0.8}, [(1.8, "tcp"), (8.0, "udp")], ["udp", "tcp"]),
        # And a little late: what is under way and not as good is stopped.
        ({"udp": 1.5, "tcp": 0.8}, [(1.5, "udp")], ["udp", "tcp"]),
        # The server is far: two round trips by UDP, three by TCP.
        ({"udp": 6.0, "tcp": 9.0, "tls": 12.0}, [(6.0, "udp")], ["udp", "tcp", "tls"]),
        ({"udp": -0.1, "tcp": -0.1, "tls": -0.1}, [], ["udp", "tcp", "tls"]),
        ({}, [], ["udp", "tcp", "tls"]),
    ],
)
def test_the_ways_to_one_machine(
    world: World, table: dict[str, float], found: list[tuple[float, str]], asked: list[str]
) -> None:
    """All times in head starts."""
    world.turn = {("a", protocol): delay * HEAD_START for protocol, delay in table.items()}
    world.gather(ladders=(ladder("a"),))
    times = [(round(time / HEAD_START, 6), kind) for time, kind, _ in world.found[2:]]
    assert times == found
    assert [protocol for _, _, protocol in world.asked] == asked


@pytest.mark.parametrize(
    ("handshakes", "table", "found", "asked"),
    [
        # TLS shakes hands while TCP has its head start.
        ({"tls": 1.0}, {"tls": 0.8}, [(2.8, "tls")], ["udp", "tcp", "tls"]),
        ({"tcp": NEVER, "tls": 1.0}, {"tls": 0.8}, [(2.8, "tls")], ["udp", "tls"]),
        # It is connected before, and not asked: TCP is.
        ({"tcp": 0.7, "tls": 0.5}, {"tcp": 0.2, "tls": 0.1}, [(1.9, "tcp")], ["udp", "tcp"]),
        # What is refused meanwhile spoils nothing.
        ({"tls": -0.2}, {"tcp": 1.5}, [(2.5, "tcp")], ["udp", "tcp"]),
        ({"tcp": -0.1, "tls": 0.5}, {"tls": 0.5}, [(2.0, "tls")], ["udp", "tls"]),
        ({"udp": -0.1, "tcp": -0.1, "tls": -0.1}, {}, [], []),
        ({"udp": -0.1, "tcp": 0.5, "tls": 0.5}, {"tcp": 0.1}, [(0.7, "tcp")], ["tcp"]),
        # UDP answers in its head start: no connection is begun.
        ({"tcp": 0.1, "tls": 0.1}, {"udp": 0.8, "tcp": 0.1, "tls": 0.1}, [(0.8, "udp")], ["udp"]),
    ],
)
def test_connections_are_begun_before_an_address_is_asked_for(
    world: World,
    handshakes: dict[str, float],
    table: dict[str, float],
    found: list[tuple[float, str]],
    asked: list[str],
) -> None:
    """All times in head starts."""
    world.handshakes = {protocol: delay * HEAD_START for protocol, delay in handshakes.items()}
    world.turn = {("a", protocol): delay * HEAD_START for protocol, delay in table.items()}
    world.gather(ladders=(ladder("a"),))
    times = [(round(time / HEAD_START, 6), kind) for time, kind, _ in world.found[2:]]
    assert times == found
    assert [protocol for _, _, protocol in world.asked] == asked
    if table.get("udp", NEVER) < 1.0:
        assert world.begun == [(0.0, "a", "udp")]


def test_no_relay_is_asked_for_where_none_is_wanted(world: World) -> None:
    world.relays = False
    world.turn = {("a", "udp"): 0.1}
    assert world.gather(ladders=(ladder("a"),)) == 0.0
    assert world.asked == []


def test_machines_are_asked_side_by_side(world: World) -> None:
    world.turn = {("b", "tls"): 0.1}
    world.gather(ladders=(ladder("a"), ladder("b", "tls")))
    assert [host for time, host, _ in world.asked if time == 0.0] == ["a", "b"]
    assert world.found[-1] == (0.1, "tls", "203.0.113.1")


def test_an_address_that_cannot_be_bound_is_left_out(world: World) -> None:
    async def main() -> None:
        gone = [HostAddress("198.51.100.1", Network.LAN), *HOSTS]
        await Gathering(world, Servers(), addresses=gone, hide_addresses=False).run()

    run_virtual(main)
    assert world.found == FIRST


@pytest.mark.parametrize("after", [0.0, 0.02, 0.05, 0.1, 0.35, 2.0])
def test_a_cancelled_gathering_keeps_no_allocation_that_nobody_has(
    world: World, after: float
) -> None:
    world.turn = {("a", "udp"): 1.0, ("a", "tcp"): 0.3, ("a", "tls"): 0.05}

    async def main() -> None:
        work = Gathering(world, Servers((), (ladder("a"),)), addresses=[], hide_addresses=False)
        running = asyncio.create_task(work.run())
        await asyncio.sleep(after)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await asyncio.sleep(10.0)

    run_virtual(main)
    assert len([wire for wire in world.opened if not wire.closed]) == len(world.found)


def test_two_addresses_of_one_name() -> None:
    loop_times: list[float] = []

    async def one(delay: float, *, works: bool) -> float:
        loop_times.append(round(asyncio.get_running_loop().time(), 3))
        await asyncio.sleep(delay)
        if not works:
            raise OSError(delay)
        return delay

    async def main() -> None:
        loop = asyncio.get_running_loop()
        assert (
            await first_success([lambda: one(NEVER, works=True), lambda: one(1, works=True)]) == 1
        )
        assert loop_times == [0.0, ADDRESS_STAGGER]
        before = loop.time()
        assert (
            await first_success([lambda: one(0.01, works=False), lambda: one(2, works=True)]) == 2
        )
        assert loop.time() == pytest.approx(before + 2.01)
        with pytest.raises(OSError, match=r"0\.5"):
            await first_success([lambda: one(0.2, works=False), lambda: one(0.5, works=False)])

    run_virtual(main)


@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
async def test_literals_ask_no_name_server(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rtcsend.resolving._look_up", None)
    assert await addresses_of(address, 7) == [(address, 7)]


async def test_names() -> None:
    assert ("127.0.0.1", 7) in await addresses_of("localhost", 7)
    for bad in ("no-such-name.invalid", "a" * 64 + ".invalid"):
        with pytest.raises(socket.gaierror):
            await addresses_of(bad, 7)


def test_a_name_server_that_never_answers_is_not_waited_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    answer = threading.Event()

    def look_up(_host: str, port: int) -> list[Address]:
        answer.wait()
        return [("192.0.2.1", port)]

    monkeypatch.setattr("rtcsend.resolving._look_up", look_up)

    async def main() -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await addresses_of("slow.test", 7)

    asyncio.run(main())
    answer.set()  # the loop is closed: the thread ends without a word
    assert stun.RETRY_RTO < 0.5, "set by the allocations"
