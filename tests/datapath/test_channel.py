"""Channels over a fake data path with two DataChannels."""

import asyncio
import math
from sys import getsizeof

import pytest
from aiortc.exceptions import InvalidStateError
from hypothesis import given
from hypothesis import strategies as st
from pyee.asyncio import AsyncIOEventEmitter

from rtcsend.datapath.channel import (
    CONTROL_HIGH_WATER,
    CONTROL_LOW_WATER,
    HIGH_WATER,
    LOW_WATER,
    MAX_INBOUND,
    MAX_INBOUND_MESSAGES,
    Channels,
)
from rtcsend.errors import ConnectionLost, PeerAborted, PeerProtocolError
from rtcsend.peer.description import Description


class FakeChannel(AsyncIOEventEmitter):
    """Behaves as aiortc's and our own do towards their user; the test plays the network."""

    def __init__(self) -> None:
        super().__init__()
        self.readyState = "open"
        self.bufferedAmount = 0
        self.bufferedAmountLowThreshold = 0
        self.sent: list[str | bytes] = []

    def send(self, data: str | bytes) -> None:
        if self.readyState != "open":
            raise InvalidStateError
        self.sent.append(data)
        self.bufferedAmount += len(data)

    def drain(self, amount: int) -> None:
        """Let the network take ``amount`` bytes."""
        before = self.bufferedAmount
        self.bufferedAmount -= amount
        if before > self.bufferedAmountLowThreshold >= self.bufferedAmount:
            self.emit("bufferedamountlow")

    def deliver(self, message: str | bytes) -> None:
        self.emit("message", message)

    def close(self) -> None:
        self.readyState = "closed"
        self.emit("close")
        self.remove_all_listeners()


class Fixture:
    """A fake data path, and the channels over it."""

    def __init__(self) -> None:
        self.control, self.data = FakeChannel(), FakeChannel()
        self.taken_sizes: list[int] = []
        self.heard_at = -math.inf
        self.breach: PeerProtocolError | None = None
        self.packet_payload = 1_160
        self.channels = Channels(self)

    async def open(self, remote: Description) -> None:
        raise AssertionError(remote)

    def taken(self, size: int) -> None:
        self.taken_sizes.append(size)

    def path_changed(self) -> None:
        raise AssertionError("channels do not decide where packets go")

    async def close(self) -> None:
        raise AssertionError("whoever made the connection closes it")


@pytest.fixture
async def fakes() -> Fixture:
    return Fixture()


async def settle() -> None:
    """Let everything run that can."""
    for _ in range(5):
        await asyncio.sleep(0)


async def test_texts_and_frames_go_to_their_channels(fakes: Fixture) -> None:
    await fakes.channels.send_control("a")
    await fakes.channels.send_data(b"b")
    assert (fakes.control.sent, fakes.data.sent) == (["a"], [b"b"])
    assert fakes.control.bufferedAmountLowThreshold == CONTROL_LOW_WATER
    assert fakes.data.bufferedAmountLowThreshold == LOW_WATER


async def test_sending_waits_above_high_water_until_low_water(fakes: Fixture) -> None:
    fakes.data.bufferedAmount = HIGH_WATER
    await fakes.channels.send_data(b"x")  # at the mark it still goes
    waiting = asyncio.create_task(fakes.channels.send_data(b"y"))
    await settle()
    assert fakes.data.sent == [b"x"]
    fakes.data.drain(HIGH_WATER - LOW_WATER)  # one byte above low water
    await settle()
    assert not waiting.done()
    fakes.data.drain(1)
    await waiting
    assert fakes.data.sent == [b"x", b"y"]


async def test_the_buffer_stays_bounded_with_many_writers(fakes: Fixture) -> None:
    size = 65_536
    writers = [asyncio.create_task(fakes.channels.send_data(bytes(size))) for _ in range(100)]
    while not all(writer.done() for writer in writers):
        await settle()
        assert fakes.data.bufferedAmount <= HIGH_WATER + size
        fakes.data.drain(fakes.data.bufferedAmount)
    assert len(fakes.data.sent) == 100


async def test_control_is_not_held_up_by_data(fakes: Fixture) -> None:
    fakes.data.bufferedAmount = HIGH_WATER + 1
    waiting = asyncio.create_task(fakes.channels.send_data(b"x"))
    await settle()
    await fakes.channels.send_control("ping")
    assert fakes.control.sent == ["ping"]
    assert not waiting.done()
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    assert fakes.data.sent == []


async def test_control_waits_behind_a_little_control(fakes: Fixture) -> None:
    fakes.control.bufferedAmount = CONTROL_HIGH_WATER
    await fakes.channels.send_control("x")
    waiting = asyncio.create_task(fakes.channels.send_control("y"))
    await settle()
    assert fakes.control.sent == ["x"]
    fakes.control.drain(fakes.control.bufferedAmount - CONTROL_LOW_WATER)
    await waiting
    assert fakes.control.sent == ["x", "y"]


