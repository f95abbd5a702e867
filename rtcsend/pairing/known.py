"""Two machines that know each other's keys become sure of each other, without words.

Sans-I/O. What each of them has: an Ed25519 key of its own, the public one of the other, and a
secret that the two took from their first pairing (:mod:`rtcsend.pairing.introduction`). What
they say, in a mailbox whose name only they can derive (:mod:`rtcsend.pairing.doors`):

====== ===== ==============================================================
byte    size  meaning
====== ===== ==============================================================
``K``     33  the sender's ephemeral X25519 key
``L``     33  the receiver's ephemeral X25519 key
``M``     82  sealed: a verdict and a signature over everything before
====== ===== ==============================================================

Each side sends its ephemeral key when it comes, its ``M`` as soon as it has the other's key, and
trusts nothing before it has opened the other's ``M``. This is SIGMA: a Diffie-Hellman exchange
with ephemeral keys, signed by both over a transcript that names both identities, and the
signatures under a MAC (here: AES-GCM) with a key of the exchange. The secret of the pair goes
into that key as well, so that who only carries the bodies cannot even tell whose they are.

A machine takes one ephemeral key in its life. What fails here gave nobody anything.

Sources: H. Krawczyk, "SIGMA: the SIGn-and-MAc approach to authenticated Diffie-Hellman" (2003);
RFC 7748 §6.1 (X25519), RFC 8032 (Ed25519), RFC 5869 (HKDF); docs/known-machines.md.
"""

import enum
from collections.abc import Callable
from typing import Final

from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256, Hash

from rtcsend.errors import IncompatiblePeer, InternalError, PeerProtocolError, WrongCode
from rtcsend.pairing.keys import (
    APPLICATION_ID,
    PAIRING_VERSION,
    Role,
    SessionKeys,
    derive,
    derive_session_keys,
)

EPHEMERAL_SIZE: Final = 32  # bytes; of both kinds of X25519 keys
FIRST_SIZE: Final = 1 + EPHEMERAL_SIZE  # bytes: kind and ephemeral key
SIGNATURE_SIZE: Final = 64  # bytes; RFC 8032 §5.1.6
_TAG_SIZE: Final = 16
SECOND_SIZE: Final = 1 + 1 + SIGNATURE_SIZE + _TAG_SIZE  # bytes: kind, sealed verdict, signature
_FIRST_KIND: Final = {Role.SENDER: b"K", Role.RECEIVER: b"L"}
_SECOND_KIND: Final = b"M"
_ONLY_NONCE: Final = bytes(12)  # each of these keys seals one box
_WELCOME: Final = 0
_REMOVED: Final = 1


class State(enum.Enum):
    """Where the exchange stands."""

    NEW = "new"
    AWAITING_EPHEMERAL = "awaiting ephemeral key"
    AWAITING_SIGNATURE = "awaiting signature"
    CONFIRMED = "confirmed"
    REFUSED = "refused by this side"
    FAILED = "failed"


class SameRole(PeerProtocolError):
    """Another command in the same role came: both send, or both receive."""


