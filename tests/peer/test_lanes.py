"""Lanes on virtual time: allocations that a fake server gives, checks that a fake ICE answers."""

import asyncio
import dataclasses
from typing import TYPE_CHECKING

import aioice
import pytest
from aioice import stun
from aioice.ice import CandidatePair, StunProtocol

from rtcsend.peer import lanes
from rtcsend.peer.ice import IceConnection
from rtcsend.peer.ice_servers import TurnServer
from rtcsend.peer.lanes import CHECK_INTERVAL, MAX_LANES, Lanes
from tests.fakes.clock import run_virtual

if TYPE_CHECKING:
    from collections.abc import Callable

RELAY, OTHERS = "192.0.2.1", "192.0.2.9"
FURTHER = range(1, MAX_LANES)  # beside the selected pair
SERVER = ("203.0.113.1", 3478)
TURN = TurnServer(host=SERVER[0], port=SERVER[1], protocol="tcp", username="u", credential="p")


class Wire(asyncio.DatagramTransport):
    """The relayed transport of one allocation."""

    def __init__(self, protocol: StunProtocol) -> None:
        super().__init__()
        self.closed = False
        self._protocol = protocol

    def sendto(self, data: object, addr: object = None) -> None:
        pass

    def is_closing(self) -> bool:
        return self.closed

    def close(self) -> None:
        if not self.closed:
            self.closed = True
            asyncio.get_running_loop().call_soon(self._protocol.connection_lost, None)


def candidate(host: str, port: int, kind: str = "relay") -> aioice.Candidate:
    found = aioice.Candidate(
        foundation="1", component=1, transport="udp", priority=1, host=host, port=port, type=kind
    )
    found._network_host = host
    return found


def protocol(connection: IceConnection, port: int, kind: str = "relay") -> StunProtocol:
    made = StunProtocol(connection)
    made.connection_made(Wire(made))
    made.local_candidate = candidate(RELAY, port, kind)
    return made


class World:
    """A server that gives allocations, and another side that answers checks or does not."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.given = 0
        self.at_most = MAX_LANES
        self.refusal: Exception = ConnectionError("no more")
        self.answers: Callable[[CandidatePair], bool] = lambda _pair: True
        self.checked: list[tuple[int, int]] = []
        self.opened: list[StunProtocol] = []
        self.server: TurnServer | None = TURN
        self.connection = IceConnection(ice_controlling=True)
        monkeypatch.setattr(lanes, "allocate", self.allocate)
        monkeypatch.setattr(self.connection, "check", self.check)

    async def allocate(self, server: TurnServer, _make: object, **options: object) -> StunProtocol:
        assert server.host == SERVER[0]
        assert options["hide_address"] is True
        await asyncio.sleep(0.1)
        if self.given == self.at_most:
            raise self.refusal
        self.given += 1
        return protocol(self.connection, 1000 + self.given)

    async def check(self, pair: CandidatePair) -> bool:
        await asyncio.sleep(0.1)
        self.checked.append((pair.local_addr[1], pair.remote_addr[1]))
        return self.answers(pair)

    def opened_by_ice(self) -> list[StunProtocol]:
        return self.connection._protocols[1:]

    def lanes(self, local: str = "relay", remote: str = "relay") -> Lanes:
        selected = CandidatePair(
            protocol(self.connection, 1000, local), candidate(OTHERS, 2000, remote)
        )
        return Lanes(
            self.connection,
            selected,
            server=self.server,
            make_protocol=lambda: StunProtocol(self.connection),
            on_open=self.opened.append,
        )


def ports(found: Lanes) -> list[tuple[int, int]]:
    return sorted((pair.local_addr[1], pair.remote_addr[1]) for pair in found.usable())


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    return World(monkeypatch)


def test_allocations_carry_data_once_they_are_checked(world: World) -> None:
    async def main() -> None:
        found = world.lanes()
        assert ports(found) == []
        await asyncio.sleep(0.15)
        assert len(world.opened) == MAX_LANES - 1
        assert ports(found) == [], "not before the check is answered"
        await asyncio.sleep(0.15)
        assert ports(found) == [(1000 + lane, 2000) for lane in FURTHER]
        assert all(map(found.owns, world.opened))
        await found.close()
        assert ports(found) == []

    run_virtual(main)


def test_each_of_ours_goes_to_one_of_theirs(world: World) -> None:
    async def main() -> None:
        found = world.lanes()
        await asyncio.sleep(1.0)
        for lane in (*FURTHER, MAX_LANES, FURTHER[0]):
            found.learn((OTHERS, 2000 + lane))
        await asyncio.sleep(1.0)
        assert ports(found) == [(1000 + lane, 2000 + lane) for lane in FURTHER], "and never more"
        await found.close()

    run_virtual(main)


@pytest.mark.parametrize("local", ["host", "relay"])
def test_without_a_stream_of_our_own_theirs_are_used(world: World, local: str) -> None:
    async def main() -> None:
        udp = dataclasses.replace(TURN, protocol="udp")
        world.server = udp if local == "relay" else None
        found = world.lanes(local)
        found.learn((OTHERS, 2001))
        await asyncio.sleep(1.0)
        assert ports(found) == [(1000, 2001)]
        assert world.given == 0
        await found.close()

    run_virtual(main)


def test_a_server_that_gives_no_more(world: World) -> None:
    async def main() -> None:
        world.at_most = 1
        found = world.lanes()
        await asyncio.sleep(1.0)
        assert ports(found) == [(1001, 2000)]
        await found.close()

    run_virtual(main)


@pytest.mark.parametrize(("code", "left"), [(486, 0), (508, 0), (400, 3)])
def test_who_has_no_more_to_give_gets_them_back(world: World, code: int, left: int) -> None:
    """Of one credential's quota another transfer may need the last allocation to connect at all."""
    answer = stun.Message(
        message_method=stun.Method.ALLOCATE, message_class=stun.Class.ERROR, attributes=None
    )
    answer.attributes["ERROR-CODE"] = (code, "No")
    world.refusal = stun.TransactionFailed(answer)

    async def main() -> None:
        world.at_most = 3
        found = world.lanes()
        found.learn((OTHERS, 2001))
        await asyncio.sleep(1.0)
        given_back = [protocol.transport.is_closing() for protocol in world.opened]
        assert given_back == [left == 0] * 3
        assert not any(local in range(1001, 1004) for local, _ in world.checked) or left
        assert len(ports(found)) == max(left, 1), "theirs are used all the same"
        await found.close()

    run_virtual(main)


