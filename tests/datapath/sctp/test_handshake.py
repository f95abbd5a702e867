"""Setting up, in every order and with losses anywhere; and every way to end."""

import itertools

import pytest

from rtcsend.datapath.sctp.events import Closed, Established
from rtcsend.datapath.sctp.handshake import MAX_RETRANSMISSIONS
from rtcsend.datapath.sctp.heartbeat import FAILURE_TIMEOUT, HEARTBEAT_INTERVAL
from rtcsend.datapath.sctp.inbound import Message
from rtcsend.datapath.sctp.wire import ChunkType, Packer, pack_chunk
from tests.fakes.sctp_link import Conditions, Pair

QUICK = Conditions(delay=0.02)


def established(pair: Pair) -> bool:
    return all(end.established_at is not None for end in pair.ends)


def exchange(pair: Pair) -> None:
    """A message each way arrives: tags, TSNs and checksums are agreed."""
    for end in pair.ends:
        end.to_send = [(pair.now, 1, b"hello"), (pair.now, 2, b"again")]
    assert pair.run(pair.now + 30, lambda: all(len(end.received) == 2 for end in pair.ends))
    for end in pair.ends:
        assert end.received == {1: [b"hello"], 2: [b"again"]}
        assert end.events.count(Established()) == 1
        assert end.closed is None


@pytest.mark.parametrize(("end", "position"), list(itertools.product((0, 1), range(6))))
def test_one_packet_lost(end: int, position: int) -> None:
    pair = Pair(1, QUICK)
    pair.ends[end].link.drop = lambda number, _: number == position
    assert pair.run(5.0, lambda: established(pair))
    exchange(pair)


@pytest.mark.parametrize("lost", range(64))
def test_any_of_the_first_packets_lost(lost: int) -> None:
    """Three of each side, in all combinations."""
    pair = Pair(2, QUICK)
    for shift, end in enumerate(pair.ends):
        mask = lost >> 3 * shift & 7
        end.link.drop = lambda number, _, mask=mask: bool(mask >> number & 1)
    assert pair.run(10.0, lambda: established(pair))
    exchange(pair)


@pytest.mark.parametrize("chunk_type", [1, 2, 10, 11])
@pytest.mark.parametrize("times", [1, 3])
def test_one_kind_lost_both_ways(chunk_type: int, times: int) -> None:
    pair = Pair(3, QUICK)
    for end in pair.ends:
        seen: list[int] = []

        def drop(number: int, packet: bytes, seen: list[int] = seen) -> bool:
            if packet[12] == chunk_type and len(seen) < times:
                seen.append(number)
                return True
            return False

        end.link.drop = drop
    assert pair.run(20.0, lambda: established(pair))
    exchange(pair)


@pytest.mark.parametrize("is_busy", [False, True])
def test_data_says_what_a_lost_cookie_ack_would_have(is_busy: bool) -> None:
    pair = Pair(3, QUICK)
    for end in pair.ends:
        end.link.drop = lambda _number, packet: packet[12] == ChunkType.COOKIE_ACK
    # One initiates; the other's INITs are lost, so only the COOKIE ACK could tell the first.
    pair.ends[1].link.drop = lambda _number, packet: (
        packet[12]
        in {
            ChunkType.COOKIE_ACK,
            ChunkType.INIT,
        }
    )
    if is_busy:
        pair.ends[1].to_send = [(0.0, 1, b"early")]
    assert pair.run(0.2, lambda: established(pair))
    pair.ends[1].to_send = []
    pair.run(pair.now + 1)
    for end in pair.ends:
        end.received.clear()
    exchange(pair)


def test_crossing_handshakes_take_two_round_trips_at_most() -> None:
    pair = Pair(4, QUICK)
    assert pair.run(1.0, lambda: established(pair))
    assert pair.now <= 4 * QUICK.delay + 0.01
    exchange(pair)


@pytest.mark.parametrize("delay", [0.1, 1.0, 3.0, 9.0])
def test_one_side_late(delay: float) -> None:
    """Nobody there: what is sent before is lost."""
    pair = Pair(5, QUICK)
    pair.ends[1].starts_at = delay
    pair.ends[0].link.drop = lambda _number, _packet: pair.now < delay
    assert pair.run(delay + 0.2, lambda: established(pair))
    exchange(pair)


