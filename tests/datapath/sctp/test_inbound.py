"""The receiving half against a naive model: any order, duplicates, gaps, around 2**32."""

import sys
import tracemalloc
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtcsend.datapath.sctp import inbound as module
from rtcsend.datapath.sctp.inbound import Inbound, Message
from rtcsend.datapath.sctp.serial import add
from rtcsend.datapath.sctp.wire import (
    FLAG_BEGIN,
    FLAG_END,
    MAX_GAP_BLOCKS,
    Sack,
    chunks_untrusted,
    parse_sack_untrusted,
)
from rtcsend.errors import PeerProtocolError

MAX_MESSAGE = 1000
BUFFER = 4_000
SIZE = 500  # bytes of a chunk that counts as a little more
TSNS = st.sampled_from([0, 1, 1000, 2**31 - 5, 2**31, 2**32 - 30, 2**32 - 1])
Fragment = tuple[int, int, int, bytes]  # flags, stream, PPID, payload


def sack_of(inbound: Inbound) -> Sack:
    (chunk,) = chunks_untrusted(bytes(12) + inbound.sack())
    return parse_sack_untrusted(chunk.value)


def charge(data: bytes) -> int:
    return max(len(data), module.MIN_CHARGE)


def receive(inbound: Inbound, tsn: int, fragment: Fragment) -> list[Message]:
    messages: list[Any] = []
    flags, stream, ppid, payload = fragment
    inbound.receive((tsn, flags, stream, ppid, payload), messages)
    return messages


@st.composite
def transmissions(draw: st.DrawFn) -> tuple[list[Message], list[Fragment]]:
    """Messages, and the fragments that they are cut into."""
    messages: list[Message] = []
    fragments: list[Fragment] = []
    for number, sizes in enumerate(
        draw(st.lists(st.lists(st.integers(1, 60), min_size=1, max_size=5), max_size=8))
    ):
        stream = draw(st.integers(0, 3))
        parts = [bytes([number % 256]) * size for size in sizes]
        messages.append(Message(stream, 53, b"".join(parts)))
        for index, part in enumerate(parts):
            begins = FLAG_BEGIN if index == 0 else 0
            ends = FLAG_END if index == len(parts) - 1 else 0
            fragments.append((begins | ends, stream, 53, part))
    return messages, fragments


class Model:
    """Keeps every chunk for ever, and works everything out anew each time."""

    def __init__(self, fragments: list[Fragment]) -> None:
        self.fragments = fragments
        self.got: set[int] = set()
        self.skipped = 0
        """Everything before this was given up by the sender, if it had not come."""

    @property
    def cumulative(self) -> int:
        """How many have come, or were given up, without a gap."""
        count = self.skipped
        while count in self.got:
            count += 1
        return count

    @property
    def blocks(self) -> tuple[tuple[int, int], ...]:
        cumulative = self.cumulative
        blocks: list[tuple[int, int]] = []
        for index in sorted(index for index in self.got if index >= cumulative):
            offset = index - cumulative + 1
            if blocks and blocks[-1][1] == offset - 1:
                blocks[-1] = (blocks[-1][0], offset)
            else:
                blocks.append((offset, offset))
        return tuple(blocks)

    @property
    def whole(self) -> list[Message]:
        """The messages that can be delivered, in order."""
        messages, start = [], 0
        for index, (flags, stream, ppid, _) in enumerate(self.fragments[: self.cumulative]):
            if flags & FLAG_BEGIN:
                start = index
            if flags & FLAG_END and set(range(start, index + 1)) <= self.got:
                data = b"".join(part for *_, part in self.fragments[start : index + 1])
                messages.append(Message(stream, ppid, data))
        return messages

    @property
    def held(self) -> int:
        """Bytes that are kept and not yet delivered, as they count against the window."""
        cumulative = self.cumulative
        start = cumulative
        while start and not self.fragments[start - 1][0] & FLAG_END:
            start -= 1
        run = range(start, cumulative)
        partial = run if set(run) <= self.got else range(0)
        waiting = [index for index in self.got if index >= cumulative]
        held = sum(len(self.fragments[index][3]) for index in partial)
        return held + sum(charge(self.fragments[index][3]) for index in waiting)


