"""Control messages: what the control channel carries, one JSON object each.

Pure. docs/transfer-protocol.md §3 has the full text.

============ ========= ==============================================================
type         from      fields
============ ========= ==============================================================
``proposal`` sender    ``transfer``, ``sender``, ``entries`` ``files`` ``bytes`` (sums),
                       ``digest`` (of the pages), ``repeated``
``entries``  sender    ``first``, ``page``: some entries of the manifest
``skip``     receiver  ``ranges``: entries that are not wanted
``accept``   receiver  ``entries`` ``bytes`` (sums of what is wanted), ``window``,
                       ``limit``, ``start``, ``blocks``: what is there already;
                       ``zstd``: frames may be packed
``have``     receiver  ``first``, ``digests``: of blocks that are there
``checking`` sender    ``bytes``, ``sent``: up to where blocks were kept
``written``  receiver  ``bytes``: of frame payload that is written
``end``      sender    ``digest``, ``sent``: after its last frame; ``rows``
                       ``columns``: checksums of the digests of many files
``complete`` receiver  ``digest``: verified, synced, renamed
``bye``      sender    the sender knows; both may close
``ping``     both      ``held``: a sign of life while nothing else is to be said
``abort``    both      ``code``, ``reason``: :mod:`rtcsend.abort`
============ ========= ==============================================================
"""

import dataclasses
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from rtcsend.abort import abort_message, error_from_abort_untrusted
from rtcsend.base64url import decode_base64url_untrusted, encode_base64url
from rtcsend.blocks import DIGEST_BYTES
from rtcsend.errors import PeerProtocolError, RtcsendError
from rtcsend.manifest.entry import MAX_ENTRIES
from rtcsend.manifest.layout import MAX_STREAM_BLOCKS
from rtcsend.manifest.sums import MAX_SUMS, SUM_BYTES
from rtcsend.options import MIN_LIMIT
from rtcsend.strict_json import (
    JsonObject,
    parse_object_untrusted,
    take_bool,
    take_int,
    take_list,
    take_str,
)

