"""Two shells with real DTLS between them, on virtual time: what they send, and when."""

import asyncio
import math
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, cast

import pytest
from OpenSSL import SSL

from rtcsend.datapath.batched import (
    FULL_INTERVAL,
    MAX_EARLY,
    BatchedPath,
    random_identity,
)
from rtcsend.datapath.carrier import LANE_FLIGHT
from rtcsend.datapath.data_channel import CONTROL_CHANNEL, DATA_CHANNEL, PPID_BINARY
from rtcsend.datapath.dcep import PPID_DCEP
from rtcsend.datapath.sctp.heartbeat import FAILURE_TIMEOUT, HEARTBEAT_INTERVAL
from rtcsend.datapath.sctp.inbound import RECEIVE_BUFFER
from rtcsend.datapath.sctp.rack import MAX_REORDER_STEPS
from rtcsend.datapath.sctp.wire import (
    DATA_VALUE,
    FLAG_END,
    ChunkType,
    pack_chunk,
)
from rtcsend.errors import PeerProtocolError
from tests.datapath.dtls import connected
from tests.datapath.ways import FakeIce, Relay
from tests.fakes.clock import run_virtual

if TYPE_CHECKING:
    from aiortc import RTCDtlsTransport

    from rtcsend.peer.description import Description
    from rtcsend.peer.ice import IceConnection

DELAY = 0.02  # seconds, one way
FRAME = 65_536  # bytes


@dataclass
class Dtls:
    """The part of aiortc's transport that is used after the handshake."""

    _ssl: SSL.Connection

    def _register_data_receiver(self, receiver: object) -> None:
        pass


@dataclass
class Told:
    """The part of a description that the data path reads."""

    sctp_init: bytes


@dataclass
class End:
    """One shell, what is below it, and what has come out above."""

    path: BatchedPath
    relay: Relay
    got: list[bytes] = field(default_factory=list)


async def _opened() -> tuple[End, End]:
    """Return two ends whose channels are open; each sends by a relay of its own."""
    ices = FakeIce(Relay()), FakeIce(Relay())
    identities = [random_identity() for _ in ices]
    ends = []
    for ssl, ice, identity in zip(connected(), ices, identities, strict=True):
        path = BatchedPath(
            cast("RTCDtlsTransport", Dtls(ssl)),
            cast("IceConnection", ice),
            own_peer=True,
            identity=identity,
        )
        ends.append(End(path, cast("Relay", ice.transports()[0])))
        path.data.on("message", ends[-1].got.append)
    for end, other in zip(ends, reversed(ices), strict=True):
        end.relay.stream.write = _carry(end.relay, other)  # type: ignore[assignment, method-assign]
    opening = (
        end.path.open(cast("Description", Told(identity.introduction())))
        for end, identity in zip(ends, reversed(identities), strict=True)
    )
    await asyncio.gather(*opening)
    return ends[0], ends[1]


def _carry(relay: Relay, ice: FakeIce) -> Callable[[object], None]:
    """Return what takes what is written to the other side, a record at a time."""
    loop = asyncio.get_running_loop()

    def arrive(record: bytes) -> None:
        if ice.on_datagram is not None:
            ice.on_datagram(record)

    def write(data: object) -> None:
        relay.stream.written = [bytes(cast("bytes", data))]
        for record in relay.stream.records():
            loop.call_later(DELAY, arrive, record)

    return write


def _run(what: Callable[[End, End], Awaitable[None]]) -> None:
    async def main() -> None:
        one, other = await _opened()
        await what(one, other)
        await one.path.close()
        await other.path.close()

    run_virtual(main)


async def _until(condition: Callable[[], object]) -> float:
    """Return how many seconds it takes."""
    loop = asyncio.get_running_loop()
    start = loop.time()
    while not condition():
        await asyncio.sleep(DELAY / 4)
        assert loop.time() - start < 60, "never"
    return loop.time() - start


def test_messages_go_both_ways_from_the_first_moment() -> None:
    async def both_ways(one: End, other: End) -> None:
        one.path.data.send(b"ping")
        other.path.data.send(bytes(3 * FRAME))
        assert await _until(lambda: other.got) <= 2 * DELAY
        await _until(lambda: one.got)
        assert (other.got, one.got) == ([b"ping"], [bytes(3 * FRAME)])

    _run(both_ways)


@pytest.mark.parametrize("data", [b"", b"x", b"\x80\x60", b"\x17\xfe\xfd", b"\x16" * 70])
def test_what_strangers_send_is_dropped(data: bytes) -> None:
    """What is no STUN comes to whoever takes datagrams, also an empty one: RFC 7983 §7."""

    async def strange(one: End, other: End) -> None:
        one.path._on_datagram(data)
        other.path.data.send(b"ping")
        await _until(lambda: one.got)
        assert one.path.association.malformed == 0

    _run(strange)


