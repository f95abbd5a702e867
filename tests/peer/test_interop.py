"""The other side is aiortc as it comes: what a browser would say, in the same words."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest
from aiortc import RTCConfiguration, RTCDataChannel, RTCPeerConnection, RTCSessionDescription
from aiortc.sdp import candidate_from_sdp

from rtcsend.connecting import Connection, connected
from rtcsend.errors import ConnectionLost
from rtcsend.options import RoutePolicy
from rtcsend.pairing.keys import Role
from rtcsend.peer.candidate import maybe_parse_candidate_untrusted
from rtcsend.peer.description import DescriptionType, parse_description_untrusted
from rtcsend.peer.signalling import SealedSignalling
from rtcsend.peer.signals import CandidateSignal, DescriptionSignal, EndOfCandidates
from tests.peer.box import signallings

pytestmark = [pytest.mark.net, pytest.mark.usefixtures("loopback", "datapath")]


@dataclass
class Plain:
    """An RTCPeerConnection with our two channels, and what arrived on them."""

    connection: RTCPeerConnection
    control: RTCDataChannel
    data: RTCDataChannel
    received: "asyncio.Queue[str | bytes]"


def plain() -> Plain:
    connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    control = connection.createDataChannel("control", negotiated=True, id=0)
    data = connection.createDataChannel("data", negotiated=True, id=1)
    received: asyncio.Queue[str | bytes] = asyncio.Queue()
    for channel in (control, data):
        channel.on("message", received.put_nowait)
    return Plain(connection, control, data, received)


async def say(theirs: Plain, signalling: SealedSignalling) -> None:
    """Send the local description, and the candidates in it, as signals."""
    local = theirs.connection.localDescription
    kind: DescriptionType = "offer" if local.type == "offer" else "answer"
    await signalling.send(DescriptionSignal(parse_description_untrusted(kind, local.sdp)))
    for line in local.sdp.splitlines():
        if line.startswith("a=candidate:"):
            await signalling.send(CandidateSignal(maybe_parse_candidate_untrusted(line)))
    await signalling.send(EndOfCandidates())


async def hear_description(theirs: Plain, signalling: SealedSignalling) -> None:
    signal = await signalling.receive()
    assert isinstance(signal, DescriptionSignal)
    description = signal.description
    await theirs.connection.setRemoteDescription(
        RTCSessionDescription(sdp=description.to_sdp(), type=description.type)
    )


async def hear_candidates(theirs: Plain, signalling: SealedSignalling) -> None:
    while True:
        match await signalling.receive():
            case CandidateSignal(candidate=candidate):
                heard = candidate_from_sdp(str(candidate).removeprefix("candidate:"))
                heard.sdpMid = "0"
                await theirs.connection.addIceCandidate(heard)
            case EndOfCandidates():
                await theirs.connection.addIceCandidate(None)
                return
            case signal:
                raise AssertionError(signal)


async def offer(theirs: Plain, signalling: SealedSignalling) -> None:
    await theirs.connection.setLocalDescription(await theirs.connection.createOffer())
    await say(theirs, signalling)
    await hear_description(theirs, signalling)
    await hear_candidates(theirs, signalling)


async def answer(theirs: Plain, signalling: SealedSignalling) -> None:
    await hear_description(theirs, signalling)
    await theirs.connection.setLocalDescription(await theirs.connection.createAnswer())
    await say(theirs, signalling)
    await hear_candidates(theirs, signalling)


@asynccontextmanager
async def joined(role: Role) -> AsyncIterator[tuple[Connection, Plain]]:
    """Connect our side in ``role`` with a plain one."""
    sides = signallings()
    theirs = plain()
    other = offer if role is Role.RECEIVER else answer
    talking = asyncio.create_task(other(theirs, sides[role.peer]))
    try:
        async with connected(
            role,
            route=RoutePolicy.ANY,
            ice_servers=(),
            signalling=sides[role],
            peer_datapath=0,  # what a greeting says by default
        ) as ours:
            await talking
            yield ours, theirs
    finally:
        talking.cancel()
        await asyncio.gather(talking, return_exceptions=True)
        await theirs.connection.close()


async def open_(channel: RTCDataChannel) -> None:
    opened = asyncio.Event()
    channel.on("open", opened.set)
    if channel.readyState != "open":
        await opened.wait()


@pytest.mark.parametrize("role", list(Role), ids=lambda role: role.value)
async def test_data_goes_both_ways(role: Role) -> None:
    async with joined(role) as (ours, theirs):
        assert (ours.connected.route, ours.connected.protocol) == ("direct", "udp")
        assert ours.max_message_size == 262_144
        await ours.channels.send_control("from us")
        await ours.channels.send_data(bytes(range(256)) * 256)
        assert await theirs.received.get() == "from us"
        assert await theirs.received.get() == bytes(range(256)) * 256
        await open_(theirs.control)
        theirs.control.send("from them")
        theirs.data.send(b"bytes from them")
        assert {await ours.channels.receive(), await ours.channels.receive()} == {
            "from them",
            b"bytes from them",
        }


@pytest.mark.parametrize("role", list(Role), ids=lambda role: role.value)
async def test_the_other_side_closes_one_channel(role: Role) -> None:
    async with joined(role) as (ours, theirs):
        await open_(theirs.data)
        theirs.data.close()
        with pytest.raises(ConnectionLost):
            await ours.channels.receive()
        with pytest.raises(ConnectionLost):
            await ours.channels.send_control("x")
        with pytest.raises(ConnectionLost):
            await ours.channels.send_data(b"x")


@pytest.mark.parametrize("role", list(Role), ids=lambda role: role.value)
async def test_the_other_side_closes_everything(role: Role) -> None:
    async with joined(role) as (ours, theirs):
        await open_(theirs.control)
        await theirs.connection.close()
        await ours.channels.wait_closed()
        with pytest.raises(ConnectionLost):
            await ours.channels.receive()
