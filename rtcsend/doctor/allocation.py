"""One TURN allocation: asked for, signed, bound to a peer, and given back.

A server says first what a request is to be signed with (401), may change its mind (438), and
then grants or refuses it. Whoever answers without the right signature is not heard, but for
these two and for refusals that come before a credential is looked at.

Pure. Place in the flow: two of them are in :mod:`rtcsend.doctor.relaying`.
Source: RFC 8656 §7, §8, §12; RFC 8489 §9.2.
"""

import enum
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from rtcsend.doctor import codec
from rtcsend.doctor.codec import Answer, Credential, Endpoint
from rtcsend.doctor.transaction import Schedule, Transaction, earliest

CHANNEL: Final = 0x4000  # the first of RFC 8656 §12; an allocation has one peer here
MAX_CHALLENGES: Final = 3  # 401 or 438 before it is given up: the first, a new nonce, one spare

UNAUTHORIZED, STALE_NONCE = 401, 438  # RFC 8489 §14.8


class Step(enum.Enum):
    """How far it is."""

    ASKING = enum.auto()
    ALLOCATED = enum.auto()
    BINDING = enum.auto()
    BOUND = enum.auto()
    RELEASING = enum.auto()
    OVER = enum.auto()


class Refusal(enum.Enum):
    """Why there is none."""

    SILENT = "silent"
    CREDENTIAL = "credential"
    QUOTA = "quota"
    CAPACITY = "capacity"
    FORBIDDEN = "forbidden"
    ELSEWHERE = "elsewhere"
    NO_TURN = "no-turn"
    OTHER = "other"


