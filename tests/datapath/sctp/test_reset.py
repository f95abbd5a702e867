"""Closing channels: requests that are granted in their time, and our own, repeated."""

import struct

import pytest

from rtcsend.datapath.sctp.reset import IN_PROGRESS, PERFORMED, InboundResets, OutboundResets
from rtcsend.datapath.sctp.wire import HEADER_SIZE, Chunk, ChunkType, chunks_untrusted

DENIED = 2  # RFC 6525 §4.4
FIRST = 0xFFFF_FFFF  # so that the next number wraps


def request_of(chunk: bytes) -> tuple[int, bytes]:
    """Return the parameter's type and value of a RE-CONFIG chunk."""
    (read,) = chunks_untrusted(bytes(HEADER_SIZE) + chunk)
    assert isinstance(read, Chunk)
    assert read.type == ChunkType.RE_CONFIG
    kind, length = struct.unpack_from("!HH", read.value)
    return kind, read.value[4:length]


def due(resets: OutboundResets, *, now: float) -> bytes | None:
    return resets.chunk_to_send(last_tsn=77, their_sequence=88, rto=1.0, now=now)


def response(sequence: int, result: int) -> bytes:
    return struct.pack("!LL", sequence, result)


def test_a_request_says_what_ends_and_after_what() -> None:
    resets = OutboundResets(FIRST)
    assert (resets.get_timer(), due(resets, now=0.0)) == (None, None)
    resets.add(1, now=5.0)
    resets.add(0, now=5.0)
    resets.add(1, now=5.0)
    assert resets.get_timer() == 5.0
    chunk = due(resets, now=5.0)
    assert chunk is not None
    assert request_of(chunk) == (13, struct.pack("!LLLHH", FIRST, 88, 77, 1, 0))


@pytest.mark.parametrize("result", [0, PERFORMED, DENIED])
def test_a_request_is_repeated_until_it_is_answered(result: int) -> None:
    resets = OutboundResets(FIRST)
    resets.add(1, now=0.0)
    chunk = due(resets, now=0.0)
    assert due(resets, now=0.9) is None
    assert due(resets, now=1.0) == chunk
    resets.receive_response_untrusted(response(FIRST, IN_PROGRESS), now=1.5)
    resets.receive_response_untrusted(response(5, PERFORMED), now=1.5)
    resets.receive_response_untrusted(b"short", now=1.5)
    assert due(resets, now=2.9) is None, "the interval doubles"
    assert due(resets, now=3.0) == chunk
    resets.receive_response_untrusted(response(FIRST, result), now=3.5)
    assert (resets.get_timer(), due(resets, now=9.0)) == (None, None)


def test_one_request_at_a_time() -> None:
    resets = OutboundResets(FIRST)
    resets.add(1, now=0.0)
    due(resets, now=0.0)
    resets.add(0, now=0.5)
    assert due(resets, now=0.5) is None
    resets.receive_response_untrusted(response(FIRST, PERFORMED), now=0.6)
    chunk = due(resets, now=0.6)
    assert chunk is not None
    assert request_of(chunk)[1] == struct.pack("!LLLH", 0, 88, 77, 0)


def test_a_request_of_theirs_waits_for_the_data_before_it() -> None:
    resets = InboundResets()
    value = struct.pack("!LLLH", 7, 0, 100, 1)
    assert resets.receive_request_untrusted(value) is None
    assert resets.perform(99) is None
    asked_again = resets.receive_request_untrusted(value)
    assert asked_again is not None
    assert request_of(asked_again) == (16, response(7, IN_PROGRESS))
    performed = resets.perform(100)
    assert performed is not None
    answer, streams = performed
    assert (request_of(answer), streams) == ((16, response(7, PERFORMED)), (1,))
    assert resets.last_sequence == 7
    assert resets.receive_request_untrusted(value) == answer
    assert resets.perform(100) is None


def test_a_request_that_was_late_on_its_way_is_not_taken_again() -> None:
    resets = InboundResets()
    for sequence in (FIRST, 0):
        resets.receive_request_untrusted(struct.pack("!LLLH", sequence, 0, 100, 1))
        assert resets.perform(100) is not None
    assert resets.receive_request_untrusted(struct.pack("!LLLH", FIRST, 0, 100, 1)) is None
    assert not resets.is_pending