MAX_CONTROL_SIZE: Final = 65_536  # characters; within what every peer takes as one message
MAX_SENDER_LENGTH: Final = 255  # characters; a host name
MIN_WINDOW: Final = 65_536  # bytes; one frame must fit
MAX_WINDOW: Final = 1 << 30
DIGEST_SIZE: Final = 64  # hexadecimal digits of a BLAKE3 digest of 32 bytes
TRANSFER_SIZE: Final = 32  # hexadecimal digits: 128 bits that nobody guesses
PAGE_BLOCKS: Final = 1_024  # digests in one message: 43,691 characters of base64url
PAGE_RANGES: Final = 2_048  # ranges in one message: at most 34,816 characters
_MAX_DIGESTS_LENGTH: Final = -(-PAGE_BLOCKS * DIGEST_BYTES * 4 // 3)  # the text of a page
_MAX_TYPE_LENGTH: Final = 32
_HEX: Final = re.compile(r"[0-9a-f]*")
_OPTIONAL: Final = frozenset(
    {"holes", "zstd", "held", "rows", "columns"}
)  # left out if false or empty
_MAX_SUMS_LENGTH: Final = -(-MAX_SUMS * SUM_BYTES * 4 // 3)


@dataclass(frozen=True, slots=True, kw_only=True)
class ProposalMessage:
    """What the sender offers, in sums; :class:`EntriesMessage` has the rest."""

    transfer: str
    """TRANSFER_SIZE digits, the same when the two sides have met again."""
    sender: str
    entries: int
    """How many there are, of all kinds."""
    files: int
    bytes: int
    """Of all files."""
    digest: str
    """Of the manifest, in hexadecimal."""
    repeated: bool = False
    """Whether the receiver has answered before: then it has the entries, and none follow."""
    holes: int = 0
    """How many of the bytes are holes of sparse files: a hint, for the space that is needed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EntriesMessage:
    """Some entries of the manifest, in order."""

    first: int
    """Number of the first entry."""
    page: bytes
    """A JSON list, compressed, see :mod:`rtcsend.manifest.manifest`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SkipMessage:
    """Entries that the receiver does not want."""

    ranges: tuple[int, ...]
    """The first number and the end (exclusive) of each range, ascending, in a row."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AcceptMessage:
    """What the receiver wants of it, and how fast."""

    entries: int
    """How many are wanted, of all kinds; 0: nothing, it is there already."""
    bytes: int
    """Of the files that are wanted."""
    window: int
    """Bytes that may be sent and not yet written."""
    limit: int
    """Bytes per second at most, MIN_LIMIT or more; 0: no limit."""
    start: int = 0
    """Bytes of the stream, from the first on, that this transfer has brought already."""
    blocks: int = 0
    """End (exclusive) of the blocks that an earlier run may have left; digests follow."""
    zstd: bool = False
    """Whether frames may be packed; left out when they may not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HaveMessage:
    """Digests of blocks that an earlier run has left. What is left out before is not there."""

    first: int
    """Number of the first block."""
    digests: bytes
    """DIGEST_BYTES bytes each, joined."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckingMessage:
    """What comes after the frames so far is kept, up to ``bytes``."""

    bytes: int
    """Position in the stream: the end of a block."""
    sent: int
    """Bytes of frame payload, of this connection, that went before it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WrittenMessage:
    """How much of the data of this connection the receiver has written."""

    bytes: int
    """Of frame payload."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EndMessage:
    """All of the stream is sent or kept; this is its digest."""

    digest: str
    sent: int
    """Bytes of frame payload of this connection."""
    rows: bytes = b""
    """Of many files, see :mod:`rtcsend.manifest.sums`; left out when they are empty."""
    columns: bytes = b""


@dataclass(frozen=True, slots=True, kw_only=True)
class CompleteMessage:
    """Everything is verified, synced and under its final name."""

    digest: str


@dataclass(frozen=True, slots=True)
class ByeMessage:
    """The sender has seen the last ``complete``."""


@dataclass(frozen=True, slots=True)
class PingMessage:
    """A sign of life."""

    held: bool = False
    """Whether whoever takes what the receiver writes takes nothing now; left out when not."""


@dataclass(frozen=True, slots=True)
class AbortMessage:
    """This side ends. Inbound, ``error`` is how the reader ends."""

    error: RtcsendError


ControlMessage = (
    ProposalMessage
    | EntriesMessage
    | SkipMessage
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
    fields = {  # the classes name their fields as they travel
        field.name: _to_json(getattr(message, field.name)) for field in dataclasses.fields(message)
    }
    for name in _OPTIONAL & fields.keys():
        if not fields[name]:
            del fields[name]
    return {"type": _TYPES[type(message)], **fields}


def _to_json(value: object) -> object:
    return encode_base64url(value) if isinstance(value, bytes) else value


def _parse_proposal(message: JsonObject) -> ProposalMessage:
    entries = take_int(message, "entries", low=1, high=MAX_ENTRIES)
    size = take_int(message, "bytes")
    return ProposalMessage(
        transfer=_take_hex(message, "transfer", TRANSFER_SIZE),
        sender=take_str(message, "sender", max_length=MAX_SENDER_LENGTH),
        entries=entries,
        files=take_int(message, "files", high=entries),
        bytes=size,
        digest=_take_hex(message, "digest", DIGEST_SIZE),
        repeated=take_bool(message, "repeated"),
        holes=take_int(message, "holes", high=size) if "holes" in message else 0,
    )


def _parse_entries(message: JsonObject) -> EntriesMessage:
    page = decode_base64url_untrusted(take_str(message, "page", max_length=MAX_CONTROL_SIZE))
    if not page:
        raise PeerProtocolError("The other side sent a malformed page.")
    return EntriesMessage(first=take_int(message, "first", high=MAX_ENTRIES - 1), page=page)


def _parse_skip(message: JsonObject) -> SkipMessage:
    ranges = take_list(message, "ranges", max_length=2 * PAGE_RANGES)
    last = -1
    for number in ranges:
        if type(number) is not int or not last < number <= MAX_ENTRIES:
            raise PeerProtocolError("The other side sent malformed ranges.")
        last = number
    if not ranges or len(ranges) % 2:
        raise PeerProtocolError("The other side sent malformed ranges.")
    return SkipMessage(ranges=tuple(ranges))


def _parse_accept(message: JsonObject) -> AcceptMessage:
    limit = take_int(message, "limit")
    if 0 < limit < MIN_LIMIT:
        raise PeerProtocolError("The receiver wants it slower than anybody can wait for.")
    return AcceptMessage(
        entries=take_int(message, "entries", high=MAX_ENTRIES),
        bytes=take_int(message, "bytes"),
        window=take_int(message, "window", low=MIN_WINDOW, high=MAX_WINDOW),
        limit=limit,
        start=take_int(message, "start"),
        blocks=take_int(message, "blocks", high=MAX_STREAM_BLOCKS),
        zstd=_take_flag(message, "zstd"),
    )


def _parse_have(message: JsonObject) -> HaveMessage:
    text = take_str(message, "digests", max_length=_MAX_DIGESTS_LENGTH)
    digests = decode_base64url_untrusted(text)
    if digests is None or len(digests) % DIGEST_BYTES:
        raise PeerProtocolError("The other side sent malformed digests.")
    return HaveMessage(first=take_int(message, "first", high=MAX_STREAM_BLOCKS), digests=digests)


def _parse_checking(message: JsonObject) -> CheckingMessage:
    return CheckingMessage(bytes=take_int(message, "bytes"), sent=take_int(message, "sent"))


def _parse_written(message: JsonObject) -> WrittenMessage:
    return WrittenMessage(bytes=take_int(message, "bytes"))


def _parse_end(message: JsonObject) -> EndMessage:
    digest = _take_hex(message, "digest", DIGEST_SIZE)
    return EndMessage(
        digest=digest,
        sent=take_int(message, "sent"),
        rows=_take_sums(message, "rows"),
        columns=_take_sums(message, "columns"),
    )


def _parse_complete(message: JsonObject) -> CompleteMessage:
    return CompleteMessage(digest=_take_hex(message, "digest", DIGEST_SIZE))


def _take_sums(message: JsonObject, key: str) -> bytes:
    if key not in message:
        return b""
    sums = decode_base64url_untrusted(take_str(message, key, max_length=_MAX_SUMS_LENGTH))
    if sums is None or len(sums) % SUM_BYTES:
        raise PeerProtocolError("The other side sent malformed checksums.")
    return sums


def _take_flag(message: JsonObject, key: str) -> bool:
    return key in message and take_bool(message, key)


def _take_hex(message: JsonObject, key: str, size: int) -> str:
    digits = take_str(message, key, max_length=size)
    if len(digits) != size or not _HEX.fullmatch(digits):
        raise PeerProtocolError(f"The other side sent a malformed {key}.")
    return digits


_TYPES: Final[dict[type, str]] = {
    ProposalMessage: "proposal",
    EntriesMessage: "entries",
    SkipMessage: "skip",
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
    "entries": _parse_entries,
    "skip": _parse_skip,
    "accept": _parse_accept,
    "have": _parse_have,
    "checking": _parse_checking,
    "written": _parse_written,
    "end": _parse_end,
    "complete": _parse_complete,
    "bye": lambda _message: ByeMessage(),
    "ping": lambda message: PingMessage(held=_take_flag(message, "held")),
    "abort": lambda message: AbortMessage(error_from_abort_untrusted(message)),
}
