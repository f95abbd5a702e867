"""What machines can be called. Pure, and light: commands check names before anything is loaded."""

import unicodedata
from typing import Final

from rtcsend.errors import UsageError

MAX_NAME: Final = 64  # bytes of UTF-8: a file name three times as long is allowed everywhere
_PUNCTUATION: Final = frozenset("._-")
_HINT: Final = (
    f"A name is of letters, digits, “.”, “_” and “-”, begins with one of the first two, and has "
    f"at most {MAX_NAME} bytes."
)


def check_name(text: str) -> str:
    """Return a name in its plain form (NFC).

    Raises:
        UsageError: It is none.
    """
    name = unicodedata.normalize("NFC", text)
    is_short = len(name.encode(errors="replace")) <= MAX_NAME
    if name[:1].isalnum() and is_short and all(map(_is_allowed, name)):
        return name
    raise UsageError(f"“{text[:MAX_NAME]}” is no name for a machine.", hint=_HINT)


def suggested_name(host: str) -> str:
    """Return a name for the other side to call this machine by, made of its host name."""
    first = host.partition(".")[0]
    kept = "".join(each for each in first if each.isascii() and _is_allowed(each))
    return kept.lstrip("._-")[:MAX_NAME] or "other"


def _is_allowed(character: str) -> bool:
    return character.isalnum() or character in _PUNCTUATION
