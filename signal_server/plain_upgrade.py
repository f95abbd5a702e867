"""Requests for a WebSocket as clients send them: checked at a glance, and answered.

What it does: takes a request in which nothing is unusual, and says what to answer.
What it does not: anything else, not even refuse; the package websockets has the rest of HTTP, and
is asked whenever something is not as simple as that. It would do these as well, but takes a third
of all the time that a pairing's two sockets take without their messages.

Pure. Place in the flow: below :mod:`signal_server.websocket`. Source: RFC 6455 section 4.2; RFC
9112 sections 3 and 5.
"""

import base64
import hashlib
import re
from collections.abc import Sequence
from typing import NamedTuple

LONGEST = 2_048  # bytes; ours has 250, and a proxy adds as many

# Printable ASCII, one space behind each colon, and no line that goes on in the next one.
_REQUEST = re.compile(rb"GET (/[!-~]*) HTTP/1\.1\r\n((?:[A-Za-z0-9-]+: [!-~][ -~]*\r\n){4,32})\r\n")
_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455 section 1.3
_KEY = re.compile(r"[A-Za-z0-9+/]{21}[AQgw]==", re.ASCII)  # 16 bytes; RFC 6455 section 4.1

_SWITCHING = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"

# A body, and what would have to be negotiated.
_UNUSUAL = frozenset({"content-length", "transfer-encoding", "sec-websocket-protocol"})


class Asked(NamedTuple):
    """What matters here of an HTTP request."""

    path: str
    """Without its query."""
    forwarded: Sequence[str] = ()
    """Values of ``Forwarded``, in order; not to be believed as such."""
    x_forwarded_for: Sequence[str] = ()
    """Values of ``X-Forwarded-For``, likewise."""


class PlainUpgrade(NamedTuple):
    """A good request for a WebSocket, and the key in it."""

    asked: Asked
    key: str

    def answer(self) -> bytes:
        """Return the response that makes a WebSocket of it; RFC 6455 section 4.2.2."""
        digest = hashlib.sha1(self.key.encode() + _GUID, usedforsecurity=False).digest()
        return b"%sSec-WebSocket-Accept: %s\r\n\r\n" % (_SWITCHING, base64.b64encode(digest))


def plain_upgrade_untrusted(data: bytes) -> PlainUpgrade | None:
    """Return what ``data`` asks for, where it is one whole plain request; else None.

    Args:
        data: The first that came on a connection.
    """
    match = _REQUEST.fullmatch(data) if len(data) <= LONGEST else None
    if match is None:
        return None
    lines = match[2].decode("ascii").split("\r\n")[:-1]
    fields = {}
    for line in lines:
        name, _, value = line.partition(": ")
        fields[name.lower()] = value.rstrip(" ")
    key = fields.get("sec-websocket-key", "")
    if (
        len(fields) != len(lines)  # a name comes twice
        or fields.get("upgrade", "").lower() != "websocket"
        or fields.get("connection", "").lower() != "upgrade"
        or fields.get("sec-websocket-version") != "13"
        or not _KEY.fullmatch(key)
        or not _UNUSUAL.isdisjoint(fields)
    ):
        return None
    asked = Asked(
        match[1].decode("ascii").partition("?")[0],
        _values(fields.get("forwarded")),
        _values(fields.get("x-forwarded-for")),
    )
    return PlainUpgrade(asked, key)


def _values(value: str | None) -> tuple[str, ...]:
    return () if value is None else (value,)
