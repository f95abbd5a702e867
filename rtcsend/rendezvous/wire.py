"""Strict JSON objects: what both directions of the rendezvous protocol are made of.

What it does: turns one text frame into a checked set of named fields, and back. Every
length has a maximum, and nothing is accepted that two JSON parsers could read differently
(duplicate names, NaN, huge numbers, lone surrogates).
What it does not: know any message; that is :mod:`rtcsend.rendezvous.frames`.

Pure. Source: docs/rendezvous-protocol.md, "Frames"; RFC 8259; RFC 4648 section 5.
"""

import binascii
import json
import math
import re
import string
from collections.abc import Mapping
from typing import NoReturn

MAX_FRAME = 65_536  # bytes of UTF-8 in one text frame
MAX_COUNT = 1_000_000_000  # a counter above it is an attack; exact in every JSON parser (2**53)
MAX_DIGITS = 16  # of a number in JSON; enough for 2**53, and int() of it costs nothing

_BASE64URL = (string.ascii_letters + string.digits + "-_").encode()
_TO_URLSAFE = bytes.maketrans(b"+/", b"-_")
_FROM_URLSAFE = bytes.maketrans(b"-_", b"+/")
_PADDING = (
    b"",
    b"===",
    b"==",
    b"=",
)  # by the characters over a multiple of four; one is none too many
_LAST = ("", "", "AQgw", "AEIMQUYcgkosw048")  # the last character, likewise: its stray bits are 0


class BadMessage(Exception):
    """A frame that the protocol does not allow.

    Its text says what is wrong in a few words of ours and never quotes the frame, so that
    it can be logged and sent back.
    """


def encode_base64url(data: bytes) -> str:
    """Return ``data`` in the URL-safe alphabet, without padding. Source: RFC 4648 section 5."""
    text = binascii.b2a_base64(data, newline=False).translate(_TO_URLSAFE)
    return text.rstrip(b"=").decode("ascii")


def decode_base64url_untrusted(text: str) -> bytes:
    """Return the bytes of unpadded, canonical base64url.

    Raises:
        BadMessage: Another alphabet, padding, an impossible length, or stray bits in the
            last character (two spellings of the same bytes).
    """
    if not is_base64url(text):
        raise BadMessage("not canonical base64url")
    return decode_base64url(text)


def is_base64url(text: str) -> bool:
    """Return whether ``text`` is unpadded, canonical base64url."""
    if not text.isascii() or text.encode().translate(None, _BASE64URL):
        return False
    over = len(text) % 4
    return over != 1 and (not over or text[-1] in _LAST[over])


def decode_base64url(text: str) -> bytes:
    """Return the bytes of what certainly is unpadded, canonical base64url."""
    padded = text.encode("ascii").translate(_FROM_URLSAFE) + _PADDING[len(text) % 4]
    return binascii.a2b_base64(padded)


