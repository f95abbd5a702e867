"""Two links in one process, a real rendezvous, and a path that dies on command."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field

import pytest

from rtcsend import connecting
from rtcsend.connecting import Connection, local_version
from rtcsend.errors import ConnectionLost, Declined, PeerAborted, RtcsendError
from rtcsend.events import Event, Reconnecting
from rtcsend.meeting.place import Place
from rtcsend.options import RoutePolicy
from rtcsend.pairing.keys import Role
from rtcsend.peer.signalling import SealedSignalling
from rtcsend.peer.signals import Hello
from rtcsend.reconnecting import MOVED, Link, Terms
from rtcsend.rendezvous.messages import ReportedRoute
from signal_server.config import ServerConfig
from signal_server.server import RendezvousServer
from tests.fakes.tcp_proxy import TcpProxy
from tests.peer.box import KEYS, Box, boxes
from tests.peer.conftest import loopback, no_task_left

__all__ = ["loopback", "no_task_left"]  # fixtures, named below

pytestmark = [pytest.mark.net, pytest.mark.usefixtures("loopback", "no_task_left")]

BOTH_ROLES = pytest.mark.parametrize("role", list(Role), ids=lambda role: role.value)
LOST = ConnectionLost("The test has cut it.")
STEP = 90.0  # seconds for any single thing; the machine may be busy


@dataclass
class Side:
    """One side's link, and what it has told its user."""

    link: Link
    box: Box
    place: Place
    rendezvous: "NoRendezvous"
    connection: Connection
    events: list[Event] = field(default_factory=list)

    def attempts(self) -> list[int]:
        return [event.attempt for event in self.events if isinstance(event, Reconnecting)]

    async def meet(self, *, timeout: float | None = None) -> Connection:  # noqa: ASYNC109
        async with asyncio.timeout(STEP):
            self.connection = await self.link.meet_again(LOST, timeout=timeout)
            return self.connection

    async def watch(self) -> None:
        async with asyncio.timeout(STEP):
            await self.link.watch(is_over=lambda: False)


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no attempt fail because this process had no turn: the side whose attempt went well is
    not watched here, and would not come again."""
    for name in ("SHORTEST_ATTEMPT", "LONGEST_ATTEMPT"):
        monkeypatch.setattr(f"rtcsend.reconnecting.{name}", STEP)


@pytest.fixture
async def server() -> AsyncIterator[RendezvousServer]:
    async with RendezvousServer(ServerConfig(host="127.0.0.1", port=0)) as running:
        yield running


@pytest.fixture
async def proxy(server: RendezvousServer) -> AsyncIterator[TcpProxy]:
    async with TcpProxy(server.port) as running:
        yield running


@asynccontextmanager
async def linked(url: str) -> AsyncIterator[dict[Role, Side]]:
    """Two sides that are connected: by boxes in memory the first time, then by ``url``."""
    hello = Hello(agent="test", route=RoutePolicy.ANY, datapath=local_version())
    ends = boxes()

    async def connect(role: Role, stack: AsyncExitStack) -> Side:
        events: list[Event] = []
        terms = Terms(
            role=role,
            keys=KEYS,
            place=Place(url),
            ice_servers=(),
            timeout=STEP,
            emit=events.append,
        )
        signalling = SealedSignalling(ends[role], KEYS, role)
        rendezvous = NoRendezvous()
        link = Link(terms, signalling, rendezvous=rendezvous)
        await stack.enter_async_context(link)
        connection = await link.connect(connecting, ours=hello, theirs=hello, ice_servers=())
        return Side(link, ends[role], terms.place, rendezvous, connection, events)

    async with AsyncExitStack() as one, AsyncExitStack() as other:
        stacks = dict(zip(Role, (one, other), strict=True))
        made = await asyncio.gather(*(connect(role, stacks[role]) for role in Role))
        yield dict(zip(Role, made, strict=True))


class NoRendezvous:
    """Stands in for the client of the pairing, whose bodies go by a box in memory."""

    def __init__(self) -> None:
        self.redials = 0
        self.permit: str | None = None

    def redial(self) -> None:
        self.redials += 1

    async def wait_attached(self) -> None:
        return

    def report(self, route: ReportedRoute) -> None:
        return

    async def release(self) -> None:
        return


def url_of(server: RendezvousServer) -> str:
    return f"ws://127.0.0.1:{server.port}/v1"


async def both_meet(sides: dict[Role, Side]) -> None:
    await asyncio.gather(*(side.meet() for side in sides.values()))


async def assert_talking(sides: dict[Role, Side], text: str = "hello") -> None:
    async with asyncio.timeout(STEP):
        for role in Role:
            await sides[role].connection.channels.send_control(text)
            heard = await sides[role.peer].connection.channels.receive_all()
            assert list(heard) == [text]


async def until(condition: Callable[[], bool]) -> None:
    """Wait for what nobody announces."""
    async with asyncio.timeout(STEP):
        while not condition():  # noqa: ASYNC110 - nobody announces it
            await asyncio.sleep(0.01)


async def test_both_notice(server: RendezvousServer) -> None:
    async with linked(url_of(server)) as sides:
        await both_meet(sides)
        await assert_talking(sides)
        assert [side.attempts() for side in sides.values()] == [[1], [1]]


async def test_again_and_again(server: RendezvousServer) -> None:
    async with linked(url_of(server)) as sides:
        for round_number in range(3):
            await both_meet(sides)
            await assert_talking(sides, f"round {round_number}")


@BOTH_ROLES
async def test_only_one_notices_and_tells_the_other(server: RendezvousServer, role: Role) -> None:
    async with linked(url_of(server)) as sides:
        for _ in range(2):
            unaware = asyncio.create_task(sides[role.peer].watch())
            meeting = asyncio.create_task(sides[role].meet())
            with pytest.raises(ConnectionLost, match="The other side has lost"):
                await unaware
            await sides[role.peer].meet()
            await meeting
            await assert_talking(sides)


@BOTH_ROLES
async def test_one_has_lost_its_address_and_with_it_the_rendezvous(
    server: RendezvousServer, proxy: TcpProxy, role: Role, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its word to the other side must not wait until the dead socket is missed."""
    async with linked(proxy.url) as sides:
        loser, unaware = sides[role], sides[role.peer]
        unaware.place.url = url_of(server)  # not by the proxy

        async def watch_path(ends: object) -> None:
            if ends is loser.connection.ends:
                proxy.stall()
                raise LOST
            await asyncio.Event().wait()

        monkeypatch.setattr("rtcsend.reconnecting.watch_path", watch_path)
        for _ in range(3):  # first by the client of the pairing, then by that of the last meeting
            watching = asyncio.create_task(unaware.watch())
            with pytest.raises(ConnectionLost, match="The test"):
                await loser.watch()
            meeting = asyncio.create_task(loser.meet())
            with pytest.raises(ConnectionLost, match="The other side has lost"):
                await watching
            await unaware.meet()
            await meeting
            await assert_talking(sides)
        assert loser.rendezvous.redials == 1
        assert loser.attempts() == [1] * 3