def test_a_packet_before_our_own_start() -> None:
    """The other side was so early that its INIT and cookie came before we began."""
    pair = Pair(6, QUICK)
    late = pair.ends[1].association
    pair.ends[1].started = True  # the association is there, and nobody called connect
    assert pair.run(5.0, lambda: established(pair))
    late.connect(now=pair.now)
    assert late.packets_to_send(now=pair.now) == []
    exchange(pair)


def test_slow_paths() -> None:
    pair = Pair(7, Conditions(delay=1.0))
    assert pair.run(10.0, lambda: established(pair))
    exchange(pair)


def test_nobody_answers() -> None:
    pair = Pair(8, Conditions(silence=(0.0, 1e9)))
    pair.run(100.0)
    for end in pair.ends:
        assert end.events == [Closed("The other side does not answer.")]
        assert end.closed_at is not None
        assert 20 <= end.closed_at <= 40
        assert end.link.sent == 1 + MAX_RETRANSMISSIONS
        assert end.association.get_timer() is None


def record(pair: Pair) -> list[tuple[int, bytes]]:
    packets: list[tuple[int, bytes]] = []
    pair.taps.append(lambda number, packet: packets.append((number, packet)))
    return packets


def test_old_handshake_packets_change_nothing() -> None:
    pair = Pair(9, QUICK)
    packets = record(pair)
    assert pair.run(5.0, lambda: established(pair))
    exchange(pair)
    shakes = {ChunkType.INIT, ChunkType.INIT_ACK, ChunkType.COOKIE_ECHO, ChunkType.COOKIE_ACK}
    old = [item for item in packets if item[1][12] in shakes]
    assert {packet[12] for _, packet in old} == shakes
    for number, packet in old:
        pair.inject(1 - number, packet)
    pair.run(pair.now + 1)
    for end in pair.ends:
        end.received.clear()
    exchange(pair)


def test_a_cookie_that_is_not_ours_is_ignored() -> None:
    pair = Pair(10, QUICK)
    packer = Packer(
        source_port=5000, destination_port=5000, tag=pair.ends[1].association._tcb.config.tag
    )
    echo = pack_chunk(ChunkType.COOKIE_ECHO, 0, b"not ours")
    pair.inject(1, packer.pack(echo, zero_checksum=False), at=0.03)
    pair.run(0.035)
    assert pair.ends[1].established_at is None
    assert pair.run(5.0, lambda: established(pair))
    exchange(pair)


def test_wrong_tags_are_dropped() -> None:
    pair = Pair(11, QUICK)
    packets = record(pair)
    assert pair.run(5.0, lambda: established(pair))
    exchange(pair)
    for number, packet in list(packets):
        if packet[12] != ChunkType.INIT:
            # Tags of the wrong direction, and with an ABORT in it.
            pair.inject(number, packet)
            header = packet[:8] + bytes(4)
            pair.inject(number, header + pack_chunk(ChunkType.ABORT, 0, b""))
    before = [end.events[:] for end in pair.ends]
    pair.run(pair.now + 1)
    assert [end.events for end in pair.ends] == before
    for end in pair.ends:
        assert end.association.malformed


def test_an_init_brings_nothing_else_with_it() -> None:
    """An INIT's packet has the tag 0, which proves nothing."""
    pair = Pair(12, QUICK)
    packets = record(pair)
    assert pair.run(5.0, lambda: established(pair))
    number, init = next(item for item in packets if item[1][12] == ChunkType.INIT)
    forged = init[:8] + bytes(4) + init[12:] + pack_chunk(ChunkType.ABORT, 0, b"")
    pair.inject(1 - number, forged)
    pair.run(pair.now + 1)
    exchange(pair)