class Fields:
    """The fields of one JSON object from outside, each taken with its type and its limit.

    Fields that nobody takes are ignored: a newer program may add some.
    """

    def __init__(self, values: Mapping[str, object]) -> None:
        self._values = values

    def has(self, name: str) -> bool:
        """Return whether the field is there and not null."""
        return self._values.get(name) is not None

    def text(self, name: str, *, max_length: int) -> str:
        """Return a string of at most ``max_length`` characters, encodable in UTF-8.

        Raises:
            BadMessage: Missing, no string, too long, or with a lone surrogate.
        """
        return checked_text(self._values.get(name), name=name, max_length=max_length)

    def matching(self, name: str, pattern: re.Pattern[str]) -> str:
        """Return a string that ``pattern`` matches as a whole.

        Raises:
            BadMessage: Missing, no string, or of another form.
        """
        value = self._values.get(name)
        if not isinstance(value, str) or not pattern.fullmatch(value):
            raise BadMessage(f"field {name} is missing or malformed")
        return value

    def maybe_text(self, name: str, *, max_length: int) -> str | None:
        """Return the same as :meth:`text`, or None when the field is absent or null.

        Raises:
            BadMessage: There, but not such a string.
        """
        return self.text(name, max_length=max_length) if self.has(name) else None

    def maybe_matching(self, name: str, pattern: re.Pattern[str]) -> str | None:
        """Return the same as :meth:`matching`, or None when the field is absent or null.

        Raises:
            BadMessage: There, but of another form.
        """
        return self.matching(name, pattern) if self.has(name) else None

    def count(self, name: str) -> int:
        """Return a number of messages, 0 when the field is absent or null.

        Raises:
            BadMessage: No whole number from 0 to MAX_COUNT.
        """
        value = self._values.get(name)
        if value is None:
            return 0
        if type(value) is not int or not 0 <= value <= MAX_COUNT:
            raise BadMessage(f"field {name} is no count")
        return value

    def flag(self, name: str) -> bool:
        """Return a truth value, False when the field is absent or null.

        Raises:
            BadMessage: Neither true nor false.
        """
        value = self._values.get(name, False)
        if value is not None and not isinstance(value, bool):
            raise BadMessage(f"field {name} is neither true nor false")
        return value is True

    def items(self, name: str, *, max_items: int) -> list[object]:
        """Return a list of at most ``max_items``; empty when the field is absent or null.

        Raises:
            BadMessage: No list, or too long.
        """
        value = self._values.get(name)
        if value is None:
            return []
        if not isinstance(value, list) or len(value) > max_items:
            raise BadMessage(f"field {name} is no list, or too long")
        return value


def checked_text(value: object, *, name: str, max_length: int) -> str:
    """Return ``value`` when it is a string that can be kept and shown.

    Raises:
        BadMessage: No string, too long, or with a lone surrogate.
    """
    if not isinstance(value, str) or len(value) > max_length:
        raise BadMessage(f"field {name} is missing, no string, or too long")
    try:
        value.encode()
    except UnicodeEncodeError as exc:
        raise BadMessage(f"field {name} is no valid Unicode") from exc
    return value


def size_of(text: str) -> int:
    """Return how many bytes of UTF-8 a frame has, at most one for a lone surrogate."""
    return len(text) if text.isascii() else len(text.encode(errors="replace"))


def parse_object_untrusted(text: str) -> Fields:
    """Return the fields of one frame.

    Raises:
        BadMessage: Too large, no JSON, no object, nested too deeply, a name twice, NaN or
            Infinity, or a number with too many digits.
    """
    if size_of(text) > MAX_FRAME:
        raise BadMessage("frame too large")
    try:
        value = _decoder.decode(text)
    except (ValueError, RecursionError) as exc:
        raise BadMessage("not JSON") from exc
    if not isinstance(value, dict):
        raise BadMessage("not an object")
    return Fields(value)


def fields_of(value: object) -> Fields:
    """Return the fields of an object inside another.

    Raises:
        BadMessage: ``value`` is no object.
    """
    if not isinstance(value, dict):
        raise BadMessage("not an object")
    return Fields(value)


def serialize_object(values: Mapping[str, object]) -> str:
    """Return one frame: compact JSON in ASCII, so that characters and bytes count the same."""
    return _encoder.encode(values)


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    """Refuse a name that comes twice: parsers differ in which of the two they keep."""
    result = dict(pairs)
    if len(result) != len(pairs):
        raise BadMessage("a name comes twice")
    return result


def _parse_int(text: str) -> int:
    """Refuse numbers that are no exact double, before int() spends time on them."""
    if len(text) > MAX_DIGITS:
        raise BadMessage("number too long")
    return int(text)


def _parse_float(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise BadMessage("number out of range")
    return value


def _refuse_constant(_text: str) -> NoReturn:
    raise BadMessage("NaN and Infinity are not JSON")


# Made once: to make one takes longer than to use it.
_encoder = json.JSONEncoder(separators=(",", ":"), allow_nan=False)
_decoder = json.JSONDecoder(
    object_pairs_hook=_unique,
    parse_int=_parse_int,
    parse_float=_parse_float,
    parse_constant=_refuse_constant,
)
