"""One association against a peer played by hand, and pairs where one thing goes wrong."""

import math
import random
from collections.abc import Callable

import pytest

from rtcsend.datapath.congestion.base import CongestionController
from rtcsend.datapath.congestion.bbr import Bbr
from rtcsend.datapath.congestion.cubic import Cubic
from rtcsend.datapath.sctp import association as association_module
from rtcsend.datapath.sctp import inbound as inbound_module
from rtcsend.datapath.sctp import tcb
from rtcsend.datapath.sctp.events import Closed, StreamsReset
from rtcsend.datapath.sctp.inbound import Message
from rtcsend.datapath.sctp.serial import add
from rtcsend.datapath.sctp.tcb import MAX_CONTROL
from rtcsend.datapath.sctp.wire import (
    DATA_HEADER,
    FLAG_BEGIN,
    FLAG_END,
    HEADER_SIZE,
    ChunkType,
    Packer,
    Parameter,
    chunks_untrusted,
    pack_chunk,
    pack_parameter,
    pack_sack,
)
from tests.fakes.sctp_link import Conditions, End, Pair

BUFFER = 256 * 1024
QUICK = Conditions(delay=0.02)
CONTRADICTION = Closed("The fragments of an SCTP message contradict each other.", is_breach=True)


def established_pair(
    conditions: Conditions = QUICK, *, seed: int = 1, own_peer: bool = True
) -> Pair:
    pair = Pair(seed, conditions, own_peer=own_peer)
    assert pair.run(20.0, lambda: all(end.established_at is not None for end in pair.ends))
    return pair


def arrived(end: End, count: int) -> bool:
    return sum(map(len, end.received.values())) >= count


# Flow control


@pytest.fixture
def small_buffer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inbound_module, "RECEIVE_BUFFER", BUFFER)
    monkeypatch.setattr(association_module, "RECEIVE_BUFFER", BUFFER)
    monkeypatch.setattr(tcb, "RECEIVE_BUFFER", BUFFER)


@pytest.mark.usefixtures("small_buffer")
@pytest.mark.parametrize("loss", [0.0, 0.02])
@pytest.mark.parametrize("size", [1, 600, 65_536])
def test_an_application_that_takes_nothing_for_ten_seconds(loss: float, size: int) -> None:
    pair = established_pair(Conditions(delay=0.02, loss=loss), seed=3)
    sender, receiver = pair.ends
    receiver.takes_from = 10.0
    count = 3 * BUFFER // size if size > 1 else 500
    sender.to_send = [(0.0, 1, bytes([number % 256]) * size) for number in range(count)]
    expected = [data for _, _, data in sender.to_send]
    mtu_seen = []
    pair.run(9.9)
    mtu_seen.append(sender.association._path.mtu.size)
    assert receiver.most_stored <= BUFFER
    if size > 1:
        assert receiver.untaken > BUFFER - 2 * sender.association._outbound.payload
        assert sender.association._outbound.peer_rwnd < sender.association._outbound.payload
        sent = sum(sender.link.transmissions.values())
        assert sent * 1000 <= 2 * BUFFER + 100_000, "the closed window was not respected"
    assert pair.run(60.0, lambda: arrived(receiver, count))
    assert pair.now <= 15.0
    assert receiver.received == {1: expected}
    assert mtu_seen == [1_432], "a full receiver was taken for a black hole"
    assert sender.closed is None


@pytest.mark.usefixtures("small_buffer")
def test_a_lost_window_update_is_made_up_for() -> None:
    pair = established_pair()
    sender, receiver = pair.ends
    receiver.takes_from = 5.0
    sender.to_send = [(0.0, 1, bytes(BUFFER)) for _ in range(3)]
    receiver.link.drop = lambda _number, _packet: 4.99 <= pair.now < 5.01
    assert pair.run(30.0, lambda: arrived(receiver, 3))
    assert pair.now <= 16.0


