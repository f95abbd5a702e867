"""Two sides in one process, a mailbox in memory between them, and real sockets on loopback."""

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest

from rtcsend import connecting
from rtcsend.connecting import Connection, connected, local_version
from rtcsend.datapath.sctp import heartbeat
from rtcsend.datapath.sctp.introduction import Identity
from rtcsend.errors import (
    ConnectionLost,
    Declined,
    NoRoute,
    PeerAborted,
    PeerProtocolError,
    RtcsendError,
)
from rtcsend.options import RoutePolicy
from rtcsend.pairing.keys import Role
from rtcsend.peer.connection import PeerConnection
from rtcsend.peer.description import Description, DescriptionType
from rtcsend.peer.signalling import SealedSignalling
from tests.fakes.namespaces import hosts, require_namespaces
from tests.peer.box import KEYS, Box, boxes
from tests.peer.conftest import datapath, loopback, no_task_left

__all__ = ["datapath", "loopback", "no_task_left"]  # fixtures, named below

ROOT = Path(__file__).parent.parent
BOTH_ROLES = pytest.mark.parametrize("role", list(Role), ids=lambda role: role.value)
SOCKETS = [
    pytest.mark.net,
    pytest.mark.usefixtures("loopback", "datapath", "no_task_left"),
]

pytestmark = SOCKETS


def attempt(
    role: Role, end: Box, *, route: RoutePolicy = RoutePolicy.ANY
) -> "asyncio.Task[tuple[AsyncExitStack, Connection]]":
    """Begin to connect; the stack that comes out closes the connection."""

    async def enter() -> tuple[AsyncExitStack, Connection]:
        async with AsyncExitStack() as stack:
            signalling = SealedSignalling(end, KEYS, role)
            connection = await stack.enter_async_context(
                connected(
                    role,
                    route=route,
                    ice_servers=(),
                    signalling=signalling,
                    peer_datapath=local_version(),
                )
            )
            return stack.pop_all(), connection
        raise AssertionError("entering either returns or raises")

    return asyncio.create_task(enter())


@asynccontextmanager
async def joined() -> AsyncIterator[dict[Role, Connection]]:
    ends = boxes()
    tasks = {role: attempt(role, ends[role]) for role in Role}
    async with AsyncExitStack() as both:
        found = {}
        for role, task in tasks.items():
            stack, found[role] = await task
            both.push_async_exit(stack)
        yield found


async def failure(waiting: Awaitable[object]) -> RtcsendError:
    with pytest.raises(RtcsendError) as caught:
        await waiting
    return caught.value


async def test_both_sides_report_the_route() -> None:
    async with joined() as sides:
        for side in sides.values():
            report = side.connected
            assert (report.route, report.protocol) == ("direct", "udp")
            assert (report.local, report.remote) == ("host", "host")
            assert report.rtt_ms is None or 0 <= report.rtt_ms < 1_000
            assert side.max_message_size == 262_144


async def test_messages_go_both_ways_on_both_channels() -> None:
    async with joined() as sides:
        frames = [bytes([number]) * 65_536 for number in range(40)]
        for role in Role:
            near, far = sides[role].channels, sides[role.peer].channels
            await near.send_control("first")
            for frame in frames:
                await near.send_data(frame)
            await near.send_control("")
            received = [await far.receive() for _ in range(len(frames) + 2)]
            assert [m for m in received if isinstance(m, bytes)] == frames
            assert [m for m in received if isinstance(m, str)] == ["first", ""]


async def test_what_was_sent_before_the_end_is_read_after_it() -> None:
    async with joined() as sides:
        receiver = sides[Role.RECEIVER].channels
        await sides[Role.SENDER].channels.send_control("one")
        assert await receiver.receive() == "one"
    await receiver.wait_closed()
    assert isinstance(await failure(receiver.receive()), ConnectionLost)
    assert isinstance(await failure(receiver.send_control("x")), ConnectionLost)
    assert isinstance(await failure(receiver.send_data(b"x")), ConnectionLost)


@BOTH_ROLES
async def test_one_side_ends_and_the_other_sees_it(role: Role) -> None:
    ends = boxes()
    tasks = {side: attempt(side, ends[side]) for side in Role}
    leaving, _ = await tasks[role]
    staying, connection = await tasks[role.peer]
    await leaving.aclose()
    await connection.channels.wait_closed()
    assert isinstance(connection.channels.failure, ConnectionLost)
    await staying.aclose()


