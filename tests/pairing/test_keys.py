import hashlib
import hmac
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtcsend.pairing.keys import KEY_SIZE, Role, derive, derive_session_keys

SHARED = bytes(range(32))


def hkdf(secret: bytes, info: bytes) -> bytes:
    """HKDF-SHA256 of 32 bytes with an empty salt, written down from RFC 5869 §2."""
    pseudorandom_key = hmac.digest(bytes(hashlib.sha256().digest_size), secret, "sha256")
    return hmac.digest(pseudorandom_key, info + b"\x01", "sha256")


def test_roles_are_each_others_peer() -> None:
    assert Role.SENDER.peer is Role.RECEIVER
    assert Role.RECEIVER.peer is Role.SENDER


@pytest.mark.parametrize("purpose", ["reconnection", "sealing/sender", ""])
def test_derive_is_hkdf_with_a_label(purpose: str) -> None:
    assert derive(SHARED, purpose) == hkdf(SHARED, f"rtcsend/1/{purpose}".encode())


def test_the_labels() -> None:
    keys = derive_session_keys(SHARED)
    assert keys.confirmation == {
        Role.SENDER: hkdf(SHARED, b"rtcsend/1/confirmation/sender"),
        Role.RECEIVER: hkdf(SHARED, b"rtcsend/1/confirmation/receiver"),
    }
    assert keys.sealing == {
        Role.SENDER: hkdf(SHARED, b"rtcsend/1/sealing/sender"),
        Role.RECEIVER: hkdf(SHARED, b"rtcsend/1/sealing/receiver"),
    }
    assert keys.reconnection == hkdf(SHARED, b"rtcsend/1/reconnection")


def test_the_verification_string_is_the_lowest_decimal_digits_of_its_key() -> None:
    number = int.from_bytes(hkdf(SHARED, b"rtcsend/1/verification"), "big")
    groups = [f"{number // 10_000**place % 10_000:04}" for place in range(6)]
    assert derive_session_keys(SHARED).verification == " ".join(groups)


@given(st.binary(min_size=32, max_size=32))
def test_no_key_serves_two_purposes(shared: bytes) -> None:
    keys = derive_session_keys(shared)
    secrets = [*keys.confirmation.values(), *keys.sealing.values(), keys.reconnection]
    assert len(set(secrets)) == 5
    assert all(len(secret) == KEY_SIZE for secret in secrets)
    assert shared not in secrets
    assert re.fullmatch(r"[0-9]{4}( [0-9]{4}){5}", keys.verification)


def test_no_secret_is_shown() -> None:
    keys = derive_session_keys(SHARED)
    secrets = [*keys.confirmation.values(), *keys.sealing.values(), keys.reconnection]
    for shown in (repr(keys), str(keys)):
        assert "verification=" in shown
        assert not any(s.hex() in shown or repr(s)[2:-1] in shown for s in secrets)
