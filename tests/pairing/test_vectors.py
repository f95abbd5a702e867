"""Known answers, so that another implementation can check itself, and this one too.

The file is compared with what the code computes, and then each of its lines with what the
standards' own building blocks give, without the code under test.
"""

import base64
import hashlib
import hmac
import json
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from spake2 import ed25519_basic as curve
from spake2.parameters.ed25519 import ParamsEd25519

from rtcsend.pairing.envelope import Opener
from tests.pairing.vectors import computed

FILE = Path(__file__).parent.parent / "vectors" / "pairing.json"
VECTORS: dict[str, Any] = json.loads(FILE.read_text(encoding="utf-8"))
CASES = pytest.mark.parametrize("case", VECTORS["cases"], ids=lambda case: case["words"])


REUNIONS = pytest.mark.parametrize("case", VECTORS["reunions"], ids=["counting", "ones"])


def hkdf(secret: str, purpose: str, *, salt: bytes = bytes(32)) -> str:
    """HKDF-SHA256 of one block; RFC 5869 §2."""
    key = hmac.digest(salt, bytes.fromhex(secret), "sha256")
    return hmac.digest(key, f"rtcsend/1/{purpose}\x01".encode(), "sha256").hex()


def password_scalar(case: dict[str, Any]) -> int:
    """HKDF-SHA256 with the label of the package, 48 bytes, modulo the order of the group."""
    key = hmac.digest(bytes(32), case["words"].encode(), "sha256")
    first = hmac.digest(key, b"SPAKE2 pw\x01", "sha256")
    second = hmac.digest(key, first + b"SPAKE2 pw\x02", "sha256")
    scalar: int = int.from_bytes((first + second)[:48], "big") % curve.L
    return scalar


def test_the_file_holds_what_the_code_computes() -> None:
    assert computed() == VECTORS


def test_the_two_points_that_blind() -> None:
    assert VECTORS["spake2_m"] == ParamsEd25519.M.to_bytes().hex()
    assert VECTORS["spake2_n"] == ParamsEd25519.N.to_bytes().hex()


@CASES
def test_the_password_scalar_by_hand(case: dict[str, Any]) -> None:
    assert case["password_scalar"] == f"{password_scalar(case):064x}"


@CASES
def test_the_messages_by_hand(case: dict[str, Any]) -> None:
    weight = password_scalar(case)
    for role, side, blinding in (
        ("sender", b"A", ParamsEd25519.M),
        ("receiver", b"B", ParamsEd25519.N),
    ):
        scalar = int(case["entropy"][role], 16) % curve.L
        point = curve.Base.scalarmult(scalar).add(blinding.scalarmult(weight))
        assert (side + point.to_bytes()).hex() == case["spake2_message"][role]


@CASES
def test_the_key_by_hand(case: dict[str, Any]) -> None:
    weight = password_scalar(case)
    of_sender, of_receiver = (
        bytes.fromhex(case["spake2_message"][role])[1:] for role in ("sender", "receiver")
    )
    blinded = curve.bytes_to_element(of_sender)
    scalar = int(case["entropy"]["receiver"], 16) % curve.L
    common = blinded.add(ParamsEd25519.M.scalarmult(-weight)).scalarmult(scalar)
    identity = hashlib.sha256(case["identity"].encode()).digest()
    transcript = (
        hashlib.sha256(case["words"].encode()).digest()
        + identity
        + identity
        + of_sender
        + of_receiver
        + common.to_bytes()
    )
    assert hashlib.sha256(transcript).hexdigest() == case["spake2_key"]


@CASES
def test_the_derived_keys_by_hand(case: dict[str, Any]) -> None:
    shared = case["spake2_key"]
    for role in ("sender", "receiver"):
        assert case["confirmation_key"][role] == hkdf(shared, f"confirmation/{role}")
        assert case["sealing_key"][role] == hkdf(shared, f"sealing/{role}")
    assert case["reconnection_secret"] == hkdf(shared, "reconnection")
    assert case["verification_key"] == hkdf(shared, "verification")
    number = int(case["verification_key"], 16)
    groups = [f"{number // 10_000**place % 10_000:04}" for place in range(6)]
    assert case["verification"] == " ".join(groups)


@CASES
def test_the_confirmations_by_hand(case: dict[str, Any]) -> None:
    transcript = bytes.fromhex(
        case["spake2_message"]["sender"] + case["spake2_message"]["receiver"]
    )
    for role in ("sender", "receiver"):
        key = bytes.fromhex(case["confirmation_key"][role])
        code = hmac.digest(key, transcript, "sha256")
        assert case["confirmation"][role] == (b"C" + code).hex()


@CASES
def test_the_sealed_boxes(case: dict[str, Any]) -> None:
    for role in ("sender", "receiver"):
        key = bytes.fromhex(case["sealing_key"][role])
        opener = Opener(key)
        for number, box in enumerate(case["sealed"][role]):
            plaintext, body = box["plaintext"].encode(), bytes.fromhex(box["body"])
            header = b"S" + number.to_bytes(8, "big")
            nonce = bytes(4) + number.to_bytes(8, "big")
            assert body == header + AESGCM(key).encrypt(nonce, plaintext, header)
            assert opener.open_untrusted(body) == plaintext


@REUNIONS
def test_the_reunions_by_hand(case: dict[str, Any]) -> None:
    secret = case["reconnection_secret"]
    name = base64.urlsafe_b64encode(bytes.fromhex(hkdf(secret, "reunion/mailbox")))
    assert case["mailbox"] == name.decode().rstrip("=")
    salt = bytes.fromhex(case["nonce"]["sender"] + case["nonce"]["receiver"])
    bodies = b""
    for role, kind in (("sender", b"D"), ("receiver", b"E")):
        assert case["nonce_body"][role] == kind.hex() + case["nonce"][role]
        bodies += bytes.fromhex(case["nonce_body"][role])
    for role in ("sender", "receiver"):
        assert case["sealing_key"][role] == hkdf(secret, f"reunion/sealing/{role}", salt=salt)
        key = hkdf(secret, f"reunion/confirmation/{role}", salt=salt)
        assert case["confirmation_key"][role] == key
        code = hmac.digest(bytes.fromhex(key), bodies, "sha256")
        assert case["confirmation"][role] == (b"F" + code).hex()


@REUNIONS
def test_the_farewells_by_hand(case: dict[str, Any]) -> None:
    for role in ("sender", "receiver"):
        key = hkdf(case["reconnection_secret"], f"reunion/farewell/{role}")
        body = bytes.fromhex(case["farewell"][role]["body"])
        plaintext = AESGCM(bytes.fromhex(key)).decrypt(body[1:13], body[13:], b"G")
        assert plaintext.decode() == case["farewell"][role]["plaintext"]
        assert body[:1] == b"G"
