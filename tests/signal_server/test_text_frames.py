"""Frames that pass by the library: they are taken just as it would take them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.frames import Frame, Opcode
from websockets.protocol import Protocol, Side

from signal_server.text_frames import (
    ends_with_a_frame_untrusted,
    only_text_untrusted,
    text_frame,
)

SIZES = (0, 1, 125, 126, 127, 65_535)


def masked(data: bytes, *, opcode: Opcode = Opcode.TEXT, fin: bool = True) -> bytes:
    return Frame(opcode, data, fin).serialize(mask=True)


def read_by_the_library(data: bytes, side: Side) -> tuple[list[Frame], bool]:
    """Return the frames, and whether the next byte begins a frame."""
    protocol = Protocol(side, max_size=None)
    protocol.receive_data(data)
    frames = [event for event in protocol.events_received() if isinstance(event, Frame)]
    # A ping comes out of it only where a frame may begin.
    mask = side is Side.SERVER
    protocol.receive_data(Frame(Opcode.PING, b"next").serialize(mask=mask))
    after = [event for event in protocol.events_received() if isinstance(event, Frame)]
    return frames, [frame.data for frame in after] == [b"next"]


@pytest.mark.parametrize("size", [*SIZES, 65_536, 100_000])
def test_what_the_server_says_is_read(size: int) -> None:
    data = b"x" * size
    [frame], ends = read_by_the_library(text_frame(data), Side.CLIENT)
    assert (frame.opcode, frame.fin, frame.data, ends) == (Opcode.TEXT, True, data, True)


@pytest.mark.parametrize("size", SIZES)
def test_one_whole_text_is_taken_and_nothing_less_or_more(size: int) -> None:
    data = bytes(number % 251 for number in range(size))
    frame = masked(data)
    assert only_text_untrusted(frame) == data
    for end in (1, 2, 5, 6, len(frame) - 1):
        assert only_text_untrusted(frame[: min(end, len(frame) - 1)]) is None
    assert only_text_untrusted(frame + b"\x81") is None
    assert only_text_untrusted(frame + frame) is None


def test_no_piece_of_a_long_frame_is_taken_for_a_short_one() -> None:
    frame = masked(b"x" * 65_536)
    assert not any(only_text_untrusted(frame[:end]) for end in range(1, 300))


def test_other_frames_are_left_to_the_library() -> None:
    for opcode in (Opcode.BINARY, Opcode.CONT, Opcode.CLOSE, Opcode.PING, Opcode.PONG):
        assert only_text_untrusted(masked(b"abcd", opcode=opcode)) is None
    assert only_text_untrusted(masked(b"abcd", fin=False)) is None
    assert only_text_untrusted(text_frame(b"abcdefgh")) is None, "without a mask"
    for reserved in (0x10, 0x20, 0x40):
        frame = bytearray(masked(b"abcd"))
        frame[0] |= reserved
        assert only_text_untrusted(bytes(frame)) is None


@given(
    frames=st.lists(
        st.tuples(
            st.sampled_from([Opcode.TEXT, Opcode.BINARY, Opcode.PING, Opcode.PONG]),
            st.binary(max_size=300) | st.sampled_from([b"x" * 65_536]),
        ),
        min_size=1,
        max_size=4,
    ),
    cut=st.integers(0, 20),
)
def test_ends_of_frames_are_found_where_the_library_finds_them(
    frames: list[tuple[Opcode, bytes]], cut: int
) -> None:
    control = (Opcode.PING, Opcode.PONG)
    data = b"".join(
        masked(text[:125] if opcode in control else text, opcode=opcode) for opcode, text in frames
    )
    data = data[: max(len(data) - cut, 1)]
    assert ends_with_a_frame_untrusted(data) == read_by_the_library(data, Side.SERVER)[1]


@given(st.binary(min_size=1, max_size=40))
def test_any_bytes(data: bytes) -> None:
    text = only_text_untrusted(data)
    if text is None:
        ends_with_a_frame_untrusted(data)  # says yes or no, and raises nothing
    else:
        [frame], ends = read_by_the_library(data, Side.SERVER)
        assert (frame.opcode, frame.data, ends) == (Opcode.TEXT, text, True)
