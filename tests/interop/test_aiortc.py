"""The other side is plain aiortc, in this process."""

import asyncio
from functools import partial

import pytest

from rtcsend.pairing.keys import Role
from tests.interop.aiortc_peer import AiortcPeer, aiortc_peer
from tests.interop.peers import TIMEOUT, StandardPeer, joined
from tests.interop.scenarios import (
    ROLES,
    SCENARIOS,
    STREAM_TIMEOUT,
    Scenario,
    messages_of_all_sizes,
    run,
)

pytestmark = [
    pytest.mark.net,
    pytest.mark.timeout(STREAM_TIMEOUT + 120),
    pytest.mark.usefixtures("network"),
]


@ROLES
@SCENARIOS
def test_with_aiortc(scenario: Scenario, role: Role) -> None:
    run(scenario, role, aiortc_peer)


@ROLES
def test_channels_that_it_opens_in_band(role: Role) -> None:
    """It sends nothing before its DATA_CHANNEL_OPEN is acknowledged. Source: RFC 8832 §6."""
    run(messages_of_all_sizes, role, partial(aiortc_peer, negotiated=False))


async def another_channel(role: Role, peer: StandardPeer) -> None:
    """It is told that nobody reads it, and the two others go on."""
    assert isinstance(peer, AiortcPeer)
    async with joined(role, peer) as ours, asyncio.timeout(TIMEOUT):
        channel, closed = peer.another_channel(), asyncio.Event()
        channel.on("close", closed.set)
        await closed.wait()
        assert channel.readyState == "closed"
        await ours.channels.send_data(b"still here")
        assert await ours.channels.receive() == b"still here"


@ROLES
def test_a_channel_that_nobody_here_reads(role: Role) -> None:
    run(another_channel, role, aiortc_peer)
