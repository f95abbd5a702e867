"""The short ways, of the middle of a message and of a run, do what the long way does, no more."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtcsend.datapath.sctp import inbound as module
from rtcsend.datapath.sctp.inbound import Inbound
from rtcsend.datapath.sctp.serial import add
from rtcsend.datapath.sctp.wire import DATA_HEADER, FLAG_BEGIN, FLAG_END, HEADER_SIZE
from rtcsend.errors import PeerProtocolError

FIRST = 0xFFFFFFF0  # the numbers wrap on the way
ROOM, PIECES, LONGEST = 9_000, 5, 6_000  # small bounds, so that all are met


@pytest.fixture(autouse=True)
def small_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "RECEIVE_BUFFER", ROOM)
    monkeypatch.setattr(module, "MAX_FRAGMENTS", PIECES)


def _packet(tsn: int, flags: int, payload: bytes, *, length: int) -> bytes:
    head = DATA_HEADER.pack(0, flags, DATA_HEADER.size + length, tsn, 1, 0, 53)
    return bytes(HEADER_SIZE) + head + payload


def _long_way(inbound: Inbound, packet: bytes, messages: list[Any]) -> None:
    _, flags, length, tsn, stream, _, ppid = DATA_HEADER.unpack_from(packet, HEADER_SIZE)
    payload = packet[HEADER_SIZE + DATA_HEADER.size : HEADER_SIZE + length]
    inbound.packets_unacknowledged += 1
    inbound.receive((tsn, flags, stream, ppid, payload), messages)


def _short_way(inbound: Inbound, packet: bytes, messages: list[Any]) -> None:
    if packet[HEADER_SIZE + 1] or not inbound.maybe_middle(packet):
        _long_way(inbound, packet, messages)


def _state(inbound: Inbound) -> tuple[object, ...]:
    return (
        inbound.cumulative_tsn,
        inbound.a_rwnd,
        inbound.has_gaps,
        inbound.sack_due,
        inbound.packets_unacknowledged,
        inbound.untaken,
        sum(map(len, inbound._fragments)),
    )


PACKETS = st.lists(
    st.tuples(
        st.sampled_from([1, 1, 1, 1, 1, 1, 2, 0, -1]),  # ahead of the last one
        st.sampled_from([0, 0, 0, 0, FLAG_BEGIN, FLAG_END, FLAG_BEGIN | FLAG_END]),
        st.sampled_from([1, 40, 1_132, 1_132, 4_200]),  # bytes
    ),
    max_size=40,
)


@given(PACKETS)
def test_both_ways_are_one(steps: list[tuple[int, int, int]]) -> None:
    one, other = (Inbound(FIRST, max_message_size=LONGEST) for _ in range(2))
    ours: list[Any] = []
    theirs: list[Any] = []
    for index, (_, _, size) in enumerate(steps):
        ahead, flags = steps[index][:2]
        tsn = add(one.cumulative_tsn, ahead)
        packet = _packet(tsn, flags, bytes([index]) * size, length=size)
        ended = 0
        for inbound, messages, way in ((one, ours, _short_way), (other, theirs, _long_way)):
            try:
                way(inbound, packet, messages)
            except PeerProtocolError:
                ended += 1
        assert ended in {0, 2}
        assert _state(one) == _state(other)
        assert ours == theirs
        if ended:
            return
        if index % 7 == 0 and ours:
            for inbound in (one, other):
                inbound.taken(len(ours[0].data))
            ours.pop(0)
            theirs.pop(0)


RUNS = st.lists(
    st.tuples(
        st.sampled_from([1, 40, 1_132, 1_132]),  # bytes of each
        st.lists(
            st.tuples(
                st.sampled_from([*([1] * 20), 2, 0]),  # ahead of the one before
                st.sampled_from([*([0] * 6), FLAG_BEGIN, FLAG_END, FLAG_END | 8, 3]),
                st.sampled_from([*([0] * 30), 1, -1]),  # what is wrong with its length
            ),
            min_size=1,
            max_size=8,
        ),
    ),
    max_size=12,
)


def _run_way(inbound: Inbound, packets: list[bytes], messages: list[Any]) -> None:
    size = len(packets[0])
    taken = inbound.receive_run(
        b"".join(packets), size, header=bytes(HEADER_SIZE), messages=messages
    )
    assert 0 <= taken <= len(packets)
    for packet in packets[taken:]:
        _long_way(inbound, packet, messages)


@given(st.sampled_from([5, FIRST, 2**32 - 2]), RUNS)
def test_many_at_once_are_as_one_by_one(
    first: int, runs: list[tuple[int, list[tuple[int, int, int]]]]
) -> None:
    one, other = (Inbound(first, max_message_size=LONGEST) for _ in range(2))
    ours: list[Any] = []
    theirs: list[Any] = []
    begun = False
    for number, (size, steps) in enumerate(runs):
        packets, tsn = [], other.cumulative_tsn
        for index, (ahead, drawn, wrong) in enumerate(steps):
            tsn = add(tsn, ahead)
            is_odd = bool(drawn & FLAG_BEGIN) == begun and drawn in {0, FLAG_BEGIN}
            flags = drawn ^ FLAG_BEGIN if is_odd else drawn  # mostly as it should be
            begun = not flags & FLAG_END
            payload = bytes([8 * number + index]) * size
            packets.append(_packet(tsn, flags, payload, length=size + wrong))
        ended = 0
        for inbound, messages, way in ((one, ours, _run_way), (other, theirs, _each_way)):
            try:
                way(inbound, packets, messages)
            except PeerProtocolError:
                ended += 1
        assert ended in {0, 2}
        assert ours == theirs
        if ended:
            return
        assert _state(one) == _state(other)
        if number % 3 == 0:
            for inbound in (one, other):
                inbound.taken(inbound.untaken)


def _each_way(inbound: Inbound, packets: list[bytes], messages: list[Any]) -> None:
    for packet in packets:
        _long_way(inbound, packet, messages)


@pytest.mark.parametrize(
    ("kinds", "taken"),
    [
        ([FLAG_BEGIN, 0, 0, FLAG_END, FLAG_BEGIN, 0], 6),
        ([FLAG_BEGIN | FLAG_END] * 3, 3),
        ([FLAG_BEGIN], 0),  # one is no run
    ],
)
def test_a_run_in_order_is_taken_whole(kinds: list[int], taken: int) -> None:
    inbound = Inbound(5, max_message_size=LONGEST)
    packets = [_packet(5 + at, kind, bytes(40), length=40) for at, kind in enumerate(kinds)]
    joined = b"".join(packets)
    assert inbound.receive_run(joined, 68, header=bytes(HEADER_SIZE), messages=[]) == taken
    assert inbound.packets_unacknowledged == taken


def test_a_run_for_which_the_room_does_not_suffice() -> None:
    one, other = (Inbound(5, max_message_size=LONGEST) for _ in range(2))
    packets = [_packet(5 + at, 3, bytes(1_000), length=1_000) for at in range(4)]
    for inbound, way in ((one, _run_way), (other, _each_way)):
        inbound.untaken = ROOM - 2_500
        way(inbound, packets, [])
    assert one.cumulative_tsn == 6
    assert _state(one) == _state(other)


@pytest.mark.parametrize("numbers", [(5, 7, 8), (5, 5, 6), (6, 7, 8), (5, 7, 6)])
def test_a_run_that_is_out_of_order_is_not(numbers: tuple[int, ...]) -> None:
    inbound = Inbound(5, max_message_size=LONGEST)
    before = _state(inbound)
    joined = b"".join(_packet(tsn, 3, bytes([tsn]) * 40, length=40) for tsn in numbers)
    messages: list[Any] = []
    assert inbound.receive_run(joined, 68, header=bytes(HEADER_SIZE), messages=messages) == 0
    assert (messages, _state(inbound)) == ([], before)


def test_a_run_with_another_header_or_chunk_is_not() -> None:
    packets = [bytearray(_packet(5 + at, 3, bytes(40), length=40)) for at in range(3)]
    for offset, taken in ((3, 0), (HEADER_SIZE, 1)):  # a port; the chunk's type
        inbound = Inbound(5, max_message_size=LONGEST)
        packets[1][offset] ^= 1
        joined = b"".join(packets)
        assert inbound.receive_run(joined, 68, header=bytes(HEADER_SIZE), messages=[]) == taken
        packets[1][offset] ^= 1


def _begun(size: int = 1_000) -> Inbound:
    inbound = Inbound(FIRST, max_message_size=LONGEST)
    _long_way(inbound, _packet(FIRST, FLAG_BEGIN, bytes(size), length=size), [])
    return inbound


def test_the_next_piece_is_taken() -> None:
    inbound = _begun()
    assert inbound.maybe_middle(_packet(add(FIRST, 1), 0, bytes(100), length=100))
    assert inbound.cumulative_tsn == add(FIRST, 1)


@pytest.mark.parametrize(
    ("size", "length", "ahead"),
    [
        (100, 99, 1),  # padding, or a second chunk, behind it
        (100, 101, 1),  # cut short
        (0, 0, 1),  # empty
        (100, 100, 2),  # one is missing
        (100, 100, 0),  # it was here already
        (LONGEST, LONGEST, 1),  # the message becomes too long
    ],
)
def test_anything_else_is_not(size: int, length: int, ahead: int) -> None:
    inbound = _begun()
    before = _state(inbound)
    assert not inbound.maybe_middle(_packet(add(FIRST, ahead), 0, bytes(size), length=length))
    assert _state(inbound) == before


def test_nor_is_what_begins_nothing_or_has_no_room() -> None:
    packet = _packet(FIRST, 0, bytes(100), length=100)
    assert not Inbound(FIRST, max_message_size=LONGEST).maybe_middle(packet)
    inbound = _begun(LONGEST - 200)
    inbound.untaken = ROOM - LONGEST + 150
    assert not inbound.maybe_middle(_packet(add(FIRST, 1), 0, bytes(100), length=100))


def test_many_pieces_are_left_to_who_joins_them() -> None:
    inbound = _begun(10)
    taken = [
        inbound.maybe_middle(_packet(add(FIRST, number), 0, b"x", length=1))
        for number in range(1, PIECES)
    ]
    assert taken == [True] * (PIECES - 2) + [False]
