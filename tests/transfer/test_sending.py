"""The sending shell against a receiver that is played by the test, line by line."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from rtcsend.errors import (
    CannotRead,
    ConnectionLost,
    Declined,
    DigestMismatch,
    PeerNeverCame,
    PeerProtocolError,
    RtcsendError,
)
from rtcsend.events import Done
from rtcsend.transfer.frames import (
    FRAME_HEADER,
    MAX_PAYLOAD,
    parse_frame_untrusted,
    serialize_frame,
)
from rtcsend.transfer.messages import (
    MIN_WINDOW,
    EndMessage,
    PingMessage,
    parse_control_untrusted,
)
from rtcsend.transfer.sending import CLOSE_TIMEOUT, Sending
from tests.fakes.channels import FakeChannels, Network, channel_pair
from tests.transfer.fakes import FakeSource, Side, run_side, virtual
from tests.transfer.wire import ABORT, PING, SKIP_ALL, accept, complete, written

CONTENT = b"0123456789" * 30_000
SIZE = len(CONTENT)
ANSWER_TIMEOUT = 50.0

Receiver = Callable[[FakeChannels], Awaitable[None]]


def send_to(
    receiver: Receiver, source: FakeSource | None = None, *, network: Network | None = None
) -> Side:
    """Send to a receiver that is played by a coroutine; return how it ended."""

    async def main() -> Side:
        ours, theirs = channel_pair(network)
        side = Side()
        sending = Sending(
            FakeSource(CONTENT) if source is None else source,
            sender="ada-laptop",
            limit=None,
            answer_timeout=ANSWER_TIMEOUT,
            emit=side.events.append,
            clock=asyncio.get_running_loop().time,
            entropy=bytes,
        )
        running = sending.run(ours, payload_size=MAX_PAYLOAD)
        await asyncio.gather(run_side(side, ours, running), receiver(theirs))
        return side

    return virtual(main)


async def take_all(channels: FakeChannels, *, acknowledge: bool = True) -> tuple[bytes, str]:
    """Accept, take the whole file, and return it with the digest from ``end``."""
    await hear_proposal(channels)
    return await take_content(channels, acknowledge=acknowledge)


async def take_content(channels: FakeChannels, *, acknowledge: bool = True) -> tuple[bytes, str]:
    """The same when all is proposed."""
    await channels.send_control(accept(SIZE))
    content, digest = bytearray(), ""
    while not digest or len(content) < len(CONTENT):
        message = await channels.receive()
        if isinstance(message, bytes):
            content += parse_frame_untrusted(message).payload
            if acknowledge:
                await channels.send_control(written(len(content)))
        elif isinstance(control := parse_control_untrusted(message), EndMessage):
            digest = control.digest
    return bytes(content), digest


async def hear_proposal(channels: FakeChannels) -> None:
    """Read the proposal, and the list of what it is."""
    assert "proposal" in str(await channels.receive())
    assert "entries" in str(await channels.receive())


async def next_control(channels: FakeChannels) -> str:
    while True:
        message = await channels.receive()
        if isinstance(message, str) and parse_control_untrusted(message) != PingMessage():
            return message


@pytest.mark.parametrize("acknowledge", [True, False])
def test_a_whole_transfer(acknowledge: bool) -> None:
    async def receiver(channels: FakeChannels) -> None:
        content, digest = await take_all(channels, acknowledge=acknowledge)
        assert content == CONTENT
        await channels.send_control(complete(digest))
        assert await next_control(channels) == '{"type":"bye"}'
        channels.close()

    side = send_to(receiver)
    assert side.done.bytes == len(CONTENT)
    assert side.progress[-1] == len(CONTENT)


def test_the_first_frame_is_one_packet_and_the_others_fill_many() -> None:
    sizes: list[int] = []

    async def receiver(channels: FakeChannels) -> None:
        receive = channels.receive

        async def weighed() -> str | bytes:
            message = await receive()
            if isinstance(message, bytes):
                sizes.append(len(parse_frame_untrusted(message).payload))
            return message

        channels.receive = weighed  # type: ignore[method-assign]  # a look at what passes
        _, digest = await take_all(channels)
        await channels.send_control(complete(digest))
        assert await next_control(channels) == '{"type":"bye"}'
        channels.close()

    send_to(receiver, network=Network(packet_payload=1_200))
    assert sizes[0] == 1_200 - FRAME_HEADER.size
    assert sizes[1] == 54 * 1_200 - FRAME_HEADER.size


def test_the_smallest_window_is_kept() -> None:
    async def receiver(channels: FakeChannels) -> None:
        await hear_proposal(channels)
        await channels.send_control(accept(SIZE, MIN_WINDOW))
        received = 0
        while received < len(CONTENT):
            await asyncio.sleep(1.0)  # whoever does not keep the window has sent more by now
            arrived = channels.payload_received
            assert arrived - received == min(MIN_WINDOW, len(CONTENT) - received)
            received = arrived
            await channels.send_control(written(received))
        message = parse_control_untrusted(await next_control(channels))
        assert isinstance(message, EndMessage)
        await channels.send_control(complete(message.digest))
        assert await next_control(channels) == '{"type":"bye"}'
        channels.close()

    assert send_to(receiver).done.bytes == len(CONTENT)


def test_acknowledgements_of_a_few_bytes_end_too() -> None:
    async def receiver(channels: FakeChannels) -> None:
        await hear_proposal(channels)
        await channels.send_control(accept(SIZE, MIN_WINDOW))
        acknowledged, digest = 0, ""
        while acknowledged < len(CONTENT) or not digest:
            message = await channels.receive()
            if isinstance(message, bytes):
                frame = parse_frame_untrusted(message)
                for part in (1, 2, len(frame.payload)):
                    acknowledged = frame.offset + min(part, len(frame.payload))
                    await channels.send_control(written(acknowledged))
            elif isinstance(end := parse_control_untrusted(message), EndMessage):
                digest = end.digest
        await channels.send_control(complete(digest))
        await channels.wait_closed()

    assert send_to(receiver).done.bytes == len(CONTENT)


def test_never_answered() -> None:
    async def receiver(channels: FakeChannels) -> None:
        while not isinstance(channels._failure, ConnectionLost):
            await channels.send_control(PING)
            await asyncio.sleep(1.0)

    side = send_to(receiver)
    assert type(side.error) is PeerNeverCame
    assert side.ended_at == pytest.approx(ANSWER_TIMEOUT, abs=3)


@pytest.mark.parametrize("early", [0.011, 0.01, 0.009])
def test_answered_in_the_last_moment(early: float) -> None:
    """The answer and the deadline meet; neither is a bug of ours."""

    async def receiver(channels: FakeChannels) -> None:
        await hear_proposal(channels)
        while (left := ANSWER_TIMEOUT - early - asyncio.get_running_loop().time()) > 0:
            await channels.send_control(PING)
            await asyncio.sleep(min(1.0, left))
        await channels.send_control(accept(SIZE))
        await channels.wait_closed()

    assert type(send_to(receiver).error) in {PeerNeverCame, ConnectionLost}


def test_skipped() -> None:
    async def receiver(channels: FakeChannels) -> None:
        await hear_proposal(channels)
        await channels.send_control(SKIP_ALL)
        assert await next_control(channels) == '{"type":"bye"}'
        assert channels.payload_received == 0
        channels.close()

    assert send_to(receiver).done.files == 0


@pytest.mark.parametrize("answer", [SKIP_ALL, accept(SIZE)])
def test_a_receiver_that_does_not_close_is_not_waited_for(answer: str) -> None:
    async def receiver(channels: FakeChannels) -> None:
        await hear_proposal(channels)
        await channels.send_control(answer)
        message = parse_control_untrusted(await next_control(channels))
        if isinstance(message, EndMessage):
            await channels.send_control(complete(message.digest))
        await channels.wait_closed()

    side = send_to(receiver)
    assert isinstance(side.result, Done)
    assert side.ended_at == pytest.approx(CLOSE_TIMEOUT, abs=0.1)


@pytest.mark.parametrize(
    "answers",
    [
        pytest.param([b"\x00"], id="a byte"),
        pytest.param([serialize_frame(offset=0, payload=b"x")], id="a frame"),
        pytest.param(["{}"], id="no message"),
        pytest.param([accept(SIZE), accept(SIZE)], id="accepted twice"),
        pytest.param([written(0)], id="acknowledged before it accepted"),
        pytest.param([accept(SIZE), written(len(CONTENT) + 1)], id="acknowledged too much"),
        pytest.param([complete("ab" * 32)], id="complete before it accepted"),
        pytest.param(['{"type":"bye"}'], id="what a sender says"),
    ],
)
def test_a_receiver_that_breaks_the_rules(answers: list[str | bytes]) -> None:
    async def receiver(channels: FakeChannels) -> None:
        await hear_proposal(channels)
        for answer in answers:
            if isinstance(answer, bytes):
                await channels.send_data(answer)
            else:
                await channels.send_control(answer)
        await channels.wait_closed()

    side = send_to(receiver)
    assert type(side.error) is PeerProtocolError
    assert not side.error.told_by_peer


def test_a_receiver_that_shrinks_its_acknowledgement() -> None:
    async def receiver(channels: FakeChannels) -> None:
        await take_all(channels)
        await channels.send_control(written(len(CONTENT) - 1))
        await channels.wait_closed()

    assert type(send_to(receiver).error) is PeerProtocolError


def test_a_receiver_that_has_another_digest() -> None:
    async def receiver(channels: FakeChannels) -> None:
        await take_all(channels)
        await channels.send_control(complete("ab" * 32))
        await channels.wait_closed()

    assert type(send_to(receiver).error) is DigestMismatch


def test_a_receiver_that_repeats_itself_is_not_repeated() -> None:
    async def receiver(channels: FakeChannels) -> None:
        _, digest = await take_all(channels)
        for _ in range(1_000):
            await channels.send_control(written(len(CONTENT)))
        await channels.send_control(complete(digest))
        await next_control(channels)
        channels.close()

    assert len(send_to(receiver).events) < 10


@pytest.mark.parametrize("when", ["at once", "accepted", "all taken"])
def test_an_abort_ends_it_at_once(when: str) -> None:
    async def receiver(channels: FakeChannels) -> None:
        if when == "accepted":
            await hear_proposal(channels)
            await channels.send_control(accept(SIZE))
        elif when == "all taken":
            await take_all(channels)
        await channels.send_control('{"type":"abort","code":"declined","reason":"No."}')
        await channels.wait_closed()

    side = send_to(receiver)
    assert type(side.error) is Declined
    assert side.error.told_by_peer
    assert side.ended_at < 0.2


def test_the_source_fails_before_its_first_byte() -> None:
    async def receiver(channels: FakeChannels) -> None:
        await hear_proposal(channels)
        await channels.send_control(accept(SIZE))
        assert "changed" in await next_control(channels)
        channels.close()

    assert type(send_to(receiver, FakeSource(CONTENT, fails_at=0)).error) is CannotRead


@pytest.mark.parametrize("stage", ["at once", "proposed", "accepted", "all taken"])
def test_closed_before_complete(stage: str) -> None:
    async def receiver(channels: FakeChannels) -> None:
        if stage != "at once":
            await hear_proposal(channels)
        if stage == "accepted":
            await channels.send_control(accept(SIZE))
        elif stage == "all taken":
            await take_content(channels)
        channels.close()

    assert type(send_to(receiver).error) is ConnectionLost


AFTER_COMPLETE: dict[str, list[str | bytes]] = {
    "nothing": [],
    "a ping": [PING],
    "an abort": [ABORT],
    "complete again": [complete("ab" * 32)],
    "an acknowledgement": [written(len(CONTENT))],
    "rubbish": ["rubbish"],
    "a frame": [serialize_frame(offset=0, payload=b"x")],
}


@pytest.mark.parametrize("closes", [True, False])
@pytest.mark.parametrize("what", AFTER_COMPLETE)
def test_nothing_undoes_complete(what: str, closes: bool) -> None:
    async def receiver(channels: FakeChannels) -> None:
        _, digest = await take_all(channels)
        await channels.send_control(complete(digest))
        for message in AFTER_COMPLETE[what]:
            if isinstance(message, bytes):
                await channels.send_data(message)
            else:
                await channels.send_control(message)
        if closes:
            channels.close()
        else:
            await channels.wait_closed()

    assert send_to(receiver).done.bytes == len(CONTENT)


def test_an_error_does_not_close_the_channels() -> None:
    async def main() -> None:
        ours, theirs = channel_pair()
        sending = Sending(
            FakeSource(CONTENT),
            sender="ada-laptop",
            limit=None,
            answer_timeout=1.0,
            emit=lambda _event: None,
            clock=asyncio.get_running_loop().time,
            entropy=bytes,
        )
        with pytest.raises(RtcsendError):
            await sending.run(ours, payload_size=MAX_PAYLOAD)
        await ours.send_control(ABORT)
        await hear_proposal(theirs)
        assert await theirs.receive() == ABORT

    virtual(main)


def test_a_host_name_of_any_length_can_be_told() -> None:
    async def main() -> str:
        ours, theirs = channel_pair()
        sending = Sending(
            FakeSource(CONTENT),
            sender="a" * 1_000,
            limit=None,
            answer_timeout=1.0,
            emit=lambda _event: None,
            clock=asyncio.get_running_loop().time,
            entropy=bytes,
        )
        with pytest.raises(PeerNeverCame):
            await sending.run(ours, payload_size=MAX_PAYLOAD)
        return str(await theirs.receive())

    parse_control_untrusted(virtual(main))
