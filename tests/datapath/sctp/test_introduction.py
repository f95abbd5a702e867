"""Associations that were introduced to each other: no handshake, and hostile introductions."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtcsend.datapath.sctp.events import Established
from rtcsend.datapath.sctp.introduction import MAX_TAG, Identity, parse_introduction_untrusted
from rtcsend.datapath.sctp.wire import ChunkType, pack_chunk
from rtcsend.errors import PeerProtocolError
from tests.fakes.sctp_link import Conditions, Pair

QUICK = Conditions(delay=0.02)
HANDSHAKE = {ChunkType.INIT, ChunkType.INIT_ACK, ChunkType.COOKIE_ECHO, ChunkType.COOKIE_ACK}
IDENTITIES = st.builds(Identity, tag=st.integers(1, MAX_TAG), initial_tsn=st.integers(0, 2**32 - 1))


def introduced(seed: int = 1) -> Pair:
    return Pair(seed, QUICK, introduced=True)


@given(IDENTITIES)
def test_what_is_told_is_read_back(identity: Identity) -> None:
    init = parse_introduction_untrusted(identity.introduction())
    assert (init.tag, init.initial_tsn) == (identity.tag, identity.initial_tsn)


def test_the_first_message_takes_half_a_round_trip() -> None:
    pair = introduced()
    seen: list[int] = []
    pair.taps.append(lambda _end, packet: seen.append(packet[12]))
    pair.ends[0].to_send = [(0.0, 1, b"at once")]
    assert pair.run(1.0, lambda: pair.ends[1].received == {1: [b"at once"]})
    assert pair.now <= QUICK.delay + 0.001
    assert not HANDSHAKE & set(seen)
    for end in pair.ends:
        assert end.events.count(Established()) == 1


@pytest.mark.parametrize(("end", "position"), list(itertools.product((0, 1), range(4))))
def test_one_packet_lost(end: int, position: int) -> None:
    pair = introduced(2)
    pair.ends[end].link.drop = lambda number, _: number == position
    for each in pair.ends:
        each.to_send = [(0.0, 1, b"hello"), (0.0, 2, b"again")]
    assert pair.run(5.0, lambda: all(len(each.received) == 2 for each in pair.ends))


def test_one_side_is_later_than_the_others_first_words() -> None:
    pair = introduced(3)
    pair.ends[1].starts_at = 0.5
    pair.ends[0].to_send = [(0.0, 1, b"early")]
    assert pair.run(5.0, lambda: pair.ends[1].received == {1: [b"early"]})


def test_an_init_that_comes_all_the_same_changes_nothing() -> None:
    pair = introduced(4)
    pair.inject(1, bytes(12) + Identity(tag=7, initial_tsn=7).introduction(), at=0.01)
    pair.ends[0].to_send = [(0.02, 1, b"on")]
    assert pair.run(5.0, lambda: pair.ends[1].received == {1: [b"on"]})


GOOD = Identity(tag=1, initial_tsn=0).introduction()


@pytest.mark.parametrize(
    "chunk",
    [
        b"",
        GOOD[:3],
        GOOD[:12],
        GOOD + GOOD,
        GOOD + bytes(4),
        pack_chunk(ChunkType.INIT_ACK, 0, GOOD[4:]),
        pack_chunk(ChunkType.INIT, 0, b""),
        pack_chunk(ChunkType.INIT, 0, bytes(16)),  # tag 0, and no streams
    ],
)
def test_something_else_is_refused(chunk: bytes) -> None:
    with pytest.raises(PeerProtocolError):
        parse_introduction_untrusted(chunk)


@given(st.binary(max_size=80) | st.binary(max_size=80).map(lambda rest: GOOD[:4] + rest))
def test_any_bytes_are_an_init_or_the_one_error(chunk: bytes) -> None:
    try:
        parse_introduction_untrusted(chunk)
    except PeerProtocolError:
        return
    assert chunk[0] == ChunkType.INIT
