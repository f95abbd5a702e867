import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from rtcsend import farewell
from rtcsend.errors import (
    ConnectionLost,
    Declined,
    InternalError,
    PeerAborted,
    PeerProtocolError,
    RendezvousUnreachable,
    RtcsendError,
)
from rtcsend.farewell import FAREWELL_TIMEOUT, Line
from rtcsend.options import RoutePolicy
from rtcsend.pairing.keys import Role
from rtcsend.peer.signalling import SealedSignalling
from rtcsend.peer.signals import AbortSignal, AgainSignal, EndOfCandidates, Hello, Signal
from tests.fakes.clock import run_virtual
from tests.peer.box import KEYS, Box, boxes

HELLO = Hello(agent="x", route=RoutePolicy.ANY)


class FakeChannels:
    """Takes control messages; ``closed`` is set by the test, or by an abort."""

    def __init__(self, *, closes_on_abort: bool = True) -> None:
        self.texts: list[str] = []
        self.closed = asyncio.Event()
        self.stuck = asyncio.Event()
        self.failure: RtcsendError | None = None
        self._closes_on_abort = closes_on_abort

    async def send_control(self, text: str) -> None:
        if self.failure is not None:
            raise self.failure
        if self.stuck.is_set():
            await asyncio.get_running_loop().create_future()
        self.texts.append(text)
        if self._closes_on_abort:
            self.closed.set()

    async def wait_closed(self) -> None:
        await self.closed.wait()


class Scene:
    def __init__(self) -> None:
        self.ends = boxes()
        self.signalling = SealedSignalling(self.ends[Role.SENDER], KEYS, Role.SENDER)
        self.line = Line(self.signalling)
        self.far = SealedSignalling(self.ends[Role.RECEIVER], KEYS, Role.RECEIVER)
        self.heard: list[Signal] = []

    async def hear(self, signal: Signal) -> None:
        self.heard.append(signal)
        if len(self.heard) > 1:
            raise PeerProtocolError("The other side sent too many candidates.")

    def replace(self, end: Box) -> None:
        self.signalling = SealedSignalling(end, KEYS, Role.SENDER)
        self.line = Line(self.signalling)

    def open(self, channels: FakeChannels) -> FakeChannels:
        self.line.use(self.signalling, channels, hear=self.hear)  # type: ignore[arg-type]
        return channels

    @asynccontextmanager
    async def inside(self) -> AsyncIterator[None]:
        """What leaves the context is told, as the link does it."""
        try:
            yield
        except BaseException as exc:
            await self.line.tell(exc)
            raise

    async def leave_with(self, error: BaseException) -> float:
        """Leave the line with an error; return the (virtual) seconds that it took."""
        loop = asyncio.get_running_loop()
        started = loop.time()
        with pytest.raises(type(error)) as caught:
            async with self.inside():
                raise error
        assert caught.value is error
        return loop.time() - started

    async def told(self) -> RtcsendError | None:
        """Return the abort that the other side finds in the mailbox."""
        if self.ends[Role.RECEIVER].inbound.empty():
            return None
        signal = await self.far.receive()
        assert isinstance(signal, AbortSignal)
        return signal.error


def scripted(script: Callable[[Scene], Awaitable[None]]) -> None:
    async def main() -> None:
        await script(Scene())

    run_virtual(main)


def slug(text: str) -> object:
    return json.loads(text)["code"]


def test_a_good_end_says_nothing() -> None:
    async def script(scene: Scene) -> None:
        channels = scene.open(FakeChannels())
        async with scene.inside():
            pass
        assert await scene.told() is None
        assert channels.texts == []

    scripted(script)


def test_before_the_channels_are_open_the_rendezvous_is_told() -> None:
    async def script(scene: Scene) -> None:
        assert await scene.leave_with(Declined("No.")) == 0
        assert type(await scene.told()) is Declined

    scripted(script)


def test_afterwards_both_ways_are_used() -> None:
    async def script(scene: Scene) -> None:
        channels = scene.open(FakeChannels())
        assert await scene.leave_with(Declined("No.")) == 0
        assert type(await scene.told()) is Declined
        assert [slug(text) for text in channels.texts] == ["declined"]

    scripted(script)


def test_what_the_other_side_said_is_not_said_back() -> None:
    async def script(scene: Scene) -> None:
        channels = scene.open(FakeChannels())
        error = Declined("No.")
        error.told_by_peer = True
        await scene.leave_with(error)
        assert await scene.told() is None
        assert channels.texts == []

    scripted(script)


