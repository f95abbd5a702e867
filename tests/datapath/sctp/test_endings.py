"""Ways to end, ways to begin again, and questions that are asked too often: one packet each."""

import random
from collections import Counter

import pytest

from rtcsend.datapath.congestion.cubic import Cubic
from rtcsend.datapath.sctp.association import Association
from rtcsend.datapath.sctp.config import AssociationConfig
from rtcsend.datapath.sctp.events import Closed, StreamsReset
from rtcsend.datapath.sctp.tcb import MAX_CONTROL
from rtcsend.datapath.sctp.wire import (
    ChunkType,
    Packer,
    Parameter,
    chunks_untrusted,
    pack_chunk,
    pack_parameter,
    pack_sack,
)
from tests.fakes.sctp_link import Conditions, Pair

ENDED = Closed("The other side has ended the association.")
T_BIT = 1
COOKIE = b"the cookie"
BODY = bytes(4)  # of a SHUTDOWN: a TSN


def association(seed: int) -> Association:
    config = AssociationConfig(
        tag=0x01010101 * seed,
        initial_tsn=0,
        cookie=COOKIE,
        own_peer=True,
        max_message_size=262_144,
        controller=lambda mss, now: Cubic(mss=mss, now=now),
    )
    return Association(config, now=0.0)


class Talk:
    """An association, and somebody who says whatever a test wants, in its peer's name."""

    def __init__(self) -> None:
        self.association, self.other = association(1), association(2)
        self.handshake: list[bytes] = []

    def shake_hands(self, packets: int = 100) -> None:
        """Carry so many packets to the association, and all of its to the other."""
        self.association.connect(now=0.0)
        self.other.connect(now=0.0)
        for _ in range(6):
            self.other.receive_packets_untrusted(self.association.packets_to_send(now=0.0), now=0.0)
            for packet in self.other.packets_to_send(now=0.0)[:packets]:
                packets -= 1
                self.handshake.append(packet)
                self.association.receive_packets_untrusted([packet], now=0.0)
        self.got()

    def say(self, *chunks: bytes, tag: int = 1) -> None:
        """One packet; the tag is that of the first or of the second association."""
        packer = Packer(source_port=5000, destination_port=5000, tag=0x01010101 * tag)
        packet = packer.pack(b"".join(chunks), zero_checksum=True)
        self.association.receive_packets_untrusted([packet], now=0.0)

    def got(self) -> Counter[int]:
        packets = self.association.packets_to_send(now=0.0)
        assert all(len(packet) <= 20_000 for packet in packets)
        return Counter(chunk.type for packet in packets for chunk in chunks_untrusted(packet))

    def events(self) -> list[object]:
        return list(iter(self.association.next_event, None))


def established() -> Talk:
    talk = Talk()
    talk.shake_hands()
    assert talk.association.is_established
    talk.events()
    return talk


@pytest.mark.parametrize(
    ("flags", "tag", "is_end"), [(0, 1, True), (0, 2, False), (T_BIT, 1, False), (T_BIT, 2, True)]
)
def test_an_abort_has_our_tag_or_reflects_theirs_and_says_so(
    flags: int, tag: int, is_end: bool
) -> None:
    """RFC 9260 §8.5.1 B."""
    talk = established()
    talk.say(pack_chunk(ChunkType.ABORT, flags, b""), tag=tag)
    assert talk.events() == ([ENDED] if is_end else [])
    assert talk.association.malformed == (not is_end)


def test_a_reflected_abort_ends_the_handshake() -> None:
    """They have lost what they knew of us, after their INIT ACK."""
    talk = Talk()
    talk.shake_hands(packets=1)
    assert not talk.association.is_established
    talk.say(pack_chunk(ChunkType.ABORT, T_BIT, b""), tag=2)
    assert talk.events() == [ENDED]
    assert talk.association.get_timer() is None


def test_before_there_is_a_peer_nothing_is_reflected() -> None:
    talk = Talk()
    talk.association.connect(now=0.0)
    for tag in (0, 1, 2):
        talk.say(pack_chunk(ChunkType.ABORT, T_BIT, b""), tag=tag)
    assert talk.events() == []


@pytest.mark.parametrize(
    ("asked", "answer"),
    [
        (ChunkType.SHUTDOWN, ChunkType.SHUTDOWN_ACK),
        (ChunkType.SHUTDOWN_ACK, ChunkType.SHUTDOWN_COMPLETE),
    ],
)
def test_a_peer_that_shuts_down_is_let_go(asked: ChunkType, answer: ChunkType) -> None:
    """Or it would repeat it until it gives us up. Source: RFC 9260 §9.2."""
    talk = established()
    talk.say(pack_chunk(asked, 0, BODY))
    assert talk.events() == [ENDED]
    assert talk.got() == {answer: 1}
    talk.say(pack_chunk(asked, 0, BODY))
    assert talk.events() == []
    assert talk.got() == {}


@pytest.mark.parametrize("packets", [0, 1])
@pytest.mark.parametrize(
    "kind", [ChunkType.SHUTDOWN, ChunkType.SHUTDOWN_ACK, ChunkType.SHUTDOWN_COMPLETE]
)
def test_before_it_is_established_there_is_nothing_to_shut_down(
    kind: ChunkType, packets: int
) -> None:
    talk = Talk()
    talk.shake_hands(packets=packets)
    talk.say(pack_chunk(kind, 0, BODY))
    assert talk.events() == []
    assert talk.association.get_timer() is not None
    talk.shake_hands()
    assert talk.association.malformed == 0


