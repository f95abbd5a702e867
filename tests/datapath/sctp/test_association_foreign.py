"""What an association does for a peer that is not ours, and two of ours do not need."""

import random

import pytest

from rtcsend.datapath.congestion.cubic import Cubic
from rtcsend.datapath.sctp.association import Association
from rtcsend.datapath.sctp.config import AssociationConfig
from rtcsend.datapath.sctp.events import StreamsReset
from rtcsend.datapath.sctp.inbound import Message
from rtcsend.datapath.sctp.serial import add
from rtcsend.datapath.sctp.tcb import MAX_CONTROL
from rtcsend.datapath.sctp.wire import (
    DATA_HEADER,
    FLAG_BEGIN,
    FLAG_END,
    FLAG_IMMEDIATE,
    FLAGS_OFFSET,
    HEADER_SIZE,
    ChunkType,
    Packer,
    chunks_untrusted,
    parse_sack_untrusted,
)

CONTROL, DATA = 0, 1
BINARY = 53
PACKET = 1_100  # bytes of user data


def association(seed: int, *, own_peer: bool) -> Association:
    rng = random.Random(seed)
    config = AssociationConfig(
        tag=rng.randrange(1, 1 << 32),
        initial_tsn=0xFFFF_FFF0,
        cookie=rng.randbytes(32),
        own_peer=own_peer,
        max_message_size=262_144,
        controller=lambda mss, now: Cubic(mss=mss, now=now),
    )
    return Association(config, now=0.0)


def exchange(one: Association, other: Association, *, now: float) -> None:
    """Carry packets both ways until neither has any."""
    while (there := one.packets_to_send(now=now)) + (back := other.packets_to_send(now=now)):
        other.receive_packets_untrusted(there, now=now)
        one.receive_packets_untrusted(back, now=now)


def established(*, own_peer: bool) -> tuple[Association, Association]:
    one, other = association(1, own_peer=own_peer), association(2, own_peer=own_peer)
    one.connect(now=0.0)
    other.connect(now=0.0)
    exchange(one, other, now=0.0)
    assert one.is_established
    assert other.is_established
    return one, other


def sacks(packets: list[bytes]) -> list[int]:
    """Return the cumulative TSNs of the SACKs in packets."""
    return [
        parse_sack_untrusted(chunk.value).cumulative_tsn
        for packet in packets
        for chunk in chunks_untrusted(packet)
        if chunk.type == ChunkType.SACK
    ]


def batch(sender: Association, count: int, *, more_to_come: bool = False) -> list[bytes]:
    """Return packets of data; the last asks for a SACK unless there is more to come."""
    for _ in range(count):
        sender.send(DATA, BINARY, bytes(PACKET))
    packets = sender.packets_to_send(now=1.0)
    data = [packet for packet in packets if packet[HEADER_SIZE] == ChunkType.DATA]
    assert len(data) == count
    assert [packet[FLAGS_OFFSET] & FLAG_IMMEDIATE for packet in data] == [0] * (count - 1) + [8]
    if more_to_come:
        last = bytearray(data[-1])
        last[FLAGS_OFFSET] &= ~FLAG_IMMEDIATE
        data[-1] = bytes(last)
    return data


@pytest.mark.parametrize(
    ("own_peer", "count", "more_to_come", "expected"),
    [
        (True, 5, True, [4]),
        (True, 1, True, []),
        (True, 1, False, [0]),
        (False, 5, True, [1, 3, 4]),
        (False, 1, False, [0]),
    ],
)
def test_every_second_packet_of_a_batch_is_acknowledged_to_others(
    own_peer: bool, count: int, more_to_come: bool, expected: list[int]
) -> None:
    one, other = established(own_peer=own_peer)
    data = batch(one, count, more_to_come=more_to_come)
    other.receive_packets_untrusted(data, now=1.0)
    first = 0xFFFF_FFF0
    assert [tsn - first for tsn in sacks(other.packets_to_send(now=1.0))] == expected


@pytest.mark.parametrize("count", [2, 700, 701])
def test_a_batch_of_any_size_is_acknowledged_to_its_end(count: int) -> None:
    """Not every SACK of a huge batch finds room among the answers; the last one does."""
    one, other = established(own_peer=False)
    exchange(one, other, now=1.0)
    first = one._outbound.queue.next_tsn
    flags = FLAG_BEGIN | FLAG_END
    packer = Packer(source_port=5000, destination_port=5000, tag=other._tcb.config.tag)
    data = [
        packer.pack(
            DATA_HEADER.pack(0, flags, 20, add(first, number), DATA, 0, BINARY) + b"data",
            zero_checksum=True,
        )
        for number in range(count)
    ]
    other.receive_packets_untrusted(data, now=1.0)
    acknowledged = sacks(other.packets_to_send(now=1.0))
    assert acknowledged[-1] == add(first, count - 1)
    assert len(acknowledged) <= MAX_CONTROL + 1


def test_one_sack_a_batch_while_something_is_missing() -> None:
    one, other = established(own_peer=False)
    packets = batch(one, 6)
    other.receive_packets_untrusted(packets[1:], now=1.0)
    assert len(sacks(other.packets_to_send(now=1.0))) == 1


def events(end: Association) -> list[object]:
    return list(iter(end.next_event, None))


def test_a_stream_is_reset_after_what_was_sent_on_it() -> None:
    one, other = established(own_peer=False)
    events(other)
    lost = batch(one, 2)[0]
    one.send(CONTROL, BINARY, b"control")
    one.reset(DATA, now=1.0)
    other.receive_packets_untrusted(one.packets_to_send(now=1.0), now=1.0)
    assert events(other) == []  # the end does not overtake the data
    other.receive_packets_untrusted([lost], now=1.0)
    for _ in range(200):
        now = one.get_timer()
        if now is None or now > 20.0:
            break
        now = max(now, 1.0)
        one.handle_timer(now=now)
        exchange(one, other, now=now)
    happened = events(other)
    assert sum(isinstance(event, Message) for event in happened) == 3
    assert happened[-1] == StreamsReset((DATA,))


def test_what_waits_on_a_stream_that_ends_is_dropped() -> None:
    one, other = established(own_peer=False)
    one.send(DATA, BINARY, bytes(100))
    one.send(CONTROL, BINARY, b"control")
    one.reset(DATA, now=1.0)
    assert (one.queued_on(DATA), one.queued) == (0, len(b"control"))
    events(other)
    exchange(one, other, now=1.0)
    assert events(other) == [Message(CONTROL, BINARY, b"control"), StreamsReset((DATA,))]


def test_a_message_that_was_begun_is_ended_before_its_stream() -> None:
    one, other = established(own_peer=False)
    events(other)
    one.send(DATA, BINARY, bytes(200_000))  # more than the first window
    other.receive_packets_untrusted(one.packets_to_send(now=1.0), now=1.0)
    one.reset(DATA, now=1.0)
    assert one.queued_on(DATA)
    now = 1.0
    for _ in range(500):
        one.handle_timer(now=now)
        exchange(one, other, now=now)
        now += 0.01
    assert events(other) == [Message(DATA, BINARY, bytes(200_000)), StreamsReset((DATA,))]
