"""Whoever stops at any moment of a transfer is not waited for without an end: true patience.

The other side is played by the test, in two ways: it goes silent, and is lost; or it goes on to
live, and to say things that move nothing. All on virtual time.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable
from itertools import count

import pytest
from blake3 import blake3

from rtcsend.blocks import BLOCK_SIZE
from rtcsend.errors import ConnectionLost, PeerNeverCame, PeerProtocolError, RtcsendError
from rtcsend.events import Done
from rtcsend.transfer.frames import FRAME_HEADER, MAX_PAYLOAD, serialize_frame
from rtcsend.transfer.liveness import SILENCE_LIMIT
from rtcsend.transfer.movement import CRAWL_TIME, SYNC_LIMIT
from rtcsend.transfer.ports import Offer, Sink
from rtcsend.transfer.receiving import FAREWELL_TIMEOUT, PROPOSAL_TIMEOUT, Receiving
from rtcsend.transfer.sending import CLOSE_TIMEOUT, Sending
from tests.fakes.channels import FakeChannels, channel_pair
from tests.transfer.fakes import FakeSink, FakeSource, Side, receive_once, run_side, virtual
from tests.transfer.wire import (
    BYE,
    PING,
    SKIP_ALL,
    accept,
    checking,
    complete,
    end,
    have,
    page,
    proposal,
    written,
)

CONTENT = b"0123456789" * 300_000
SIZE = len(CONTENT)
DIGEST = blake3(CONTENT).hexdigest()
ANSWER_TIMEOUT = 500.0  # seconds

Step = Callable[[FakeChannels], Awaitable[None]]
Murmur = Callable[[FakeChannels, int], Awaitable[None]]
"""What is said once a second, and moves nothing."""


def says(*texts: str) -> Step:
    async def step(channels: FakeChannels) -> None:
        for text in texts:
            await channels.send_control(text)

    return step


def hears(kind: str) -> Step:
    async def step(channels: FakeChannels) -> None:
        while True:
            message = await channels.receive()
            if isinstance(message, str) and json.loads(message)["type"] == kind:
                break

    return step


def sends(first: int, last: int) -> Step:
    async def step(channels: FakeChannels) -> None:
        for at in range(first, last, MAX_PAYLOAD):
            payload = CONTENT[at : min(at + MAX_PAYLOAD, last)]
            await channels.send_data(serialize_frame(offset=at, payload=payload))

    return step


async def takes_all(channels: FakeChannels) -> None:
    """Acknowledge everything that comes, up to the end."""
    total, sent = 0, -1
    while total != sent:
        message = await channels.receive()
        if isinstance(message, bytes):
            total += len(message) - FRAME_HEADER.size
            await channels.send_control(written(total))
        elif (said := json.loads(message))["type"] == "end":
            sent = said["sent"]


async def takes_a_frame(channels: FakeChannels) -> None:
    while isinstance(await channels.receive(), str):
        pass


async def pings(channels: FakeChannels, _second: int) -> None:
    await channels.send_control(PING)


async def a_byte(channels: FakeChannels, second: int) -> None:
    frame = serialize_frame(offset=second, payload=CONTENT[second : second + 1])
    await channels.send_data(frame)


async def checks_what_never_comes(channels: FakeChannels, second: int) -> None:
    await channels.send_control(checking(1 + second, sent=1 << 20))


async def acknowledges_a_byte(channels: FakeChannels, second: int) -> None:
    await channels.send_control(written(second))


async def play(channels: FakeChannels, steps: tuple[Step, ...], murmur: Murmur | None) -> None:
    """Take the steps; then nothing is said any more, or nothing that moves."""
    for step in steps:
        await step(channels)
    if murmur is None:
        await asyncio.sleep(0.1)  # what was said is heard
        channels.cut()
        return
    try:
        for second in count():
            await murmur(channels, second)
            await asyncio.sleep(1.0)
    except RtcsendError:
        return  # it was given up


def receive(steps: tuple[Step, ...], murmur: Murmur | None, *, earlier: bytes = b"") -> Side:
    async def decide(_offer: Offer) -> Sink | None:
        return FakeSink(size=SIZE, earlier=earlier)

    async def main() -> Side:
        ours, theirs = channel_pair()
        side = Side()
        receiving = Receiving(
            decide=decide,
            limit=None,
            emit=side.events.append,
            clock=asyncio.get_running_loop().time,
        )
        running = run_side(side, ours, receive_once(receiving, ours))
        await asyncio.gather(running, play(theirs, steps, murmur))
        return side

    return virtual(main)


def send(steps: tuple[Step, ...], murmur: Murmur | None) -> Side:
    async def main() -> Side:
        ours, theirs = channel_pair()
        side = Side()
        sending = Sending(
            FakeSource(CONTENT),
            sender="ada",
            limit=None,
            answer_timeout=ANSWER_TIMEOUT,
            emit=side.events.append,
            clock=asyncio.get_running_loop().time,
            entropy=bytes,
        )
        running = run_side(side, ours, sending.run(ours, payload_size=MAX_PAYLOAD))
        await asyncio.gather(running, play(theirs, steps, murmur))
        return side

    return virtual(main)


PROPOSED = (says(proposal(SIZE), page(SIZE)), hears("accept"))
HALF = (*PROPOSED, sends(0, SIZE // 2))
COMPLETE = (*PROPOSED, sends(0, SIZE), says(end(SIZE, DIGEST)), hears("complete"))

FROM_SENDERS = {
    "at once": ((), PeerNeverCame, PROPOSAL_TIMEOUT),
    "amid the proposal": ((says(proposal(SIZE)),), PeerProtocolError, CRAWL_TIME),
    "after the proposal": (PROPOSED, PeerProtocolError, CRAWL_TIME),
    "amid the data": (HALF, PeerProtocolError, CRAWL_TIME),
    "before the end": ((*PROPOSED, sends(0, SIZE)), PeerProtocolError, CRAWL_TIME),
    "after the end, amid the data": ((*HALF, says(end(SIZE))), PeerProtocolError, CRAWL_TIME),
    "after complete": (COMPLETE, Done, FAREWELL_TIMEOUT),
    "after its farewell": ((*COMPLETE, says(BYE)), Done, 0.0),
}
ACCEPTED = (hears("entries"), says(accept(SIZE, 65_536)))
ENDED = (hears("entries"), says(accept(SIZE)), takes_all)
FROM_RECEIVERS = {
    "at once": ((), PeerNeverCame, ANSWER_TIMEOUT),
    "after it accepted": (ACCEPTED, PeerProtocolError, CRAWL_TIME),
    "amid the data": (
        (*ACCEPTED, takes_a_frame, says(written(1_000))),
        PeerProtocolError,
        CRAWL_TIME,
    ),
    "before its digests": (
        (hears("entries"), says(accept(SIZE, blocks=2))),
        PeerProtocolError,
        CRAWL_TIME,
    ),
    "amid its digests": (
        (hears("entries"), says(accept(SIZE, blocks=2), have(0, bytes(32)))),
        PeerProtocolError,
        CRAWL_TIME,
    ),
    "after the end": (ENDED, PeerProtocolError, SYNC_LIMIT),
    "after complete": ((*ENDED, says(complete(DIGEST))), Done, CLOSE_TIMEOUT),
    "after it skipped": ((hears("entries"), says(SKIP_ALL)), Done, CLOSE_TIMEOUT),
}
MARGIN = 6.0  # seconds; a look, and a second's murmur, and what the steps take


def check(side: Side, kind: type, seconds: float) -> None:
    assert type(side.result) is kind, repr(side.result)
    assert seconds <= side.ended_at + 0.1
    # Patience is counted from mark to mark: what moved before silence fell gives as much again.
    assert side.ended_at < seconds * (2 if kind is PeerProtocolError else 1) + MARGIN


@pytest.mark.parametrize("stage", FROM_SENDERS)
def test_a_sender_that_only_lives(stage: str) -> None:
    steps, kind, seconds = FROM_SENDERS[stage]
    check(receive(steps, pings), kind, seconds)


@pytest.mark.parametrize("stage", FROM_SENDERS)
def test_a_sender_that_is_silent(stage: str) -> None:
    steps, kind, seconds = FROM_SENDERS[stage]
    ends = ConnectionLost if kind is not Done else Done
    check(receive(steps, None), ends, min(SILENCE_LIMIT, seconds))


@pytest.mark.parametrize("stage", FROM_RECEIVERS)
def test_a_receiver_that_only_lives(stage: str) -> None:
    steps, kind, seconds = FROM_RECEIVERS[stage]
    check(send(steps, pings), kind, seconds)


@pytest.mark.parametrize("stage", FROM_RECEIVERS)
def test_a_receiver_that_is_silent(stage: str) -> None:
    steps, kind, seconds = FROM_RECEIVERS[stage]
    ends = ConnectionLost if kind is not Done else Done
    check(send(steps, None), ends, min(SILENCE_LIMIT, seconds))


def test_a_byte_a_second() -> None:
    """Half of the time it is the disk's turn, which takes what it gets after a while."""
    side = receive(PROPOSED, a_byte)
    assert type(side.error) is PeerProtocolError
    assert CRAWL_TIME <= side.ended_at < 3 * CRAWL_TIME


def test_an_acknowledgement_of_a_byte_a_second() -> None:
    check(send(ACCEPTED, acknowledges_a_byte), PeerProtocolError, CRAWL_TIME)


def test_blocks_that_are_checked_for_ever() -> None:
    earlier = CONTENT[: 2 * BLOCK_SIZE]
    side = receive(PROPOSED, checks_what_never_comes, earlier=earlier)
    check(side, PeerProtocolError, CRAWL_TIME)


def test_empty_messages_for_ever() -> None:
    """Nor are they read over: the first one is refused."""

    async def nothing(channels: FakeChannels, _second: int) -> None:
        await channels.send_control("")

    check(receive(PROPOSED, nothing), PeerProtocolError, 0.0)
    check(send(ACCEPTED, nothing), PeerProtocolError, 0.0)
