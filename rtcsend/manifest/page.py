"""Pages: how entries travel, some hundreds at a time. Pure.

A page is a JSON list of groups (docs/transfer-protocol.md §3), each of which is one
:class:`~rtcsend.manifest.siblings.Siblings`: what they have in common once, and a list for each
thing that they have of their own. A reader in Python spends its time on objects, and so there are
few: lists of plain strings and numbers are parsed and checked without a step for each entry.

JSON is Unicode, and names of files need not be: what is not valid UTF-8 travels twice, readable
and as its very bytes. A group has only names of the one or the other kind.
"""

import json
import re
from collections.abc import Sequence
from typing import Any, Final, cast

from rtcsend.base64url import decode_base64url_untrusted, encode_base64url
from rtcsend.errors import PeerProtocolError
from rtcsend.manifest.entry import (
    MAX_MODE,
    MAX_PATH_LENGTH,
    MAX_TEXT,
    SAMPLE_SIZE,
    Kind,
    path_bytes,
)
from rtcsend.manifest.siblings import Siblings, are_unicode
from rtcsend.strict_json import MAX_INTEGER, JsonObject, parse_list_untrusted, take_int

MAX_PAGE_SIZE: Final = 48_000  # bytes of JSON: fits a control message, even if it does not shrink

_SECOND: Final = 10**9  # nanoseconds
_MAX_SECONDS: Final = 2**63 // _SECOND - 1  # so that nanoseconds fit what systems keep them in
_MAX_RAW_LENGTH: Final = -(-4 * MAX_PATH_LENGTH * 4 // 3)  # base64url of 4 bytes a character
_KINDS: Final = frozenset({"file", "directory", "link", "stream", "text"})
_SIZED: Final = {"file": MAX_INTEGER, "text": MAX_TEXT}
_COLUMNS: Final = {"sizes": frozenset({"file", "text"}), "samples": frozenset({"file"})}
_HEX: Final = re.compile(r"[0-9a-f]*")
_encode: Final = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False).encode


def serialize_page(groups: Sequence[Siblings]) -> bytes:
    """Return a page as it is before it is compressed."""
    return _encode([_to_object(group) for group in groups]).encode()


def parse_page_untrusted(page: bytes) -> list[Siblings]:
    """Return what a page lists; names may still be any text, and in any order.

    Raises:
        PeerProtocolError: It is malformed.
    """
    try:
        text = page.decode()
    except UnicodeDecodeError as exc:
        raise PeerProtocolError("The other side sent a page that is no valid UTF-8.") from exc
    return [_parse_untrusted(value) for value in parse_list_untrusted(text, max_size=MAX_PAGE_SIZE)]


def read_page(page: bytes) -> list[Siblings]:
    """Return what a page lists which was checked, or made here."""
    return [_from_object(value) for value in json.loads(page)]


def _to_object(group: Siblings) -> JsonObject:
    fields: JsonObject = {}
    if group.folder:
        _put_texts(fields, "folder", [group.folder])
        fields = {key: value for key, (value,) in fields.items()}
    fields["kind"] = group.kind
    _put_texts(fields, "names", group.names)
    if group.targets:
        _put_texts(fields, "targets", group.targets)
    if group.mode is not None:
        fields["mode"] = group.mode
    if group.sizes:
        fields["sizes"] = group.sizes
    if group.mtimes_ns:
        times = [divmod(time, _SECOND) for time in group.mtimes_ns]
        fields["mtimes"] = [seconds for seconds, _ in times]
        fields["mtimes_ns"] = [rest for _, rest in times]
    if group.samples:
        fields["samples"] = group.samples
    return fields


def _put_texts(fields: JsonObject, key: str, texts: Sequence[str]) -> None:
    if not are_unicode(texts):
        raws = [path_bytes(text) for text in texts]
        fields[f"raw_{key}"] = [encode_base64url(raw) for raw in raws]
        texts = [raw.decode("utf-8", "replace") for raw in raws]
    fields[key] = texts


def _from_object(value: Any) -> Siblings:
    get = value.get
    seconds = get("mtimes")
    return Siblings(
        _decoded([value["raw_folder"]])[0] if "raw_folder" in value else get("folder", ""),
        value["kind"],
        _decoded(value["raw_names"]) if "raw_names" in value else value["names"],
        get("mode"),
        get("sizes") or [],
        _nanoseconds(seconds, value["mtimes_ns"]) if seconds else [],
        _decoded(value["raw_targets"]) if "raw_targets" in value else get("targets") or [],
        get("samples") or [],
    )