def test_a_cancellation_is_told_as_a_stop() -> None:
    async def script(scene: Scene) -> None:
        channels = scene.open(FakeChannels())
        await scene.leave_with(asyncio.CancelledError())
        told = await scene.told()
        assert type(told) is PeerAborted
        assert "stopped by its user" in told.message
        assert [slug(text) for text in channels.texts] == ["interrupted"]

    scripted(script)


def test_a_real_cancellation_ends_cancelled() -> None:
    async def script(scene: Scene) -> None:
        inside = asyncio.Event()

        async def work() -> None:
            async with scene.inside():
                inside.set()
                await asyncio.get_running_loop().create_future()

        task = asyncio.create_task(work())
        await inside.wait()
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()
        assert type(await scene.told()) is PeerAborted

    scripted(script)


def test_a_cancellation_takes_no_longer_than_any_other_end() -> None:
    async def script(scene: Scene) -> None:
        scene.open(FakeChannels(closes_on_abort=False))
        inside = asyncio.Event()

        async def work() -> None:
            async with scene.inside():
                inside.set()
                await asyncio.get_running_loop().create_future()

        task = asyncio.create_task(work())
        await inside.wait()
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()
        assert asyncio.get_running_loop().time() == pytest.approx(FAREWELL_TIMEOUT)
        assert len(asyncio.all_tasks()) == 1

    scripted(script)


def test_a_bug_is_told_without_its_details() -> None:
    async def script(scene: Scene) -> None:
        channels = scene.open(FakeChannels())
        await scene.leave_with(ZeroDivisionError("secret 42"))
        told = await scene.told()
        assert type(told) is PeerAborted
        assert "secret" not in told.message + "".join(channels.texts)
        assert [slug(text) for text in channels.texts] == [InternalError.slug]

    scripted(script)


def test_the_private_sentence_stays_here() -> None:
    async def script(scene: Scene) -> None:
        channels = scene.open(FakeChannels())
        await scene.leave_with(Declined("/home/ada is private.", for_peer="No."))
        told = await scene.told()
        assert told is not None
        assert "ada" not in told.message + "".join(channels.texts)

    scripted(script)


def test_it_waits_until_the_other_side_has_heard_and_closed() -> None:
    async def script(scene: Scene) -> None:
        channels = scene.open(FakeChannels(closes_on_abort=False))
        asyncio.get_running_loop().call_later(0.5, channels.closed.set)
        assert await scene.leave_with(Declined("No.")) == pytest.approx(0.5)

    scripted(script)


def test_not_for_ever() -> None:
    async def script(scene: Scene) -> None:
        scene.open(FakeChannels(closes_on_abort=False))
        assert await scene.leave_with(Declined("No.")) == pytest.approx(FAREWELL_TIMEOUT)

    scripted(script)


def test_a_full_data_path_does_not_hold_it_up() -> None:
    async def script(scene: Scene) -> None:
        channels = scene.open(FakeChannels())
        channels.stuck.set()
        assert await scene.leave_with(Declined("No.")) == pytest.approx(FAREWELL_TIMEOUT)
        assert type(await scene.told()) is Declined

    scripted(script)


def test_a_dead_data_path_does_not_change_the_error() -> None:
    async def script(scene: Scene) -> None:
        channels = scene.open(FakeChannels())
        channels.failure = ConnectionLost("Gone.")
        assert await scene.leave_with(channels.failure) == 0
        assert await scene.told() is not None

    scripted(script)


def test_a_dead_rendezvous_leaves_the_other_way() -> None:
    async def script(scene: Scene) -> None:
        class Dead(Box):
            async def send(self, body: bytes) -> None:
                raise RendezvousUnreachable("The server is gone.")

        end = scene.ends[Role.SENDER]
        scene.replace(Dead(end.inbound, end.outbound))
        channels = scene.open(FakeChannels())
        await scene.leave_with(Declined("No."))
        assert [slug(text) for text in channels.texts] == ["declined"]

    scripted(script)


def test_a_stuck_rendezvous_leaves_the_other_way() -> None:
    async def script(scene: Scene) -> None:
        class Stuck(Box):
            async def send(self, body: bytes) -> None:
                await asyncio.get_running_loop().create_future()

        end = scene.ends[Role.SENDER]
        scene.replace(Stuck(end.inbound, end.outbound))
        channels = scene.open(FakeChannels())
        assert await scene.leave_with(Declined("No.")) <= FAREWELL_TIMEOUT
        assert [slug(text) for text in channels.texts] == ["declined"]

    scripted(script)