@pytest.mark.parametrize("setup", ["a new fingerprint", "one more fingerprint"])
@BOTH_ROLES
async def test_a_certificate_that_is_not_the_described_one(
    role: Role, setup: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The side in ``role`` describes another certificate than it has."""
    arrived: list[object] = []
    real = PeerConnection.local_description

    class Recorded(PeerConnection):
        def __init__(self, role: Role, **kwargs: object) -> None:
            super().__init__(role, **kwargs)  # type: ignore[arg-type]  # handed on as they are
            for channel in (self.path.control, self.path.data):
                channel.on("message", arrived.append)

        def local_description(self, description_type: DescriptionType) -> Description:
            description = real(self, description_type)
            if self._role is not role:
                return description
            other = ("sha-256", ":".join(["AB"] * 32))
            honest = description.fingerprints if setup.startswith("one more") else ()
            return Description(
                type=description.type,
                ice_ufrag=description.ice_ufrag,
                ice_pwd=description.ice_pwd,
                fingerprints=(*honest, other),
                setup=description.setup,
            )

    monkeypatch.setattr(connecting, "PeerConnection", Recorded)
    # The liar may believe that it is connected, with nobody to tell it more than silence does.
    monkeypatch.setattr(heartbeat, "HEARTBEAT_INTERVAL", 0.05)
    monkeypatch.setattr(heartbeat, "HEARTBEAT_RETRY", 0.05)
    monkeypatch.setattr(heartbeat, "FAILURE_TIMEOUT", 0.3)
    ends = boxes()
    liar, honest = attempt(role, ends[role]), attempt(role.peer, ends[role.peer])
    error = await failure(honest)
    assert isinstance(error, NoRoute)
    assert "could not prove who it is" in error.message
    ends[role.peer].leave()
    await asyncio.wait([liar])
    if liar.exception() is None:  # its own half of DTLS was in order, so it may think so
        stack, connection = liar.result()
        await failure(connection.channels.receive())
        await stack.aclose()
    assert arrived == []


@BOTH_ROLES
@pytest.mark.parametrize("datapath", ["own"], indirect=True)  # plain aiortc has a handshake
async def test_an_introduction_that_is_none(role: Role, monkeypatch: pytest.MonkeyPatch) -> None:
    ends = boxes()
    honest = attempt(role.peer, ends[role.peer])
    await asyncio.sleep(0)  # it has made its own by now
    monkeypatch.setattr(Identity, "introduction", lambda _self: b"\2\0\0\x14" + bytes(16))
    liar = attempt(role, ends[role])
    assert isinstance(await failure(honest), PeerProtocolError)
    ends[role.peer].leave()
    await asyncio.wait([liar])
    if liar.exception() is None:
        await liar.result()[0].aclose()


async def test_the_messages_of_the_first_instant_are_kept() -> None:
    # The channels listen from the beginning: one side may speak before the other has
    # noticed that it is connected.
    ends = boxes()
    sender, receiver = (attempt(role, ends[role]) for role in Role)
    stack, connection = await sender
    await connection.channels.send_control("at once")
    other_stack, other = await receiver
    assert await other.channels.receive() == "at once"
    await stack.aclose()
    await other_stack.aclose()


@BOTH_ROLES
async def test_relays_only_without_turn_ends_at_once(role: Role) -> None:
    ends = boxes()
    hidden = attempt(role, ends[role], route=RoutePolicy.RELAY_ONLY)
    other = attempt(role.peer, ends[role.peer])
    error = await failure(hidden)
    assert isinstance(error, NoRoute)
    ends[role].leave()
    assert isinstance(await failure(other), PeerAborted)


@BOTH_ROLES
async def test_direct_only_connects(role: Role) -> None:
    ends = boxes()
    tasks = [
        attempt(role, ends[role], route=RoutePolicy.DIRECT_ONLY),
        attempt(role.peer, ends[role.peer]),
    ]
    for task in tasks:
        stack, connection = await task
        assert connection.connected.route == "direct"
        async with stack:
            pass


@BOTH_ROLES
async def test_the_other_side_never_speaks(role: Role, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rtcsend.peer.negotiation.CONNECT_TIMEOUT", 0.05)
    assert isinstance(await failure(attempt(role, boxes()[role])), NoRoute)


@BOTH_ROLES
async def test_the_other_side_goes_away(role: Role) -> None:
    ends = boxes()
    alone = attempt(role, ends[role])
    ends[role.peer].leave()
    assert isinstance(await failure(alone), PeerAborted)


@BOTH_ROLES
async def test_the_other_side_stops_meanwhile(role: Role) -> None:
    ends = boxes()
    alone = attempt(role, ends[role])
    await SealedSignalling(ends[role.peer], KEYS, role.peer).send_abort(Declined("No."))
    assert isinstance(await failure(alone), Declined)


@pytest.mark.parametrize("turns", [0, 1, 2, 5, 20, 60])
async def test_cancelled_meanwhile(turns: int) -> None:
    ends = boxes()
    tasks = [attempt(role, ends[role]) for role in Role]
    for _ in range(turns):
        await asyncio.sleep(0)
    for task in tasks:
        task.cancel()
    for outcome in await asyncio.gather(*tasks, return_exceptions=True):
        if isinstance(outcome, tuple):
            await outcome[0].aclose()
        else:
            assert isinstance(outcome, asyncio.CancelledError)


async def test_an_error_inside_closes_the_connection() -> None:
    kept: list[Connection] = []

    async def fail() -> None:
        async with joined() as sides:
            kept.extend(sides.values())
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail()
    assert all(connection.channels.failure for connection in kept)


# A machine without any network: a network namespace whose loopback is all there is.

LONELY = """
import asyncio, json
from rtcsend.connecting import connected, local_version
from rtcsend.options import RoutePolicy
from rtcsend.pairing.keys import Role
from rtcsend.peer.signalling import SealedSignalling
from tests.fakes.namespaces import hosts, require_namespaces
from tests.peer.box import signallings

async def side(role, signalling):
    route = RoutePolicy.ANY
    async with connected(
        role,
        route=route,
        ice_servers=(),
        signalling=signalling,
        peer_datapath=local_version(),
    ) as connection:
        await connection.channels.send_control(role.value)
        heard = await connection.channels.receive()
        await connection.channels.send_control("bye")
        assert await connection.channels.receive() == "bye"
        return [connection.connected.route, connection.connected.local, heard]

async def main():
    sides = signallings()
    print(json.dumps(await asyncio.gather(*(side(role, sides[role]) for role in Role))))

asyncio.run(main())
"""


@pytest.mark.lab
def test_a_machine_without_a_network() -> None:
    require_namespaces()
    with hosts(1) as (alone,):
        finished = subprocess.run(
            [*alone.inside, sys.executable, "-c", LONELY],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
    assert finished.returncode == 0, finished.stderr
    assert json.loads(finished.stdout) == [
        ["direct", "host", "receiver"],
        ["direct", "host", "sender"],
    ]