_REFUSALS: Final = {
    300: Refusal.ELSEWHERE,  # Try Alternate; RFC 8489 §14.8
    400: Refusal.NO_TURN,  # Bad Request: what STUN servers make of it
    401: Refusal.CREDENTIAL,
    403: Refusal.FORBIDDEN,  # this and the next ones: RFC 8656 §19
    420: Refusal.NO_TURN,  # Unknown Attribute
    441: Refusal.CREDENTIAL,
    486: Refusal.QUOTA,
    500: Refusal.OTHER,
    508: Refusal.CAPACITY,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Granted:
    """What the server grants."""

    relayed: Endpoint
    mapped: Endpoint | None
    lifetime: int
    """Seconds."""


class Allocation:
    """One allocation on one server.

    Args:
        username: Of the credential.
        password: Of the credential.
        schedule: When requests are sent again.
        entropy: Returns so many random bytes.
        now: Seconds.

    Attributes:
        granted: What the server has granted.
        refusal: Why it has not, or why a later step failed.
        error: The server's error code, where it gave one.
        rtt: Seconds of the first answer.
    """

    def __init__(
        self,
        *,
        username: str,
        password: str,
        schedule: Schedule,
        entropy: Callable[[int], bytes],
        now: float,
    ) -> None:
        self.granted: Granted | None = None
        self.refusal: Refusal | None = None
        self.error: int | None = None
        self.rtt: float | None = None
        self._username, self._password = username, password
        self._schedule, self._entropy = schedule, entropy
        self._credential: Credential | None = None
        self._peer: Endpoint | None = None
        self._challenges = 0
        self._step = Step.ASKING
        self._number = b""
        self._transaction: Transaction | None = None
        self._request(now=now)

    @property
    def step(self) -> Step:
        """How far it is."""
        return self._step

    def bind(self, peer: Endpoint, *, now: float) -> None:
        """Bind CHANNEL to a peer, and so permit it."""
        assert self._step is Step.ALLOCATED, "it is granted, and has no peer"
        self._peer, self._step = peer, Step.BINDING
        self._request(now=now)

    def release(self, *, now: float) -> None:
        """Give it back; the server may need the room."""
        if self._step in (Step.RELEASING, Step.OVER):
            return
        # One that is granted just now, and not known of, is given back as well.
        perhaps = self._credential is not None
        self._step = Step.RELEASING if perhaps else Step.OVER
        self._transaction = None
        if perhaps:
            self._challenges = 0
            self._request(now=now)

    def receive_untrusted(self, data: bytes, *, now: float) -> None:
        """Take a message of the server."""
        key = self._credential.key if self._credential is not None else None
        answer = codec.maybe_answer_untrusted(data, key=key)
        if (
            answer is None
            or self._transaction is None
            or answer.transaction_id != self._number
            or not self._believable(answer)
        ):
            return
        self._transaction.on_answer(now=now)
        self.rtt = self._transaction.rtt if self.rtt is None else self.rtt
        self._transaction = None
        if answer.error is None:
            self._on_success(answer)
        elif answer.error in (UNAUTHORIZED, STALE_NONCE):
            self._on_challenge(answer, now=now)
        else:
            self._refuse(_REFUSALS.get(answer.error, Refusal.OTHER), answer.error)

    def messages_to_send(self, *, now: float) -> list[bytes]:
        """Return what is to be sent now."""
        if self._transaction is None:
            return []
        data = self._transaction.maybe_data(now=now)
        if self._transaction.silent:
            self._transaction = None
            self._refuse(Refusal.SILENT, None)
        return [] if data is None else [data]

    def get_timer(self) -> float | None:
        """Return when to call :meth:`messages_to_send` next."""
        return None if self._transaction is None else earliest(self._transaction.get_timer())

    def _believable(self, answer: Answer) -> bool:
        """Return whether an answer counts: unsigned only where the server cannot sign."""
        if answer.authentic:
            return True
        if self._credential is None:
            return answer.error is not None
        # These two are unsigned always, others where the request was not let in; RFC 8489 §9.2.4.
        unsigned = answer.error in (UNAUTHORIZED, STALE_NONCE)
        return unsigned or (answer.error is not None and self._step is Step.ASKING)

    def _on_success(self, answer: Answer) -> None:
        if self._step is Step.ASKING:
            if answer.relayed is None:
                self._refuse(Refusal.OTHER, None)
                return
            lifetime = answer.lifetime or 0
            self.granted = Granted(relayed=answer.relayed, mapped=answer.mapped, lifetime=lifetime)
            self._step = Step.ALLOCATED
        elif self._step is Step.BINDING:
            self._step = Step.BOUND
        elif self._step is Step.RELEASING:
            self._step = Step.OVER

    def _on_challenge(self, answer: Answer, *, now: float) -> None:
        realm, nonce = answer.realm, answer.nonce
        if realm is None and self._credential is not None:
            realm = self._credential.realm  # 438 need not repeat it
        self._challenges += 1
        again = self._credential is None or answer.error == STALE_NONCE
        if not again or realm is None or nonce is None or self._challenges >= MAX_CHALLENGES:
            self._refuse(Refusal.CREDENTIAL, answer.error)
            return
        self._credential = codec.credential_of(
            self._username, self._password, realm=realm, nonce=nonce
        )
        self._request(now=now)

    def _refuse(self, refusal: Refusal, error: int | None) -> None:
        if self._step is not Step.RELEASING:
            self.refusal, self.error = refusal, error
        # What is granted has to be given back, whatever came after it.
        held = self.granted is not None and self._step is not Step.RELEASING
        self._step = Step.ALLOCATED if held else Step.OVER

    def _request(self, *, now: float) -> None:
        self._number = self._entropy(codec.TRANSACTION_ID_SIZE)
        self._transaction = Transaction(self._message(), now=now, schedule=self._schedule)

    def _message(self) -> bytes:
        if self._step is Step.ASKING:
            return codec.allocate_request(self._number, self._credential)
        assert self._credential is not None, "a server that grants has said who it is"
        if self._step is Step.RELEASING:
            return codec.release_request(self._number, self._credential)
        assert self._peer is not None, "bind has set it"
        return codec.bind_request(self._number, self._credential, channel=CHANNEL, peer=self._peer)