@pytest.mark.parametrize("seconds", [5.3, 6.6, 8.1])
def test_that_there_is_room_again_is_told_at_once(seconds: float) -> None:
    """Not when the next heartbeat, or the other side's next question, brings it up."""

    async def slow(one: End, other: End) -> None:
        for _ in range(RECEIVE_BUFFER // FRAME + 8):
            one.path.data.send(bytes(FRAME))
        await asyncio.sleep(seconds)
        count = len(other.got)
        assert count == RECEIVE_BUFFER // FRAME, "full"
        other.path.taken(count * FRAME)
        # The update, a packet alone, its SACK, and the others.
        assert await _until(lambda: len(other.got) > count) <= 5 * DELAY
        assert HEARTBEAT_INTERVAL > 10 * DELAY, "else it would prove nothing"

    _run(slow)


def test_no_room_below_is_waited_for_and_not_asked_for() -> None:
    """What is due and cannot leave must not wake the timer again and again."""

    async def full(one: End, other: End) -> None:
        for end in (one, other):
            for _ in range(20):
                end.path.data.send(bytes(FRAME))
        await asyncio.sleep(2.5 * DELAY)
        one.relay.stream.fill()
        times: list[float] = []
        real = one.path.association.handle_timer

        def count(*, now: float) -> None:
            times.append(now)
            assert len(times) < 1_000, "a timer that never rests"
            real(now=now)

        one.path.association.handle_timer = count  # type: ignore[method-assign]
        await asyncio.sleep(1.0)
        assert len(times) <= 2 / FULL_INTERVAL
        one.relay.stream.drain()
        await _until(lambda: len(one.got) == len(other.got) == 20)

    _run(full)


def test_ip_cuts_packets_for_as_long_as_they_may_be_too_large() -> None:
    """The association says so before the packets leave, and takes it back after the last."""

    async def shrunk(one: End, other: End) -> None:
        told: list[bool] = []
        one.path._carrier.allow_fragmentation = (  # type: ignore[method-assign]
            lambda *, allowed: told.append(allowed)
        )
        await _until(lambda: not one.path.association._path.mtu.is_base)
        for _ in range(4):
            one.path.data.send(bytes(FRAME))
        await asyncio.sleep(DELAY / 2)  # they are under way
        one.path.association._path.on_black_hole(now=asyncio.get_running_loop().time())
        assert told == []
        one.path.data.send(bytes(FRAME))
        await _until(lambda: len(other.got) == 5)
        one.path.data.send(b"and more")
        await _until(lambda: len(other.got) == 6)
        assert told == [True, False]

    _run(shrunk)


def test_the_end_that_dtls_tells_of_is_the_end() -> None:
    """Whoever ends in a hurry has said so by an alert, before or instead of an ABORT."""

    async def over(one: End, other: End) -> None:
        other.path._dtls._ssl.shutdown()  # type: ignore[union-attr]  # connected
        assert other.path._records is not None
        alert = bytes(other.path._records.pending())
        one.path._on_datagram(alert)
        assert await _until(lambda: one.path.data.readyState == "closed") <= DELAY

    _run(over)


def test_what_no_application_takes_takes_no_room() -> None:
    """Texts, what is for other streams or about channels, and empty messages."""

    async def talkative(one: End, other: End) -> None:
        send = other.path.association.send
        for _ in range(5):
            send(7, PPID_BINARY, bytes(FRAME))
            send(CONTROL_CHANNEL, PPID_DCEP, bytes(FRAME))
            other.path.control.send("x" * FRAME)
            other.path.control.send("")
            other.path.data.send(b"")
        other.path.data.send(b"end")
        outbound = other.path.association._outbound
        await _until(lambda: not outbound.queue.size and not outbound.outstanding)
        assert one.got == [b""] * 5 + [b"end"]
        inbound = one.path.association._tcb.inbound
        assert inbound is not None
        assert inbound.untaken == len(b"end")
        one.path.taken(len(b"end"))
        assert inbound.a_rwnd == RECEIVE_BUFFER

    _run(talkative)


def test_several_ways_are_told_to_the_association_and_told_again_on_another_path() -> None:
    """What they hold, and that they reorder; one way has no such bound."""

    async def widened(one: End, other: End) -> None:
        outbound = one.path.association._outbound

        async def told(width: int) -> tuple[float, int]:
            one.path._carrier.width = lambda: width  # type: ignore[method-assign]
            one.path.wake()
            await asyncio.sleep(0)
            return outbound.flight_limit, outbound.rack.least_steps

        assert await told(1) == (math.inf, 1)
        assert await told(3) == (3 * LANE_FLIGHT, MAX_REORDER_STEPS)
        one.path.path_changed()
        assert outbound.flight_limit == math.inf
        assert await told(3) == (3 * LANE_FLIGHT, MAX_REORDER_STEPS)
        assert await told(1) == (math.inf, 1)

    _run(widened)


def test_what_comes_before_the_path_is_opened_has_a_bound() -> None:
    """DTLS is done at one side before it is at the other, whose first words are kept."""

    async def early() -> None:
        server, client = connected()
        path = BatchedPath(
            cast("RTCDtlsTransport", Dtls(server)),
            cast("IceConnection", FakeIce(Relay())),
            own_peer=True,
        )
        for _ in range(MAX_EARLY + 8):
            await path._handle_data(b"early")
        assert path._early is not None
        assert len(path._early) == MAX_EARLY
        del client

    run_virtual(early)


def test_silence_is_noticed_though_there_is_no_room() -> None:
    async def dead(one: End, other: End) -> None:
        other.relay.stream.fill()
        one.path.data.send(bytes(FRAME))
        one.relay.stream.fill()
        took = await _until(lambda: one.path.data.readyState == "closed")
        assert FAILURE_TIMEOUT <= took <= FAILURE_TIMEOUT + 2

    _run(dead)


def test_who_breaks_the_rules_hears_of_it() -> None:
    """The association's last word leaves before the shell ends: RFC 9260 §3.3.7."""

    async def breach(one: End, other: End) -> None:
        tsn = other.path.association._outbound.queue.next_tsn
        value = DATA_VALUE.pack(tsn, DATA_CHANNEL, 0, 53) + b"an end without a beginning"
        other.path.association._tcb.control.append(pack_chunk(ChunkType.DATA, FLAG_END, value))
        other.path.wake()
        await _until(lambda: one.path.data.readyState == "closed")
        assert isinstance(one.path.breach, PeerProtocolError)
        assert await _until(lambda: other.path.data.readyState == "closed") <= 2 * DELAY
        assert other.path.breach is None

    _run(breach)