@pytest.mark.usefixtures("small_buffer")
def test_a_path_that_shrinks_while_the_window_is_closed() -> None:
    """The update is lost, and the packet that asks again is too large: not for ever."""
    pair = established_pair(Conditions(delay=0.02, shrinks_at=2.0))
    sender, receiver = pair.ends
    receiver.takes_from = 5.0
    sender.to_send = [(0.0, 1, bytes(BUFFER)) for _ in range(3)]
    receiver.link.drop = lambda _number, _packet: 4.99 <= pair.now < 5.01
    assert pair.run(60.0, lambda: arrived(receiver, 3))


@pytest.mark.usefixtures("small_buffer")
def test_a_slow_application_is_a_slow_sender() -> None:
    pair = established_pair()
    sender, receiver = pair.ends
    sender.to_send = [(0.0, 1, bytes(32_768)) for _ in range(64)]
    for _ in range(100):
        receiver.takes_from = math.inf
        pair.run(pair.now + 0.1)
        if receiver.untaken:
            taken = min(receiver.untaken, 65_536)
            receiver.association.taken(taken, now=pair.now)
            receiver.untaken -= taken
        assert receiver.most_stored <= BUFFER
        if arrived(receiver, 64):
            break
    assert arrived(receiver, 64)


# Reneging


@pytest.mark.parametrize("pings", [0, 300], ids=["silent", "with more behind"])
def test_a_peer_that_drops_what_it_acknowledged_gets_it_again(pings: int) -> None:
    """RFC 9260 §6.2: gap blocks are a promise that may be broken.

    Also where what comes after it is acknowledged, so that no timeout ever brings it up.
    """
    pair = established_pair()
    sender, receiver = pair.ends
    sender.to_send = [(0.0, 1, bytes([number]) * 1000) for number in range(20)]
    sender.to_send += [(0.5 + number / 10, 1, b"ping") for number in range(pings)]
    lost = {add(sender.association._tcb.config.initial_tsn, 3)}

    def drop(_number: int, packet: bytes) -> bool:
        tsn = int.from_bytes(packet[16:20], "big")
        return packet[12] == ChunkType.DATA and tsn in lost and pair.now < 0.5

    sender.link.drop = drop
    pair.run(0.45)
    inbound = receiver.association._tcb.inbound
    assert inbound is not None
    assert len(inbound._waiting) == 16
    assert sender.association._outbound.outstanding
    inbound._waiting.clear()
    inbound._waiting_size = 0
    inbound._ranges.clear()
    assert pair.run(10.0, lambda: arrived(receiver, 20))
    assert pair.now <= 2.0
    assert receiver.received[1][:20] == [bytes([number]) * 1000 for number in range(20)]
    assert sender.link.retransmissions <= 16 + 8, "only what was dropped, and one that was lost"


# Losses


@pytest.mark.parametrize("loss", [0.001, 0.01, 0.05, 0.2])
def test_a_loss_costs_about_one_retransmission(loss: float) -> None:
    pair = established_pair(Conditions(delay=0.02, loss=loss, rate=1e7), seed=5)
    sender, receiver = pair.ends
    count = 32 if loss < 0.1 else 8
    sender.to_send = [(0.0, 1, bytes(65_536)) for _ in range(count)]
    assert pair.run(120.0, lambda: arrived(receiver, count))
    link = sender.link
    assert link.data_dropped > 0 or loss < 0.01
    assert link.retransmissions <= 1.1 * link.data_dropped + 15


@pytest.mark.parametrize("silence", [(0.3, 1.5), (0.3, 8.0)])
def test_after_an_outage_the_packet_size_returns(silence: tuple[float, float]) -> None:
    pair = established_pair(Conditions(delay=0.02, silence=silence, rate=1e6))
    sender, receiver = pair.ends
    sender.to_send = [(0.0, 1, bytes(65_536)) for _ in range(32)]
    assert pair.run(60.0, lambda: arrived(receiver, 32))
    pair.run(pair.now + 30)
    assert sender.association._path.mtu.size == 1_432
    assert not sender.association.needs_fragmentation