def test_a_server_that_never_answers(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    async def never(*_arguments: object, **_options: object) -> StunProtocol:
        await asyncio.Event().wait()
        raise AssertionError("it waits for ever")

    monkeypatch.setattr(lanes, "allocate", never)

    async def main() -> None:
        found = world.lanes()
        await asyncio.sleep(10 * lanes.OPEN_TIMEOUT)
        assert ports(found) == []
        await found.close()

    run_virtual(main)


def test_a_lane_that_is_not_answered_is_not_used(world: World) -> None:
    async def main() -> None:
        world.answers = lambda pair: pair.local_addr[1] != 1002
        found = world.lanes()
        await asyncio.sleep(1.0)
        assert ports(found) == [(1000 + lane, 2000) for lane in FURTHER if lane != 2]
        world.answers = lambda pair: pair.local_addr[1] == 1002
        await asyncio.sleep(2 * CHECK_INTERVAL)
        assert ports(found) == [(1002, 2000)], "one came, and all others have died"
        await found.close()

    run_virtual(main)


def test_the_old_way_is_kept_until_the_new_one_answers(world: World) -> None:
    async def main() -> None:
        world.at_most = 1
        world.answers = lambda pair: pair.remote_addr[1] == 2000
        found = world.lanes()
        await asyncio.sleep(1.0)
        found.learn((OTHERS, 2001))
        await asyncio.sleep(1.0)
        assert (1001, 2001) in world.checked
        assert ports(found) == [(1001, 2000)]
        await found.close()

    run_virtual(main)


@pytest.mark.parametrize("after", [0.0, 0.05, 0.15, 1.0])
def test_closing_leaves_no_allocation(world: World, after: float) -> None:
    async def main() -> None:
        found = world.lanes()
        await asyncio.sleep(after)
        await found.close()
        assert all(isinstance(p.transport, Wire) and p.transport.closed for p in world.opened)
        await asyncio.sleep(60.0)
        assert len(world.opened) in (0, MAX_LANES - 1)

    run_virtual(main)


# In the ICE connection


def selected(world: World) -> StunProtocol:
    ice = world.connection
    main = protocol(ice, 1000)
    ice._protocols.append(main)
    ice._relays[main] = TURN
    ice._remote_candidates.append(candidate(OTHERS, 2000))
    ice._nominated[1] = CandidatePair(main, ice._remote_candidates[0])
    return main


def request() -> stun.Message:
    message = stun.Message(message_method=stun.Method.BINDING, message_class=stun.Class.REQUEST)
    message.attributes["PRIORITY"] = 1
    return message


def pairs(ice: IceConnection) -> list[tuple[str, int]]:
    """Return the other side's addresses in the check list."""
    return [pair.remote_addr for pair in ice._check_list]


def test_checks_from_their_lanes_are_told_from_others(world: World) -> None:
    async def main() -> None:
        ice, first = world.connection, selected(world)
        ice.own_peer = True
        ice.check_incoming(request(), (OTHERS, 2001), first)  # earlier than our own pair
        ice.widen()
        for address in ((OTHERS, 2002), (OTHERS, 2000), ("192.0.2.77", 2003)):
            ice.check_incoming(request(), address, first)
        await asyncio.sleep(1.0)
        assert pairs(ice) == [(OTHERS, 2000), ("192.0.2.77", 2003)]
        assert {address[1] for _, address in ice.lanes()} == {2000, 2001, 2002}
        assert len(ice.lanes()) == len(FURTHER)
        ice.check_incoming(request(), (OTHERS, 2000), world.opened_by_ice()[0])
        assert len(pairs(ice)) == 2, "what comes by a lane is never nominated"
        await ice.close()
        assert ice.lanes() == []

    run_virtual(main)


def test_without_lanes_every_check_is_of_a_pair(world: World) -> None:
    async def main() -> None:
        ice, first = world.connection, selected(world)
        ice.widen()
        ice.check_incoming(request(), (OTHERS, 2001), first)
        assert pairs(ice) == [(OTHERS, 2001)]
        assert ice.lanes() == []
        assert world.given == 0
        await ice.close()

    run_virtual(main)


def test_another_pair_gets_lanes_of_its_own(world: World) -> None:
    async def main() -> None:
        ice, first = world.connection, selected(world)
        ice.own_peer, world.at_most = True, 2 * len(FURTHER)
        ice.widen()
        ice.check_incoming(request(), (OTHERS, 2001), first)
        await asyncio.sleep(1.0)
        assert {way[1] for way in ice.lanes()} == {(OTHERS, 2000), (OTHERS, 2001)}
        old = world.opened_by_ice()
        second = protocol(ice, 3000)
        ice._protocols.append(second)
        ice._relays[second] = TURN
        ice._nominated[1] = CandidatePair(second, candidate(OTHERS, 4000))
        ice.pair_selected(is_first=False)
        assert ice.lanes() == [], "those of the pair before carry nothing any more"
        ice._remote_candidates.append(candidate("192.0.2.10", 2000))
        ice.check_incoming(request(), ("192.0.2.10", 2001), first)  # one of theirs for the old pair
        await asyncio.sleep(1.0)
        assert [way[1] for way in ice.lanes()] == [(OTHERS, 4000)] * len(FURTHER)
        assert all(isinstance(lane.transport, Wire) and lane.transport.closed for lane in old)
        await ice.close()

    run_virtual(main)


def test_closing_as_another_pair_is_selected_leaves_nothing(world: World) -> None:
    async def main() -> None:
        ice, tasks = world.connection, asyncio.all_tasks()
        selected(world)
        ice.own_peer = True
        ice.widen()
        await asyncio.sleep(1.0)
        ice.pair_selected(is_first=False)
        await ice.close()
        await asyncio.sleep(1.0)
        assert asyncio.all_tasks() == tasks
        assert all(isinstance(t, Wire) and t.closed for t in ice.transports())

    run_virtual(main)


def test_a_check_that_comes_often_is_one_lane(world: World) -> None:
    async def main() -> None:
        ice, first = world.connection, selected(world)
        ice.own_peer = True
        for port in FURTHER:
            for _ in FURTHER:  # each is sent again and again until it is answered
                ice.check_incoming(request(), (OTHERS, 2000 + port), first)
        ice.widen()
        await asyncio.sleep(1.0)
        assert {way[1][1] for way in ice.lanes()} == {2000 + port for port in FURTHER}
        await ice.close()

    run_virtual(main)


def test_the_data_path_is_told_of_each_lane(world: World) -> None:
    async def main() -> None:
        ice = world.connection
        selected(world)
        ice.own_peer = True
        told: list[asyncio.DatagramTransport] = []
        ice.on_transport = told.append
        ice.widen()
        await asyncio.sleep(1.0)
        assert told == [item.transport for item in world.opened_by_ice()]
        assert len(told) == MAX_LANES - 1
        assert set(told) <= set(ice.transports())
        await ice.close()
        assert all(isinstance(transport, Wire) and transport.closed for transport in told)

    run_virtual(main)
