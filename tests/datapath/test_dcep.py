"""In-band openings: acknowledged once on our two streams, closed on others, else read over."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtcsend.datapath.dcep import MAX_CLOSED, Answer, Openings

OURS = (0, 1)


def opening(
    kind: int = 3, channel_type: int = 0, label: bytes = b"data", protocol: bytes = b""
) -> bytes:
    head = struct.pack("!BBHLHH", kind, channel_type, 256, 0, len(label), len(protocol))
    return head + label + protocol


# What Chromium sends for createDataChannel("data"): priority 256, reliable, no protocol.
CHROMIUM = bytes.fromhex("03000100000000000004000064617461")


@pytest.mark.parametrize("stream", OURS)
@pytest.mark.parametrize(
    "message",
    [
        opening(),
        CHROMIUM,
        opening(label=b""),
        opening(label="größe".encode(), protocol=b"p" * 300),
        *(opening(channel_type=kind) for kind in (0x80, 0x01, 0x81, 0x02, 0x82)),
    ],
)
def test_acknowledged_once(stream: int, message: bytes) -> None:
    openings = Openings(OURS)
    assert openings.receive_untrusted(stream, message) is Answer.ACKNOWLEDGE
    assert openings.receive_untrusted(stream, message) is Answer.NOTHING, "in use"


@pytest.mark.parametrize(
    "message",
    [
        b"",
        b"\3",
        opening()[:11],
        opening()[:-1],
        opening() + b"\0",
        opening(channel_type=3),
        opening(channel_type=0x7F),
    ],
)
def test_what_is_not_well_formed(message: bytes) -> None:
    openings = Openings(OURS)
    assert openings.receive_untrusted(0, message) is Answer.NOTHING
    assert openings.receive_untrusted(0, opening()) is Answer.ACKNOWLEDGE
    expected = Answer.CLOSE if message else Answer.NOTHING
    assert openings.receive_untrusted(2, message) is expected


@pytest.mark.parametrize("kind", [0, 1, 2, 4, 255])
def test_other_messages_are_read_over(kind: int) -> None:
    openings = Openings(OURS)
    for stream in (0, 7):
        assert openings.receive_untrusted(stream, opening(kind)) is Answer.NOTHING


def test_other_channels_are_closed_once_and_not_without_end() -> None:
    openings = Openings(OURS)
    answers = [openings.receive_untrusted(stream, opening()) for stream in range(2, 65_535)]
    assert answers.count(Answer.CLOSE) == MAX_CLOSED
    assert openings.receive_untrusted(2, opening()) is Answer.NOTHING
    assert openings.receive_untrusted(1, opening()) is Answer.ACKNOWLEDGE, "ours have their place"


@given(st.lists(st.tuples(st.integers(0, 65_535), st.binary(max_size=40))))
def test_any_bytes(messages: list[tuple[int, bytes]]) -> None:
    openings = Openings(OURS)
    answers = [openings.receive_untrusted(stream, data) for stream, data in messages]
    assert answers.count(Answer.ACKNOWLEDGE) <= len(OURS)