def test_an_rtt_longer_than_the_first_timeout_does_not_go_on_for_ever() -> None:
    """Without an unambiguous sample everything would be sent twice, always (Karn)."""
    pair = established_pair(Conditions(delay=1.0, reordering=0.02, reordering_delay=0.05))
    sender, receiver = pair.ends
    sender.to_send = [(0.0, 1, bytes(65_536)) for _ in range(16)]
    assert pair.run(120.0, lambda: arrived(receiver, 16))
    # Three timeouts before the first answer, and what the first window held.
    assert sender.link.retransmissions <= 100
    assert sender.association._outbound.rtt.srtt == pytest.approx(2.0, rel=0.1)


@pytest.mark.parametrize("controller", [Cubic, Bbr])
def test_an_rtt_that_jumps_is_learnt(controller: Callable[..., CongestionController]) -> None:
    pair = Pair(1, Conditions(delay=0.01), controller=controller)
    sender, receiver = pair.ends
    sender.to_send = [(0.0, 1, bytes(65_536)) for _ in range(8)]
    assert pair.run(30.0, lambda: arrived(receiver, 8))
    for end in pair.ends:
        end.link._conditions = Conditions(delay=1.0)
    before = sender.link.retransmissions
    sender.to_send = [(0.0, 1, bytes(65_536)) for _ in range(16)]
    assert pair.run(pair.now + 120.0, lambda: arrived(receiver, 24))
    assert sender.association._outbound.rtt.srtt > 0.3
    assert sender.link.retransmissions - before <= 1_000, "each chunk once, at most"


# Stream resets


class ByHand:
    """A peer played by hand: what it sends is written here, what it gets is listed."""

    def __init__(self) -> None:
        self.pair = established_pair()
        own, peer = self.pair.ends
        self.association = own.association
        self.now = self.pair.now
        self.packer = Packer(
            source_port=5000, destination_port=5000, tag=self.association._tcb.config.tag
        )
        self.tsn = peer.association._tcb.config.initial_tsn
        self.got()

    def feed(self, *chunks: bytes, later: float = 0.0) -> None:
        self.now += later
        self.association.receive_packets_untrusted(
            [self.packer.pack(chunk, zero_checksum=True) for chunk in chunks], now=self.now
        )

    def data(self, index: int, payload: bytes, flags: int = FLAG_BEGIN | FLAG_END) -> bytes:
        header = DATA_HEADER.pack(
            0, flags, DATA_HEADER.size + len(payload), add(self.tsn, index), 1, 0, 53
        )
        return header + payload + bytes(-len(payload) % 4)

    def got(self) -> list[tuple[int, bytes]]:
        packets = self.association.packets_to_send(now=self.now)
        return [(c.type, c.value) for packet in packets for c in chunks_untrusted(packet)]

    def events(self) -> list[object]:
        return list(iter(self.association.next_event, None))


def reset_request(sequence: int, last_tsn: int, *streams: int) -> bytes:
    value = sequence.to_bytes(4, "big") + bytes(4) + last_tsn.to_bytes(4, "big")
    value += b"".join(stream.to_bytes(2, "big") for stream in streams)
    return pack_chunk(
        ChunkType.RE_CONFIG, 0, pack_parameter(Parameter.OUTGOING_RESET_REQUEST, value)
    )


def answer(sequence: int, result: int) -> tuple[int, bytes]:
    value = sequence.to_bytes(4, "big") + result.to_bytes(4, "big")
    return ChunkType.RE_CONFIG, pack_parameter(Parameter.RECONFIGURATION_RESPONSE, value)


@pytest.mark.parametrize("size", [1, 2, 3, 4, 1_000])
def test_all_chunks_of_a_packet_count(size: int) -> None:
    """Most packets are one DATA chunk, and have a shorter way: what is behind it is not lost."""
    peer = ByHand()
    chunks = [
        peer.data(0, bytes(size)),
        peer.data(1, b"two"),
        reset_request(5, add(peer.tsn, 1), 1),
    ]
    peer.feed(b"".join(chunks))
    assert peer.events() == [
        Message(1, 53, bytes(size)),
        Message(1, 53, b"two"),
        StreamsReset((1,)),
    ]


