"""One side under test; the other side's signals come from the test."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
from aiortc import RTCDtlsTransport

from rtcsend.datapath.stock import StockPath
from rtcsend.errors import (
    Declined,
    NoRoute,
    PeerAborted,
    PeerNeverCame,
    PeerProtocolError,
    RtcsendError,
)
from rtcsend.options import RoutePolicy
from rtcsend.pairing.envelope import Sealer
from rtcsend.pairing.keys import Role
from rtcsend.peer.candidate import Candidate
from rtcsend.peer.connection import PeerConnection
from rtcsend.peer.description import Description
from rtcsend.peer.ice import IceConnection
from rtcsend.peer.negotiation import Negotiation
from rtcsend.peer.signalling import SealedSignalling
from rtcsend.peer.signals import (
    MAX_CANDIDATES,
    CandidateSignal,
    DescriptionSignal,
    EndOfCandidates,
    Hello,
    serialize_message,
)
from tests.peer.box import KEYS, Box, boxes
from tests.peer.test_description import DIGEST

if TYPE_CHECKING:
    from rtcsend.events import Connected

pytestmark = [pytest.mark.net, pytest.mark.usefixtures("loopback", "no_task_left")]

BOTH_ROLES = pytest.mark.parametrize("role", list(Role), ids=lambda role: role.value)
HELLO = Hello(agent="x", route=RoutePolicy.ANY)


@dataclass
class Scene:
    """Our side negotiates in ``task``; ``far`` is the other side."""

    role: Role
    peer: PeerConnection
    negotiation: Negotiation
    task: "asyncio.Task[Connected]"
    far: SealedSignalling
    far_box: Box

    def description(self) -> DescriptionSignal:
        """Return a description that fits, of nobody."""
        return DescriptionSignal(
            Description(
                type="answer" if self.role is Role.SENDER else "offer",
                ice_ufrag="abcd",
                ice_pwd="0123456789abcdefghijkl",
                fingerprints=(("sha-256", DIGEST),),
                setup="active" if self.role is Role.SENDER else "actpass",
                max_message_size=65_536,
            )
        )

    async def fails_with(self, error: type[RtcsendError], match: str | None = None) -> RtcsendError:
        with pytest.raises(error, match=match) as caught:
            await self.task
        return caught.value


@asynccontextmanager
async def scene(
    role: Role, route: RoutePolicy = RoutePolicy.ANY, *, greeted: bool = True
) -> AsyncIterator[Scene]:
    ends = boxes()

    def make_path(dtls: RTCDtlsTransport, ice: IceConnection) -> StockPath:
        return StockPath(dtls, ice)

    def agree(hello: Hello) -> None:
        if hello.route is RoutePolicy.DIRECT_ONLY and route is RoutePolicy.RELAY_ONLY:
            raise NoRoute("One allows relays only, and the other none.")
        peer.agree(hello.route, make_path)

    peer = PeerConnection(
        role, ice_servers=(), route=route, make_path=make_path if greeted else None
    )
    negotiation = Negotiation(
        role,
        peer,
        SealedSignalling(ends[role], KEYS, role),
        agree=None if greeted else agree,
    )
    task = asyncio.create_task(negotiation.connect())
    far = SealedSignalling(ends[role.peer], KEYS, role.peer)
    try:
        yield Scene(role, peer, negotiation, task, far, ends[role.peer])
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await peer.close()


def candidate(number: int, address: str = "198.51.100.1") -> CandidateSignal:
    return CandidateSignal(
        Candidate(foundation="1", priority=1, address=address, port=number, type="host")
    )


async def test_the_sender_begins() -> None:
    async with scene(Role.SENDER) as s:
        first = await s.far.receive()
        assert isinstance(first, DescriptionSignal)
        assert first.description.type == "offer"
        second = await s.far.receive()
        assert isinstance(second, CandidateSignal)
        assert second.candidate is not None
        assert (second.candidate.type, second.candidate.address) == ("host", "127.0.0.1")
        assert await s.far.receive() == EndOfCandidates()


async def test_the_receiver_answers() -> None:
    async with scene(Role.RECEIVER) as s:
        await asyncio.sleep(0)
        assert s.far_box.inbound.empty()
        await s.far.send(s.description())
        answer = await s.far.receive()
        assert isinstance(answer, DescriptionSignal)
        assert answer.description.type == "answer"
        assert isinstance(await s.far.receive(), CandidateSignal)
        assert await s.far.receive() == EndOfCandidates()
        assert s.negotiation.max_message_size == 65_536


async def test_not_more_candidates_are_sent_than_may_be(monkeypatch: pytest.MonkeyPatch) -> None:
    async def many(_peer: PeerConnection) -> AsyncIterator[Candidate]:
        for number in range(1, 200):
            if (found := candidate(number).candidate) is not None:
                yield found

    monkeypatch.setattr(PeerConnection, "gather", many)
    async with scene(Role.SENDER) as s:
        await s.far.receive()
        for _ in range(MAX_CANDIDATES):
            assert isinstance(await s.far.receive(), CandidateSignal)
        assert await s.far.receive() == EndOfCandidates()


@BOTH_ROLES
async def test_a_candidate_before_the_description(role: Role) -> None:
    async with scene(role) as s:
        await s.far.send(candidate(9))
        await s.fails_with(PeerProtocolError, "before its description")


@BOTH_ROLES
async def test_two_descriptions(role: Role) -> None:
    async with scene(role) as s:
        await s.far.send(s.description())
        await s.far.send(s.description())
        await s.fails_with(PeerProtocolError, "wrong time")


@BOTH_ROLES
async def test_a_description_of_the_wrong_type(role: Role) -> None:
    async with scene(role) as s, scene(role.peer) as other:
        await s.far.send(other.description())
        await s.fails_with(PeerProtocolError, "wrong time")


@BOTH_ROLES
async def test_a_second_greeting(role: Role) -> None:
    async with scene(role) as s:
        await s.far.send(HELLO)
        await s.fails_with(PeerProtocolError, "greeted twice")


async def test_the_sender_does_not_wait_for_the_greeting() -> None:
    async with scene(Role.SENDER, greeted=False) as s:
        assert isinstance(await s.far.receive(), DescriptionSignal)
        assert isinstance(await s.far.receive(), CandidateSignal)
        assert await s.far.receive() == EndOfCandidates()
        await s.far.send(HELLO)
        await s.far.send(s.description())
        await s.far.send(HELLO)
        await s.fails_with(PeerProtocolError, "greeted twice")


async def test_the_greeting_comes_first() -> None:
    async with scene(Role.SENDER, greeted=False) as s:
        await s.far.send(s.description())
        await s.fails_with(PeerProtocolError, "did not greet first")


async def test_no_greeting_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rtcsend.peer.negotiation.GREETING_TIMEOUT", 0.05)
    async with scene(Role.SENDER, greeted=False) as s:
        await s.fails_with(PeerNeverCame, "says nothing")


async def test_a_greeting_that_does_not_fit() -> None:
    async with scene(Role.SENDER, RoutePolicy.RELAY_ONLY, greeted=False) as s:
        await s.far.send(Hello(agent="x", route=RoutePolicy.DIRECT_ONLY))
        await s.fails_with(NoRoute, "relays only")


async def test_from_the_greeting_on_there_is_less_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rtcsend.peer.negotiation.CONNECT_TIMEOUT", 0.05)
    async with scene(Role.SENDER, greeted=False) as s:
        await s.far.send(HELLO)
        await s.fails_with(NoRoute, "cannot reach each other")


@BOTH_ROLES
async def test_too_many_candidates(role: Role) -> None:
    async with scene(role) as s:
        await s.far.send(s.description())
        for number in range(MAX_CANDIDATES + 1):
            await s.far.send(candidate(number + 1))
        await s.fails_with(PeerProtocolError, "too many candidates")


@BOTH_ROLES
async def test_as_many_candidates_as_may_be_and_repeats_and_unused_kinds(role: Role) -> None:
    async with scene(role) as s:
        await s.far.send(s.description())
        for number in [*range(MAX_CANDIDATES), *range(MAX_CANDIDATES)]:
            await s.far.send(candidate(number + 1))
        text = "candidate:1 1 tcp 1 10.0.0.1 9 typ host tcptype active"
        sealer = Sealer(KEYS.sealing[role.peer])
        sealer._sequence = 1 + 2 * MAX_CANDIDATES
        for _ in range(MAX_CANDIDATES):
            message = serialize_message({"type": "candidate", "candidate": text})
            await s.far_box.send(sealer.seal(message))
        unknown = serialize_message({"type": "ice-restart"})
        await s.far_box.send(sealer.seal(unknown))
        await s.far_box.send(sealer.seal(b"the last word"))
        # All before it were taken: it is this one that ends it.
        await s.fails_with(PeerProtocolError, "not valid JSON")
        assert len(s.peer._ice_connection.remote_candidates) == MAX_CANDIDATES


@BOTH_ROLES
async def test_an_abort(role: Role) -> None:
    async with scene(role) as s:
        await s.far.send_abort(Declined("No."))
        error = await s.fails_with(Declined)
        assert error.told_by_peer


@BOTH_ROLES
async def test_an_abort_while_checks_go_on(role: Role) -> None:
    async with scene(role) as s:
        await s.far.send(s.description())
        await s.far.send(candidate(9))
        while not isinstance(await s.far.receive(), EndOfCandidates):
            pass
        await s.far.send_abort(Declined("No."))
        await s.fails_with(Declined)


@BOTH_ROLES
async def test_the_other_side_leaves(role: Role) -> None:
    async with scene(role) as s:
        await s.far.send(s.description())
        s.far_box.leave()
        await s.fails_with(PeerAborted)


@BOTH_ROLES
async def test_a_changed_box(role: Role) -> None:
    async with scene(role) as s:
        await s.far_box.send(bytes(50))
        await s.fails_with(PeerProtocolError)


@BOTH_ROLES
async def test_nobody_at_the_candidates(role: Role, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rtcsend.peer.negotiation.CONNECT_TIMEOUT", 0.2)
    async with scene(role) as s:
        await s.far.send(s.description())
        await s.far.send(candidate(9))  # an address that 127.0.0.1 has no way to
        await s.far.send(EndOfCandidates())
        await s.fails_with(NoRoute, "cannot reach each other")


@BOTH_ROLES
async def test_no_description_comes(role: Role, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rtcsend.peer.negotiation.CONNECT_TIMEOUT", 0.05)
    async with scene(role) as s:
        await s.fails_with(NoRoute, "cannot reach each other")


@BOTH_ROLES
async def test_no_candidate_comes(role: Role) -> None:
    async with scene(role) as s:
        await s.far.send(s.description())
        await s.far.send(EndOfCandidates())
        await s.fails_with(NoRoute, "cannot reach each other")


@BOTH_ROLES
async def test_the_other_side_is_told_as_it_looks_from_there(role: Role) -> None:
    async with scene(role) as s:
        await s.far.send(s.description())
        await s.far.send(EndOfCandidates())
        error = await s.fails_with(NoRoute)
        assert error.message.endswith("tried host candidates here, and no candidates there.")
        assert error.for_peer.endswith("tried no candidates here, and host candidates there.")


@BOTH_ROLES
async def test_no_route_that_the_other_side_tells_has_the_hint_of_this_one(role: Role) -> None:
    async with scene(role) as s:
        await s.far.send(s.description())
        await s.far.send(
            CandidateSignal(
                Candidate(foundation="1", priority=1, address="192.0.2.1", port=9, type="relay")
            )
        )
        await s.far.send_abort(NoRoute("Tried.", for_peer="Tried, from there."))
        error = await s.fails_with(NoRoute, "^Tried, from there")
        assert error.told_by_peer
        assert "turns:" in error.hint


@BOTH_ROLES
async def test_relays_only_without_turn(role: Role) -> None:
    async with scene(role, RoutePolicy.RELAY_ONLY) as s:
        await s.far.send(s.description())
        error = await s.fails_with(NoRoute, "no TURN server")
        assert "--relay-only" in error.hint


@pytest.mark.parametrize("turns", range(0, 60, 2))
async def test_a_description_that_comes_while_all_ends_is_none_too_many(turns: int) -> None:
    async with scene(Role.RECEIVER, RoutePolicy.RELAY_ONLY) as s:
        for _ in range(turns):
            await asyncio.sleep(0)
        await s.far.send(s.description())
        await s.fails_with(NoRoute, "no TURN server")


@BOTH_ROLES
@pytest.mark.parametrize("turns", [1, 3, 10, 30])
async def test_cancelled_at_any_time(role: Role, turns: int) -> None:
    async with scene(role) as s:
        await s.far.send(s.description())
        await s.far.send(candidate(9))
        for _ in range(turns):
            await asyncio.sleep(0)
        s.task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await s.task
