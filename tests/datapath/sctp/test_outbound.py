"""The sending half in virtual time: how long a loss takes to be made up for."""

import math
from itertools import pairwise

import pytest

from rtcsend.datapath.congestion.base import AckSample
from rtcsend.datapath.congestion.cubic import Cubic
from rtcsend.datapath.congestion.rtt import RTO_MAX, RTO_MIN
from rtcsend.datapath.sctp.outbound import MAX_BURST, MAX_BURST_SIZE, Outbound
from rtcsend.datapath.sctp.wire import (
    FLAG_IMMEDIATE,
    FLAGS_OFFSET,
    HEADER_SIZE,
    ChunkType,
    Packer,
    Sack,
)
from tests.fakes.sctp_link import Conditions, End, Pair

STREAM = 1
PACKET = 1_000  # bytes of a message, which is one packet


def count(end: End) -> int:
    return sum(map(len, end.received.values()))


class Path:
    """Two associations that know their round-trip time, and wait."""

    def __init__(self, rtt: float, *, own_peer: bool = True) -> None:
        self.rtt = rtt
        self.pair = Pair(1, Conditions(delay=rtt / 2), own_peer=own_peer)
        self.sender, self.receiver = self.pair.ends
        self.pair.run(5.0)
        for _ in range(10):
            self.deliver(3)
            self.pair.run(self.pair.now + 1.0)
        self.data: list[bytes] = []

    def deliver(self, packets: int) -> float:
        """Return the round trips that it takes until as many packets have arrived."""
        started, expected = self.pair.now, count(self.receiver) + packets
        self.sender.to_send = [(self.pair.now, STREAM, bytes(PACKET)) for _ in range(packets)]
        assert self.pair.run(started + 20.0, lambda: count(self.receiver) >= expected)
        return (self.pair.now - started) / self.rtt

    def lose(self, *numbers: int) -> None:
        """Lose these DATA packets, counted from 1."""
        seen = 0

        def drop(_number: int, packet: bytes) -> bool:
            nonlocal seen
            seen += packet[HEADER_SIZE] == ChunkType.DATA
            return packet[HEADER_SIZE] == ChunkType.DATA and seen in numbers

        self.sender.link.drop = drop


@pytest.mark.parametrize("own_peer", [True, False])
@pytest.mark.parametrize("rtt", [0.01, 0.04, 0.1, 0.3])
@pytest.mark.parametrize(
    ("packets", "lost", "round_trips"),
    [
        (1, (1,), 2.7),  # two until the probe, which takes half of one
        (10, (10,), 4.2),  # those before it are acknowledged after one; and they are paced
        (10, (9, 10), 5.1),  # the probe repairs one, and shows the other
        (10, (5,), 2.0),  # overtaken by its own burst: no probe is waited for
    ],
)
def test_a_loss_is_made_up_for_in_some_round_trips(
    rtt: float, packets: int, lost: tuple[int, ...], round_trips: float, own_peer: bool
) -> None:
    path = Path(rtt, own_peer=own_peer)
    before = path.sender.link.retransmissions
    path.lose(*lost)
    took = path.deliver(packets)
    assert took <= round_trips
    assert path.sender.link.retransmissions - before == len(lost), "and nothing more is sent"
    assert path.sender.association._outbound.timer.timeouts == 0


def test_a_timeout_does_not_come_before_the_probe() -> None:
    """RFC 8985 §7.2: with a steady RTT of 0.3 s the timeout is shorter than two of them."""
    path = Path(0.3)
    assert path.sender.association._outbound.rtt.rto < 2 * 0.3
    window = path.sender.association._outbound.controller.cwnd
    path.lose(1)
    path.deliver(1)
    path.pair.run(path.pair.now + 1.0)
    assert path.sender.association._outbound.controller.cwnd >= window


@pytest.mark.parametrize("seconds", [1.0, 2.0, 3.5, 5.0, 7.0, 8.5])
def test_a_path_that_was_gone_is_used_again_soon(seconds: float) -> None:
    """Both directions were cut while data was on its way, and either may be heard again first."""
    path = Path(0.04)
    path.sender.link.drop = path.receiver.link.drop = lambda _number, _packet: True
    started, expected = path.pair.now, count(path.receiver) + 2
    path.sender.to_send = [(started, STREAM, bytes(PACKET))] * 2
    path.pair.run(started + seconds)
    path.sender.link.drop = path.receiver.link.drop = None
    assert path.pair.run(started + seconds + 20.0, lambda: count(path.receiver) >= expected)
    assert path.pair.now - started - seconds < 1.7