def test_shutdown_complete_without_a_shutdown_is_ignored() -> None:
    talk = established()
    talk.say(pack_chunk(ChunkType.SHUTDOWN_COMPLETE, 0, b""))
    assert talk.events() == []
    assert talk.association.is_established


def test_the_same_question_many_times_in_one_batch_is_answered_once() -> None:
    talk = established()
    talk.say(*[pack_chunk(ChunkType.COOKIE_ECHO, 0, COOKIE)] * 1_000)
    assert talk.got() == {ChunkType.COOKIE_ACK: 1}
    talk = Talk()
    talk.shake_hands(packets=0)
    init = association(2)
    init.connect(now=0.0)
    talk.association.receive_packets_untrusted(init.packets_to_send(now=0.0) * 1_000, now=0.0)
    assert talk.got() == {ChunkType.INIT_ACK: 1}


def test_a_handshake_in_the_middle_changes_nothing() -> None:
    talk = established()
    stranger = association(3)
    stranger.connect(now=0.0)
    talk.association.receive_packets_untrusted(
        [*stranger.packets_to_send(now=0.0), *talk.handshake], now=0.0
    )
    talk.say(pack_chunk(ChunkType.COOKIE_ECHO, 0, b"another"), pack_chunk(11, 0, b""))
    assert talk.events() == []
    assert set(talk.got()) <= {ChunkType.COOKIE_ACK, ChunkType.HEARTBEAT_ACK}
    talk.association.send(1, 53, b"data")
    assert talk.got()[ChunkType.DATA] == 1


@pytest.mark.parametrize(
    "kind", [Parameter.INCOMING_RESET_REQUEST, 15, 17, 18]
)  # and: all numbers anew, more streams out, more streams in
def test_what_data_channels_do_not_need_is_denied(kind: int) -> None:
    talk = established()
    request = pack_parameter(kind, (7).to_bytes(4, "big") + bytes(4))
    talk.say(pack_chunk(ChunkType.RE_CONFIG, 0, request))
    packets = talk.association.packets_to_send(now=0.0)
    answers = [chunk for packet in packets for chunk in chunks_untrusted(packet)]
    assert [(chunk.type, chunk.value) for chunk in answers] == [
        (ChunkType.RE_CONFIG, bytes.fromhex("0010 000c 00000007 00000002"))
    ]


def outgoing_reset(sequence: int, stream: int) -> bytes:
    value = sequence.to_bytes(4, "big") + bytes(4) + (2**32 - 1).to_bytes(4, "big")
    value += stream.to_bytes(2, "big")
    parameter = pack_parameter(Parameter.OUTGOING_RESET_REQUEST, value)
    return pack_chunk(ChunkType.RE_CONFIG, 0, parameter)


def test_a_reset_that_was_late_on_its_way_does_not_happen_again() -> None:
    talk = established()
    for sequence, stream in [(5, 1), (6, 2), (5, 1), (6, 2), (4, 3)]:
        talk.say(outgoing_reset(sequence, stream))
    assert talk.events() == [StreamsReset((1,)), StreamsReset((2,))]


def test_a_thousand_requests_in_one_chunk_are_two() -> None:
    talk = established()
    denied = pack_parameter(15, bytes(8))
    talk.say(pack_chunk(ChunkType.RE_CONFIG, 0, denied * 1_000))
    assert talk.got() == {ChunkType.RE_CONFIG: 2}
    talk.say(*[pack_chunk(ChunkType.RE_CONFIG, 0, denied)] * 1_000)
    assert talk.got() == {ChunkType.RE_CONFIG: MAX_CONTROL}


def test_our_reset_waits_for_the_end_of_a_message_that_was_begun() -> None:
    """And sleeps meanwhile: a timer that is due, and may do nothing, would never rest."""
    pair = Pair(1, Conditions(delay=0.02, rate=1e5))
    sender, receiver = pair.ends
    assert pair.run(5.0, lambda: sender.established_at is not None)
    sender.to_send = [(pair.now, 1, bytes(60_000)), (pair.now, 1, b"dropped")]
    pair.run(pair.now + 0.2)
    queue = sender.association._outbound.queue
    assert queue.is_half_sent
    sender.association.reset(1, now=pair.now)
    timer = sender.association.get_timer()
    assert timer is not None
    assert timer > pair.now
    seen: list[int] = []
    pair.taps.append(lambda end, packet: seen.append(packet[12]) if end == 0 else None)
    assert pair.run(pair.now + 10.0, lambda: StreamsReset((1,)) in receiver.events)
    assert seen.index(ChunkType.RE_CONFIG) > max(
        index for index, kind in enumerate(seen) if kind == ChunkType.DATA
    )
    assert receiver.received == {1: [bytes(60_000)]}


def test_streams_are_not_reset_at_a_peer_that_cannot() -> None:
    talk = established()
    talk.association._tcb.resets.open(their_initial_sequence=0, is_supported=False)
    talk.association.reset(1, now=0.0)
    assert talk.got() == {}
    assert established().association._tcb.handshake.can_reset_streams


def test_sacks_for_what_was_never_sent_are_dropped_and_cost_little() -> None:
    talk = established()
    talk.association.send(1, 53, bytes(100_000))
    talk.got()
    flight = talk.association._outbound.outstanding.flight_size
    rng = random.Random(1)
    for _ in range(300):
        blocks = sorted(rng.sample(range(2, 65_535), 2_000))
        gaps = list(zip(blocks[::2], blocks[1::2], strict=True))
        talk.say(pack_sack(rng.randrange(2**32), 0, gaps, []))
    assert talk.association._outbound.outstanding.flight_size == flight
    assert talk.association.is_established
    assert talk.association._outbound.peer_rwnd, "nor is their window believed"
