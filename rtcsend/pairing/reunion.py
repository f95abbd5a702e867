"""Two sides that were paired meet again: fresh keys from the secret that they have kept.

Sans-I/O. The words of the code are used up; what both still have is the reconnection secret.
They come to a mailbox whose name follows from it, and say these bodies there:

====== ===== ==========================================================
byte    size  meaning
====== ===== ==========================================================
``D``     33  the sender's nonce
``E``     33  the receiver's nonce
``F``     33  key confirmation: HMAC-SHA256 over both bodies before
``G``    29+  farewell: this side has ended, and will not come any more
====== ===== ==========================================================

Both nonces are new at each meeting, and so are all keys that come from them: a body of an
earlier meeting, put in by the rendezvous, is the nonce of nobody, and the confirmation fails.
That ends this meeting and nothing else.

A farewell needs no meeting: who ends while the other side is away leaves it in the mailbox.
It can be repeated by the rendezvous, which changes nothing, since it is true for ever.

Sources: RFC 5869 (HKDF), docs/transfer-protocol.md, "Meeting again".
"""

import enum
import hmac
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from rtcsend.errors import InternalError, PeerProtocolError
from rtcsend.pairing.keys import Role, derive
from rtcsend.rendezvous.wire import encode_base64url

NONCE_SIZE: Final = 32  # bytes; so many that none comes twice
NONCE_BODY_SIZE: Final = 1 + NONCE_SIZE
CONFIRMATION_SIZE: Final = 33  # bytes: kind byte and HMAC-SHA256
MAX_FAREWELL: Final = 4096  # bytes of plaintext; a code and a sentence
_FAREWELL_NONCE_SIZE: Final = 12  # bytes, drawn: few farewells are ever sealed with one key
_TAG_SIZE: Final = 16
_CONFIRMATION: Final = b"F"
_FAREWELL: Final = b"G"
_NONCE_KIND: Final = {Role.SENDER: b"D", Role.RECEIVER: b"E"}


class State(enum.Enum):
    """Where the meeting stands."""

    NEW = "new"
    AWAITING_NONCE = "awaiting nonce"
    AWAITING_CONFIRMATION = "awaiting key confirmation"
    CONFIRMED = "confirmed"
    ENDED = "other side has ended"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class ReunionKeys:
    """The keys of one meeting. Secret: the representation shows nothing."""

    confirmation: dict[Role, bytes] = field(repr=False)
    """Key of the confirmation code that this role sends."""
    sealing: dict[Role, bytes] = field(repr=False)
    """Key of the boxes that this role seals."""


def mailbox_name(reconnection: bytes) -> str:
    """Return the name of the mailbox in which the two sides meet: 43 characters."""
    return encode_base64url(derive(reconnection, "reunion/mailbox"))


def derive_reunion_keys(
    reconnection: bytes, *, sender_nonce: bytes, receiver_nonce: bytes
) -> ReunionKeys:
    """Return the keys of the meeting with these two nonces."""
    salt = sender_nonce + receiver_nonce
    return ReunionKeys(
        confirmation={
            role: derive(reconnection, f"reunion/confirmation/{role.value}", salt=salt)
            for role in Role
        },
        sealing={
            role: derive(reconnection, f"reunion/sealing/{role.value}", salt=salt) for role in Role
        },
    )


def seal_farewell(
    plaintext: bytes, *, reconnection: bytes, role: Role, entropy: Callable[[int], bytes]
) -> bytes:
    """Return the body by which ``role`` says that it has ended, and why.

    Raises:
        ValueError: The plaintext is over MAX_FAREWELL bytes.
    """
    if len(plaintext) > MAX_FAREWELL:
        raise ValueError(f"a farewell of {len(plaintext)} bytes is too large")
    nonce = entropy(_FAREWELL_NONCE_SIZE)
    cipher = AESGCM(_farewell_key(reconnection, role))
    return _FAREWELL + nonce + cipher.encrypt(nonce, plaintext, _FAREWELL)