def test_the_last_chunk_asks_for_a_sack_and_gets_it() -> None:
    path = Path(0.2)
    asks: list[int] = []
    acknowledged_at: list[float] = []

    def note(number: int, packet: bytes) -> None:
        if number == 0 and packet[HEADER_SIZE] == ChunkType.DATA:
            asks.append(packet[FLAGS_OFFSET] & FLAG_IMMEDIATE)
        if number == 1 and packet[HEADER_SIZE] == ChunkType.SACK:
            acknowledged_at.append(path.pair.now)

    path.pair.taps.append(note)
    started = path.pair.now
    path.deliver(1)
    path.pair.run(path.pair.now + 1.0)
    assert asks == [FLAG_IMMEDIATE]
    assert acknowledged_at == [pytest.approx(started + 0.1, abs=1e-3)]
    asks.clear()
    path.deliver(9)
    assert asks == [0] * 8 + [FLAG_IMMEDIATE]


def test_new_data_puts_the_probe_off() -> None:
    """Its own SACK will show the loss before it: to probe would send it twice."""
    path = Path(0.05)
    before = path.sender.link.retransmissions
    expected = count(path.receiver) + 2
    path.lose(1)
    now = path.pair.now
    path.sender.to_send = [(now, STREAM, bytes(PACKET)), (now + 0.09, STREAM, bytes(PACKET))]
    assert path.pair.run(now + 20.0, lambda: count(path.receiver) == expected)
    path.pair.run(path.pair.now + 1.0)
    assert path.sender.link.retransmissions - before == 1