# The rendezvous


async def test_a_server_that_wants_permits() -> None:
    """The pairing's is good for the first meeting, and each meeting brings one for the next."""
    config = ServerConfig(host="127.0.0.1", port=0, auth_tokens=("sesame",))
    async with RendezvousServer(config) as server, linked(url_of(server)) as sides:
        permit = server._admission.permit()
        for side in sides.values():
            side.rendezvous.permit = permit
        await both_meet(sides)
        for side in sides.values():
            side.rendezvous.permit = None
        await both_meet(sides)
        await assert_talking(sides)
        assert [side.attempts() for side in sides.values()] == [[1, 1], [1, 1]]


async def test_the_rendezvous_has_forgotten_everything() -> None:
    async with RendezvousServer(ServerConfig(host="127.0.0.1", port=0)) as first:
        port = first.port
        url = url_of(first)
        async with linked(url) as sides:
            await both_meet(sides)
            await first.__aexit__(None, None, None)
            async with RendezvousServer(ServerConfig(host="127.0.0.1", port=port)):
                await both_meet(sides)
                await assert_talking(sides)


async def test_the_rendezvous_is_down_for_a_while(
    server: RendezvousServer, proxy: TcpProxy
) -> None:
    async with linked(proxy.url) as sides:
        proxy.refusing = True
        meeting = asyncio.gather(*(side.meet() for side in sides.values()))
        await until(lambda: min(len(side.attempts()) for side in sides.values()) >= 3)
        proxy.refusing = False
        await meeting
        await assert_talking(sides)
        for side in sides.values():
            assert side.attempts() == list(range(1, len(side.attempts()) + 1))
            assert all(
                event.reason.endswith(".")
                for event in side.events
                if isinstance(event, Reconnecting)
            )


async def test_its_sockets_break_while_the_two_meet(
    server: RendezvousServer, proxy: TcpProxy
) -> None:
    async with linked(proxy.url) as sides:
        for connections in range(1, 5):
            meeting = asyncio.gather(*(side.meet() for side in sides.values()))
            await proxy.wait_for_connections(proxy.connections + 1)
            for _ in range(connections * 3):
                await asyncio.sleep(0)
            proxy.drop_all()
            await meeting
            await assert_talking(sides)


@BOTH_ROLES
async def test_a_half_dead_socket_of_the_meeting_before(
    server: RendezvousServer, proxy: TcpProxy, role: Role
) -> None:
    """One side comes from a new network; the server still believes in its old socket."""
    async with linked(proxy.url) as sides:
        await both_meet(sides)
        first = asyncio.create_task(sides[role].meet())
        await proxy.wait_for_connections(proxy.connections + 1)
        await sides[role.peer].meet()
        await first
        await assert_talking(sides)


