"""The pairing of two sides that know the same words: SPAKE2, then key confirmation.

Sans-I/O. Bodies are what the rendezvous passes between the two sides before anything is
sealed; the first byte says what one is:

====== ===== =========================================================
byte    size  meaning
====== ===== =========================================================
``A``     33  SPAKE2 message of the sender (side byte, compressed point)
``B``     33  SPAKE2 message of the receiver
``C``     33  key confirmation: HMAC-SHA256 over both SPAKE2 messages
====== ===== =========================================================

Each side sends its SPAKE2 message as soon as it has a mailbox (the sender's waits there for
whoever comes), its confirmation as soon as it has the key, and trusts nothing before it has
seen the other's confirmation. So both sides learn of a wrong word by themselves, and whoever
guesses has guessed once: a machine takes one SPAKE2 message in its life.

Sources: RFC 9382 (SPAKE2; the transcript is that of the package ``spake2``, and
docs/transfer-protocol.md spells it out), RFC 9382 §4 (confirmation).
"""

import enum
import hmac
from collections.abc import Callable
from typing import Final

from spake2 import SPAKE2_A, SPAKE2_B
from spake2.ed25519_basic import NotOnCurve
from spake2.spake2 import SPAKEError

from rtcsend.errors import IncompatiblePeer, InternalError, PeerProtocolError, WrongCode
from rtcsend.pairing.keys import (
    APPLICATION_ID,
    PAIRING_VERSION,
    Role,
    SessionKeys,
    derive_session_keys,
)

PAKE_MESSAGE_SIZE: Final = 33  # bytes: side byte and compressed Ed25519 point
CONFIRMATION_SIZE: Final = 33  # bytes: kind byte and HMAC-SHA256
_CONFIRMATION: Final = b"C"
_IF_ENDED: Final = "If the sender has ended, the code is used up: send again; else type it again."
_SIDE_BYTE: Final = {Role.SENDER: b"A", Role.RECEIVER: b"B"}


class State(enum.Enum):
    """Where the pairing stands."""

    NEW = "new"
    AWAITING_PAKE = "awaiting PAKE message"
    AWAITING_CONFIRMATION = "awaiting key confirmation"
    CONFIRMED = "confirmed"
    FAILED = "failed"


class PairingMachine:
    """One side of one pairing.

    Contract: call :meth:`start`, send what it returns; feed
    every body to :meth:`receive_body_untrusted` and send what that returns, until
    :attr:`state` is ``CONFIRMED``; then take :attr:`keys`.

    Args:
        role: Which side this is.
        nameplate: Of the code; part of the SPAKE2 identity, so that a pairing cannot be
            carried over to another mailbox.
        password: The words, as bytes.
        entropy: Returns that many random bytes (``os.urandom``).
    """

    def __init__(
        self, role: Role, *, nameplate: str, password: bytes, entropy: Callable[[int], bytes]
    ) -> None:
        identity = f"{APPLICATION_ID}/{PAIRING_VERSION}/{nameplate}".encode()
        side = SPAKE2_A if role is Role.SENDER else SPAKE2_B
        self._spake = side(password, idA=identity, idB=identity, entropy_f=entropy)
        self._role = role
        self._state = State.NEW
        self._sent = b""
        self._received = b""
        self._keys: SessionKeys | None = None

    @property
    def state(self) -> State:
        """Where the pairing stands."""
        return self._state

    @property
    def keys(self) -> SessionKeys:
        """The session keys.

        Raises:
            InternalError: Before the other side's confirmation was seen.
        """
        if self._state is not State.CONFIRMED or self._keys is None:
            raise InternalError("The keys were asked for before the pairing was confirmed.")
        return self._keys

    def start(self) -> bytes:
        """Return this side's SPAKE2 message. To be called once.

        About 10 ms of arithmetic: call it off the event loop where that matters.
        """
        if self._state is not State.NEW:
            raise InternalError("A pairing can be started only once.")
        self._sent = self._spake.start()
        self._state = State.AWAITING_PAKE
        return self._sent

    def receive_body_untrusted(self, body: bytes) -> bytes | None:
        """Take a body from the other side; return the body to send, if there is one.

        Raises:
            WrongCode: The other side's words are not ours.
            IncompatiblePeer: The other side pairs in a way this version does not know.
            PeerProtocolError: The body is malformed, or comes at the wrong time.
        """
        state, self._state = self._state, State.FAILED  # unless what follows says otherwise
        if state is State.AWAITING_PAKE:
            return self._receive_pake(body)
        if state is State.AWAITING_CONFIRMATION:
            self._receive_confirmation(body)
            return None
        raise PeerProtocolError("The other side sent a pairing message at the wrong time.")

    def _receive_pake(self, body: bytes) -> bytes:
        if body[:1] not in {b"A", b"B", _CONFIRMATION}:
            raise IncompatiblePeer("The other side pairs in a way that this version does not know.")
        if body[:1] != _SIDE_BYTE[self._role.peer] or len(body) != PAKE_MESSAGE_SIZE:
            raise PeerProtocolError("The other side's first pairing message is malformed.")
        try:
            shared_key = self._spake.finish(body)
        except (SPAKEError, NotOnCurve, ValueError) as exc:
            # Points off the curve, of small order, outside the group, or reflected: none of
            # them can come from an honest side.
            raise PeerProtocolError("The other side's first pairing message is invalid.") from exc
        self._received = body
        self._keys = derive_session_keys(shared_key)
        self._state = State.AWAITING_CONFIRMATION
        return _CONFIRMATION + self._confirmation_of(self._role)

    def _receive_confirmation(self, body: bytes) -> None:
        if body[:1] != _CONFIRMATION or len(body) != CONFIRMATION_SIZE:
            raise PeerProtocolError("The other side's key confirmation is malformed.")
        if not hmac.compare_digest(body[1:], self._confirmation_of(self._role.peer)):
            hint = _IF_ENDED if self._role is Role.RECEIVER else None
            raise WrongCode("The words of the code do not match.", hint=hint)
        self._state = State.CONFIRMED

    def _confirmation_of(self, role: Role) -> bytes:
        if self._keys is None:
            raise InternalError("A confirmation was computed before the key.")
        messages = (self._sent, self._received)
        transcript = b"".join(messages if self._role is Role.SENDER else reversed(messages))
        return hmac.digest(self._keys.confirmation[role], transcript, "sha256")
