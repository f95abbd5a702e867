"""What the server's machine answers: frames, closed sockets, and refusals.

Pure. Place in the flow: returned by :mod:`signal_server.mailbox`, carried out by
:mod:`signal_server.server`. Source: docs/rendezvous-protocol.md, "Errors" and "Closing".
"""

import math
from dataclasses import dataclass
from typing import NamedTuple

from signal_server.messages import (
    MAX_FRAME,
    BadMessage,
    ClientMessage,
    ErrorCode,
    ErrorMessage,
    ServerMessage,
    parse_client_message_untrusted,
    size_of,
)

CLOSE_DONE = 1000  # released, or the mailbox is over; RFC 6455 section 7.4.1
CLOSE_GOING_AWAY = 1001  # the server ends, whoever comes after it
CLOSE_POLICY = 1008  # bad-message, full, expired, or nothing asked for
CLOSE_TOO_LARGE = 1009  # too-large
CLOSE_INTERNAL = 1011  # a bug of the server's
CLOSE_RESTART = 1012  # the server goes; another, or the same one, takes over at once
CLOSE_TRY_LATER = 1013  # no place for another socket; IANA WebSocket close codes
CLOSE_REPLACED = 4001  # the same side came on another socket; private range

_SENTENCES: dict[ErrorCode, str] = {
    "not-found": "Nobody waits at this nameplate.",
    "crowded": "This nameplate is taken.",
    "rate-limited": "Too many requests from this network.",
    "bad-message": "The server did not understand.",
    "too-large": "The message is too large.",
    "expired": "This mailbox is no longer there.",
    "full": "The server has no room for more.",
    "unauthorized": "This server takes new codes only with its token.",
    "refused": "The server refuses.",
}


class Send(NamedTuple):  # the one of all outputs that is made for each message
    """Send ``message`` on the socket ``connection``."""

    connection: int
    message: ServerMessage


@dataclass(frozen=True, slots=True)
class Close:
    """Close the socket ``connection`` after what was sent; the machine has forgotten it."""

    connection: int
    code: int
    reason: str


Output = Send | Close


class RequestRefused(Exception):
    """A frame is answered by an error.

    Attributes:
        code: The error.
        close: The close code, when the error ends the socket.
        retry_after: Seconds after which it may be tried again, when that is known.
    """

    def __init__(
        self, code: ErrorCode, *, close: int | None = None, retry_after: float | None = None
    ) -> None:
        super().__init__(code)
        self.code = code
        self.close = close
        self.retry_after = retry_after

    @property
    def message(self) -> ErrorMessage:
        """What the client is told."""
        return error_message(self.code, retry_after=self.retry_after)


def parse_frame_untrusted(frame: str | bytes, *, max_frame: int = MAX_FRAME) -> ClientMessage:
    """Return the message of one frame; bytes stand for a binary frame.

    Raises:
        RequestRefused: Too large, binary, or no message; it ends the socket.
    """
    # Text is counted in bytes of UTF-8, as on the wire; the server's own frames are ASCII.
    size = len(frame) if isinstance(frame, bytes) else size_of(frame)
    if size > max_frame:
        raise RequestRefused("too-large", close=CLOSE_TOO_LARGE)
    if isinstance(frame, bytes):
        raise RequestRefused("bad-message", close=CLOSE_POLICY)
    try:
        return parse_client_message_untrusted(frame)
    except BadMessage as exc:
        raise RequestRefused("bad-message", close=CLOSE_POLICY) from exc


def error_message(code: ErrorCode, *, retry_after: float | None = None) -> ErrorMessage:
    """Return the message of an error, with its sentence for people.

    Args:
        code: The error.
        retry_after: Seconds; on the wire they are whole ones, rounded up.
    """
    seconds = None if retry_after is None else math.ceil(round(retry_after, 3))
    sentence = _SENTENCES[code] if seconds is None else f"{_SENTENCES[code]} Wait {seconds} s."
    return ErrorMessage(code=code, message=sentence, retry_after=seconds)
