"""Sealed boxes: what passes through the rendezvous once the two sides are paired.

Sans-I/O. Layout of a body:

- kind, 1 byte: ``S``
- sequence number, 8 bytes, big-endian: 0 for the first box of a direction, then 1, …
- ciphertext and 16-byte tag of AES-256-GCM; nonce: 4 zero bytes and the sequence number;
  associated data: the 9 bytes before

Each direction has its own key, so a box cannot be reflected; the numbers must come without
a gap and without a repeat, so none can be replayed, dropped unnoticed or reordered.
Source: NIST SP 800-38D; the nonce is RFC 5116 §3.2's counter form.
"""

import struct
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from rtcsend.errors import PeerProtocolError

MAX_PLAINTEXT: Final = 32 * 1024  # bytes; a body of this size fits the 64 KiB frames in base64url
_HEADER: Final = struct.Struct("!cQ")
_KIND: Final = b"S"
_TAG_SIZE: Final = 16
_NONCE_PREFIX: Final = bytes(4)


class Sealer:
    """Seals the boxes of one direction, in order."""

    def __init__(self, key: bytes) -> None:
        self._cipher = AESGCM(key)
        self._sequence = 0

    def seal(self, plaintext: bytes) -> bytes:
        """Return the next box.

        Raises:
            ValueError: The plaintext is over MAX_PLAINTEXT bytes.
        """
        if len(plaintext) > MAX_PLAINTEXT:
            raise ValueError(f"a sealed message of {len(plaintext)} bytes is too large")
        header = _HEADER.pack(_KIND, self._sequence)
        nonce = _NONCE_PREFIX + header[1:]
        self._sequence += 1
        return header + self._cipher.encrypt(nonce, plaintext, header)


class Opener:
    """Opens the boxes of one direction, in order."""

    def __init__(self, key: bytes) -> None:
        self._cipher = AESGCM(key)
        self._sequence = 0

    def open_untrusted(self, body: bytes) -> bytes:
        """Return what the next box holds.

        Raises:
            PeerProtocolError: It is not the next box that the other side sealed.
        """
        if not _HEADER.size + _TAG_SIZE <= len(body) <= _HEADER.size + MAX_PLAINTEXT + _TAG_SIZE:
            raise PeerProtocolError("A sealed message has an impossible size.")
        kind, sequence = _HEADER.unpack_from(body)
        if kind != _KIND or sequence != self._sequence:
            raise PeerProtocolError("A sealed message was lost, repeated or reordered on the way.")
        header = body[: _HEADER.size]
        try:
            plaintext = self._cipher.decrypt(
                _NONCE_PREFIX + header[1:], body[_HEADER.size :], header
            )
        except InvalidTag as exc:
            raise PeerProtocolError("A sealed message was changed on the way.") from exc
        self._sequence += 1
        return plaintext
