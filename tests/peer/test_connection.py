"""PeerConnection alone, and two of them brought together by hand."""

import asyncio
import dataclasses
import functools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aioice
import pytest
from aiortc import RTCDtlsTransport

from rtcsend.datapath.stock import StockPath
from rtcsend.errors import NoRoute
from rtcsend.options import RoutePolicy
from rtcsend.pairing.keys import Role
from rtcsend.peer import connection
from rtcsend.peer.candidate import Candidate
from rtcsend.peer.connection import PeerConnection
from rtcsend.peer.description import Description
from rtcsend.peer.ice import IceConnection
from rtcsend.peer.interfaces import HostAddress
from rtcsend.peer.ports import DataPath
from rtcsend.peer.priorities import Network
from rtcsend.rendezvous.messages import IceServer

pytestmark = [pytest.mark.net, pytest.mark.usefixtures("loopback", "no_task_left")]

TURN = IceServer(urls=("turn:192.0.2.7:3478?transport=udp",), username="u", credential="p")
STUN = IceServer(urls=("stun:192.0.2.8:3478",))


def peer(
    role: Role, *, route: RoutePolicy = RoutePolicy.ANY, servers: tuple[IceServer, ...] = ()
) -> PeerConnection:
    return PeerConnection(role, ice_servers=servers, route=route, make_path=make_stock_path)


def make_stock_path(dtls: RTCDtlsTransport, ice: IceConnection) -> DataPath:
    return StockPath(dtls, ice)


async def gathered(one: PeerConnection) -> list[Candidate]:
    return [candidate async for candidate in one.gather()]


@asynccontextmanager
async def joined() -> AsyncIterator[tuple[PeerConnection, PeerConnection]]:
    """Two connected ones, without a mailbox between them."""
    sender, receiver = peer(Role.SENDER), peer(Role.RECEIVER)
    try:
        for one, other in ((sender, receiver), (receiver, sender)):
            for candidate in await gathered(one):
                await other.add_remote_candidate(candidate)
            await other.add_remote_candidate(None)
        offer, answer = sender.local_description("offer"), receiver.local_description("answer")
        await asyncio.gather(sender.connect(answer), receiver.connect(offer))
        yield sender, receiver
    finally:
        await sender.close()
        await receiver.close()


async def test_descriptions_have_fixed_roles() -> None:
    sender, receiver = peer(Role.SENDER), peer(Role.RECEIVER)
    offer, answer = sender.local_description("offer"), receiver.local_description("answer")
    assert (offer.type, offer.setup) == ("offer", "actpass")
    assert (answer.type, answer.setup) == ("answer", "active")
    for description in (offer, answer):
        assert [algorithm for algorithm, _ in description.fingerprints] == ["sha-256"]
        assert len(description.ice_ufrag) >= 4
        assert len(description.ice_pwd) >= 22
    assert offer.fingerprints != answer.fingerprints
    assert offer == sender.local_description("offer")
    await sender.close()
    await receiver.close()


async def test_both_channels_open_and_carry_both_ways() -> None:
    async with joined() as (sender, receiver):
        assert {c.readyState for c in (sender.path.control, receiver.path.control)} == {"open"}
        assert {c.readyState for c in (sender.path.data, receiver.path.data)} == {"open"}
        for one, other in ((sender, receiver), (receiver, sender)):
            loop = asyncio.get_running_loop()
            texts, frames = loop.create_future(), loop.create_future()
            other.path.control.on("message", texts.set_result)
            other.path.data.on("message", frames.set_result)
            one.path.control.send("hello")
            one.path.data.send(bytes(65_536))
            assert await texts == "hello"
            assert await frames == bytes(65_536)


async def test_the_end_is_told_once_and_only_to_the_side_that_did_not_close() -> None:
    ended: list[Role] = []
    told = asyncio.Event()

    def note(role: Role) -> None:
        ended.append(role)
        told.set()

    async with joined() as (sender, receiver):
        sender.on_closed = functools.partial(note, Role.SENDER)
        receiver.on_closed = functools.partial(note, Role.RECEIVER)
        await sender.close()
        await told.wait()
    assert ended == [Role.RECEIVER]


