import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from rtcsend.errors import PeerProtocolError
from rtcsend.peer.description import DEFAULT_MAX_MESSAGE_SIZE, MAX_MESSAGE_SIZE, MIN_MESSAGE_SIZE
from rtcsend.transfer.frames import (
    FRAME_HEADER,
    MAX_FRAME,
    MAX_PAYLOAD,
    parse_frame_untrusted,
    payload_size,
    serialize_frame,
)

OFFSETS = st.integers(0, 2**64 - 1)
HEADER = bytes.fromhex("01 00 0000 00000000 0000000000000000")


def test_the_layout_byte_by_byte() -> None:
    frame = serialize_frame(offset=0x0102030405060708, payload=b"xyz")
    assert frame.hex(" ") == "01 00 00 00 00 00 00 00 01 02 03 04 05 06 07 08 78 79 7a"


@given(offset=OFFSETS, payload=st.binary(min_size=1, max_size=300))
def test_round_trip(offset: int, payload: bytes) -> None:
    frame = parse_frame_untrusted(serialize_frame(offset=offset, payload=payload))
    assert (frame.offset, bytes(frame.payload)) == (offset, payload)


@pytest.mark.parametrize("size", [1, 2, MAX_PAYLOAD - 1, MAX_PAYLOAD])
def test_payloads_up_to_the_maximum(size: int) -> None:
    frame = serialize_frame(offset=0, payload=memoryview(bytes(size)))
    assert len(frame) == FRAME_HEADER.size + size <= MAX_FRAME
    assert len(parse_frame_untrusted(frame).payload) == size


@pytest.mark.parametrize("size", [0, MAX_PAYLOAD + 1])
def test_other_payloads_are_not_made(size: int) -> None:
    with pytest.raises(ValueError, match=str(size)):
        serialize_frame(offset=0, payload=bytes(size))


def test_the_payload_is_no_second_copy() -> None:
    message = serialize_frame(offset=0, payload=b"payload")
    assert parse_frame_untrusted(message).payload.obj is message


@pytest.mark.parametrize(
    "message",
    [
        pytest.param(b"", id="empty"),
        pytest.param(HEADER[:-1], id="short header"),
        pytest.param(HEADER, id="no payload"),
        pytest.param(HEADER + bytes(MAX_PAYLOAD + 1), id="long payload"),
        pytest.param(b"\x00" + HEADER[1:] + b"x", id="kind 0"),
        pytest.param(b"\x02" + HEADER[1:] + b"x", id="kind 2"),
        pytest.param(HEADER[:1] + b"\x01" + HEADER[2:] + b"x", id="flags"),
        pytest.param(HEADER[:2] + b"\x80" + HEADER[3:] + b"x", id="reserved, first byte"),
        pytest.param(HEADER[:3] + b"\x01" + HEADER[4:] + b"x", id="reserved, second byte"),
        pytest.param(HEADER[:4] + b"\x80" + HEADER[5:] + b"x", id="reserved, third byte"),
        pytest.param(HEADER[:7] + b"\x01" + HEADER[8:] + b"x", id="reserved, last byte"),
        pytest.param(b"{}", id="text that went astray"),
    ],
)
def test_malformed(message: bytes) -> None:
    with pytest.raises(PeerProtocolError):
        parse_frame_untrusted(message)


@given(st.one_of(st.binary(max_size=64), st.binary(max_size=64).map(lambda tail: HEADER + tail)))
@example(HEADER + bytes(MAX_PAYLOAD))
def test_any_bytes_are_a_frame_or_an_error(message: bytes) -> None:
    try:
        frame = parse_frame_untrusted(message)
    except PeerProtocolError:
        return
    again = serialize_frame(offset=frame.offset, payload=frame.payload)
    assert again == message


@pytest.mark.parametrize(
    ("max_message_size", "expected"),
    [
        (MIN_MESSAGE_SIZE, MIN_MESSAGE_SIZE - 16),
        (DEFAULT_MAX_MESSAGE_SIZE, 65_520),
        (MAX_FRAME - 1, MAX_PAYLOAD - 1),
        (MAX_FRAME, MAX_PAYLOAD),
        (MAX_MESSAGE_SIZE, MAX_PAYLOAD),
    ],
)
def test_a_frame_fits_the_peers_messages(max_message_size: int, expected: int) -> None:
    assert payload_size(max_message_size) == expected
    frame = serialize_frame(offset=0, payload=bytes(expected))
    assert len(frame) <= max_message_size
