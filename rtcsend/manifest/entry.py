"""One thing that is sent: a file, a directory or a link; or a stream, or a text. Pure.

In a page it is a JSON object (docs/transfer-protocol.md §3). JSON is Unicode, and names of
files need not be: what is not valid UTF-8 travels twice, readable and as its very bytes.
"""

import re
from typing import Any, Final, Literal, NamedTuple, cast

from rtcsend.base64url import decode_base64url_untrusted, encode_base64url
from rtcsend.errors import PeerProtocolError
from rtcsend.strict_json import MAX_INTEGER, JsonObject, take_int, take_str

MAX_ENTRIES: Final = 1 << 20  # of one transfer
MAX_PATH_LENGTH: Final = 5_000  # characters; over PATH_MAX, so that what is too long is told so
SAMPLE_SIZE: Final = 64  # hexadecimal digits
MAX_TEXT: Final = 65_536  # bytes of UTF-8; more is no message, and wants to be a file
MAX_MODE: Final = 0o777  # never setuid, setgid or sticky
_SECOND: Final = 10**9  # nanoseconds
_MAX_SECONDS: Final = 2**63 // _SECOND - 1  # so that nanoseconds fit what systems keep them in
_MAX_RAW_LENGTH: Final = -(-4 * MAX_PATH_LENGTH * 4 // 3)  # base64url of 4 bytes a character
_KINDS: Final = frozenset({"file", "directory", "link", "stream", "text"})
_HEX: Final = re.compile(r"[0-9a-f]{64}")

Kind = Literal["file", "directory", "link", "stream", "text"]

WITH_CONTENT: Final = frozenset({"file", "stream", "text"})
"""Kinds that have bytes; the size of a stream is not known before its end."""
ALONE: Final = frozenset({"stream", "text"})
"""Kinds of which there is one, and nothing else beside it."""
_SIZED: Final = {"file": MAX_INTEGER, "text": MAX_TEXT}


class ManifestEntry(NamedTuple):
    """One entry. ``path`` and ``target`` are as the sender says: unsafe until checked.

    Bytes of a name that are not valid UTF-8 are lone surrogates in it, as ``os.fsdecode`` makes
    them on POSIX: ``os.fsencode`` gives the same bytes again.

    A tuple, since a frozen dataclass takes three times as long to make, and there may be a
    million of them in each walk.
    """

    path: str
    """With ``/`` between components."""
    kind: Kind
    size: int = 0
    """Bytes of a file or text."""
    mode: int | None = None
    """Permission bits, at most 0o777; None: not known."""
    mtime_ns: int | None = None
    """Time of the last change, in nanoseconds since 1970; None: not known."""
    target: str = ""
    """Where a link points, relative to the folder that it is in."""
    sample: str = ""
    """Of a file: SAMPLE_SIZE digits, a hint where to look for its content, no proof; or empty."""


def entry_to_object(entry: ManifestEntry) -> JsonObject:
    """Return the JSON object of an entry."""
    fields: JsonObject = {}
    _put_name(fields, "path", "raw", entry.path)
    fields["kind"] = entry.kind
    if entry.kind in _SIZED:
        fields["size"] = entry.size
    if entry.kind == "link":
        _put_name(fields, "target", "raw_target", entry.target)
    if entry.mode is not None:
        fields["mode"] = entry.mode
    if entry.mtime_ns is not None:
        fields["mtime"], fields["mtime_ns"] = divmod(entry.mtime_ns, _SECOND)
    if entry.sample:
        fields["sample"] = entry.sample
    return fields


def parse_entry_untrusted(value: object) -> ManifestEntry:
    """Return the entry that a JSON object says.

    Raises:
        PeerProtocolError: It is malformed.
    """
    kind = value.get("kind") if isinstance(value, dict) else None
    if not isinstance(value, dict) or not isinstance(kind, str) or kind not in _KINDS:
        raise PeerProtocolError("The other side proposes something of an unknown kind.")
    sample = value.get("sample", "")
    if sample != "" and not (isinstance(sample, str) and _HEX.fullmatch(sample)):
        raise PeerProtocolError("The other side sent a malformed sample.")
    mode = take_int(value, "mode", high=MAX_MODE) if "mode" in value else None
    entry = ManifestEntry(
        path=_take_name(value, "path", "raw"),
        kind=cast("Kind", kind),
        size=take_int(value, "size", high=_SIZED[kind]) if kind in _SIZED else 0,
        mode=mode,
        mtime_ns=_take_mtime(value) if "mtime" in value else None,
        target=_take_name(value, "target", "raw_target") if kind == "link" else "",
        sample=sample,
    )
    if (kind != "file" and entry.sample) or (kind not in _SIZED and "size" in value):
        raise PeerProtocolError("The other side proposes something with what it cannot have.")
    return entry


def entry_from_object(value: Any) -> ManifestEntry:
    """Return the entry that an object says which was checked, or made here."""
    get = value.get
    kind, seconds = value["kind"], get("mtime")
    return ManifestEntry(
        _name(value, "path", "raw") if "raw" in value else value["path"],
        kind,
        get("size", 0),
        get("mode"),
        None if seconds is None else seconds * _SECOND + value["mtime_ns"],
        _name(value, "target", "raw_target") if kind == "link" else "",
        get("sample", ""),
    )


def path_bytes(path: str) -> bytes:
    """Return the bytes of a path: UTF-8, or what is not."""
    try:
        return path.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:  # half a UTF-16 pair, which Windows allows
        return path.encode("utf-8", "surrogatepass")


def _put_name(fields: JsonObject, key: str, raw_key: str, name: str) -> None:
    if not _is_unicode(name):
        raw = path_bytes(name)
        fields[raw_key] = encode_base64url(raw)
        name = raw.decode("utf-8", "replace")
    fields[key] = name


def _name(value: Any, key: str, raw_key: str) -> str:
    raw = value.get(raw_key)
    if raw is None:
        return cast("str", value[key])
    return (decode_base64url_untrusted(raw) or b"").decode("utf-8", "surrogateescape")


def _take_name(value: JsonObject, key: str, raw_key: str) -> str:
    """Return a name whose bytes are said if, and only if, it is not valid UTF-8."""
    readable = take_str(value, key, max_length=MAX_PATH_LENGTH)
    if not _is_unicode(readable):
        raise PeerProtocolError(f"The other side sent a {key} that is no valid Unicode.")
    if raw_key not in value:
        return readable
    raw = decode_base64url_untrusted(take_str(value, raw_key, max_length=_MAX_RAW_LENGTH))
    if raw is None or raw.decode("utf-8", "replace") != readable:
        raise PeerProtocolError(f"The other side sent a malformed {raw_key}.")
    name = raw.decode("utf-8", "surrogateescape")
    if _is_unicode(name):
        raise PeerProtocolError(f"The other side sent a {raw_key} that is not needed.")
    return name


def _take_mtime(value: JsonObject) -> int:
    seconds = take_int(value, "mtime", low=-_MAX_SECONDS, high=_MAX_SECONDS)
    return seconds * _SECOND + take_int(value, "mtime_ns", high=_SECOND - 1)


def _is_unicode(text: str) -> bool:
    """Return whether a text has no lone surrogates."""
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
