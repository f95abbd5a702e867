"""JSON from a stranger: bounded before it is parsed, and of known types after.

Pure. Every message that is JSON (rendezvous excepted, whose rules stand in
:mod:`rtcsend.rendezvous.frames`) comes in through :func:`parse_object_untrusted`, and
its fields come out through the ``take_`` functions.
"""

import json
import re
from typing import Any, Final

from rtcsend.errors import PeerProtocolError

MAX_INTEGER: Final = 2**53 - 1  # what a JavaScript peer holds exactly
MAX_DEPTH: Final = 4
_MAX_DIGITS: Final = 20
_LONG: Final = re.compile(r"[0-9]{16}")  # what is shorter is no larger than MAX_INTEGER
_AS_PARENTHESES: Final = bytes.maketrans(b"{[]}", b"(())")
_NO_BRACKETS: Final = bytes(byte for byte in range(256) if byte not in b"{[]}")

JsonObject = dict[str, Any]


def parse_object_untrusted(text: str | bytes, *, max_size: int) -> JsonObject:
    """Return the JSON object that ``text`` holds.

    Args:
        text: UTF-8 when bytes.
        max_size: Characters (or bytes) at most.

    Raises:
        PeerProtocolError: Too long, too deep, not JSON, not an object, a key twice, or a
            number that is no integer of at most 53 bits.
    """
    value = _parse_untrusted(text, max_size=max_size)
    if not isinstance(value, dict):
        raise PeerProtocolError("The other side sent a message that is no JSON object.")
    return value


def parse_list_untrusted(text: str | bytes, *, max_size: int) -> list[Any]:
    """Return the JSON list that ``text`` holds; like :func:`parse_object_untrusted`.

    Raises:
        PeerProtocolError: As there; or it is no list.
    """
    value = _parse_untrusted(text, max_size=max_size)
    if not isinstance(value, list):
        raise PeerProtocolError("The other side sent a message that is no JSON list.")
    return value


def take_str(message: JsonObject, key: str, *, max_length: int, default: str | None = None) -> str:
    """Return a string field.

    Raises:
        PeerProtocolError: Missing without a default, of another type, or too long.
    """
    value = message.get(key, default)
    if not isinstance(value, str) or len(value) > max_length:
        raise PeerProtocolError(f"The other side sent a message with a bad “{key}”.")
    return value


def take_int(message: JsonObject, key: str, *, low: int = 0, high: int = MAX_INTEGER) -> int:
    """Return an integer field within ``low`` and ``high``.

    Raises:
        PeerProtocolError: Missing, of another type, or outside the bounds.
    """
    value = message.get(key)
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise PeerProtocolError(f"The other side sent a message with a bad “{key}”.")
    return value


def take_bool(message: JsonObject, key: str) -> bool:
    """Return a field that is true or false.

    Raises:
        PeerProtocolError: Missing, or of another type.
    """
    value = message.get(key)
    if not isinstance(value, bool):
        raise PeerProtocolError(f"The other side sent a message with a bad “{key}”.")
    return value


def take_list(message: JsonObject, key: str, *, max_length: int) -> list[Any]:
    """Return a list field of at most ``max_length`` values of any kind.

    Raises:
        PeerProtocolError: Missing, of another type, or too long.
    """
    value = message.get(key)
    if not isinstance(value, list) or len(value) > max_length:
        raise PeerProtocolError(f"The other side sent a message with a bad “{key}”.")
    return value


def _parse_untrusted(text: str | bytes, *, max_size: int) -> object:
    if len(text) > max_size:
        raise PeerProtocolError("The other side sent a message that is too long.")
    as_text = text.decode("utf-8", "replace") if isinstance(text, bytes) else text
    if _is_too_deep(as_text):
        raise PeerProtocolError("The other side sent a message that is nested too deeply.")
    try:
        value: object = json.loads(
            as_text,
            parse_constant=_refuse,
            parse_float=_refuse,
            parse_int=_bounded_int if _LONG.search(as_text) else None,
            object_pairs_hook=_unique,
        )
    except (ValueError, RecursionError) as exc:
        raise PeerProtocolError("The other side sent a message that is not valid JSON.") from exc
    return value


def _is_too_deep(text: str) -> bool:
    """Return whether objects and lists are nested deeper than MAX_DEPTH, strings left out.

    Right up to the first syntax error; what comes behind one is never parsed. No step looks at
    single characters in Python, so that 64 KiB of anything take a millisecond.
    """
    without_escapes = text.replace("\\\\", "").replace('\\"', "")
    outside = "".join(without_escapes.split('"')[::2])
    brackets = outside.encode("ascii", "ignore").translate(_AS_PARENTHESES, _NO_BRACKETS)
    for _ in range(MAX_DEPTH):  # each takes the innermost pairs away
        brackets = brackets.replace(b"()", b"")
    return b"()" in brackets or brackets.count(b"(") > MAX_DEPTH


def _refuse(text: str) -> Any:
    raise ValueError(f"number {text[:_MAX_DIGITS]} is not allowed")


def _bounded_int(text: str) -> int:
    if len(text) > _MAX_DIGITS or abs(int(text)) > MAX_INTEGER:
        raise ValueError("integer too large")
    return int(text)


def _unique(pairs: list[tuple[str, Any]]) -> JsonObject:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key comes twice")
    return found