def test_the_watch_raises_what_the_other_side_ends_with() -> None:
    async def script(scene: Scene) -> None:
        await scene.far.send(HELLO)
        await scene.far.send(EndOfCandidates())
        await scene.far.send_abort(Declined("No."))
        with pytest.raises(Declined) as caught:
            await scene.line.watch()
        assert caught.value.told_by_peer

    scripted(script)


def test_the_watch_raises_it_also_when_the_channels_are_open() -> None:
    async def script(scene: Scene) -> None:
        scene.open(FakeChannels())
        await scene.far.send_abort(Declined("No."))
        with pytest.raises(Declined):
            await scene.line.watch()

    scripted(script)


def test_candidates_that_come_late_are_handed_on_and_end_nothing() -> None:
    async def script(scene: Scene) -> None:
        scene.open(FakeChannels())
        for _ in range(2):
            await scene.far.send(EndOfCandidates())
        await scene.far.send_abort(Declined("No."))
        with pytest.raises(Declined):
            await scene.line.watch()
        assert scene.heard == [EndOfCandidates()] * 2

    scripted(script)


def test_before_the_channels_are_open_the_mailbox_matters() -> None:
    async def script(scene: Scene) -> None:
        scene.ends[Role.RECEIVER].leave()
        with pytest.raises(PeerAborted):
            await scene.line.watch()
        await scene.ends[Role.RECEIVER].send(bytes(50))
        with pytest.raises(PeerProtocolError):
            await scene.line.watch()

    scripted(script)


def test_afterwards_it_does_not() -> None:
    async def script(scene: Scene) -> None:
        scene.open(FakeChannels())
        scene.ends[Role.RECEIVER].leave()
        await scene.line.watch()
        await scene.ends[Role.RECEIVER].send(bytes(50))
        await scene.line.watch()

    scripted(script)


def test_the_channels_may_open_while_it_watches() -> None:
    async def script(scene: Scene) -> None:
        watching = asyncio.create_task(scene.line.watch())
        await asyncio.sleep(1)
        scene.open(FakeChannels())
        scene.ends[Role.RECEIVER].leave()
        await watching

    scripted(script)


def test_the_other_side_has_lost_the_path() -> None:
    async def script(scene: Scene) -> None:
        scene.open(FakeChannels())
        await scene.far.send(AgainSignal())
        with pytest.raises(ConnectionLost) as caught:
            await scene.line.watch()
        assert not caught.value.told_by_peer

    scripted(script)


def test_when_all_is_over_that_means_nothing() -> None:
    async def script(scene: Scene) -> None:
        scene.open(FakeChannels())
        await scene.far.send(AgainSignal())
        await scene.far.send_abort(Declined("No."))
        scene.ends[Role.RECEIVER].leave()
        await scene.line.watch(is_over=lambda: True)

    scripted(script)


def test_while_the_path_is_lost_only_an_abort_counts() -> None:
    async def script(scene: Scene) -> None:
        scene.open(FakeChannels())
        await scene.far.send(AgainSignal())
        await scene.far.send(AgainSignal())
        await scene.far.send_abort(ConnectionLost("I give up."))
        with pytest.raises(ConnectionLost, match="give up") as caught:
            await scene.line.watch_for_abort()
        assert caught.value.told_by_peer

    scripted(script)


def test_this_side_says_that_it_has_lost_the_path() -> None:
    async def script(scene: Scene) -> None:
        await scene.line.say_again()
        assert await scene.far.receive() == AgainSignal()

    scripted(script)


def test_while_the_path_is_lost_a_word_is_left_in_the_meeting() -> None:
    async def script(scene: Scene) -> None:
        left: list[RtcsendError] = []

        async def leave_word(error: RtcsendError) -> None:
            left.append(error)
            raise RendezvousUnreachable("It is gone.")

        scene.line.leave_word = leave_word
        await scene.leave_with(Declined("No."))
        assert [type(error) for error in left] == [Declined]
        scene.open(FakeChannels())
        await scene.leave_with(Declined("No."))
        assert len(left) == 1

    scripted(script)


def test_who_presses_ctrl_c_does_not_wait_long() -> None:
    assert 0 < farewell.FAREWELL_TIMEOUT <= 2
