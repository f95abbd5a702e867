"""Our association with plain aiortc's, packet by packet, without network, on virtual time."""

import asyncio
import random
from types import SimpleNamespace
from typing import Any

import pytest
from aiortc import RTCDataChannel, RTCDataChannelParameters, RTCSctpTransport
from aiortc.rtcsctptransport import RTCSctpCapabilities

from rtcsend.datapath.congestion.cubic import Cubic
from rtcsend.datapath.sctp.association import (
    Association,
    AssociationConfig,
    Closed,
    Established,
    StreamsReset,
)
from rtcsend.datapath.sctp.inbound import Message
from tests.fakes.clock import run_virtual

DELAY = 0.01  # seconds, one way
BINARY = 53  # PPID; RFC 8831 §8
STREAM = 1
TOTAL = 5 << 20
MESSAGE = 32_768


class Side:
    """Our end, with a timer on the loop, and a link that loses packets both ways."""

    def __init__(self, *, loss: float, seed: int, role: str) -> None:
        self.loop = asyncio.get_running_loop()
        self.rng = random.Random(seed)
        self.loss = loss
        config = AssociationConfig(
            tag=self.rng.randrange(1, 2**32),
            # Far from 2**32: aiortc's receiver sorts TSNs as plain numbers, and stands still when
            # something is missing there.
            initial_tsn=1000,
            cookie=self.rng.randbytes(32),
            own_peer=False,
            max_message_size=262_144,
            controller=lambda mss, now: Cubic(mss=mss, now=now),
        )
        self.association = Association(config, now=self.loop.time())
        self.events: list[object] = []
        self.received: list[Message] = []
        self.to_send: list[bytes] = []
        self.changed = asyncio.Event()
        self._timer: asyncio.TimerHandle | None = None
        self._to_peer: asyncio.Queue[bytes] = asyncio.Queue()
        # What aiortc's association wants of a DTLS transport.
        self.dtls: Any = SimpleNamespace(
            state="connected",
            _role=role,
            _send_data=self._from_peer,
            _register_data_receiver=self._register,
            _unregister_data_receiver=lambda _receiver: None,
        )
        self._receiver: RTCSctpTransport | None = None

    def _register(self, receiver: RTCSctpTransport) -> None:
        self._receiver = receiver

    async def feed_peer(self) -> None:
        while True:
            packet = await self._to_peer.get()
            if self._receiver is not None:
                await self._receiver._handle_data(packet)

    async def _from_peer(self, packet: bytes) -> None:
        if self.rng.random() >= self.loss:
            self.loop.call_later(DELAY, self._arrive, packet)

    def _arrive(self, packet: bytes) -> None:
        self.association.receive_packets_untrusted([packet], now=self.loop.time())
        self.pump()

    def _on_timer(self) -> None:
        self.association.handle_timer(now=self.loop.time())
        self.pump()

    def pump(self) -> None:
        now, association = self.loop.time(), self.association
        while (event := association.next_event()) is not None:
            self.events.append(event)
            if isinstance(event, Message):
                self.received.append(event)
                association.taken(len(event.data), now=now)
            self.changed.set()
        while self.to_send and association.is_established and association.queued < 1 << 20:
            association.send(STREAM, BINARY, self.to_send.pop(0))
        for packet in association.packets_to_send(now=now):
            if self.rng.random() >= self.loss:
                self.loop.call_later(DELAY, self._to_peer.put_nowait, packet)
        if self._timer is not None:
            self._timer.cancel()
        timer = association.get_timer()
        self._timer = None if timer is None else self.loop.call_at(timer, self._on_timer)

    async def wait_for(self, condition: Any) -> None:
        while not condition():
            self.changed.clear()
            await self.changed.wait()


async def connected(*, loss: float, seed: int, role: str) -> tuple[Side, RTCSctpTransport, Any]:
    side = Side(loss=loss, seed=seed, role=role)
    peer = RTCSctpTransport(side.dtls)
    feeder = asyncio.create_task(side.feed_peer())
    channel = RTCDataChannel(
        peer, RTCDataChannelParameters(label="data", negotiated=True, id=STREAM)
    )
    await peer.start(RTCSctpCapabilities(maxMessageSize=262_144), 5000)
    side.association.connect(now=side.loop.time())
    side.pump()
    await side.wait_for(lambda: Established() in side.events)
    return side, peer, (channel, feeder)


def blocks(count: int) -> list[bytes]:
    rng = random.Random(7)
    return [rng.randbytes(MESSAGE) for _ in range(count)]


@pytest.mark.parametrize("role", ["client", "server"])
@pytest.mark.parametrize("loss", [0.0, 0.01])
def test_to_aiortc(loss: float, role: str) -> None:
    sent = blocks(TOTAL // MESSAGE)

    async def main() -> None:
        side, _, (channel, feeder) = await connected(loss=loss, seed=1, role=role)
        got: list[bytes] = []
        done = asyncio.Event()

        def on_message(data: bytes) -> None:
            got.append(data)
            if len(got) == len(sent):
                done.set()

        channel.on("message", on_message)
        side.to_send = list(sent)

        async def keep_full() -> None:
            while side.to_send:
                side.pump()
                await asyncio.sleep(0.005)

        filler = asyncio.create_task(keep_full())
        await asyncio.wait_for(done.wait(), 300)
        assert got == sent
        assert side.association.malformed <= 2
        assert not any(isinstance(event, Closed) for event in side.events)
        for task in (feeder, filler):
            task.cancel()
        side.association.abort()

    run_virtual(main)


@pytest.mark.parametrize("loss", [0.0, 0.01])
def test_from_aiortc(loss: float) -> None:
    sent = blocks(TOTAL // MESSAGE)

    async def main() -> None:
        side, _, (channel, feeder) = await connected(loss=loss, seed=2, role="server")
        for data in sent:
            channel.send(data)
        await side.wait_for(lambda: len(side.received) >= len(sent))
        assert [message.data for message in side.received] == sent
        assert {(message.stream, message.ppid) for message in side.received} == {(STREAM, BINARY)}
        feeder.cancel()
        side.association.abort()

    run_virtual(main)


@pytest.mark.parametrize("loss", [0.0, 0.2])
def test_a_channel_closed_by_aiortc(loss: float) -> None:
    """Its last messages come before the reset."""
    sent = blocks(8)

    async def main() -> None:
        side, _, (channel, feeder) = await connected(loss=loss, seed=3, role="client")
        for data in sent:
            channel.send(data)
        channel.close()
        await side.wait_for(lambda: any(isinstance(event, StreamsReset) for event in side.events))
        assert [message.data for message in side.received] == sent
        assert [event for event in side.events if isinstance(event, StreamsReset)] == [
            StreamsReset((STREAM,))
        ]
        feeder.cancel()
        side.association.abort()

    run_virtual(main)


def test_our_abort_closes_aiortc() -> None:
    async def main() -> None:
        side, peer, (_, feeder) = await connected(loss=0.0, seed=4, role="client")
        side.association.abort()
        side.pump()
        await asyncio.sleep(1)
        assert peer.state == "closed"
        feeder.cancel()

    run_virtual(main)


def test_aiortc_stops() -> None:
    async def main() -> None:
        side, peer, (_, feeder) = await connected(loss=0.0, seed=5, role="client")
        await peer.stop()
        await side.wait_for(lambda: any(isinstance(event, Closed) for event in side.events))
        assert side.events[-1] == Closed("The other side has ended the association.")
        feeder.cancel()

    run_virtual(main)