async def test_it_is_found_again_elsewhere(server: RendezvousServer) -> None:
    async with linked("ws://127.0.0.1:1/v1") as sides:
        looked = 0

        async def look() -> str:
            nonlocal looked
            looked += 1
            return url_of(server)

        sides[Role.SENDER].place.url = url_of(server)
        sides[Role.RECEIVER].place._look_again = look
        await both_meet(sides)
        await assert_talking(sides)
        assert looked == 1
        assert sides[Role.RECEIVER].attempts() == [1, 2]


async def test_it_stays_away(server: RendezvousServer, proxy: TcpProxy) -> None:
    proxy.refusing = True
    async with linked(proxy.url) as sides:
        outcomes = await asyncio.gather(
            *(side.meet(timeout=0.7) for side in sides.values()), return_exceptions=True
        )
        for outcome in outcomes:
            assert isinstance(outcome, ConnectionLost)
            assert "could not meet again" in outcome.message
            assert "only the rest travels" in outcome.hint


@BOTH_ROLES
async def test_the_other_side_never_comes(server: RendezvousServer, role: Role) -> None:
    async with linked(url_of(server)) as sides:
        with pytest.raises(ConnectionLost, match="could not meet again"):
            await sides[role].meet(timeout=0.5)
        assert sides[role].attempts() == [1]


# Ends


async def leave(side: Side, error: BaseException) -> None:
    """End a side as an error that leaves its context does."""
    await side.link.__aexit__(type(error), error, None)


async def fails(meeting: "asyncio.Task[Connection]") -> RtcsendError:
    async with asyncio.timeout(STEP):
        with pytest.raises(RtcsendError) as caught:
            await meeting
    return caught.value


def in_the_meeting(side: Side) -> bool:
    meeting = side.link._meeting
    return meeting is not None and meeting.is_entered


def cut_the_old_way(sides: dict[Role, Side]) -> None:
    """Let nothing come any more by the rendezvous of the pairing."""
    for side in sides.values():
        side.box.outbound = asyncio.Queue()


@BOTH_ROLES
@pytest.mark.parametrize("old_way", [True, False], ids=["old way", "meeting"])
async def test_one_ends_while_the_other_waits_for_it(
    server: RendezvousServer, proxy: TcpProxy, role: Role, *, old_way: bool
) -> None:
    async with linked(proxy.url) as sides:
        if not old_way:
            cut_the_old_way(sides)
        waiting = asyncio.create_task(sides[role.peer].meet())
        await proxy.wait_for_connections(1)
        ending = asyncio.create_task(sides[role].meet())
        if not old_way:
            await proxy.wait_for_connections(2)
        await asyncio.sleep(0)
        ending.cancel()
        await asyncio.wait([ending])
        if not ending.cancelled():
            return  # too late: they have met
        await leave(sides[role], Declined("No."))
        error = await fails(waiting)
        assert isinstance(error, Declined | ConnectionLost)


@BOTH_ROLES
async def test_one_has_ended_before_the_other_comes(server: RendezvousServer, role: Role) -> None:
    async with linked(url_of(server)) as sides:
        cut_the_old_way(sides)
        ending = asyncio.create_task(sides[role].meet())
        await until(lambda: in_the_meeting(sides[role]))
        ending.cancel()
        await asyncio.wait([ending])
        await leave(sides[role], Declined("No."))
        error = await fails(asyncio.create_task(sides[role.peer].meet()))
        assert isinstance(error, Declined)
        assert error.told_by_peer


@BOTH_ROLES
async def test_an_abort_that_came_as_a_lost_path_is_final(
    server: RendezvousServer, role: Role
) -> None:
    async with linked(url_of(server)) as sides:
        lost = ConnectionLost("It has given up.")
        lost.told_by_peer = True
        with pytest.raises(ConnectionLost, match="given up"):
            await sides[role].link.meet_again(lost)
        assert sides[role].attempts() == []


@BOTH_ROLES
async def test_meeting_without_moving_comes_to_an_end(server: RendezvousServer, role: Role) -> None:
    async with linked(url_of(server)) as sides:
        link, peer = sides[role].link, sides[role.peer]

        async def meet(position: int) -> None:
            async with asyncio.timeout(STEP):
                await asyncio.gather(link.meet_again(LOST, position=position), peer.meet())

        await meet(0)
        await meet(MOVED - 1)
        with pytest.raises(ConnectionLost, match="could not meet again"):
            await link.meet_again(LOST, position=MOVED - 1, timeout=0.0)  # none is left
        await meet(MOVED)  # it has moved: all of the time again


@pytest.mark.parametrize("delay", [0.0, 0.002, 0.01, 0.02, 0.04, 0.08, 0.2])
async def test_cancelled_at_any_time(server: RendezvousServer, delay: float) -> None:
    async with linked(url_of(server)) as sides:
        meetings = [asyncio.create_task(side.meet()) for side in sides.values()]
        await asyncio.sleep(delay)
        for meeting in meetings:
            meeting.cancel()
        outcomes = await asyncio.gather(*meetings, return_exceptions=True)
        for outcome in outcomes:
            assert isinstance(outcome, Connection | asyncio.CancelledError | PeerAborted)