@given(transmissions(), TSNS, st.data())
def test_any_order_with_duplicates(
    sent: tuple[list[Message], list[Fragment]], first: int, data: st.DataObject
) -> None:
    messages, fragments = sent
    model, inbound = Model(fragments), Inbound(first, max_message_size=MAX_MESSAGE)
    indices = list(range(len(fragments)))
    order = data.draw(st.permutations(indices))
    again = data.draw(st.lists(st.sampled_from(indices), max_size=10)) if indices else []
    delivered: list[Message] = []
    for index in [*order[: len(order) // 2], *again, *order]:
        is_duplicate = index in model.got
        delivered += receive(inbound, add(first, index), fragments[index])
        model.got.add(index)
        assert inbound.sack_due
        sack = sack_of(inbound)
        assert sack.cumulative_tsn == add(first, model.cumulative - 1)
        assert sack.gaps == model.blocks
        assert sack.duplicates == is_duplicate
        untaken = sum(charge(message.data) for message in delivered)
        assert sack.a_rwnd == module.RECEIVE_BUFFER - untaken - model.held
        assert inbound.has_gaps == bool(model.blocks)
    assert delivered == messages


@given(transmissions(), TSNS, st.data())
def test_what_the_sender_gives_up_is_skipped(
    sent: tuple[list[Message], list[Fragment]], first: int, data: st.DataObject
) -> None:
    _, fragments = sent
    model, inbound = Model(fragments), Inbound(first, max_message_size=MAX_MESSAGE)
    ends = [index + 1 for index, (flags, *_) in enumerate(fragments) if flags & FLAG_END]
    delivered: list[Any] = []
    for index in data.draw(st.permutations(range(len(fragments)))):
        if ends and data.draw(st.integers(0, 5)) == 0:
            until = data.draw(st.sampled_from(ends))
            inbound.forward(add(first, until - 1), delivered)
            model.skipped = max(model.skipped, until)
        elif index >= model.skipped:
            delivered += receive(inbound, add(first, index), fragments[index])
            model.got.add(index)
        else:
            assert not receive(inbound, add(first, index), fragments[index])
        sack = sack_of(inbound)
        assert sack.cumulative_tsn == add(first, model.cumulative - 1)
        assert sack.gaps == model.blocks
        assert delivered == model.whole
        untaken = sum(charge(message.data) for message in delivered)
        assert sack.a_rwnd == module.RECEIVE_BUFFER - untaken - model.held


def test_a_claim_to_have_given_up_half_the_numbers_costs_nothing() -> None:
    inbound = Inbound(0, max_message_size=MAX_MESSAGE)
    messages: list[Any] = []
    receive(inbound, 3, (FLAG_BEGIN | FLAG_END, 0, 53, b"x"))
    inbound.forward(2**31 - 2, messages)
    assert inbound.cumulative_tsn == 2**31 - 2
    assert messages == [Message(0, 53, b"x")]
    inbound.forward(5, messages)  # old
    assert inbound.cumulative_tsn == 2**31 - 2
    assert receive(inbound, 2**31 - 1, (FLAG_BEGIN | FLAG_END, 0, 53, b"y"))


@given(st.lists(st.tuples(st.integers(0, 2**32 - 1), st.integers(0, 7), st.binary(max_size=300))))
def test_hostile_chunks_raise_only_the_documented_error(
    chunks: list[tuple[int, int, bytes]],
) -> None:
    inbound = Inbound(0, max_message_size=MAX_MESSAGE)
    for tsn, flags, payload in chunks:
        try:
            receive(inbound, tsn % 20 if tsn % 3 else tsn, (flags, 0, 53, payload))
            if tsn % 7 == 0:
                inbound.forward(tsn % 1000, [])
        except PeerProtocolError:
            return
        sack_of(inbound)


def test_contradicting_fragments_end_the_association() -> None:
    inbound = Inbound(0, max_message_size=MAX_MESSAGE)
    with pytest.raises(PeerProtocolError):
        receive(inbound, 0, (FLAG_END, 0, 53, b"no beginning"))
    inbound = Inbound(0, max_message_size=MAX_MESSAGE)
    receive(inbound, 0, (FLAG_BEGIN, 0, 53, b"no end"))
    with pytest.raises(PeerProtocolError):
        receive(inbound, 1, (FLAG_BEGIN, 0, 53, b"another"))


@pytest.mark.parametrize("sizes", [[MAX_MESSAGE + 1], [MAX_MESSAGE, 1], [600, 300, 101]])
def test_messages_that_are_too_large_end_the_association(sizes: list[int]) -> None:
    inbound = Inbound(0, max_message_size=MAX_MESSAGE)
    last = len(sizes) - 1
    for index, size in enumerate(sizes[:-1]):
        receive(inbound, index, (0 if index else FLAG_BEGIN, 0, 53, bytes(size)))
    flags = FLAG_END if last else FLAG_BEGIN | FLAG_END
    with pytest.raises(PeerProtocolError):
        receive(inbound, last, (flags, 0, 53, bytes(sizes[-1])))


def test_a_message_that_never_ends_is_not_kept() -> None:
    inbound = Inbound(0, max_message_size=MAX_MESSAGE)
    receive(inbound, 0, (FLAG_BEGIN, 0, 53, bytes(MAX_MESSAGE)))
    with pytest.raises(PeerProtocolError):
        receive(inbound, 1, (0, 0, 53, b"x"))


def test_a_sender_that_ignores_the_window_fills_no_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "RECEIVE_BUFFER", BUFFER)
    inbound = Inbound(0, max_message_size=MAX_MESSAGE)
    whole = FLAG_BEGIN | FLAG_END
    chunk = (whole, 0, 53, bytes(SIZE))
    count = sum(len(receive(inbound, tsn, chunk)) for tsn in range(100))
    assert count == 7
    assert inbound.untaken == count * SIZE
    assert sack_of(inbound) == (count - 1, BUFFER - count * module.MIN_CHARGE, (), 0)
    inbound.taken(count * SIZE)  # the application has taken it all: the rest comes again
    assert receive(inbound, count, chunk)
    assert sack_of(inbound) == (count, BUFFER - module.MIN_CHARGE, (), 0)


def test_a_full_buffer_still_takes_the_missing_chunk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "RECEIVE_BUFFER", BUFFER)
    inbound = Inbound(0, max_message_size=MAX_MESSAGE)
    chunk = (FLAG_BEGIN | FLAG_END, 0, 53, bytes(SIZE))
    for tsn in range(1, 100):
        receive(inbound, tsn, chunk)
    assert sack_of(inbound) == (2**32 - 1, BUFFER - 7 * module.MIN_CHARGE, ((2, 8),), 0)
    assert len(receive(inbound, 0, chunk)) == 8
    assert inbound.untaken <= 2 * BUFFER


