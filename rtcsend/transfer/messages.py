"""Control messages: what the control channel carries, one JSON object each.

Pure. docs/transfer-protocol.md §3 has the full text.

============ ========= ==============================================================
type         from      fields
============ ========= ==============================================================
``proposal`` sender    ``transfer``, ``entries`` (``path`` ``kind`` ``size`` ``sample``),
                       ``sender``
``accept``   receiver  ``entries`` (numbers, of those wanted), ``window``, ``limit``,
                       ``start``, ``blocks``: what is there already
``have``     receiver  ``entry``, ``first``, ``digests``: of the blocks that are there
``checking`` sender    ``entry``, ``bytes``, ``sent``: up to where blocks were kept
``written``  receiver  ``entry``, ``bytes``: of frame payload that is written
``end``      sender    ``entry``, ``digest``: BLAKE3, ``sent``: after its last frame
``complete`` receiver  ``entry``, ``digest``: verified, synced, renamed
``bye``      sender    the sender knows; both may close
``ping``     both      nothing: a sign of life while nothing else is to be said
``abort``    both      ``code``, ``reason``: :mod:`rtcsend.abort`
============ ========= ==============================================================
"""

import base64
import dataclasses
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal

from rtcsend.abort import abort_message, error_from_abort_untrusted
from rtcsend.blocks import DIGEST_BYTES, MAX_BLOCKS
from rtcsend.errors import PeerProtocolError, RtcsendError
from rtcsend.options import MIN_LIMIT
from rtcsend.strict_json import (
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
SAMPLE_SIZE: Final = 64  # hexadecimal digits
TRANSFER_SIZE: Final = 32  # hexadecimal digits: 128 bits that nobody guesses
PAGE_BLOCKS: Final = 1_024  # digests in one message: 43,691 characters of base64url
_MAX_PAGE_LENGTH: Final = -(-PAGE_BLOCKS * DIGEST_BYTES * 4 // 3)  # its text
_MAX_TYPE_LENGTH: Final = 32
_HEX: Final = re.compile(r"[0-9a-f]*")


@dataclass(frozen=True, slots=True, kw_only=True)
class ProposedEntry:
    """One thing that the sender offers. ``path`` is as the sender says: unsafe."""

    path: str
    kind: Literal["file"]
    size: int
    """In bytes."""
    sample: str
    """SAMPLE_SIZE digits, made from pieces of the content: a hint where to look, no proof."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProposalMessage:
    """Everything that the sender offers."""

    transfer: str
    """TRANSFER_SIZE digits, the same when the two sides have met again."""
    entries: tuple[ProposedEntry, ...]
    sender: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AcceptMessage:
    """What the receiver wants of it, and how fast."""

    entries: tuple[int, ...]
    window: int
    """Bytes that may be sent and not yet written."""
    limit: int
    """Bytes per second at most, MIN_LIMIT or more; 0: no limit."""
    start: int = 0
    """Bytes, from the first on, that this transfer has brought already."""
    blocks: int = 0
    """Blocks, from the first on, that an earlier run has left; their digests follow."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HaveMessage:
    """Digests of blocks that an earlier run has left at the receiver, in order."""

    entry: int
    first: int
    """Number of the first block."""
    digests: bytes
    """DIGEST_BYTES bytes each, joined."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckingMessage:
    """What comes after the frames so far is kept, up to ``bytes``."""

    entry: int
    bytes: int
    """Position in the file: the end of a block."""
    sent: int
    """Bytes of frame payload, of this connection, that went before it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WrittenMessage:
    """How much of the data of this connection the receiver has written."""

    entry: int
    bytes: int
    """Of frame payload."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EndMessage:
    """All of an entry is sent or kept; this is its digest."""

    entry: int
    digest: str
    sent: int
    """Bytes of frame payload of this connection."""


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
    | HaveMessage
    | CheckingMessage
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
    if isinstance(message, AbortMessage):
        return abort_message(message.error)
    fields = dataclasses.asdict(message)  # the classes name their fields as they travel
    if isinstance(message, HaveMessage):
        fields["digests"] = base64.urlsafe_b64encode(message.digests).rstrip(b"=").decode()
    return {"type": _TYPES[type(message)], **fields}


def _parse_proposal(message: JsonObject) -> ProposalMessage:
    entries = take_list(message, "entries", max_length=MAX_ENTRIES)
    if not entries:
        raise PeerProtocolError("The other side proposes nothing.")
    return ProposalMessage(
        transfer=_take_hex(message, "transfer", TRANSFER_SIZE),
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
        sample=_take_hex(entry, "sample", SAMPLE_SIZE),
    )


def _parse_accept(message: JsonObject) -> AcceptMessage:
    entries = take_list(message, "entries", max_length=MAX_ENTRIES)
    numbers = tuple(take_int({"entry": entry}, "entry", high=MAX_ENTRIES - 1) for entry in entries)
    if len(set(numbers)) != len(numbers):
        raise PeerProtocolError("The other side accepts something twice.")
    limit = take_int(message, "limit")
    if 0 < limit < MIN_LIMIT:
        raise PeerProtocolError("The receiver wants it slower than anybody can wait for.")
    return AcceptMessage(
        entries=numbers,
        window=take_int(message, "window", low=MIN_WINDOW, high=MAX_WINDOW),
        limit=limit,
        start=take_int(message, "start"),
        blocks=take_int(message, "blocks", high=MAX_BLOCKS),
    )


def _parse_have(message: JsonObject) -> HaveMessage:
    return HaveMessage(
        entry=_entry(message),
        first=take_int(message, "first", high=MAX_BLOCKS - 1),
        digests=_page(take_str(message, "digests", max_length=_MAX_PAGE_LENGTH)),
    )


def _parse_checking(message: JsonObject) -> CheckingMessage:
    return CheckingMessage(
        entry=_entry(message), bytes=take_int(message, "bytes"), sent=take_int(message, "sent")
    )


def _parse_written(message: JsonObject) -> WrittenMessage:
    return WrittenMessage(entry=_entry(message), bytes=take_int(message, "bytes"))


def _parse_end(message: JsonObject) -> EndMessage:
    digest = _take_hex(message, "digest", DIGEST_SIZE)
    return EndMessage(entry=_entry(message), digest=digest, sent=take_int(message, "sent"))


def _parse_complete(message: JsonObject) -> CompleteMessage:
    return CompleteMessage(entry=_entry(message), digest=_take_hex(message, "digest", DIGEST_SIZE))


def _entry(message: JsonObject) -> int:
    return take_int(message, "entry", high=MAX_ENTRIES - 1)


def _take_hex(message: JsonObject, key: str, size: int) -> str:
    digits = take_str(message, key, max_length=size)
    if len(digits) != size or not _HEX.fullmatch(digits):
        raise PeerProtocolError(f"The other side sent a malformed {key}.")
    return digits


def _page(text: str) -> bytes:
    """Return the digests of a page: base64url without padding, in its one canonical form."""
    try:
        digests = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except ValueError:  # binascii.Error, or not ASCII
        digests = b""
    # The decoder reads over what is no digit, and over bits that are left: this does not.
    is_canonical = base64.urlsafe_b64encode(digests).rstrip(b"=").decode() == text
    if not digests or len(digests) % DIGEST_BYTES or not is_canonical:
        raise PeerProtocolError("The other side sent malformed digests.")
    return digests


_TYPES: Final[dict[type, str]] = {
    ProposalMessage: "proposal",
    AcceptMessage: "accept",
    HaveMessage: "have",
    CheckingMessage: "checking",
    WrittenMessage: "written",
    EndMessage: "end",
    CompleteMessage: "complete",
    ByeMessage: "bye",
    PingMessage: "ping",
}
_PARSERS: Final[dict[str, Callable[[JsonObject], ControlMessage]]] = {
    "proposal": _parse_proposal,
    "accept": _parse_accept,
    "have": _parse_have,
    "checking": _parse_checking,
    "written": _parse_written,
    "end": _parse_end,
    "complete": _parse_complete,
    "bye": lambda _message: ByeMessage(),
    "ping": lambda _message: PingMessage(),
    "abort": lambda message: AbortMessage(error_from_abort_untrusted(message)),
}