def test_a_reset_does_not_overtake_the_data_before_it() -> None:
    peer = ByHand()
    request = reset_request(5, add(peer.tsn, 1), 1, 3)
    peer.feed(peer.data(1, b"second"), request)
    assert peer.events() == []
    assert ChunkType.RE_CONFIG not in dict(peer.got())
    peer.feed(request)
    assert peer.events() == []
    assert answer(5, 6) in peer.got()  # in progress
    peer.feed(peer.data(0, b"first"))
    assert peer.events() == [
        Message(1, 53, b"first"),
        Message(1, 53, b"second"),
        StreamsReset((1, 3)),
    ]
    assert answer(5, 1) in peer.got()


def test_a_repeated_reset_is_answered_and_happens_once() -> None:
    peer = ByHand()
    request = reset_request(5, add(peer.tsn, -1), 2)
    for _ in range(3):
        peer.feed(request)
        assert answer(5, 1) in peer.got()
    peer.feed(reset_request(6, add(peer.tsn, -1), 4))
    assert peer.events() == [StreamsReset((2,)), StreamsReset((4,))]


# What a peer may do wrong


def test_the_association_ends_for_contradicting_fragments_only_with_a_word() -> None:
    peer = ByHand()
    peer.feed(peer.data(0, b"x", FLAG_BEGIN), peer.data(1, b"y", FLAG_BEGIN))
    assert peer.events() == [CONTRADICTION]
    assert peer.got() == [(ChunkType.ABORT, b"")]
    peer = ByHand()
    peer.feed(peer.data(2, b"x", FLAG_BEGIN), peer.data(3, b"y", FLAG_BEGIN))
    forward = add(peer.tsn, 3).to_bytes(4, "big")
    peer.feed(pack_chunk(ChunkType.FORWARD_TSN, 0, forward))
    assert peer.events() == [CONTRADICTION]
    assert peer.got() == [(ChunkType.ABORT, b"")]


def test_a_thousand_questions_in_one_packet_get_some_answers() -> None:
    peer = ByHand()
    many = pack_chunk(ChunkType.HEARTBEAT, 0, b"") * 4000
    peer.feed(many, many)
    assert len(peer.association._tcb.control) == MAX_CONTROL
    peer.got()
    peer.feed(pack_chunk(ChunkType.HEARTBEAT, 0, b"one more"))
    assert (ChunkType.HEARTBEAT_ACK, b"one more") in peer.got()


def test_everything_acknowledged_stops_the_timer() -> None:
    """Even where the blocks said so before the cumulative TSN did."""
    peer = ByHand()
    first = peer.association._tcb.config.initial_tsn
    peer.association.send(1, 53, bytes(100))
    peer.got()
    peer.feed(pack_sack(add(first, -1), 10**6, [(1, 1)], []), later=0.02)
    peer.feed(pack_sack(first, 10**6, [], []), later=0.02)
    assert not peer.association._outbound.outstanding
    assert peer.association._outbound.timer.get_timer() is None


# Hostile bytes


def mutated(rng: random.Random, packet: bytes) -> bytes:
    data = bytearray(packet)
    for _ in range(rng.randint(1, 4)):
        kind = rng.randrange(5)
        if len(data) <= HEADER_SIZE:
            break
        at = rng.randrange(HEADER_SIZE, len(data))
        if kind == 0:
            data[at] = rng.randrange(256)
        elif kind == 1:
            data[at] ^= 1 << rng.randrange(8)
        elif kind == 2:
            del data[at : at + rng.randint(1, 20)]
        elif kind == 3:
            data[at:at] = rng.randbytes(rng.randint(1, 20))
        else:
            data[at : at + 4] = rng.choice([bytes(4), b"\xff" * 4, rng.randbytes(4)])
    return bytes(data)