async def test_closing_at_any_time_and_twice() -> None:
    fresh = peer(Role.SENDER)
    await fresh.close()
    await fresh.close()
    full = peer(Role.RECEIVER)
    await gathered(full)
    await full.close()
    await full.close()
    async with joined() as (sender, receiver):
        await sender.close()
        await sender.close()
        await receiver.close()


async def test_a_close_that_is_cancelled_comes_to_its_end() -> None:
    """The fixtures look for tasks and sockets that are left."""
    async with joined() as both:
        for one in both:
            closing = asyncio.create_task(one.close())
            await asyncio.sleep(0)
            closing.cancel()
            with pytest.raises(asyncio.CancelledError):
                await closing
            assert one._ice.state == "closed"
            assert one._ice._connection._closed


async def test_no_network_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    nowhere = [HostAddress("192.0.2.1", Network.LAN)]
    monkeypatch.setattr("rtcsend.peer.ice.host_addresses", lambda: nowhere)
    alone = peer(Role.SENDER)
    with pytest.raises(NoRoute, match="no network address"):
        await gathered(alone)
    await alone.close()


async def test_relays_only_without_a_relay() -> None:
    alone = peer(Role.SENDER, route=RoutePolicy.RELAY_ONLY)
    with pytest.raises(NoRoute, match="no TURN server"):
        await gathered(alone)
    await alone.close()


@pytest.mark.parametrize(
    ("route", "stun", "turn", "policy"),
    [
        (RoutePolicy.ANY, True, True, aioice.TransportPolicy.ALL),
        (RoutePolicy.DIRECT_ONLY, True, False, aioice.TransportPolicy.ALL),
        (RoutePolicy.RELAY_ONLY, False, True, aioice.TransportPolicy.RELAY),
    ],
)
async def test_what_the_route_allows(
    route: RoutePolicy, stun: bool, turn: bool, policy: aioice.TransportPolicy
) -> None:
    agent = peer(Role.SENDER, route=route, servers=(STUN, TURN))._ice_connection
    assert (bool(agent._servers.stun), bool(agent._servers.turn)) == (stun, turn)
    assert agent._transport_policy is policy


@pytest.mark.parametrize("role", list(Role), ids=lambda role: role.value)
async def test_the_sender_controls(role: Role) -> None:
    assert peer(role)._ice_connection.ice_controlling is (role is Role.SENDER)


def candidate(kind: str) -> Candidate:
    return Candidate(
        foundation="1",
        priority=1,
        address="127.0.0.1",
        port=9,
        type=kind,  # type: ignore[arg-type]  # a str of the table below
    )


@pytest.mark.parametrize(
    ("route", "kinds"),
    [
        (RoutePolicy.ANY, ["host", "srflx", "relay"]),
        (RoutePolicy.DIRECT_ONLY, ["host", "srflx"]),
        (RoutePolicy.RELAY_ONLY, ["host", "srflx", "relay"]),
    ],
)
async def test_direct_only_takes_no_relay_of_the_other_side(
    route: RoutePolicy, kinds: list[str]
) -> None:
    one = peer(Role.SENDER, route=route)
    for number, kind in enumerate(["host", "srflx", "relay"]):
        sample = candidate(kind)
        await one.add_remote_candidate(
            Candidate(
                foundation=sample.foundation,
                priority=sample.priority,
                address=sample.address,
                port=sample.port + number,
                type=sample.type,
            )
        )
    assert [found.type for found in one._ice_connection.remote_candidates] == kinds
    await one.close()


@pytest.mark.parametrize(("route", "asked"), [(RoutePolicy.ANY, 1), (RoutePolicy.RELAY_ONLY, 0)])
async def test_relay_only_asks_for_no_hidden_address(
    monkeypatch: pytest.MonkeyPatch, route: RoutePolicy, asked: int
) -> None:
    taken: list[object] = []

    async def take(_self: object, found: object) -> None:
        taken.append(found)

    monkeypatch.setattr(aioice.Connection, "add_remote_candidate", take)
    one = peer(Role.SENDER, route=route)
    hidden = dataclasses.replace(
        candidate("host"), address="0f7b1c6e-4b8a-4f0e-9d0c-3a5e5f1f2a3b.local"
    )
    await one.add_remote_candidate(hidden)
    assert len(taken) == asked
    await one.close()


