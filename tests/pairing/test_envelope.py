import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rtcsend.errors import PeerProtocolError
from rtcsend.pairing.envelope import MAX_PLAINTEXT, Opener, Sealer
from rtcsend.rendezvous.messages import MAX_BODY

KEY, OTHER_KEY = bytes(range(32)), bytes(range(1, 33))
OVERHEAD = 1 + 8 + 16  # bytes: kind, sequence number, tag


def sealed(*plaintexts: bytes, key: bytes = KEY) -> list[bytes]:
    sealer = Sealer(key)
    return [sealer.seal(plaintext) for plaintext in plaintexts]


def assert_refused(opener: Opener, body: bytes) -> None:
    with pytest.raises(PeerProtocolError):
        opener.open_untrusted(body)


@given(st.lists(st.binary(max_size=200), max_size=8))
def test_boxes_are_opened_in_order(plaintexts: list[bytes]) -> None:
    opener = Opener(KEY)
    assert [opener.open_untrusted(body) for body in sealed(*plaintexts)] == plaintexts


def test_the_layout() -> None:
    first, second = sealed(b"abc", b"abc")
    assert first[:9] == b"S" + bytes(8)
    assert second[:9] == b"S" + bytes(7) + b"\x01"
    assert len(first) == OVERHEAD + 3
    assert first[9:] != second[9:]
    assert b"abc" not in first


def test_the_largest_box_fits_the_rendezvous() -> None:
    (body,) = sealed(bytes(MAX_PLAINTEXT))
    assert len(body) <= MAX_BODY
    assert Opener(KEY).open_untrusted(body) == bytes(MAX_PLAINTEXT)


def test_larger_ones_are_not_made() -> None:
    sealer = Sealer(KEY)
    with pytest.raises(ValueError, match="too large"):
        sealer.seal(bytes(MAX_PLAINTEXT + 1))
    # The number was not used up: nobody would see a gap.
    assert Opener(KEY).open_untrusted(sealer.seal(b"x")) == b"x"


@pytest.mark.parametrize("flip", [0x01, 0x80, 0xFF])
def test_every_byte_counts(flip: int) -> None:
    (body,) = sealed(b"one sealed message")
    for position in range(len(body)):
        changed = bytearray(body)
        changed[position] ^= flip
        assert_refused(Opener(KEY), bytes(changed))


def test_every_length_counts() -> None:
    (body,) = sealed(b"one sealed message")
    for size in range(len(body)):
        assert_refused(Opener(KEY), body[:size])
    assert_refused(Opener(KEY), body + b"\x00")
    assert_refused(Opener(KEY), b"\x00" + body)


@pytest.mark.parametrize(
    "size", [0, OVERHEAD - 1, OVERHEAD, OVERHEAD + MAX_PLAINTEXT, OVERHEAD + MAX_PLAINTEXT + 1]
)
def test_garbage_of_every_size(size: int) -> None:
    assert_refused(Opener(KEY), bytes(size))
    assert_refused(Opener(KEY), b"S" + bytes(max(0, size - 1)))


def test_an_empty_message_is_one() -> None:
    (body,) = sealed(b"")
    assert len(body) == OVERHEAD
    assert Opener(KEY).open_untrusted(body) == b""


def test_a_replayed_box_is_refused() -> None:
    (body,) = sealed(b"x")
    opener = Opener(KEY)
    opener.open_untrusted(body)
    assert_refused(opener, body)


def test_a_reordered_box_is_refused() -> None:
    first, second = sealed(b"1", b"2")
    opener = Opener(KEY)
    assert_refused(opener, second)
    assert opener.open_untrusted(first) == b"1"


def test_a_dropped_box_is_noticed_at_the_next() -> None:
    first, _, third = sealed(b"1", b"2", b"3")
    opener = Opener(KEY)
    opener.open_untrusted(first)
    assert_refused(opener, third)


def test_a_box_under_another_number_is_refused() -> None:
    first, second = sealed(b"1", b"2")
    opener = Opener(KEY)
    opener.open_untrusted(first)
    assert_refused(opener, second[:9] + first[9:])
    assert_refused(opener, first[:9] + second[9:])


def test_a_reflected_box_is_refused() -> None:
    (body,) = sealed(b"x", key=OTHER_KEY)
    assert_refused(Opener(KEY), body)


def test_a_refused_box_does_not_move_the_sequence() -> None:
    (body,) = sealed(b"x")
    opener = Opener(KEY)
    assert_refused(opener, body[:-1] + bytes([body[-1] ^ 1]))
    assert opener.open_untrusted(body) == b"x"


@settings(max_examples=300)
@given(st.binary(max_size=60) | st.binary(max_size=60).map(lambda rest: b"S" + bytes(8) + rest))
def test_any_bytes_are_refused(body: bytes) -> None:
    assert_refused(Opener(KEY), body)


def test_no_key_is_shown() -> None:
    for shown in (repr(Sealer(KEY)), repr(Opener(KEY)), str(vars(Sealer(KEY)))):
        assert KEY.hex() not in shown
        assert repr(KEY)[2:-1] not in shown
