"""The receiving shell against a sender that is played by the test, line by line."""

import asyncio
import json
from collections.abc import Awaitable, Callable

import pytest
from blake3 import blake3

from rtcsend.errors import (
    CannotWrite,
    ConnectionLost,
    DigestMismatch,
    PeerAborted,
    PeerNeverCame,
    PeerProtocolError,
)
from rtcsend.transfer.frames import MAX_PAYLOAD, serialize_frame
from rtcsend.transfer.liveness import SILENCE_LIMIT
from rtcsend.transfer.ports import Offer, Sink
from rtcsend.transfer.receiver import RECEIVE_WINDOW
from rtcsend.transfer.receiving import FAREWELL_TIMEOUT, PROPOSAL_TIMEOUT, Receiving
from tests.fakes.channels import FakeChannels, channel_pair
from tests.transfer import wire
from tests.transfer.fakes import FakeSink, Side, receive_once, run_side, virtual
from tests.transfer.wire import ABORT, BYE, PING, end

CONTENT = b"0123456789" * 30_000
DIGEST = blake3(CONTENT).hexdigest()

Sender = Callable[[FakeChannels], Awaitable[None]]

END = end(len(CONTENT), DIGEST)


PROPOSAL = wire.proposal(len(CONTENT))


async def say_proposal(channels: FakeChannels, size: int = len(CONTENT)) -> None:
    await channels.send_control(wire.proposal(size))
    await channels.send_control(wire.page(size))


def receive_from(sender: Sender, sink: FakeSink | None) -> Side:
    """Receive from a sender that is played by a coroutine; return how it ended."""

    async def decide(offer: Offer) -> Sink | None:
        if sink is not None:
            sink.expects(offer.manifest)
        return sink

    async def main() -> Side:
        ours, theirs = channel_pair()
        side = Side()
        receiving = Receiving(
            decide=decide,
            limit=None,
            emit=side.events.append,
            clock=asyncio.get_running_loop().time,
        )
        await asyncio.gather(run_side(side, ours, receive_once(receiving, ours)), sender(theirs))
        return side

    return virtual(main)


async def expect(channels: FakeChannels, kind: str) -> None:
    """Read control messages until one of this kind has come."""
    while json.loads(await channels.receive())["type"] != kind:
        pass


async def propose(channels: FakeChannels, size: int = len(CONTENT)) -> None:
    await say_proposal(channels, size)
    await expect(channels, "accept")


async def send_content(channels: FakeChannels, *, up_to: int = len(CONTENT)) -> None:
    for offset in range(0, up_to, MAX_PAYLOAD):
        payload = CONTENT[offset : min(offset + MAX_PAYLOAD, up_to)]
        await channels.send_data(serialize_frame(offset=offset, payload=payload))


async def send_all(channels: FakeChannels) -> None:
    await propose(channels)
    await send_content(channels)
    await channels.send_control(END)
    await expect(channels, "complete")


def test_a_whole_transfer() -> None:
    async def sender(channels: FakeChannels) -> None:
        await send_all(channels)
        await channels.send_control(BYE)
        await channels.wait_closed()

    sink = FakeSink()
    side = receive_from(sender, sink)
    assert side.done.blake3 == DIGEST
    assert sink.content == CONTENT
    assert side.ended_at < 0.2


def test_no_proposal() -> None:
    async def sender(channels: FakeChannels) -> None:
        while not isinstance(channels._failure, ConnectionLost):
            await channels.send_control(PING)
            await asyncio.sleep(1.0)

    side = receive_from(sender, FakeSink())
    assert type(side.error) is PeerNeverCame
    assert side.ended_at == pytest.approx(PROPOSAL_TIMEOUT, abs=3)


@pytest.mark.parametrize("early", [0.011, 0.01, 0.009])
def test_proposed_in_the_last_moment(early: float) -> None:
    """The proposal and the deadline meet; neither is a bug of ours."""

    async def sender(channels: FakeChannels) -> None:
        while (left := PROPOSAL_TIMEOUT - early - asyncio.get_running_loop().time()) > 0:
            await channels.send_control(PING)
            await asyncio.sleep(min(1.0, left))
        await say_proposal(channels)
        await channels.wait_closed()

    assert type(receive_from(sender, FakeSink()).error) in {PeerNeverCame, ConnectionLost}