@pytest.mark.parametrize("lost", [True, False])
def test_a_loss_that_a_probe_repaired_is_congestion_like_any_other(
    lost: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = Path(0.05)
    outbound, told = path.sender.association._outbound, []
    monkeypatch.setattr(outbound.controller, "on_loss", lambda **what: told.append(what))
    sent_at = path.pair.now
    if lost:
        path.lose(3)
    else:  # its SACK is
        path.receiver.link.drop = lambda _number, _packet: path.pair.now < sent_at + 0.08
    path.deliver(3)
    path.pair.run(path.pair.now + 1.0)
    assert path.sender.link.retransmissions == 1
    assert told == [], "nothing has come after the probe yet"
    path.sender.link.drop = path.receiver.link.drop = None
    path.deliver(3)
    path.pair.run(path.pair.now + 1.0)
    if lost:
        (what,) = told
        assert (what["lost"], what["sent_at"]) == (PACKET, pytest.approx(sent_at, abs=1e-3))
    else:
        assert told == [], "it had arrived: a duplicate said so"


class Spy(Cubic):
    """Notes the delivery rates that it is told."""

    def __init__(self, *, mss: int, now: float) -> None:
        super().__init__(mss=mss, now=now)
        self.rates: list[float] = []

    def on_ack(self, sample: AckSample) -> None:
        self.rates.append(sample.delivery_rate)
        super().on_ack(sample)


def test_what_was_lost_and_arrives_after_all_is_no_rate() -> None:
    """A timeout leaves nothing in flight, but what was on its way is acknowledged all the same."""
    spy = Spy(mss=PACKET, now=0.0)
    outbound = Outbound(0, controller=spy, now=0.0)
    packer = Packer(source_port=5000, destination_port=5000, tag=1)
    outbound.open(packer, zero_checksum=True, peer_rwnd=10**6)
    outbound.on_rtt_sample(0.01, now=0.0)
    outbound.queue.add(STREAM, 53, bytes(10 * PACKET))
    assert sum(len(data) // size for data, size in outbound.burst(now=0.0)) == 10
    now = 0.0
    while not outbound.timer.timeouts:
        at = outbound.get_timer()
        assert at is not None
        now = at
        outbound.handle_timer(now=now)
        outbound.burst(now=now)
    assert outbound.outstanding.flight_size
    outbound.receive_sack(Sack(9, 10**6, (), 0), now=now + 0.011)
    assert 0 < spy.rates[-1] <= 10 * PACKET / now


def sending(packets: int, *, rtt: float = 0.01) -> Outbound:
    """Return one that has as many packets in flight, and knows the round trip."""
    outbound = Outbound(0, controller=Cubic(mss=PACKET, now=0.0), now=0.0)
    packer = Packer(source_port=5000, destination_port=5000, tag=1)
    outbound.open(packer, zero_checksum=True, peer_rwnd=10**6)
    outbound.on_rtt_sample(rtt, now=0.0)
    outbound.queue.add(STREAM, 53, bytes(packets * PACKET))
    assert burst(outbound, 0.0) == packets
    return outbound


def burst(outbound: Outbound, now: float) -> int:
    """Return how many packets leave."""
    return sum(len(data) // size for data, size in outbound.burst(now=now))


def to_timeout(outbound: Outbound) -> float:
    """Let time pass, and send what may be sent, until the next timeout; return when it was."""
    timeouts = outbound.timer.timeouts
    while True:
        at = outbound.get_timer()
        assert at is not None
        outbound.handle_timer(now=at)
        if outbound.timer.timeouts > timeouts:
            return at
        outbound.burst(now=at)


def test_a_window_that_is_closed_is_asked_by_one_packet_alone() -> None:
    """Whatever else was lost: there is no room for it (RFC 9260 §6.1 A)."""
    outbound = sending(5)
    outbound.receive_sack(Sack(2**32 - 1, 0, (), 0), now=0.01)
    window = outbound.controller.cwnd
    now = to_timeout(outbound)
    assert burst(outbound, now) == 1
    assert outbound.outstanding.flight_size == PACKET
    assert outbound.controller.cwnd == window, "no room is no congestion"
    outbound.receive_sack(Sack(0, 10**6, (), 0), now=now + 0.01)
    assert burst(outbound, now + 0.01) > 1


def test_timeouts_back_off_up_to_a_bound_and_an_answer_ends_that() -> None:
    """RFC 9260 §6.3.3 E2; the bounds are those of rtt.py."""
    outbound = sending(5)
    times = []
    for _ in range(9):
        times.append(to_timeout(outbound))
        outbound.burst(now=times[-1])
    pauses = [round(later - earlier, 3) for earlier, later in pairwise(times)]
    assert pauses == [0.4, 0.8, 1.6, 3.2, 6.4, RTO_MAX, RTO_MAX, RTO_MAX]
    outbound.on_rtt_sample(0.01, now=times[-1])
    assert outbound.rtt.rto == RTO_MIN


def test_one_burst_is_no_more_than_what_is_below_has_room_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    outbound = sending(1)
    outbound.receive_sack(Sack(0, 10**8, (), 0), now=0.01)
    outbound.queue.add(STREAM, 53, bytes(10**6))
    outbound.queue.add(STREAM, 53, bytes(10**6))
    monkeypatch.setattr(outbound.controller, "cwnd", 10**8)
    outbound.controller.pacing_rate = math.inf
    outbound._pacer.set_rate(math.inf, now=0.01)
    assert burst(outbound, 0.02) == MAX_BURST
    outbound.payload = 9_000
    assert burst(outbound, 0.02) == math.ceil(MAX_BURST_SIZE / 9_000)


def test_what_the_way_holds_is_not_known_of_another_one() -> None:
    outbound = sending(1)
    outbound.flight_limit = PACKET
    outbound.path_changed(controller=Cubic(mss=PACKET, now=1.0), now=1.0)
    outbound.queue.add(STREAM, 53, bytes(5 * PACKET))
    assert burst(outbound, 1.0) == 1 + 5


class Full:
    """A long path with much to send; how much was in flight is looked at all the time."""

    def __init__(self, limit: float) -> None:
        self.pair = Pair(1, Conditions(delay=0.05, rate=RATE, queue=10**7))
        self.sender, receiver = self.pair.ends
        assert self.pair.run(5.0, lambda: self.sender.established_at is not None)
        self.sender.association.bound_flight(limit)
        self.sender.to_send = [(self.pair.now, STREAM, bytes(50_000)) for _ in range(200)]
        self.most = 0
        assert self.pair.run(60.0, lambda: self.look() or count(receiver) == 200)

    def look(self) -> bool:
        self.most = max(self.most, self.sender.association._outbound.outstanding.flight_size)
        return False


RATE = 2e6  # bytes per second
VOLUME = RATE * 0.1  # bytes


def test_what_the_way_does_not_hold_is_not_in_flight() -> None:
    assert Full(math.inf).most > 2.2 * VOLUME, "a start-up without a bound"
    assert Full(1.2 * VOLUME).most < 1.9 * VOLUME


def test_a_bound_is_none_where_the_path_carries_more() -> None:
    assert Full(0.2 * VOLUME).most > VOLUME
