"""aiortc's association under a peer that bends the rules: bounded, and never ended by itself."""

import asyncio
import struct
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

import pytest
from aiortc.rtcdatachannel import RTCDataChannel, RTCDataChannelParameters
from aiortc.rtcsctptransport import RTCSctpCapabilities, RTCSctpTransport
from google_crc32c import value as checksum

from rtcsend.datapath import guarded
from rtcsend.datapath.data_channel import MAX_MESSAGE_SIZE, PPID_BINARY, PPID_STRING
from rtcsend.datapath.dcep import PPID_DCEP
from rtcsend.datapath.guarded import GuardedAssociation, make_association
from tests.fakes.clock import run_virtual

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from aiortc import RTCDtlsTransport

STREAMS = (0, 1)
OPEN = b"\x03" + bytes(11)
LIMIT = 60.0  # seconds of virtual time


@dataclass
class Dtls:
    """Carries packets to the other one, each by itself."""

    _role: str
    state: str = "connected"
    other: "Dtls | None" = None
    receiver: Any = None
    carrying: set["asyncio.Task[None]"] = field(default_factory=set)

    def _register_data_receiver(self, receiver: object) -> None:
        self.receiver = receiver

    def _unregister_data_receiver(self, receiver: object) -> None:
        if self.receiver is receiver:
            self.receiver = None

    async def _send_data(self, data: bytes) -> None:
        assert self.other is not None, "joined"
        task = asyncio.create_task(self.other.carry(data))
        self.carrying.add(task)
        task.add_done_callback(self.carrying.discard)

    async def carry(self, data: bytes) -> None:
        if self.receiver is not None:
            await self.receiver._handle_data(data)


class Two:
    """A guarded association, and a plain one that plays the peer."""

    def __init__(self) -> None:
        ours, theirs = (Dtls(role) for role in ("client", "server"))
        ours.other, theirs.other = theirs, ours
        made = make_association(cast("RTCDtlsTransport", ours), STREAMS)
        assert isinstance(made, GuardedAssociation)
        self.ours = made
        self.peer = RTCSctpTransport(cast("RTCDtlsTransport", theirs))
        self.heard: list[str | bytes] = []
        self.channels = [self._channel(stream) for stream in STREAMS]

    def _channel(self, stream: int) -> RTCDataChannel:
        parameters = RTCDataChannelParameters(label=str(stream), negotiated=True, id=stream)
        channel = RTCDataChannel(self.ours, parameters)
        channel.on("message", self.heard.append)
        return channel

    async def open(self) -> None:
        capabilities = RTCSctpCapabilities(maxMessageSize=MAX_MESSAGE_SIZE)
        await asyncio.gather(
            self.ours.start(capabilities, 5000), self.peer.start(capabilities, 5000)
        )
        await self.until(lambda: {self.ours.state, self.peer.state} == {"connected"})

    async def until(self, condition: "Callable[[], bool]") -> None:
        async with asyncio.timeout(LIMIT):
            while not condition():  # noqa: ASYNC110 - aiortc has no such event
                await asyncio.sleep(0.01)

    async def still_works(self) -> None:
        self.heard.clear()
        await self.peer._send(1, PPID_BINARY, b"still here")
        await self.until(lambda: b"still here" in self.heard)


def play(what: "Callable[[Two], Awaitable[None]]") -> None:
    async def main() -> None:
        two = Two()
        await two.open()
        await what(two)
        await two.ours.stop()
        await two.peer.stop()

    run_virtual(main)


def test_a_text_that_is_none() -> None:
    async def bend(two: Two) -> None:
        await two.peer._send(0, PPID_STRING, b"a\xff\xfe")
        await two.until(lambda: bool(two.heard))
        assert two.heard == ["a\N{REPLACEMENT CHARACTER}\N{REPLACEMENT CHARACTER}"]
        await two.still_works()

    play(bend)


@pytest.mark.parametrize(("stream", "state"), [(0, "open"), (1, "open"), (2, "closed")])
def test_openings(stream: int, state: str) -> None:
    """What ends plain aiortc where the channel is there already."""

    async def open_it(two: Two) -> None:
        theirs = RTCDataChannel(two.peer, RTCDataChannelParameters(label="in-band", id=stream))
        assert theirs.readyState == "connecting"
        await two.until(lambda: theirs.readyState == state)
        await two.peer._send(0, PPID_DCEP, OPEN)
        await two.still_works()
        assert two.ours.malformed == 0
        assert set(two.ours._data_channels) == set(STREAMS)
        assert all(channel.readyState == "open" for channel in two.channels)

    play(open_it)