class KnownMachine:
    """One side of one exchange.

    Contract: send what :meth:`start` returns; feed every body to
    :meth:`receive_body_untrusted` and send what that returns, until :attr:`state` is
    ``CONFIRMED``; then take :attr:`keys`. It is ``REFUSED`` when ``refuses`` was given and it
    really is the other machine that has come.

    Args:
        role: Which side this is.
        own: This machine's key.
        peer: The other machine's public key, 32 bytes as in RFC 8032.
        secret: Of this pair, 32 bytes.
        refuses: Say that the other machine is known no more.
        entropy: Returns that many random bytes (``os.urandom``).
    """

    def __init__(
        self,
        role: Role,
        *,
        own: Ed25519PrivateKey,
        peer: bytes,
        secret: bytes,
        refuses: bool = False,
        entropy: Callable[[int], bytes],
    ) -> None:
        self._role = role
        self._own = own
        self._peer = peer
        self._secret = secret
        self._refuses = refuses
        self._ephemeral = X25519PrivateKey.from_private_bytes(entropy(EPHEMERAL_SIZE))
        self._state = State.NEW
        self._sent = _FIRST_KIND[role] + self._ephemeral.public_key().public_bytes_raw()
        self._material = b""
        self._transcript = b""

    @property
    def state(self) -> State:
        """Where the exchange stands."""
        return self._state

    @property
    def keys(self) -> SessionKeys:
        """The session keys.

        Raises:
            InternalError: Before the other side's signature was seen.
        """
        if self._state is not State.CONFIRMED:
            raise InternalError("The keys were asked for before the other machine was known.")
        return derive_session_keys(self._derive("session"))

    def start(self) -> bytes:
        """Return this side's ephemeral key. To be called once."""
        if self._state is not State.NEW:
            raise InternalError("An exchange of known machines can be started only once.")
        self._state = State.AWAITING_EPHEMERAL
        return self._sent

    def receive_body_untrusted(self, body: bytes) -> bytes | None:
        """Take a body from the other side; return the body to send, if there is one.

        Raises:
            WrongCode: The other side's keys are not those of the pairing, or it says that it
                knows this machine no more (then ``told_by_peer``).
            SameRole: The other side has the same role.
            IncompatiblePeer: The other side does this in a way this version does not know.
            PeerProtocolError: The body is malformed, or comes at the wrong time.
        """
        state, self._state = self._state, State.FAILED  # unless what follows says otherwise
        if state is State.AWAITING_EPHEMERAL:
            return self._receive_ephemeral(body)
        if state is State.AWAITING_SIGNATURE:
            self._receive_signature(body)
            return None
        raise PeerProtocolError("The other machine sent something at the wrong time.")

    def _receive_ephemeral(self, body: bytes) -> bytes:
        kind = body[:1]
        if kind == _FIRST_KIND[self._role]:
            raise SameRole("The other machine does the same as this one.")
        if kind not in {_FIRST_KIND[self._role.peer], _SECOND_KIND}:
            raise IncompatiblePeer("The other machine does not speak as known machines do.")
        if kind == _SECOND_KIND or len(body) != FIRST_SIZE:
            raise PeerProtocolError("The other machine's ephemeral key is malformed.")
        try:
            shared = self._ephemeral.exchange(X25519PublicKey.from_public_bytes(body[1:]))
        except ValueError as exc:  # a point of small order: RFC 7748 §6.1, the result is zero
            raise PeerProtocolError("The other machine's ephemeral key is invalid.") from exc
        self._material = self._secret + shared
        self._transcript = self._transcript_with(body)
        self._state = State.AWAITING_SIGNATURE
        verdict = _REMOVED if self._refuses else _WELCOME
        signature = self._own.sign(self._signed_by(self._role, verdict))
        return _SECOND_KIND + self._cipher(self._role).encrypt(
            _ONLY_NONCE, bytes([verdict]) + signature, _SECOND_KIND
        )

    def _receive_signature(self, body: bytes) -> None:
        if body[:1] != _SECOND_KIND or len(body) != SECOND_SIZE:
            raise PeerProtocolError("The other machine's signature is malformed.")
        verdict = self._opened(body)
        if verdict == _REMOVED:
            error = WrongCode("The other machine does not know this one any more.")
            error.told_by_peer = True
            raise error
        if verdict != _WELCOME:
            raise IncompatiblePeer("The other machine says something that is not understood.")
        self._state = State.REFUSED if self._refuses else State.CONFIRMED

    def _opened(self, body: bytes) -> int:
        """Return the verdict of the other machine, when it is signed by its key."""
        try:
            plaintext = self._cipher(self._role.peer).decrypt(_ONLY_NONCE, body[1:], _SECOND_KIND)
            Ed25519PublicKey.from_public_bytes(self._peer).verify(
                plaintext[1:], self._signed_by(self._role.peer, plaintext[0])
            )
        except (InvalidTag, InvalidSignature, ValueError) as exc:
            raise WrongCode("The other machine's key is not the one that was paired.") from exc
        return plaintext[0]

    def _transcript_with(self, received: bytes) -> bytes:
        """Return the digest of who the two are and what they have said: 32 bytes."""
        own = self._own.public_key().public_bytes_raw()
        parts = [(own, self._sent), (self._peer, received)]
        if self._role is Role.RECEIVER:
            parts.reverse()
        digest = Hash(SHA256())
        digest.update(_label("known/transcript"))
        for key, _ in parts:
            digest.update(key)
        for _, body in parts:
            digest.update(body)
        return digest.finalize()

    def _signed_by(self, role: Role, verdict: int) -> bytes:
        return _label(f"known/signature/{role.value}") + bytes([verdict]) + self._transcript

    def _cipher(self, role: Role) -> AESGCM:
        return AESGCM(self._derive(f"authentication/{role.value}"))

    def _derive(self, purpose: str) -> bytes:
        return derive(self._material, f"known/{purpose}", salt=self._transcript)


def _label(purpose: str) -> bytes:
    return f"{APPLICATION_ID}/{PAIRING_VERSION}/{purpose}".encode()
