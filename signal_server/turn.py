"""Ephemeral TURN credentials: a user name that says when it expires, and its MAC as password.

The TURN server knows the same secret and nothing else: it needs no list of users, and a
credential that somebody keeps is of no use soon.

Pure: the time and the entropy come in. Source: draft-uberti-behave-turn-rest-00, section 2.2;
coturn's ``use-auth-secret``.
"""

import base64
import hmac
from collections.abc import Sequence

from signal_server.messages import IceServer, encode_base64url

ID_BYTES = 9  # names a client in the TURN server's log, and nobody can foresee it


def turn_server(
    urls: Sequence[str], *, secret: str, now: float, lifetime: float, entropy: bytes
) -> IceServer:
    """Return the TURN servers with a credential for one client.

    Args:
        urls: ``turn:`` and ``turns:``, of one or more servers with the same secret.
        secret: ``static-auth-secret`` of coturn.
        now: Seconds since the epoch (Unix time), since the TURN server compares it with its own.
        lifetime: Seconds for which an allocation can be begun with it.
        entropy: ID_BYTES of them, new ones for each client.
    """
    username = f"{int(now + lifetime)}:{encode_base64url(entropy)}"
    mac = hmac.digest(secret.encode(), username.encode(), "sha1")  # what the scheme has
    return IceServer(tuple(urls), username, base64.b64encode(mac).decode("ascii"))