def packet(two: Two, chunk: bytes) -> bytes:
    head = struct.pack("!HHL", 5000, 5000, two.ours._local_verification_tag)
    return head + struct.pack("<L", checksum(head + bytes(4) + chunk)) + chunk


@pytest.mark.parametrize(
    "chunk",
    [
        bytes((kind, 0)) + struct.pack("!H", 4 + size) + bytes(size)
        for kind in (0, 1, 2, 3, 4, 5, 9, 130)
        for size in (0, 4, 8)
    ],
    ids=lambda chunk: f"{chunk[0]}, {len(chunk)} bytes",
)
def test_chunks_that_are_too_short(chunk: bytes) -> None:
    async def bend(two: Two) -> None:
        await two.ours._handle_data(packet(two, chunk))
        await two.ours._handle_data(packet(two, chunk + chunk))
        await two.still_works()

    play(bend)


def test_a_message_that_is_too_large() -> None:
    async def bend(two: Two) -> None:
        await two.peer._send(0, PPID_BINARY, bytes(4 << 20))
        await two.until(lambda: two.ours.state == "closed")
        assert two.ours.breach is not None
        assert "too large" in two.ours.breach.message
        assert [channel.readyState for channel in two.channels] == ["closed", "closed"]
        await two.until(lambda: two.peer.state == "closed")

    play(bend)


def test_the_largest_message_comes() -> None:
    async def largest(two: Two) -> None:
        await two.peer._send(1, PPID_BINARY, bytes(MAX_MESSAGE_SIZE))
        await two.until(lambda: bool(two.heard))
        assert two.heard == [bytes(MAX_MESSAGE_SIZE)]

    play(largest)


def data(tsn: int, size: int) -> bytes:
    value = struct.pack("!LHHL", tsn & 0xFFFF_FFFF, 0, 0, PPID_BINARY) + bytes(size)
    return struct.pack("!BBH", 0, 0, 4 + len(value)) + value


def test_what_waits_behind_a_gap_has_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guarded, "MAX_WAITING", 300_000)

    async def bend(two: Two) -> None:
        first = two.peer._local_tsn + 1  # the one before it never comes
        for number in range(400):
            await two.ours._handle_data(packet(two, data(first + number, 1_000)))
        assert two.ours.breach is not None
        assert "more than it was allowed" in two.ours.breach.message
        waiting = sum(len(each.reassembly) for each in two.ours._inbound_streams.values())
        assert waiting <= 301

    play(bend)


@pytest.mark.parametrize("ahead", [65_537, 1 << 20, (1 << 31) - 2])
def test_what_no_sack_can_name(ahead: int) -> None:
    """It would keep all later ones from being sent."""

    async def bend(two: Two) -> None:
        await two.ours._handle_data(packet(two, data(two.peer._local_tsn + ahead, 4)))
        assert not two.ours._sack_misordered
        await two.still_works()
        assert two.ours.malformed == 0

    play(bend)


def test_many_small_ones_behind_a_gap_are_not_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guarded, "MAX_MISORDERED", 50)

    async def bend(two: Two) -> None:
        first = two.peer._local_tsn + 1
        for number in range(200):
            await two.ours._handle_data(packet(two, data(first + number, 4)))
        assert len(two.ours._sack_misordered) == 50
        assert two.ours.breach is None
        await two.ours._handle_data(packet(two, data(first - 1, 4)))
        assert not two.ours._sack_misordered, "what they wait for is taken all the same"
        assert two.ours._last_received_tsn == first + 49

    play(bend)


def test_when_something_was_heard() -> None:
    async def listen(two: Two) -> None:
        before = two.ours.heard_at
        assert before >= 0
        await asyncio.sleep(1.0)
        assert two.ours.heard_at == before
        await two.still_works()
        assert two.ours.heard_at > before

    play(listen)


def test_other_names_are_left_alone(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(guarded, "NAMES", (*guarded.NAMES, "_moved"))

    async def main() -> None:
        dtls = cast("RTCDtlsTransport", Dtls("client"))
        assert type(make_association(dtls, STREAMS)) is RTCSctpTransport

    run_virtual(main)
    assert "not guarded" in caplog.text


def test_the_methods_that_are_replaced_are_called() -> None:
    """A version of aiortc in which they are not would be unguarded without a word."""
    for caller, name in (
        ("_receive_chunk", "_receive_data_chunk"),
        ("_receive_data_chunk", "_receive"),
        ("_receive", "_data_channel_receive"),
        ("_data_channel_receive", "_data_channel_flush"),
        ("_handle_data", "_receive_chunk"),
    ):
        assert name in getattr(RTCSctpTransport, caller).__code__.co_names, name