@pytest.mark.parametrize("bye", [True, False])
def test_a_sender_that_does_not_close(bye: bool) -> None:
    async def sender(channels: FakeChannels) -> None:
        await send_all(channels)
        if bye:
            await channels.send_control(BYE)
        while not isinstance(channels._failure, ConnectionLost):
            await channels.send_control(PING)
            await asyncio.sleep(1.0)

    side = receive_from(sender, FakeSink())
    assert side.done.bytes == len(CONTENT)
    assert side.ended_at == pytest.approx(0.0 if bye else FAREWELL_TIMEOUT, abs=0.2)


def test_a_skipped_sender_that_says_nothing() -> None:
    async def sender(channels: FakeChannels) -> None:
        await propose(channels)
        await channels.wait_closed()

    side = receive_from(sender, None)
    assert side.done.files == 0
    assert side.ended_at == pytest.approx(SILENCE_LIMIT, abs=0.2)


@pytest.mark.parametrize("skips", [True, False])
def test_closed_after_the_last_word(skips: bool) -> None:
    async def sender(channels: FakeChannels) -> None:
        if skips:
            await propose(channels)
        else:
            await send_all(channels)
        channels.close()

    side = receive_from(sender, None if skips else FakeSink())
    assert side.done.files == (0 if skips else 1)
    assert side.ended_at < 0.2


def test_closed_while_the_last_word_is_on_its_way() -> None:
    async def sender(channels: FakeChannels) -> None:
        await propose(channels)
        await send_content(channels)
        await channels.send_control(END)
        await asyncio.sleep(0.015)  # it arrived, and the answer is half-way
        channels.break_down()

    sink = FakeSink()
    assert receive_from(sender, sink).done.files == 1
    assert sink.is_finished


def test_a_sender_that_died_while_the_disk_was_synced() -> None:
    async def sender(channels: FakeChannels) -> None:
        await propose(channels)
        await send_content(channels)
        await channels.send_control(END)
        await asyncio.sleep(0.5)
        channels.cut()
        await channels.wait_closed()

    sink = FakeSink(finish_takes=15.0)  # when it is done, silence has nearly lasted too long
    side = receive_from(sender, sink)
    assert side.done.files == 1
    assert side.ended_at < 25


AFTER_COMPLETE: dict[str, list[str | bytes]] = {
    "a ping": [PING],
    "an abort": [ABORT],
    "the end again": [END],
    "a proposal": [PROPOSAL],
    "rubbish": ["rubbish"],
    "a frame": [serialize_frame(offset=0, payload=b"x")],
}


@pytest.mark.parametrize("what", AFTER_COMPLETE)
def test_nothing_undoes_what_is_stored(what: str) -> None:
    async def sender(channels: FakeChannels) -> None:
        await send_all(channels)
        for message in AFTER_COMPLETE[what]:
            if isinstance(message, bytes):
                await channels.send_data(message)
            else:
                await channels.send_control(message)
        await channels.wait_closed()

    sink = FakeSink()
    assert receive_from(sender, sink).done.bytes == len(CONTENT)
    assert sink.is_finished