class ReunionMachine:
    """One side of one meeting.

    Contract: send what :meth:`start` returns as soon as the mailbox is entered; feed every
    body to :meth:`receive_body_untrusted` and send what that returns, until :attr:`state`
    is ``CONFIRMED``; then take :attr:`keys`. When it is ``ENDED``, :attr:`farewell` says why.

    Args:
        role: Which side this is.
        reconnection: The secret of the pairing.
        entropy: Returns that many random bytes (``os.urandom``).
    """

    def __init__(self, role: Role, *, reconnection: bytes, entropy: Callable[[int], bytes]) -> None:
        self._role = role
        self._reconnection = reconnection
        self._entropy = entropy
        self._state = State.NEW
        self._sent = b""
        self._received = b""
        self._keys: ReunionKeys | None = None
        self.farewell = b""
        """What the other side's farewell holds; to be parsed as an abort, untrusted."""

    @property
    def state(self) -> State:
        """Where the meeting stands."""
        return self._state

    @property
    def keys(self) -> ReunionKeys:
        """The keys of this meeting.

        Raises:
            InternalError: Before the other side's confirmation was seen.
        """
        if self._state is not State.CONFIRMED or self._keys is None:
            raise InternalError("The keys were asked for before the meeting was confirmed.")
        return self._keys

    def start(self) -> bytes:
        """Return this side's nonce. To be called once."""
        if self._state is not State.NEW:
            raise InternalError("A meeting can be started only once.")
        self._sent = _NONCE_KIND[self._role] + self._entropy(NONCE_SIZE)
        self._state = State.AWAITING_NONCE
        return self._sent

    def receive_body_untrusted(self, body: bytes) -> bytes | None:
        """Take a body from the other side; return the body to send, if there is one.

        Raises:
            PeerProtocolError: It is malformed, comes at the wrong time, or is no body of this
                meeting. The meeting has failed; the next one may not.
        """
        state, self._state = self._state, State.FAILED  # unless what follows says otherwise
        if state not in (State.AWAITING_NONCE, State.AWAITING_CONFIRMATION):
            raise PeerProtocolError("The other side sent a word of greeting at the wrong time.")
        if body[:1] == _FAREWELL:
            self.farewell = self._open_farewell(body)
            self._state = State.ENDED
            return None
        if state is State.AWAITING_NONCE:
            return self._receive_nonce(body)
        self._receive_confirmation(body)
        return None

    def _receive_nonce(self, body: bytes) -> bytes:
        if body[:1] != _NONCE_KIND[self._role.peer] or len(body) != NONCE_BODY_SIZE:
            raise PeerProtocolError("The other side's nonce is malformed.")
        self._received = body
        of_sender, of_receiver = self._in_order()
        self._keys = derive_reunion_keys(
            self._reconnection, sender_nonce=of_sender[1:], receiver_nonce=of_receiver[1:]
        )
        self._state = State.AWAITING_CONFIRMATION
        return _CONFIRMATION + self._confirmation_of(self._role)

    def _receive_confirmation(self, body: bytes) -> None:
        if body[:1] != _CONFIRMATION or len(body) != CONFIRMATION_SIZE:
            raise PeerProtocolError("The other side's key confirmation is malformed.")
        if not hmac.compare_digest(body[1:], self._confirmation_of(self._role.peer)):
            raise PeerProtocolError("Somebody else came to the meeting.")
        self._state = State.CONFIRMED

    def _open_farewell(self, body: bytes) -> bytes:
        head = len(_FAREWELL) + _FAREWELL_NONCE_SIZE
        if not head + _TAG_SIZE <= len(body) <= head + MAX_FAREWELL + _TAG_SIZE:
            raise PeerProtocolError("A farewell has an impossible size.")
        cipher = AESGCM(_farewell_key(self._reconnection, self._role.peer))
        try:
            return cipher.decrypt(body[len(_FAREWELL) : head], body[head:], _FAREWELL)
        except InvalidTag as exc:
            raise PeerProtocolError("A farewell was not the other side's.") from exc

    def _confirmation_of(self, role: Role) -> bytes:
        if self._keys is None:
            raise InternalError("A confirmation was computed before the key.")
        return hmac.digest(self._keys.confirmation[role], b"".join(self._in_order()), "sha256")

    def _in_order(self) -> tuple[bytes, bytes]:
        """Return the sender's nonce body and the receiver's."""
        if self._role is Role.SENDER:
            return self._sent, self._received
        return self._received, self._sent


def _farewell_key(reconnection: bytes, role: Role) -> bytes:
    return derive(reconnection, f"reunion/farewell/{role.value}")
