"""Two machines exchange their keys, inside a pairing by words: ``rtcsend pair``.

Pure. After SPAKE2 both sides greet as ever (``hello``), and then say these in sealed boxes, as
JSON objects:

================= ==================== =====================================================
type              fields               meaning
================= ==================== =====================================================
``introduction``  ``key`` ``proof``    the public Ed25519 key, and a signature by it over this
                                       very pairing, both in base64url
``kept``                               the other side's key is on the disk
``abort``         ``code`` ``reason``  this side ends, and keeps nothing
================= ==================== =====================================================

The proof keeps a side from introducing a key that is somebody else's. The secret of the pair is
derived from the pairing and never sent.

Source: docs/known-machines.md.
"""

import hashlib
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from rtcsend.abort import error_from_abort_untrusted
from rtcsend.base64url import decode_base64url_untrusted, encode_base64url
from rtcsend.errors import IncompatiblePeer, PeerProtocolError
from rtcsend.pairing.keys import APPLICATION_ID, PAIRING_VERSION, Role, SessionKeys, derive
from rtcsend.strict_json import JsonObject, parse_object_untrusted, take_str

KEY_SIZE: Final = 32  # bytes; RFC 8032 §5.1.5
PROOF_SIZE: Final = 64  # bytes; RFC 8032 §5.1.6
MAX_MESSAGE: Final = 4096  # bytes of JSON; an abort is the longest
_FINGERPRINT_DIGITS: Final = 32  # 128 bits: nobody finds a second key with the same ones
_GROUP: Final = 4
_MAX_TEXT: Final = 128  # characters of a field; a proof has 86


def pair_secret(keys: SessionKeys) -> bytes:
    """Return the secret that two machines keep, from the session in which they were paired."""
    return derive(keys.reconnection, "known/pair")


def introduction(own: Ed25519PrivateKey, *, role: Role, keys: SessionKeys) -> JsonObject:
    """Return the message by which this machine says who it is."""
    key = own.public_key().public_bytes_raw()
    proof = own.sign(_signed(key, role=role, keys=keys))
    return {
        "type": "introduction",
        "key": encode_base64url(key),
        "proof": encode_base64url(proof),
    }


def kept() -> JsonObject:
    """Return the message that says that the other side's key is on the disk."""
    return {"type": "kept"}


def parse_introduction_untrusted(plaintext: bytes, *, role: Role, keys: SessionKeys) -> bytes:
    """Return the public key of the other machine, which has ``role``.

    Raises:
        IncompatiblePeer: The other side is not here to be known.
        PeerProtocolError: It is malformed, or the other side does not have that key.
        RtcsendError: The other side has ended.
    """
    message = _parse(plaintext, wanted="introduction")
    key = _take_bytes(message, "key", size=KEY_SIZE)
    proof = _take_bytes(message, "proof", size=PROOF_SIZE)
    try:
        Ed25519PublicKey.from_public_bytes(key).verify(proof, _signed(key, role=role, keys=keys))
    except (InvalidSignature, ValueError) as exc:
        raise PeerProtocolError("The other side does not have the key that it shows.") from exc
    return key


def check_kept_untrusted(plaintext: bytes) -> None:
    """Return when the other side says that it has kept this machine's key.

    Raises:
        IncompatiblePeer: It says something else.
        PeerProtocolError: It is malformed.
        RtcsendError: The other side has ended.
    """
    _parse(plaintext, wanted="kept")


def fingerprint(key: bytes) -> str:
    """Return what people compare: 32 hexadecimal digits of the key's SHA-256, in fours."""
    digits = hashlib.sha256(key).hexdigest()[:_FINGERPRINT_DIGITS]
    return " ".join(digits[at : at + _GROUP] for at in range(0, len(digits), _GROUP))


def _signed(key: bytes, *, role: Role, keys: SessionKeys) -> bytes:
    label = f"{APPLICATION_ID}/{PAIRING_VERSION}/known/introduction/{role.value}".encode()
    return label + derive(keys.reconnection, "known/introduction") + key


def _parse(plaintext: bytes, *, wanted: str) -> JsonObject:
    message = parse_object_untrusted(plaintext, max_size=MAX_MESSAGE)
    kind = take_str(message, "type", max_length=_MAX_TEXT)
    if kind == "abort":
        raise error_from_abort_untrusted(message)
    if kind != wanted:
        raise IncompatiblePeer(
            "The other side does not run “rtcsend pair”.",
            hint="Run “rtcsend pair” on both machines.",
            for_peer="This code is one of “rtcsend pair”: run that on both machines.",
        )
    return message


def _take_bytes(message: JsonObject, key: str, *, size: int) -> bytes:
    data = decode_base64url_untrusted(take_str(message, key, max_length=_MAX_TEXT))
    if data is None or len(data) != size:
        raise PeerProtocolError(f"The other side sent a message with a bad “{key}”.")
    return data