def test_abort_ends_both_at_once() -> None:
    pair = Pair(13, QUICK)
    assert pair.run(5.0, lambda: established(pair))
    exchange(pair)
    first, second = pair.ends
    first.association.abort()
    first.association.abort()
    at = pair.now
    pair.run(pair.now + 5)
    assert first.closed == Closed(None)
    assert second.closed == Closed("The other side has ended the association.")
    assert second.closed_at is not None
    assert second.closed_at <= at + 2 * QUICK.delay
    for end in pair.ends:
        assert not end.association.is_established
        assert end.association.get_timer() is None
        assert [event for event in end.events if isinstance(event, Closed)] == [end.closed]


@pytest.mark.parametrize("is_bundled", [False, True])
def test_nothing_is_taken_after_the_end(is_bundled: bool) -> None:
    pair = Pair(14, QUICK)
    packets = record(pair)
    assert pair.run(5.0, lambda: established(pair))
    exchange(pair)
    data = [packet for number, packet in packets if number == 0 and packet[12] == ChunkType.DATA]
    end = pair.ends[1].association
    tag = data[0][:8] + bytes(4)
    tsn = int.from_bytes(data[-1][16:20], "big") + 1
    fresh = data[-1][:16] + tsn.to_bytes(4, "big") + data[-1][20:]
    abort = tag + pack_chunk(ChunkType.ABORT, 0, b"")
    last = [abort + fresh[12:]] if is_bundled else [abort, fresh]
    end.receive_packets_untrusted(last, now=pair.now)
    assert isinstance(end.next_event(), Closed)
    assert end.next_event() is None


@pytest.mark.parametrize("is_busy", [True, False])
def test_a_peer_that_vanishes_is_noticed(is_busy: bool) -> None:
    silence = (5.0, 1e9)
    pair = Pair(15, Conditions(silence=silence))
    assert pair.run(4.0, lambda: established(pair))
    if is_busy:
        pair.ends[0].to_send = [(4.9, 1, bytes(1000)), (6.0, 1, bytes(100_000))]
    pair.run(60.0)
    for end in pair.ends:
        assert end.closed == Closed("The other side does not answer any more.")
        assert end.closed_at is not None
        limit = 5.0 + FAILURE_TIMEOUT + 2 * HEARTBEAT_INTERVAL
        assert 5.0 + FAILURE_TIMEOUT - 2 * HEARTBEAT_INTERVAL <= end.closed_at <= limit


def test_a_path_that_comes_back_is_used_again() -> None:
    pair = Pair(16, Conditions(silence=(5.0, 17.0)))
    assert pair.run(4.0, lambda: established(pair))
    pair.ends[0].to_send = [(4.99, 1, bytes(200_000))]
    assert pair.run(60.0, lambda: bool(pair.ends[1].received))
    assert pair.now <= 30.0
    assert pair.ends[0].closed is None


def test_idle_associations_stay() -> None:
    pair = Pair(17, QUICK)
    assert pair.run(5.0, lambda: established(pair))
    sent = [end.link.sent for end in pair.ends]
    pair.run(pair.now + 600)
    for end, before in zip(pair.ends, sent, strict=True):
        assert end.closed is None
        assert end.link.sent - before <= 2 * 600 / HEARTBEAT_INTERVAL + 20
    exchange(pair)


def test_a_process_that_slept_does_not_blame_the_other_side() -> None:
    """A laptop is closed for an hour; the answers are in the socket when it opens."""
    pair = Pair(18, QUICK)
    assert pair.run(5.0, lambda: established(pair))
    pair.ends[0].to_send = [(pair.now, 1, b"hello")]
    pair.run(pair.now + 0.001)
    end = pair.ends[0].association
    for later in (3_600.0, 3_600.5, 3_601.0, 7_200.0):
        end.handle_timer(now=pair.now + later)
    assert pair.ends[0].association.is_established
    later = pair.now + 7_200.0
    for _ in range(100):
        timer = end.get_timer()
        if timer is None:
            break
        later = max(timer, later)
        end.handle_timer(now=later)
        end.packets_to_send(now=later)
    assert not end.is_established, "silence while we run is silence"
    assert later - pair.now - 7_200.0 <= FAILURE_TIMEOUT + 2 * HEARTBEAT_INTERVAL
    events = list(iter(end.next_event, None))
    assert not any(isinstance(event, Message) for event in events)