def _decoded(raws: Sequence[str]) -> list[str]:
    return [
        (decode_base64url_untrusted(raw) or b"").decode("utf-8", "surrogateescape") for raw in raws
    ]


def _nanoseconds(seconds: Sequence[int], rests: Sequence[int]) -> list[int]:
    return [time * _SECOND + rest for time, rest in zip(seconds, rests, strict=True)]


def _parse_untrusted(value: object) -> Siblings:
    kind = value.get("kind") if isinstance(value, dict) else None
    if not isinstance(value, dict) or not isinstance(kind, str) or kind not in _KINDS:
        raise PeerProtocolError("The other side proposes something of an unknown kind.")
    if any(key in value and kind not in kinds for key, kinds in _COLUMNS.items()):
        raise PeerProtocolError("The other side proposes something with what it cannot have.")
    folder = _take_folder(value)
    names = _take_texts(value, "names", None, room=MAX_PATH_LENGTH - len(folder) - bool(folder))
    count = len(names)
    return Siblings(
        folder,
        cast("Kind", kind),
        names,
        take_int(value, "mode", high=MAX_MODE) if "mode" in value else None,
        _take_numbers(value, "sizes", count, high=_SIZED[kind]) if kind in _SIZED else [],
        _take_times(value, count) if "mtimes" in value else [],
        _take_texts(value, "targets", count) if kind == "link" else [],
        _take_samples(value, count) if "samples" in value else [],
    )


def _take_folder(value: JsonObject) -> str:
    if "folder" not in value:
        return ""
    lists: JsonObject = {key: [value[key]] for key in ("folder", "raw_folder") if key in value}
    folder = _take_texts(lists, "folder", 1)[0]
    if not folder:
        raise PeerProtocolError("The other side proposes something in a folder without a name.")
    return folder


def _take_texts(
    value: JsonObject, key: str, count: int | None, *, room: int = MAX_PATH_LENGTH
) -> list[str]:
    """Return texts whose bytes are said if, and only if, they are not valid UTF-8."""
    texts = _take_column(value, key, str, count)
    if max(map(len, texts)) > room or not are_unicode(texts):
        raise PeerProtocolError(f"The other side sent {key} that are too long, or no text.")
    if f"raw_{key}" not in value:
        return texts
    raws = _take_column(value, f"raw_{key}", str, len(texts))
    return [_take_raw(raw, readable) for raw, readable in zip(raws, texts, strict=True)]


def _take_raw(text: str, readable: str) -> str:
    raw = decode_base64url_untrusted(text) if len(text) <= _MAX_RAW_LENGTH else None
    if raw is None or raw.decode("utf-8", "replace") != readable:
        raise PeerProtocolError("The other side sent a malformed name.")
    name = raw.decode("utf-8", "surrogateescape")
    if are_unicode([name]):
        raise PeerProtocolError("The other side sent bytes of a name that are not needed.")
    return name


def _take_column(value: JsonObject, key: str, of: type, count: int | None) -> list[Any]:
    """Return a list of ``count`` values of one type, or of any number but none."""
    column = value.get(key)
    is_list = isinstance(column, list) and bool(column) and set(map(type, column)) == {of}
    if not is_list or count not in (None, len(cast("list[Any]", column))):
        raise PeerProtocolError(f"The other side sent a page with bad “{key}”.")
    return cast("list[Any]", column)


def _take_numbers(value: JsonObject, key: str, count: int, *, low: int = 0, high: int) -> list[int]:
    numbers: list[int] = _take_column(value, key, int, count)  # True is of another type
    if not low <= min(numbers) <= max(numbers) <= high:
        raise PeerProtocolError(f"The other side sent a page with bad “{key}”.")
    return numbers


def _take_times(value: JsonObject, count: int) -> list[int]:
    seconds = _take_numbers(value, "mtimes", count, low=-_MAX_SECONDS, high=_MAX_SECONDS)
    return _nanoseconds(seconds, _take_numbers(value, "mtimes_ns", count, high=_SECOND - 1))


def _take_samples(value: JsonObject, count: int) -> list[str]:
    samples: list[str] = _take_column(value, "samples", str, count)
    if any(len(sample) != SAMPLE_SIZE or not _HEX.fullmatch(sample) for sample in samples):
        raise PeerProtocolError("The other side sent a malformed sample.")
    return samples