@pytest.mark.parametrize("missing", [0, 1])
@pytest.mark.parametrize("size", [1, 100, module.MIN_CHARGE, 1_000])
def test_memory_is_bounded_whatever_the_size_of_messages(
    size: int, missing: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Measured: what Python allocates, in order and with the first chunk missing."""
    buffer = 1 << 20
    monkeypatch.setattr(module, "RECEIVE_BUFFER", buffer)
    inbound = Inbound(0, max_message_size=MAX_MESSAGE)
    messages: list[Any] = []
    tracemalloc.start()
    try:
        for tsn in range(missing, 2 * buffer // size if size > 1 else 60_000):
            # A new object each, as from the network: Python shares those of one byte.
            payload = bytes(bytearray(size + 1))[1:] if size > 1 else b"x"
            inbound.receive((tsn, FLAG_BEGIN | FLAG_END, 1, 2_000_000_000 + tsn, payload), messages)
        used, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(messages) + len(inbound._waiting) <= buffer // module.MIN_CHARGE
    assert buffer // 8 <= used <= 2 * buffer
    assert inbound.a_rwnd < max(size, module.MIN_CHARGE)


def test_a_message_in_tiny_fragments_is_joined_on_the_way() -> None:
    size = 100_000
    inbound = Inbound(0, max_message_size=size)
    for flags in (0, 4):  # also where fragments are said to be unordered
        start = inbound.cumulative_tsn + 1
        for number in range(size - 1):
            begin = FLAG_BEGIN if number == 0 else 0
            receive(inbound, start + number & 0xFFFF_FFFF, (flags | begin, 0, 53, b"x"))
            assert len(inbound._fragments) <= module.MAX_FRAGMENTS
        end = (flags | FLAG_END, 0, 53, b"x")
        (message,) = receive(inbound, start + size - 1 & 0xFFFF_FFFF, end)
        assert message.data == b"x" * size


def test_taking_gives_back_what_a_message_counted_as() -> None:
    inbound = Inbound(0, max_message_size=MAX_MESSAGE)
    whole = FLAG_BEGIN | FLAG_END
    for tsn, size in enumerate([1, 1, 900, 5]):
        receive(inbound, tsn, (whole, 0, 53, bytes(size)))
    assert inbound.a_rwnd == module.RECEIVE_BUFFER - 3 * module.MIN_CHARGE - 900
    inbound.taken(1)
    inbound.taken(900)
    assert inbound.a_rwnd == module.RECEIVE_BUFFER - 2 * module.MIN_CHARGE
    inbound.taken(6)  # both at once: what they counted as is free when nothing is left
    assert inbound.a_rwnd == module.RECEIVE_BUFFER


def test_skipping_costs_what_is_skipped() -> None:
    """A peer that leaves a hole, fills what is behind it, and moves on one number at a time."""
    inbound = Inbound(0, max_message_size=MAX_MESSAGE)
    whole = (FLAG_BEGIN | FLAG_END, 0, 53, b"x")
    for tsn in range(10_000, 22_000, 2):
        receive(inbound, tsn, whole)
    calls = 0

    def note(_frame: object, event: str, _arg: object) -> None:
        nonlocal calls
        calls += event in {"call", "c_call"}

    messages: list[Any] = []
    before = sys.getprofile()
    sys.setprofile(note)
    try:
        for tsn in range(1_000):
            inbound.forward(tsn, messages)
    finally:
        sys.setprofile(before)
    assert not messages
    assert calls <= 50 * 1_000
    inbound.forward(10_003, messages)
    assert len(messages) == 3
    assert sack_of(inbound).cumulative_tsn == 10_004
    assert sack_of(inbound).gaps[0] == (2, 2)


def test_gaps_that_never_end_and_wrap_around() -> None:
    """The base of the positions moves with the cumulative TSN, or would be lost half-way."""
    inbound = Inbound(0, max_message_size=MAX_MESSAGE)
    tsn = 0
    for _ in range(70_000):
        receive(inbound, add(tsn, 60_002), (FLAG_BEGIN | FLAG_END, 0, 53, b"x"))
        inbound.forward(add(tsn, 60_000), [])
        tsn = add(tsn, 60_000)
        inbound._surcharge = inbound.untaken = 0
    assert sack_of(inbound) == (tsn, module.RECEIVE_BUFFER - module.MIN_CHARGE, ((2, 2),), 0)


@pytest.mark.parametrize("flags", [8, 8 | FLAG_BEGIN, 8 | FLAG_BEGIN | FLAG_END])
def test_a_chunk_may_ask_for_a_sack_at_once(flags: int) -> None:
    inbound = Inbound(0, max_message_size=MAX_MESSAGE)
    if not flags & FLAG_BEGIN:
        receive(inbound, 0, (FLAG_BEGIN, 0, 53, b"x"))
    assert not inbound.sack_urgent
    receive(inbound, inbound.cumulative_tsn + 1 & 0xFFFF_FFFF, (flags, 0, 53, b"x"))
    urgent = [inbound.sack_urgent]
    inbound.sack()
    assert [*urgent, inbound.sack_urgent] == [True, False]


def test_duplicates_and_filled_holes_are_urgent() -> None:
    inbound = Inbound(0, max_message_size=MAX_MESSAGE)
    whole = (FLAG_BEGIN | FLAG_END, 0, 53, b"x")
    urgent = []
    for tsn in (0, 0, 2, 1, 3):
        receive(inbound, tsn, whole)
        urgent.append(inbound.sack_urgent)
        inbound.sack()
    assert urgent == [False, True, True, True, False]


def test_more_duplicates_than_a_sack_tells_of() -> None:
    inbound = Inbound(0, max_message_size=MAX_MESSAGE)
    for tsn in range(1_000):
        receive(inbound, tsn % 10, (FLAG_BEGIN | FLAG_END, 0, 53, b"x"))
    assert sack_of(inbound).duplicates == module.MAX_REPORTED_DUPLICATES
    assert sack_of(inbound).duplicates == 0, "each is told once"


def test_more_gaps_than_a_sack_holds() -> None:
    inbound = Inbound(0, max_message_size=MAX_MESSAGE)
    for tsn in range(1, 2 * MAX_GAP_BLOCKS + 20, 2):
        receive(inbound, tsn, (FLAG_BEGIN | FLAG_END, 0, 53, b"x"))
    sack = sack_of(inbound)
    assert len(sack.gaps) == MAX_GAP_BLOCKS
    assert sack.gaps[-1] == (2 * MAX_GAP_BLOCKS, 2 * MAX_GAP_BLOCKS)
    receive(inbound, 70_000, (FLAG_BEGIN | FLAG_END, 0, 53, b"out of a block's reach"))
    assert 70_000 not in inbound._waiting
