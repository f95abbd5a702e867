"""Permits to meet: what those get who were brought together by somebody with a token.

Where nameplates are for the holders of a token, two who have lost each other still have to be
able to meet, and the receiver has no token. So each side is given a permit with the presence of
the other one, and shows it when it comes to a meeting. A permit says until when it is good, and
is signed with what only servers with the same token know; nothing is stored. Taking the token
away ends it as well.

Pure: the time comes in. Place in the flow: kept by :mod:`signal_server.admission`.
Source: docs/rendezvous-protocol.md, "Meetings with a permit"; RFC 2104.
"""

import hmac
from collections.abc import Sequence

from signal_server.messages import encode_base64url

LIFETIME = 30 * 86_400  # seconds; as long as a client may try to meet the other one again
_LABEL = b"rtcsend permit to meet, version 1"


class Permits:
    """Gives and checks permits.

    Args:
        tokens: Of the operator; the first one signs, each of them is good to check.
    """

    def __init__(self, tokens: Sequence[str]) -> None:
        self._keys = [hmac.digest(token.encode(), _LABEL, "sha256") for token in tokens]

    def give(self, *, now: float) -> str | None:
        """Return a permit, or None where none is needed.

        Args:
            now: Seconds since the epoch: several servers, and their next lives, have to agree.
        """
        if not self._keys:
            return None
        until = str(int(now) + LIFETIME)
        return f"{until}.{_sign(self._keys[0], until)}"

    def is_good_untrusted(self, permit: str | None, *, now: float) -> bool:
        """Return whether somebody with this permit may meet."""
        if not self._keys:
            return True
        until, _, signature = (permit or "").partition(".")
        if not (until.isascii() and until.isdigit() and len(until) <= len(str(10**12))):
            return False
        matches = 0
        for key in self._keys:  # all of them, each in constant time
            matches += hmac.compare_digest(_sign(key, until).encode(), signature.encode())
        return matches > 0 and now < int(until)


def _sign(key: bytes, until: str) -> str:
    return encode_base64url(hmac.digest(key, until.encode(), "sha256"))