async def test_frames_go_as_there_is_room(fakes: Fixture) -> None:
    frames = [bytes([number]) * (HIGH_WATER // 2) for number in range(6)]
    waiting = asyncio.create_task(fakes.channels.send_frames(frames))
    await settle()
    assert fakes.data.sent == frames[:3]
    fakes.data.drain(fakes.data.bufferedAmount)
    await waiting
    assert fakes.data.sent == frames


async def test_frames_and_a_failure(fakes: Fixture) -> None:
    waiting = asyncio.create_task(fakes.channels.send_frames([bytes(HIGH_WATER + 1)] * 2))
    await settle()
    fakes.data.close()
    with pytest.raises(ConnectionLost):
        await waiting
    with pytest.raises(ConnectionLost):
        await fakes.channels.send_frames([b"x"])
    assert len(fakes.data.sent) == 1


async def test_all_that_has_come_is_taken_at_once(fakes: Fixture) -> None:
    waiting = asyncio.create_task(fakes.channels.receive_all())
    await settle()
    fakes.control.deliver("1")
    fakes.data.deliver(b"22")
    fakes.data.deliver(b"333")
    assert list(await waiting) == ["1", b"22", b"333"]
    assert fakes.taken_sizes == [5]
    fakes.control.deliver("4")
    fakes.channels.fail()
    assert list(await fakes.channels.receive_all()) == ["4"]
    with pytest.raises(ConnectionLost):
        await fakes.channels.receive_all()


async def test_what_is_heard(fakes: Fixture) -> None:
    assert fakes.channels.heard_at == -math.inf
    fakes.control.deliver("x")
    heard_at = fakes.channels.heard_at
    assert 0 < heard_at <= asyncio.get_running_loop().time()
    fakes.heard_at = heard_at + 5
    assert fakes.channels.heard_at == heard_at + 5


async def test_another_channel_drained_wakes_nobody_for_good(fakes: Fixture) -> None:
    fakes.data.bufferedAmount = fakes.control.bufferedAmount = HIGH_WATER + 1
    data = asyncio.create_task(fakes.channels.send_data(b"x"))
    control = asyncio.create_task(fakes.channels.send_control("y"))
    await settle()
    fakes.control.drain(HIGH_WATER)
    await control
    await settle()
    assert not data.done()
    fakes.data.drain(HIGH_WATER)
    await data


async def test_receiving_keeps_the_order_across_channels(fakes: Fixture) -> None:
    fakes.control.deliver("1")
    fakes.data.deliver(b"2")
    fakes.data.deliver(b"3")
    fakes.control.deliver("4")
    assert [await fakes.channels.receive() for _ in range(4)] == ["1", b"2", b"3", "4"]


async def test_receiving_waits_for_a_message(fakes: Fixture) -> None:
    waiting = asyncio.create_task(fakes.channels.receive())
    await settle()
    assert not waiting.done()
    fakes.data.deliver(b"late")
    assert await waiting == b"late"


async def test_cancelling_a_receive_loses_nothing(fakes: Fixture) -> None:
    for _ in range(3):
        waiting = asyncio.create_task(fakes.channels.receive())
        await settle()
        fakes.control.deliver("kept")
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert await fakes.channels.receive() == "kept"


@pytest.mark.parametrize("which", ["control", "data"])
async def test_a_close_of_either_channel_wakes_everybody(fakes: Fixture, which: str) -> None:
    fakes.data.bufferedAmount = HIGH_WATER + 1
    waiting = [
        asyncio.create_task(fakes.channels.send_data(b"x")),
        asyncio.create_task(fakes.channels.receive()),
        asyncio.create_task(fakes.channels.receive()),
    ]
    closed = asyncio.create_task(fakes.channels.wait_closed())
    await settle()
    assert not closed.done()
    (fakes.control if which == "control" else fakes.data).close()
    await closed
    for outcome in await asyncio.gather(*waiting, return_exceptions=True):
        assert type(outcome) is ConnectionLost
    assert isinstance(fakes.channels.failure, ConnectionLost)
    assert fakes.data.sent == []


async def test_a_close_for_what_the_other_side_did(fakes: Fixture) -> None:
    fakes.breach = PeerProtocolError("Too large.")
    fakes.data.close()
    with pytest.raises(PeerProtocolError, match="Too large"):
        await fakes.channels.receive()


async def test_after_a_close_nothing_goes(fakes: Fixture) -> None:
    fakes.control.close()
    with pytest.raises(ConnectionLost):
        await fakes.channels.send_control("x")
    with pytest.raises(ConnectionLost):
        await fakes.channels.send_data(b"x")
    assert (fakes.control.sent, fakes.data.sent) == ([], [])
    await fakes.channels.wait_closed()


@pytest.mark.parametrize("state", ["closing", "closed"])
async def test_a_channel_that_is_closing_takes_nothing_more(fakes: Fixture, state: str) -> None:
    # The other side has reset the stream; aiortc says "close" some packets later.
    fakes.data.readyState = state
    with pytest.raises(ConnectionLost):
        await fakes.channels.send_data(b"x")
    with pytest.raises(ConnectionLost):
        await fakes.channels.receive()
    await fakes.channels.wait_closed()


async def test_what_came_before_the_failure_is_given_out_first(fakes: Fixture) -> None:
    fakes.control.deliver("1")
    fakes.data.deliver(b"2")
    fakes.channels.fail()
    fakes.control.deliver("too late")
    assert await fakes.channels.receive() == "1"
    assert await fakes.channels.receive() == b"2"
    for _ in range(2):
        with pytest.raises(ConnectionLost):
            await fakes.channels.receive()


async def test_the_first_reason_counts(fakes: Fixture) -> None:
    first = PeerAborted("It said so.")
    fakes.channels.fail(first)
    fakes.channels.fail(PeerProtocolError("Something else."))
    fakes.control.close()
    with pytest.raises(PeerAborted) as caught:
        await fakes.channels.receive()
    assert caught.value is first
    assert fakes.channels.failure is first


async def test_a_frame_on_the_control_channel(fakes: Fixture) -> None:
    fakes.control.deliver("fine")
    fakes.control.deliver(b"not text")
    fakes.control.deliver("never read")
    assert await fakes.channels.receive() == "fine"
    with pytest.raises(PeerProtocolError, match="mixed up"):
        await fakes.channels.receive()


async def test_text_on_the_data_channel(fakes: Fixture) -> None:
    fakes.data.deliver("not bytes")
    with pytest.raises(PeerProtocolError, match="mixed up"):
        await fakes.channels.receive()


async def test_inbound_bytes_are_bounded(fakes: Fixture) -> None:
    piece = bytes((1 << 20) - getsizeof(b""))
    for _ in range(MAX_INBOUND // len(piece)):
        fakes.data.deliver(piece)
    await fakes.channels.send_control("we live")
    fakes.data.deliver(b"x")
    for _ in range(MAX_INBOUND // len(piece)):
        assert await fakes.channels.receive() == piece
    with pytest.raises(PeerProtocolError, match="more than it was allowed"):
        await fakes.channels.receive()


async def test_a_wide_character_makes_a_text_four_times_as_large(fakes: Fixture) -> None:
    text = "\U0001f4a3" + "x" * ((1 << 18) - 1)
    for _ in range(MAX_INBOUND // (1 << 20)):
        fakes.control.deliver(text)
    assert isinstance(fakes.channels.failure, PeerProtocolError)


async def test_what_is_taken_makes_room(fakes: Fixture) -> None:
    piece = bytes(1 << 20)
    for _ in range(3 * MAX_INBOUND // len(piece)):
        fakes.data.deliver(piece)
        assert await fakes.channels.receive() == piece
    assert fakes.channels.failure is None


async def test_room_is_announced_for_frames_when_they_are_taken(fakes: Fixture) -> None:
    fakes.control.deliver("text")
    fakes.data.deliver(b"12345")
    fakes.data.deliver(b"")
    assert fakes.taken_sizes == []
    for sizes in ([], [5], [5, 0]):
        await fakes.channels.receive()
        assert fakes.taken_sizes == sizes


@pytest.mark.parametrize("empty", ["", b""])
async def test_empty_messages_are_bounded_too(fakes: Fixture, empty: str | bytes) -> None:
    channel = fakes.control if isinstance(empty, str) else fakes.data
    for _ in range(MAX_INBOUND_MESSAGES):
        channel.deliver(empty)
    await fakes.channels.send_control("we live")
    channel.deliver(empty)
    with pytest.raises(PeerProtocolError, match="more than it was allowed"):
        await fakes.channels.send_control("no more")


async def test_a_failure_while_waiting_to_send(fakes: Fixture) -> None:
    fakes.data.bufferedAmount = HIGH_WATER + 1
    waiting = asyncio.create_task(fakes.channels.send_data(b"x"))
    await settle()
    fakes.control.deliver(b"wrong kind")
    with pytest.raises(PeerProtocolError):
        await waiting


messages = st.lists(st.tuples(st.booleans(), st.binary(max_size=100)), max_size=30)


@given(messages, st.data())
def test_everything_comes_once_and_in_order(
    script: list[tuple[bool, bytes]], data: st.DataObject
) -> None:
    """Deliveries and receives in any interleaving."""

    async def main() -> None:
        fakes = Fixture()
        sent: list[str | bytes] = []
        got: list[str | bytes] = []
        for is_text, content in script:
            message = content.hex() if is_text else content
            (fakes.control if is_text else fakes.data).deliver(message)
            sent.append(message)
            if data.draw(st.booleans()):
                got.append(await fakes.channels.receive())
        fakes.channels.fail()
        while len(got) < len(sent):
            got.append(await fakes.channels.receive())
        assert got == sent
        with pytest.raises(ConnectionLost):
            await fakes.channels.receive()

    asyncio.run(main())
