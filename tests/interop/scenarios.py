"""What has to work with every implementation, in both roles; one function each."""

import asyncio
import hashlib
import os
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager, ExitStack
from unittest import mock

import pytest

from rtcsend.connecting import Connection
from rtcsend.datapath.batched import BatchedPath
from rtcsend.datapath.loop import new_event_loop
from rtcsend.datapath.sctp import association, inbound, introduction, tcb
from rtcsend.datapath.sctp.association import FAILURE_TIMEOUT
from rtcsend.errors import ConnectionLost
from rtcsend.pairing.keys import Role
from tests.interop.peers import BASE, FRAME_SIZE, TIMEOUT, StandardPeer, frames, joined

MEGABYTES = int(os.environ.get("RTCSEND_INTEROP_MB", "4"))  # of each stream, 10**6 bytes each
FRAMES = -(-MEGABYTES * 10**6 // FRAME_SIZE)
STREAM_TIMEOUT = TIMEOUT + 2 * MEGABYTES  # seconds; 1 MB/s is a broken data path
SMALL_WINDOW = 4 << 20  # bytes; plain aiortc is slow to fill what we have
PACKET = 1_500  # bytes; no packet to or from a foreign peer is larger
SIZES = (1, 0, 16_385, 65_536, 262_144)  # bytes; the last is what both sides announce
TEXTS = ("x", "", "grüße \N{GUITAR}", "y" * 65_536)

Scenario = Callable[[Role, StandardPeer], Awaitable[None]]
ROLES = pytest.mark.parametrize("role", list(Role), ids=lambda role: f"as {role.value}")


def run(
    scenario: Scenario,
    role: Role,
    make_peer: Callable[[], AbstractAsyncContextManager[StandardPeer]],
) -> None:
    """Run a scenario on our event loop, whose datagrams are batched."""

    async def main() -> None:
        async with make_peer() as peer:
            await scenario(role, peer)

    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        runner.run(main())


def _path(ours: Connection) -> BatchedPath:
    path = ours.channels._path
    assert isinstance(path, BatchedPath), "not the data path that is to be tested"
    return path


async def messages_of_all_sizes(role: Role, peer: StandardPeer) -> None:
    """What we send comes back as it was, one by one."""
    async with joined(role, peer) as ours, asyncio.timeout(TIMEOUT):
        for size in SIZES:
            message = (BASE * 4)[:size]
            await ours.channels.send_data(message)
            assert await ours.channels.receive() == message
        for text in TEXTS:
            await ours.channels.send_control(text)
            assert await ours.channels.receive() == text
        await peer.say("from them")
        assert await ours.channels.receive() == "from them"
        assert _path(ours).association.malformed == 0


async def messages_in_a_row(role: Role, peer: StandardPeer) -> None:
    """Many messages of both kinds at once keep their order in each channel."""
    async with joined(role, peer) as ours, asyncio.timeout(TIMEOUT):
        binary = [(BASE * 4)[:size] for size in SIZES] * 4
        texts = [f"{number}" for number in range(len(binary))]
        for text, message in zip(texts, binary, strict=True):
            await ours.channels.send_control(text)
            await ours.channels.send_data(message)
        back = [await ours.channels.receive() for _ in range(2 * len(binary))]
        assert [message for message in back if isinstance(message, bytes)] == binary
        assert [message for message in back if isinstance(message, str)] == texts


async def streams_both_ways(role: Role, peer: StandardPeer) -> None:
    """A stream to them, then one from them; SHA-256 equal."""
    async with joined(role, peer) as ours, asyncio.timeout(STREAM_TIMEOUT):
        path, clock = _path(ours), asyncio.get_running_loop().time
        collecting = asyncio.create_task(peer.collect(FRAMES))
        await asyncio.sleep(0)  # begun
        await peer.say("ready")  # in the order of the calls, also where they go through a socket
        assert await ours.channels.receive() == "ready"
        digest = hashlib.sha256()
        for frame in frames(FRAMES):
            digest.update(frame)
            await ours.channels.send_data(frame)
        there = await collecting
        assert there.digest == digest.hexdigest()

        pushing = asyncio.create_task(peer.push(FRAMES))
        digest = hashlib.sha256(await _frame(ours))
        started = clock()
        for _ in range(FRAMES - 1):
            digest.update(await _frame(ours))
        seconds = clock() - started
        assert (await pushing).digest == digest.hexdigest()
        assert path.association.malformed == 0
        size = (FRAMES - 1) * FRAME_SIZE / 1e6
        print(f"to them {size / there.seconds:.1f} MB/s, from them {size / seconds:.1f} MB/s")


async def _frame(ours: Connection) -> bytes:
    message = await ours.channels.receive()
    assert isinstance(message, bytes)
    assert len(message) == FRAME_SIZE
    return message


async def our_window_is_kept(role: Role, peer: StandardPeer) -> None:
    """While nobody takes what they send, no more than our window comes in; then all of it."""
    count = 4 * SMALL_WINDOW // FRAME_SIZE  # more than the window and what waits over there
    with ExitStack() as stack:
        for module in (inbound, tcb, association, introduction):
            stack.enter_context(mock.patch.object(module, "RECEIVE_BUFFER", SMALL_WINDOW))
        await _fill_our_window(role, peer, count)


async def _fill_our_window(role: Role, peer: StandardPeer, count: int) -> None:
    async with joined(role, peer) as ours, asyncio.timeout(STREAM_TIMEOUT):
        path = _path(ours)
        pushing = asyncio.create_task(peer.push(count))
        await _until(lambda: _room(path) < PACKET)
        assert sum(map(len, ours.channels._inbound)) <= SMALL_WINDOW
        assert not pushing.done()
        digest = hashlib.sha256()
        for _ in range(count):
            digest.update(await _frame(ours))
        assert (await pushing).digest == digest.hexdigest()


def _room(path: BatchedPath) -> int:
    inbound = path.association._tcb.inbound
    assert inbound is not None, "established"
    return inbound.a_rwnd


async def _until(condition: Callable[[], bool]) -> None:
    while not condition():  # noqa: ASYNC110 - the association has no such event
        await asyncio.sleep(0.005)


async def a_slow_reader(role: Role, peer: StandardPeer) -> None:
    """One who cannot keep up gets everything all the same."""
    count = min(FRAMES, 2 * 10**6 // FRAME_SIZE)
    async with joined(role, peer) as ours, asyncio.timeout(TIMEOUT):
        collecting = asyncio.create_task(peer.collect(count, slowly=True))
        await asyncio.sleep(0)
        await peer.say("ready")
        assert await ours.channels.receive() == "ready"
        digest = hashlib.sha256()
        for frame in frames(count):
            digest.update(frame)
            await ours.channels.send_data(frame)
        assert (await collecting).digest == digest.hexdigest()


async def they_close_a_channel(role: Role, peer: StandardPeer) -> None:
    """What was sent before arrives; for them too the channel is then closed."""
    async with joined(role, peer) as ours, asyncio.timeout(TIMEOUT):
        await ours.channels.send_data(BASE)
        assert await ours.channels.receive() == BASE
        await peer.close_data()
        with pytest.raises(ConnectionLost):
            await ours.channels.receive()
        with pytest.raises(ConnectionLost):
            await ours.channels.send_data(b"x")
        await peer.wait_closed()


async def they_close_the_connection(role: Role, peer: StandardPeer) -> None:
    """We notice because they say so, and not by their silence."""
    async with joined(role, peer) as ours, asyncio.timeout(TIMEOUT):
        await ours.channels.send_control("x")
        assert await ours.channels.receive() == "x"
        async with asyncio.timeout(FAILURE_TIMEOUT - 1):
            await peer.close()
            await ours.channels.wait_closed()
        with pytest.raises(ConnectionLost):
            await ours.channels.receive()


async def we_close_the_connection(role: Role, peer: StandardPeer) -> None:
    """They notice."""
    async with asyncio.timeout(TIMEOUT):
        async with joined(role, peer) as ours:
            await ours.channels.send_control("x")
            assert await ours.channels.receive() == "x"
        await peer.wait_closed()


SCENARIOS = pytest.mark.parametrize(
    "scenario",
    [
        messages_of_all_sizes,
        messages_in_a_row,
        streams_both_ways,
        our_window_is_kept,
        a_slow_reader,
        they_close_a_channel,
        they_close_the_connection,
        we_close_the_connection,
    ],
    ids=lambda scenario: scenario.__name__.replace("_", " "),
)
