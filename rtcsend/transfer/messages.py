"""Control messages: what the control channel carries, one JSON object each.

Pure. docs/transfer-protocol.md §3 has the full text.

============ ========= ==============================================================
type         from      fields
============ ========= ==============================================================
``proposal`` sender    ``entries`` (``path`` ``kind`` ``size``), ``sender``
``accept``   receiver  ``entries`` (numbers, of those wanted), ``window``, ``limit``
``written``  receiver  ``entry``, ``bytes``: written so far
``end``      sender    ``entry``, ``digest``: BLAKE3, after its last frame
``complete`` receiver  ``entry``, ``digest``: verified, synced, renamed
``bye``      sender    the sender knows; both may close
``ping``     both      nothing: a sign of life while nothing else is to be said
``abort``    both      ``code``, ``reason``: :mod:`rtcsend.abort`
============ ========= ==============================================================
"""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal

from rtcsend.abort import abort_message, error_from_abort_untrusted
from rtcsend.errors import PeerProtocolError, RtcsendError
from rtcsend.strict_json import (
    MAX_INTEGER,
    JsonObject,
    parse_object_untrusted,
    take_int,
    take_list,
    take_str,
)

MAX_CONTROL_SIZE: Final = 65_536  # characters; within what every peer takes as one message
MAX_ENTRIES: Final = 1  # one file at a time
MAX_PATH_LENGTH: Final = 5_000  # characters; over PATH_MAX, so that what is too long is told so
MAX_SENDER_LENGTH: Final = 255  # characters; a host name
MIN_WINDOW: Final = 65_536  # bytes; one frame must fit
MAX_WINDOW: Final = 1 << 30
DIGEST_SIZE: Final = 64  # hexadecimal digits of a BLAKE3 digest of 32 bytes
_MAX_TYPE_LENGTH: Final = 32
_DIGEST: Final = re.compile(rf"[0-9a-f]{{{DIGEST_SIZE}}}")


@dataclass(frozen=True, slots=True, kw_only=True)
class ProposedEntry:
    """One thing that the sender offers. ``path`` is as the sender says: unsafe."""

    path: str
    kind: Literal["file"]
    size: int
    """In bytes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProposalMessage:
    """Everything that the sender offers."""

    entries: tuple[ProposedEntry, ...]
    sender: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AcceptMessage:
    """What the receiver wants of it, and how fast."""

    entries: tuple[int, ...]
    window: int
    """Bytes that may be sent and not yet written."""
    limit: int
    """Bytes per second at most; 0: no limit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WrittenMessage:
    """How much of an entry the receiver has written."""

    entry: int
    bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class EndMessage:
    """All of an entry is sent; this is its digest."""

    entry: int
    digest: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CompleteMessage:
    """The entry is verified, synced and under its final name."""

    entry: int
    digest: str


@dataclass(frozen=True, slots=True)
class ByeMessage:
    """The sender has seen the last ``complete``."""


@dataclass(frozen=True, slots=True)
class PingMessage:
    """A sign of life."""


@dataclass(frozen=True, slots=True)
class AbortMessage:
    """This side ends. Inbound, ``error`` is how the reader ends."""

    error: RtcsendError


ControlMessage = (
    ProposalMessage
    | AcceptMessage
    | WrittenMessage
    | EndMessage
    | CompleteMessage
    | ByeMessage
    | PingMessage
    | AbortMessage
)


def serialize_control(message: ControlMessage) -> str:
    """Return the text of a control message."""
    return json.dumps(_to_object(message), separators=(",", ":"), ensure_ascii=True)


def parse_control_untrusted(text: str) -> ControlMessage:
    """Return the control message in ``text``.

    Raises:
        PeerProtocolError: It is malformed, or of an unknown type.
    """
    message = parse_object_untrusted(text, max_size=MAX_CONTROL_SIZE)
    kind = take_str(message, "type", max_length=_MAX_TYPE_LENGTH)
    parser = _PARSERS.get(kind)
    if parser is None:
        raise PeerProtocolError("The other side sent a control message of an unknown type.")
    return parser(message)


def _to_object(message: ControlMessage) -> JsonObject:
    match message:
        case ProposalMessage():
            entries = [
                {"path": entry.path, "kind": entry.kind, "size": entry.size}
                for entry in message.entries
            ]
            return {"type": "proposal", "entries": entries, "sender": message.sender}
        case AcceptMessage(entries=wanted, window=window, limit=limit):
            return {"type": "accept", "entries": list(wanted), "window": window, "limit": limit}
        case WrittenMessage(entry=entry, bytes=written):
            return {"type": "written", "entry": entry, "bytes": written}
        case EndMessage(entry=entry, digest=digest):
            return {"type": "end", "entry": entry, "digest": digest}
        case CompleteMessage(entry=entry, digest=digest):
            return {"type": "complete", "entry": entry, "digest": digest}
        case ByeMessage():
            return {"type": "bye"}
        case PingMessage():
            return {"type": "ping"}
        case AbortMessage(error=error):
            return abort_message(error)


def _parse_proposal(message: JsonObject) -> ProposalMessage:
    entries = take_list(message, "entries", max_length=MAX_ENTRIES)
    if not entries:
        raise PeerProtocolError("The other side proposes nothing.")
    return ProposalMessage(
        entries=tuple(_parse_entry(entry) for entry in entries),
        sender=take_str(message, "sender", max_length=MAX_SENDER_LENGTH),
    )


def _parse_entry(entry: object) -> ProposedEntry:
    if not isinstance(entry, dict) or entry.get("kind") != "file":
        raise PeerProtocolError("The other side proposes something of an unknown kind.")
    return ProposedEntry(
        path=take_str(entry, "path", max_length=MAX_PATH_LENGTH),
        kind="file",
        size=take_int(entry, "size"),
    )


def _parse_accept(message: JsonObject) -> AcceptMessage:
    entries = take_list(message, "entries", max_length=MAX_ENTRIES)
    numbers = tuple(take_int({"entry": entry}, "entry", high=MAX_ENTRIES - 1) for entry in entries)
    if len(set(numbers)) != len(numbers):
        raise PeerProtocolError("The other side accepts something twice.")
    return AcceptMessage(
        entries=numbers,
        window=take_int(message, "window", low=MIN_WINDOW, high=MAX_WINDOW),
        limit=take_int(message, "limit"),
    )


def _parse_written(message: JsonObject) -> WrittenMessage:
    return WrittenMessage(entry=_entry(message), bytes=take_int(message, "bytes", high=MAX_INTEGER))


def _parse_end(message: JsonObject) -> EndMessage:
    return EndMessage(entry=_entry(message), digest=_digest(message))


def _parse_complete(message: JsonObject) -> CompleteMessage:
    return CompleteMessage(entry=_entry(message), digest=_digest(message))


def _entry(message: JsonObject) -> int:
    return take_int(message, "entry", high=MAX_ENTRIES - 1)


def _digest(message: JsonObject) -> str:
    digest = take_str(message, "digest", max_length=DIGEST_SIZE)
    if not _DIGEST.fullmatch(digest):
        raise PeerProtocolError("The other side sent a malformed digest.")
    return digest


_PARSERS: Final[dict[str, Callable[[JsonObject], ControlMessage]]] = {
    "proposal": _parse_proposal,
    "accept": _parse_accept,
    "written": _parse_written,
    "end": _parse_end,
    "complete": _parse_complete,
    "bye": lambda _message: ByeMessage(),
    "ping": lambda _message: PingMessage(),
    "abort": lambda message: AbortMessage(error_from_abort_untrusted(message)),
}