@pytest.mark.parametrize("stage", ["at once", "proposed", "accepted", "half", "all but the end"])
def test_closed_before_the_end(stage: str) -> None:
    async def sender(channels: FakeChannels) -> None:
        if stage == "proposed":
            await say_proposal(channels)
            await asyncio.sleep(0.01)
        elif stage != "at once":
            await propose(channels)
        if stage == "half":
            await send_content(channels, up_to=len(CONTENT) // 2)
        elif stage == "all but the end":
            await send_content(channels)
        channels.close()

    sink = FakeSink()
    assert type(receive_from(sender, sink).error) is ConnectionLost
    assert not sink.is_finished


@pytest.mark.parametrize("stage", ["at once", "proposed", "half"])
def test_an_abort_ends_it_at_once(stage: str) -> None:
    async def sender(channels: FakeChannels) -> None:
        if stage != "at once":
            await propose(channels)
        if stage == "half":
            await send_content(channels, up_to=len(CONTENT) // 2)
        await channels.send_control(ABORT)
        await channels.wait_closed()

    sink = FakeSink(bytes_per_s=1.0)  # also while the disk is busy
    side = receive_from(sender, sink)
    assert type(side.error) is PeerAborted
    assert side.ended_at < 0.2


def test_an_abort_while_a_person_decides() -> None:
    answers: list[str] = []

    async def decide(_offer: Offer) -> Sink | None:
        try:
            await asyncio.Event().wait()
        finally:
            answers.append("no longer asked")
        return None

    async def main() -> None:
        ours, theirs = channel_pair()
        receiving = Receiving(
            decide=decide,
            limit=None,
            emit=lambda _event: None,
            clock=asyncio.get_running_loop().time,
        )
        await say_proposal(theirs)
        await theirs.send_control(ABORT)
        with pytest.raises(PeerAborted):
            await receiving.run(ours)

    virtual(main)
    assert answers == ["no longer asked"]


@pytest.mark.parametrize(
    "messages",
    [
        pytest.param([PROPOSAL], id="a second proposal"),
        pytest.param([b"\x01"], id="no frame"),
        pytest.param([serialize_frame(offset=1, payload=b"x")], id="a gap"),
        pytest.param([wire.page(len(CONTENT))], id="the list again"),
        pytest.param([END, END], id="the end twice"),
        pytest.param([BYE], id="bye before the end"),
        pytest.param(['{"type":"written","bytes":0}'], id="what a receiver says"),
        pytest.param(["null"], id="no message"),
    ],
)
def test_a_sender_that_breaks_the_rules(messages: list[str | bytes]) -> None:
    async def sender(channels: FakeChannels) -> None:
        await propose(channels)
        for message in messages:
            if isinstance(message, bytes):
                await channels.send_data(message)
            else:
                await channels.send_control(message)
        await channels.wait_closed()

    sink = FakeSink()
    side = receive_from(sender, sink)
    assert type(side.error) is PeerProtocolError
    assert not side.error.told_by_peer
    assert not sink.is_finished


def test_a_sender_that_lies_about_the_digest() -> None:
    async def sender(channels: FakeChannels) -> None:
        await propose(channels)
        await send_content(channels)
        await channels.send_control(END.replace(DIGEST, "ab" * 32))
        await expect(channels, "abort")
        channels.close()

    sink = FakeSink()
    assert type(receive_from(sender, sink).error) is DigestMismatch
    assert not sink.is_finished


@pytest.mark.parametrize("payload_size", [65_536, 10_000])
def test_a_sender_that_overruns_the_window(payload_size: int) -> None:
    async def sender(channels: FakeChannels) -> None:
        await propose(channels, 1 << 30)
        for offset in range(0, RECEIVE_WINDOW + 1, payload_size):
            payload = bytes(min(payload_size, RECEIVE_WINDOW + 1 - offset))
            await channels.send_data(serialize_frame(offset=offset, payload=payload))
        await channels.wait_closed()

    sink = FakeSink(bytes_per_s=1.0)  # stands still
    side = receive_from(sender, sink)
    assert type(side.error) is PeerProtocolError
    assert "window" in str(side.error)


def test_a_sender_of_tiny_frames_costs_no_more_memory_than_another() -> None:
    """Each frame that waits as an object of its own would cost 200 times its one byte."""
    count = 20_000
    waiting: list[int] = []

    async def decide(offer: Offer) -> Sink | None:
        if sink is not None:
            sink.expects(offer.manifest)
        return sink

    sink = FakeSink(blocks_at=0, blocks_for=5.0)
    sink_block = b"x" * MAX_PAYLOAD

    async def main() -> None:
        ours, theirs = channel_pair()
        receiving = Receiving(
            decide=decide,
            limit=None,
            emit=lambda _event: None,
            clock=asyncio.get_running_loop().time,
        )
        task = asyncio.create_task(receiving.run(ours))
        size = 16 * MAX_PAYLOAD + count
        await propose(theirs, size)
        for offset in range(0, 16 * MAX_PAYLOAD, MAX_PAYLOAD):  # a block, at which the disk stops
            await theirs.send_data(serialize_frame(offset=offset, payload=sink_block))
        content = sink_block * 16
        for offset in range(len(content), size):
            await theirs.send_data(serialize_frame(offset=offset, payload=b"y"))
        await asyncio.sleep(1.0)
        assert ours.payload_received == size
        waiting.append(len(receiving._backlog._queue))
        content += b"y" * count
        await theirs.send_control(end(size, blake3(content).hexdigest()))
        await expect(theirs, "complete")
        await theirs.send_control(BYE)
        assert (await task).bytes == size

    virtual(main)
    assert waiting[0] < 10


def test_the_disk_fails_while_the_sender_waits_for_the_window() -> None:
    async def sender(channels: FakeChannels) -> None:
        await propose(channels, 1 << 30)
        for offset in range(0, RECEIVE_WINDOW, MAX_PAYLOAD):
            payload = bytes(MAX_PAYLOAD)
            await channels.send_data(serialize_frame(offset=offset, payload=payload))
        await expect(channels, "abort")
        channels.close()

    sink = FakeSink(fails_at=1 << 21, failure=CannotWrite("No space left."))
    assert type(receive_from(sender, sink).error) is CannotWrite