@pytest.mark.parametrize("error", [OSError("port 5353 is taken"), ValueError("too late")])
async def test_a_candidate_that_cannot_be_used_is_dropped(
    monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    async def fail(*_args: object) -> None:
        raise error

    monkeypatch.setattr(aioice.Connection, "add_remote_candidate", fail)
    one = peer(Role.SENDER)
    await one.add_remote_candidate(candidate("host"))
    await one.close()


async def test_a_candidate_after_the_last_one_is_dropped() -> None:
    one = peer(Role.SENDER)
    await gathered(one)
    await one.add_remote_candidate(None)
    await one.add_remote_candidate(candidate("host"))
    await one.add_remote_candidate(None)
    assert one._ice_connection.remote_candidates == []
    await one.close()


@pytest.mark.parametrize("early", [True, False], ids=["before gathering", "after it"])
async def test_the_other_side_has_no_candidate(early: bool) -> None:
    # ICE itself knows that it has failed; our own candidates are gathered all the same.
    one = peer(Role.SENDER)
    if early:
        await one.add_remote_candidate(None)
    assert await gathered(one)
    if not early:
        await one.add_remote_candidate(None)
    other = peer(Role.RECEIVER)
    with pytest.raises(NoRoute, match="cannot reach each other"):
        await one.connect(other.local_description("answer"))
    await one.close()
    await other.close()


async def exchange(one: PeerConnection, other: PeerConnection) -> None:
    """Give ``other`` all candidates of ``one``."""
    for found in await gathered(one):
        await other.add_remote_candidate(found)
    await other.add_remote_candidate(None)


async def test_an_answer_that_chooses_to_be_the_dtls_server() -> None:
    sender, receiver = peer(Role.SENDER), peer(Role.RECEIVER)
    receiver._dtls._set_role("server")
    await exchange(sender, receiver)
    await exchange(receiver, sender)
    answer = dataclasses.replace(receiver.local_description("answer"), setup="passive")
    offer = sender.local_description("offer")
    await asyncio.gather(sender.connect(answer), receiver.connect(offer))
    assert sender.path.control.readyState == "open"
    await sender.close()
    await receiver.close()


async def test_the_round_trip_is_reported() -> None:
    async with joined() as sides:
        for side in sides:
            rtt_ms = side.route().rtt_ms
            assert rtt_ms is None or 0 < rtt_ms < 1_000


@pytest.mark.parametrize("what", ["association", "pair"])
async def test_the_connection_breaks_while_it_is_set_up(
    what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    sender, receiver = peer(Role.SENDER), peer(Role.RECEIVER)
    await exchange(sender, receiver)
    await exchange(receiver, sender)

    async def broken(_remote: Description) -> None:
        raise NoRoute("The connection broke while it was set up.")

    if what == "association":
        monkeypatch.setattr(sender.path, "open", broken)
    else:
        monkeypatch.setattr(sender._ice_connection, "selected_pair", lambda: None)
    offer, answer = sender.local_description("offer"), receiver.local_description("answer")
    other = asyncio.create_task(receiver.connect(offer))
    with pytest.raises(NoRoute, match="broke while it was set up"):
        await sender.connect(answer)
    other.cancel()
    await asyncio.gather(other, return_exceptions=True)
    await sender.close()
    await receiver.close()


@pytest.mark.parametrize("signalled", [True, False])
async def test_a_check_that_overtakes_its_candidate(
    signalled: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The rendezvous is slower than the direct way: the receiver learns the sender's address
    # from a check, and its type from the candidate that comes later, if it does.
    monkeypatch.setattr(connection, "_CANDIDATES_TIMEOUT", 30.0 if signalled else 0.05)
    sender, receiver = peer(Role.SENDER), peer(Role.RECEIVER)
    late = await gathered(sender)
    await exchange(receiver, sender)
    offer, answer = sender.local_description("offer"), receiver.local_description("answer")
    waiting = asyncio.create_task(receiver.connect(offer))
    assert (await sender.connect(answer)).remote == "host"
    if signalled:
        assert not waiting.done()
        for found in late:
            await receiver.add_remote_candidate(found)
        await receiver.add_remote_candidate(None)
    assert (await waiting).remote == ("host" if signalled else "prflx")
    await sender.close()
    await receiver.close()
