"""Where two known machines find each other: names that nobody else can derive, or tell apart.

Pure. All of them come from the secret of the pair, by HKDF-SHA256, with the direction (the
sender's public key, then the receiver's) in the salt:

========== ============================================ ===========================
name        of                                           changes
========== ============================================ ===========================
door        the mailbox to which a sender comes          each day; with a server
            and where the receiver waits                 in the sender, each run
room        the mailbox to which the two go on           each time
note        what a sender without a server announces     each run
========== ============================================ ===========================

A note is 12 random bytes and 16 that only the two can compute from them: to anybody else two
notes of the same pair look like those of two strangers.

Source: docs/known-machines.md.
"""

import hmac
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from rtcsend.base64url import decode_base64url_untrusted, encode_base64url
from rtcsend.pairing.keys import SessionKeys, derive

DAY: Final = 86_400  # seconds; a door's name lasts from midnight to midnight, UTC
CLOCK_SKEW: Final = 3_600  # seconds by which the clocks of two machines may differ
NOTE_NONCE_SIZE: Final = 12  # bytes; so many that none comes twice
NOTE_MARK_SIZE: Final = 16  # bytes; nobody finds one by guessing
_NOTE_SIZE: Final = NOTE_NONCE_SIZE + NOTE_MARK_SIZE


@dataclass(frozen=True, slots=True, kw_only=True)
class Direction:
    """One direction of one pair. Secret: the representation shows nothing."""

    secret: bytes = field(repr=False)
    """Of the pair, 32 bytes."""
    sender: bytes = field(repr=False)
    """Public key, 32 bytes."""
    receiver: bytes = field(repr=False)

    def door_of_day(self, day: int) -> str:
        """Return the mailbox at a server that both were told: 43 characters.

        Args:
            day: Whole days since 1970-01-01, UTC.
        """
        return self._name("known/door/day", day.to_bytes(8, "big"))

    def door_of_note(self, note: str) -> str:
        """Return the mailbox at the server that ``note`` announces: 43 characters."""
        return self._name("known/door/note", note.encode())

    def make_note(self, entropy: Callable[[int], bytes]) -> str:
        """Return something to announce by which only the receiver knows the sender.

        38 characters of base64url.
        """
        nonce = entropy(NOTE_NONCE_SIZE)
        return encode_base64url(nonce + self._mark(nonce))

    def is_note_untrusted(self, text: str) -> bool:
        """Return whether ``text`` is a note of this direction."""
        data = decode_base64url_untrusted(text) or b""
        nonce, mark = data[:NOTE_NONCE_SIZE], data[NOTE_NONCE_SIZE:]
        return len(data) == _NOTE_SIZE and hmac.compare_digest(mark, self._mark(nonce))

    def _mark(self, nonce: bytes) -> bytes:
        return self._derive("known/note", nonce)[:NOTE_MARK_SIZE]

    def _name(self, purpose: str, detail: bytes) -> str:
        return encode_base64url(self._derive(purpose, detail))

    def _derive(self, purpose: str, detail: bytes) -> bytes:
        return derive(self.secret, purpose, salt=self.sender + self.receiver + detail)


def room_name(keys: SessionKeys) -> str:
    """Return the mailbox to which two that have just met at a door go on: 43 characters."""
    return encode_base64url(derive(keys.reconnection, "known/room"))


def day_of(unix_time: float) -> int:
    """Return the day to whose door a sender comes."""
    return int(unix_time // DAY)


def days_of(unix_time: float) -> tuple[int, ...]:
    """Return the days at whose doors a receiver waits: one, or two around midnight."""
    return tuple(sorted({day_of(unix_time - CLOCK_SKEW), day_of(unix_time + CLOCK_SKEW)}))


def next_change(unix_time: float) -> float:
    """Return the seconds until :func:`day_of` or :func:`days_of` says something else; over 0."""
    return min((edge - unix_time) % DAY or DAY for edge in (-CLOCK_SKEW, 0, CLOCK_SKEW))
