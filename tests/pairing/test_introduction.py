"""What two machines say when they get to know each other."""

import json

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from rtcsend.abort import abort_message
from rtcsend.base64url import encode_base64url
from rtcsend.errors import Declined, IncompatiblePeer, PeerProtocolError, RtcsendError
from rtcsend.pairing.introduction import (
    check_kept_untrusted,
    fingerprint,
    introduction,
    kept,
    pair_secret,
    parse_introduction_untrusted,
)
from rtcsend.pairing.keys import Role, derive_session_keys

KEYS = derive_session_keys(bytes(32))
OTHER_KEYS = derive_session_keys(b"x" * 32)
OWN = Ed25519PrivateKey.from_private_bytes(bytes([1]) * 32)
PUBLIC = OWN.public_key().public_bytes_raw()


def as_bytes(message: object) -> bytes:
    return json.dumps(message).encode()


def test_an_introduction_brings_the_key() -> None:
    text = as_bytes(introduction(OWN, role=Role.SENDER, keys=KEYS))
    assert parse_introduction_untrusted(text, role=Role.SENDER, keys=KEYS) == PUBLIC
    check_kept_untrusted(as_bytes(kept()))


@pytest.mark.parametrize(
    ("role", "keys"), [(Role.RECEIVER, KEYS), (Role.SENDER, OTHER_KEYS)], ids=["role", "pairing"]
)
def test_it_is_good_for_one_side_of_one_pairing(role: Role, keys: object) -> None:
    text = as_bytes(introduction(OWN, role=Role.SENDER, keys=KEYS))
    with pytest.raises(PeerProtocolError):
        parse_introduction_untrusted(text, role=role, keys=keys)  # type: ignore[arg-type]


def test_nobody_introduces_a_key_of_somebody_else() -> None:
    message = introduction(OWN, role=Role.SENDER, keys=KEYS)
    stranger = Ed25519PrivateKey.from_private_bytes(bytes([2]) * 32).public_key()
    message["key"] = encode_base64url(stranger.public_bytes_raw())
    with pytest.raises(PeerProtocolError):
        parse_introduction_untrusted(as_bytes(message), role=Role.SENDER, keys=KEYS)


@pytest.mark.parametrize(
    ("message", "error"),
    [
        ({"type": "hello"}, IncompatiblePeer),
        ({"type": "offer", "sdp": ""}, IncompatiblePeer),
        ({"type": "kept"}, IncompatiblePeer),
        (abort_message(Declined("No.")), Declined),
        ({}, PeerProtocolError),
        ({"type": "introduction", "key": "AA", "proof": "AA"}, PeerProtocolError),
        ({"type": "introduction", "key": 7}, PeerProtocolError),
        ([], PeerProtocolError),
    ],
)
def test_anything_else_is_an_error(message: object, error: type[RtcsendError]) -> None:
    with pytest.raises(error):
        parse_introduction_untrusted(as_bytes(message), role=Role.SENDER, keys=KEYS)


@given(st.binary(max_size=300))
def test_any_bytes_end_in_a_documented_error(data: bytes) -> None:
    with pytest.raises(RtcsendError):
        parse_introduction_untrusted(data, role=Role.SENDER, keys=KEYS)


def test_the_secret_of_a_pair_is_that_of_the_pairing() -> None:
    assert pair_secret(KEYS) == pair_secret(derive_session_keys(bytes(32)))
    assert pair_secret(KEYS) not in (pair_secret(OTHER_KEYS), KEYS.reconnection)


def test_a_fingerprint_is_for_people() -> None:
    assert len(fingerprint(PUBLIC).split()) == 8
    assert fingerprint(PUBLIC) != fingerprint(bytes(32))
