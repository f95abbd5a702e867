"""Frames that are packed: what comes back, what a hostile one may cost, and when it is worth it."""

import random
from collections.abc import Callable

import pytest
from backports import zstd  # the tests' Python has it, or the standard library of 3.14
from hypothesis import given
from hypothesis import strategies as st

from rtcsend.errors import PeerProtocolError
from rtcsend.options import Compress
from rtcsend.transfer import compression
from rtcsend.transfer.compression import (
    FIRST_PAUSE,
    LONGEST_PAUSE,
    SMALLEST,
    Packer,
    load,
    pack,
    unpack_untrusted,
)
from rtcsend.transfer.frames import MAX_PAYLOAD, parse_frame_untrusted, serialize_frame
from rtcsend.transfer.messages import AcceptMessage, parse_control_untrusted, serialize_control

TEXT = memoryview(b"2026-11-21 INFO request served in 12 ms\n" * 2_000)[:MAX_PAYLOAD]
NOISE = memoryview(random.Random(1).randbytes(MAX_PAYLOAD))


@pytest.fixture(autouse=True)
def loaded() -> None:
    assert load()


@given(st.binary(min_size=1, max_size=4_096), st.integers(1, 16))
def test_what_is_packed_comes_back(data: bytes, times: int) -> None:
    load()
    plain = (data * times)[:MAX_PAYLOAD]
    assert unpack_untrusted(memoryview(pack(memoryview(plain)))) == plain


@pytest.mark.parametrize("plain", [TEXT, NOISE, memoryview(b"\0" * MAX_PAYLOAD)])
def test_a_whole_frame(plain: memoryview) -> None:
    assert unpack_untrusted(memoryview(pack(plain))) == plain


def made(size: int, **options: int) -> bytes:
    """Return a zstd frame of that many zeros, made by somebody else's settings."""
    names = {getattr(zstd.CompressionParameter, name): value for name, value in options.items()}
    return zstd.compress(bytes(size), options=names)


HOSTILE = {
    "nothing": b"",
    "no zstd": b"\0" * 100,
    "the magic number alone": pack(TEXT)[:4],
    "one byte": pack(TEXT)[:1],
    "a bomb of a gigabyte": made(1 << 30),
    "one byte too much": made(MAX_PAYLOAD + 1),
    "an empty one": made(0),
    "no size": made(1_000, content_size_flag=0),
    "a bomb that does not say its size": made(1 << 28, content_size_flag=0),
    "cut off": pack(TEXT)[:-1],
    "more behind it": pack(TEXT) + b"\0",
    "two": pack(TEXT) + pack(TEXT),
    "skippable": b"\x50\x2a\x4d\x18" + (4).to_bytes(4, "little") + b"abcd",
    "of a dictionary": bytes([*b"\x28\xb5\x2f\xfd", 0x23, 7, 0, 0, 0, 10]) + pack(TEXT)[6:],
    "with a lie about its size": pack(TEXT)[:5] + b"\x00\x01" + pack(TEXT)[7:],
}


@pytest.mark.parametrize("packed", HOSTILE.values(), ids=HOSTILE)
def test_hostile_bytes(packed: bytes) -> None:
    with pytest.raises(PeerProtocolError):
        unpack_untrusted(memoryview(packed))


@given(st.data())
def test_damaged_bytes_are_an_error_or_no_more_than_a_frame(data: st.DataObject) -> None:
    load()
    packed = bytearray(pack(TEXT[:5_000]))
    for _ in range(data.draw(st.integers(1, 4))):
        packed[data.draw(st.integers(0, len(packed) - 1))] = data.draw(st.integers(0, 255))
    try:
        plain = unpack_untrusted(memoryview(bytes(packed)))
    except PeerProtocolError:
        return
    assert 0 < len(plain) <= MAX_PAYLOAD


def test_a_packed_frame_is_taken_only_where_that_was_said() -> None:
    frame = serialize_frame(offset=7, payload=pack(TEXT), is_packed=True)
    assert parse_frame_untrusted(frame, unpack=unpack_untrusted) == (7, TEXT)
    with pytest.raises(PeerProtocolError, match="unknown kind"):
        parse_frame_untrusted(frame)
    plain = serialize_frame(offset=7, payload=TEXT)
    assert parse_frame_untrusted(plain, unpack=unpack_untrusted) == (7, TEXT)


def test_who_has_no_zstd_does_not_say_so() -> None:
    message = AcceptMessage(entries=1, bytes=1, window=1 << 20, limit=0)
    assert "zstd" not in serialize_control(message)
    said = serialize_control(AcceptMessage(entries=1, bytes=1, window=1 << 20, limit=0, zstd=True))
    assert parse_control_untrusted(said) == AcceptMessage(
        entries=1, bytes=1, window=1 << 20, limit=0, zstd=True
    )
    with pytest.raises(PeerProtocolError):
        parse_control_untrusted(said.replace('"zstd":true', '"zstd":1'))


def test_without_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compression, "_PACKAGE", "rtcsend.nothing_of_the_kind")
    assert not load()


# What shrinks, and what does not; whether the path is worth it: test_packing_choice.py


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.mark.parametrize(
    ("mode", "plain", "tried"), [("auto", NOISE, 7), ("auto", TEXT, 256), ("always", NOISE, 256)]
)
def test_what_does_not_shrink_is_tried_seldom(
    mode: str, plain: memoryview, tried: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    count = 0

    def counted(payload: memoryview, pack: Callable[[memoryview], bytes] = pack) -> bytes:
        nonlocal count
        count += 1
        return pack(payload)

    monkeypatch.setattr(compression, "pack", counted)
    packer = Packer(Compress(mode), clock=Clock())
    results = [packer.pack(plain) for _ in range(256)]  # 16 MiB
    assert count == tried
    assert all(result is None for result in results) is (plain is NOISE)
    assert FIRST_PAUSE < LONGEST_PAUSE < 16 << 20


def test_text_behind_noise_is_found_again() -> None:
    packer = Packer(Compress.AUTO, clock=Clock())
    for _ in range(1_000):
        assert packer.pack(NOISE) is None
    late = [packer.pack(TEXT) for _ in range(LONGEST_PAUSE // MAX_PAYLOAD + 1)]
    assert late[-1] is not None
    assert packer.pack(TEXT) is not None


def test_small_pieces_go_at_once() -> None:
    packer = Packer(Compress.ALWAYS, clock=Clock())
    assert packer.pack(TEXT[: SMALLEST - 1]) is None
    assert packer.pack(TEXT[:SMALLEST]) is not None
