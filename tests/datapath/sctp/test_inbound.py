"""The receiving half against a naive model: any order, duplicates, gaps, around 2**32."""

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
TSNS = st.sampled_from([0, 1, 1000, 2**31 - 5, 2**31, 2**32 - 30, 2**32 - 1])
Fragment = tuple[int, int, int, bytes]  # flags, stream, PPID, payload


def sack_of(inbound: Inbound) -> Sack:
    (chunk,) = chunks_untrusted(bytes(12) + inbound.sack())
    return parse_sack_untrusted(chunk.value)


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
        """Bytes that are kept and not yet delivered."""
        cumulative = self.cumulative
        start = cumulative
        while start and not self.fragments[start - 1][0] & FLAG_END:
            start -= 1
        run = range(start, cumulative)
        partial = run if set(run) <= self.got else range(0)
        waiting = [index for index in self.got if index >= cumulative]
        return sum(len(self.fragments[index][3]) for index in [*partial, *waiting])


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
        untaken = sum(len(message.data) for message in delivered)
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
        untaken = sum(len(message.data) for message in delivered)
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
    count = sum(len(receive(inbound, tsn, (whole, 0, 53, bytes(100)))) for tsn in range(100))
    assert count * 100 == inbound.untaken == BUFFER
    assert sack_of(inbound) == (count - 1, 0, (), 0)
    inbound.untaken = 0  # the application has taken it all: the rest comes again
    assert receive(inbound, count, (whole, 0, 53, bytes(100)))
    assert sack_of(inbound) == (count, BUFFER - 100, (), 0)


def test_a_full_buffer_still_takes_the_missing_chunk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "RECEIVE_BUFFER", BUFFER)
    inbound = Inbound(0, max_message_size=MAX_MESSAGE)
    whole = FLAG_BEGIN | FLAG_END
    for tsn in range(1, 100):
        receive(inbound, tsn, (whole, 0, 53, bytes(100)))
    assert sack_of(inbound) == (2**32 - 1, 0, ((2, 41),), 0)
    assert len(receive(inbound, 0, (whole, 0, 53, bytes(100)))) == 41
    assert inbound.untaken <= 2 * BUFFER


def test_more_gaps_than_a_sack_holds() -> None:
    inbound = Inbound(0, max_message_size=MAX_MESSAGE)
    for tsn in range(1, 2 * MAX_GAP_BLOCKS + 20, 2):
        receive(inbound, tsn, (FLAG_BEGIN | FLAG_END, 0, 53, b"x"))
    sack = sack_of(inbound)
    assert len(sack.gaps) == MAX_GAP_BLOCKS
    assert sack.gaps[-1] == (2 * MAX_GAP_BLOCKS, 2 * MAX_GAP_BLOCKS)
    receive(inbound, 70_000, (FLAG_BEGIN | FLAG_END, 0, 53, b"out of a block's reach"))
    assert 70_000 not in inbound._waiting