REASONS = {
    "The other side has ended the association.",
    "The other side sent a message that is too large.",
    "The fragments of an SCTP message contradict each other.",
    "The other side does not answer any more.",
    "The other side does not answer.",
}


def real_packets(seed: int) -> list[tuple[int, bytes]]:
    """What two associations said to each other in both directions, with losses."""
    pair = Pair(seed, Conditions(delay=0.02, loss=0.05, rate=1e6), first_tsn=2**32 - 20)
    packets: list[tuple[int, bytes]] = []
    pair.taps.append(lambda number, packet: packets.append((number, packet)))
    for end in pair.ends:
        end.to_send = [(0.0, stream, bytes(5000)) for stream in (1, 2) for _ in range(5)]
    pair.run(4.0)
    request = reset_request(1, 0, 1)
    more = [
        request,
        pack_chunk(ChunkType.FORWARD_TSN, 0, bytes(8)),
        pack_chunk(ChunkType.HEARTBEAT, 0, bytes(20)),
        pack_chunk(ChunkType.ERROR, 0, bytes(8)),
        pack_sack(0, 0, [(2, 3), (5, 9)], [1]),
    ]
    for number, end in enumerate(pair.ends):
        packer = Packer(
            source_port=5000, destination_port=5000, tag=end.association._tcb.config.tag
        )
        packets += [(1 - number, packer.pack(chunk, zero_checksum=True)) for chunk in more]
    return packets


@pytest.mark.parametrize("seed", range(30))
def test_mutations_of_real_packets_raise_nothing(seed: int) -> None:
    rng = random.Random(seed)
    packets = real_packets(seed % 3)
    pair = Pair(seed % 3, Conditions(delay=0.02, loss=0.05, rate=1e6), first_tsn=2**32 - 20)
    for end in pair.ends:
        end.to_send = [(0.0, stream, bytes(5000)) for stream in (1, 2) for _ in range(5)]
    for _ in range(150):
        number, packet = rng.choice(packets)
        packet = mutated(rng, packet)
        with_checksum = rng.random() < 0.3
        if len(packet) >= HEADER_SIZE:
            packer = Packer(
                source_port=5000, destination_port=5000, tag=int.from_bytes(packet[4:8], "big")
            )
            packet = packer.pack(packet[HEADER_SIZE:], zero_checksum=not with_checksum)
        pair.inject(1 - number, packet, at=rng.random() * 3)
    pair.run(60.0)
    for end in pair.ends:
        assert end.closed is None or end.closed.reason in REASONS
        bounded(end)


@pytest.mark.parametrize("seed", range(20))
def test_any_bytes_raise_nothing(seed: int) -> None:
    rng = random.Random(seed)
    pair = established_pair(seed=seed) if seed % 2 else Pair(seed)
    for number, end in enumerate(pair.ends):
        tag = rng.choice([0, end.association._tcb.config.tag, 1])
        packer = Packer(source_port=5000, destination_port=5000, tag=tag)
        for _ in range(300):
            body = b"".join(
                pack_chunk(
                    rng.choice([*ChunkType, rng.randrange(256)]),
                    rng.randrange(256),
                    rng.randbytes(rng.choice([0, 3, 4, 12, 16, 20, 40])),
                )
                for _ in range(rng.randint(1, 3))
            )
            packet = packer.pack(body, zero_checksum=rng.random() < 0.5)
            if rng.random() < 0.2:
                packet = rng.randbytes(rng.randrange(40))
            pair.inject(number, packet, at=pair.now + rng.random())
    pair.run(pair.now + 40.0)
    for end in pair.ends:
        assert end.closed is None or end.closed.reason in REASONS
        bounded(end)


def bounded(end: End) -> None:
    association = end.association
    assert len(association._tcb.control) <= MAX_CONTROL
    assert len(association._outbound.outstanding.chunks) <= 5_000
    inbound = association._tcb.inbound
    if inbound is not None:
        assert len(inbound._waiting) <= inbound_module.MAX_OUT_OF_ORDER
        assert end.most_stored <= 2 * inbound_module.RECEIVE_BUFFER
