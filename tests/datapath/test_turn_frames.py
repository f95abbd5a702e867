"""ChannelData and the framing of a TURN stream: tables, any cut, hostile bytes."""

import struct

import pytest
from aioice import stun
from hypothesis import given
from hypothesis import strategies as st

from rtcsend.datapath.turn_frames import (
    MAX_FRAME,
    FrameReader,
    batches,
    channel_data,
    maybe_channel_data_untrusted,
)
from rtcsend.errors import PeerProtocolError

CHANNEL = 0x4001


def binding_request() -> bytes:
    request = stun.Message(
        message_method=stun.Method.BINDING,
        message_class=stun.Class.REQUEST,
        transaction_id=b"t" * 12,
    )
    request.attributes["USERNAME"] = "somebody"
    return bytes(request)


MESSAGES = st.one_of(
    st.binary(min_size=1, max_size=200).map(
        lambda data: channel_data(data, len(data), CHANNEL, padded=True)
    ),
    st.just(struct.pack("!HH", CHANNEL, 0)),
    st.just(binding_request()),
)


@pytest.mark.parametrize(
    ("records", "size", "padded", "framed"),
    [
        (b"", 3, True, b""),
        (b"abcd", 4, True, b"\x40\x01\0\4abcd"),
        (b"abcde", 5, True, b"\x40\x01\0\5abcde\0\0\0"),
        (b"abcde", 5, False, b"\x40\x01\0\5abcde"),
        (b"abcdefg", 3, True, b"\x40\x01\0\3abc\0\x40\x01\0\3def\0\x40\x01\0\1g\0\0\0"),
        (b"abcdefg", 3, False, b"\x40\x01\0\3abc\x40\x01\0\3def\x40\x01\0\1g"),
    ],
)
def test_records_are_framed(records: bytes, size: int, padded: bool, framed: bytes) -> None:
    assert channel_data(records, size, CHANNEL, padded=padded) == framed


@pytest.mark.parametrize(
    ("message", "found"),
    [
        (b"\x40\x01\0\4abcd", (CHANNEL, b"abcd")),
        (b"\x40\x01\0\1a\0\0\0", (CHANNEL, b"a")),
        (b"\x40\x01\0\0", (CHANNEL, b"")),
        (b"\x7f\xff\0\1a", (0x7FFF, b"a")),  # reserved, so bound to nobody
        (b"\x40\x01\0\5abcd", None),
        (b"\x40\x01\0", None),
        (b"", None),
        (b"\x00\x01\0\0" + bytes(16), None),
        (b"\x80\x01\0\0", None),
    ],
)
def test_channel_data_is_read(message: bytes, found: tuple[int, bytes] | None) -> None:
    assert maybe_channel_data_untrusted(message) == found


def test_neighbours_of_one_size_are_a_batch() -> None:
    payloads = [b"aa", b"bb", b"c", b"dd"]
    assert list(batches(payloads)) == [(b"aabb", 2), (b"c", 1), (b"dd", 2)]
    assert list(batches([])) == []


@given(st.lists(MESSAGES, max_size=8), st.data())
def test_a_stream_may_be_cut_anywhere(messages: list[bytes], data: st.DataObject) -> None:
    stream = b"".join(messages)
    reader, found, start = FrameReader(), [], 0
    while start < len(stream):
        end = data.draw(st.integers(start + 1, len(stream)))
        found += reader.receive_untrusted(stream[start:end])
        start = end
    assert found == messages


def test_a_message_comes_as_soon_as_it_is_whole() -> None:
    message = channel_data(b"abc", 3, CHANNEL, padded=True)
    reader = FrameReader()
    for byte in message[:-1]:
        assert reader.receive_untrusted(bytes([byte])) == []
    assert reader.receive_untrusted(message[-1:] + message[:2]) == [message]
    assert reader.receive_untrusted(message[2:]) == [message]


@pytest.mark.parametrize(
    "start",
    [
        b"\x80\x00\0\0",
        b"\xff\xff\xff\xff",
        b"\x00\x01\0\1\x21\x12\xa4\x42",  # a STUN message is a multiple of four bytes
        b"\x00\x01\0\0\x21\x12\xa4\x43",  # and has another cookie
        b"\x15\x03\x03\x00",  # a TLS alert where there should be no TLS
    ],
)
def test_what_can_be_no_stream(start: bytes) -> None:
    with pytest.raises(PeerProtocolError):
        FrameReader().receive_untrusted(start + bytes(40))


@given(st.lists(st.binary(max_size=100), max_size=20))
def test_hostile_bytes_end_in_one_error_and_little_memory(pieces: list[bytes]) -> None:
    reader = FrameReader()
    try:
        for piece in pieces:
            reader.receive_untrusted(piece)
            assert len(reader._buffer) <= MAX_FRAME
    except PeerProtocolError:
        pass


@pytest.mark.parametrize("kind", [0x4001, 0x7FFF])
def test_the_largest_message(kind: int) -> None:
    message = struct.pack("!HH", kind, 65_535) + bytes(65_535) + b"\0"
    reader = FrameReader()
    kept = 0
    found: list[bytes] = []
    for start in range(0, len(message), 1_000):
        found += reader.receive_untrusted(message[start : start + 1_000])
        kept = max(kept, len(reader._buffer))
    assert found == [message]
    assert kept <= MAX_FRAME
    assert not reader._buffer


def test_a_drip_is_not_copied_again_and_again() -> None:
    message = struct.pack("!HH", CHANNEL, 40_000) + bytes(40_000)
    reader = FrameReader()
    reader.receive_untrusted(message[:4])
    for byte in range(4, 40_003):
        assert reader.receive_untrusted(message[byte : byte + 1]) == []
        assert reader._needed == len(message), "until then nothing is looked at"
    assert reader.receive_untrusted(message[-1:]) == [message]


@given(
    st.integers(1, 40),
    st.integers(1, 200),
    st.booleans(),
)
def test_each_record_is_framed_by_itself(size: int, total: int, padded: bool) -> None:
    records = bytes(number % 256 for number in range(total))
    expected = b"".join(
        channel_data(records[start : start + size], size, CHANNEL, padded=padded)
        for start in range(0, total, size)
    )
    assert channel_data(records, size, CHANNEL, padded=padded) == expected
    assert len(expected) == sum(
        4 + length + (-length % 4 if padded else 0)
        for length in (min(size, total - start) for start in range(0, total, size))
    )
