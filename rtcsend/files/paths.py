r"""Names that come from a peer: which are refused, which are made safe, and how [pure].

A name is hostile until :func:`safe_name_untrusted` has passed it. It decides about the text
alone and never looks at a disk; whether a target exists is the sink's business. Who shows a
name on a terminal escapes it all the same: a safe name may still be misleading.

The policy for the single name of a plain file:

============================================  ==============================================
the name                                      what becomes of it
============================================  ==============================================
empty, ``.``, ``..``                          refused
has ``/`` or ``\``, or begins like ``C:``     refused: a sender must send a bare name
has NUL                                       refused
longer than MAX_UNTRUSTED_BYTES               refused
nothing left after the rules below            refused
not in Unicode normal form C                  normalised
control characters (C0, DEL, C1)              each ``_``
line and paragraph separators                 each ``_``
format characters (Cf): bidirectional         each ``_``; this breaks up joined emoji, whose
controls, zero-width, soft hyphen, tags       joiner cannot be told from a trick
other characters that are never drawn         each ``_`` (Hangul fillers, grapheme joiner …)
lone surrogates                               each ``_``
``<>:"|?*``                                   each ``_``, on Windows only
white space at either end, dots at the end    removed
device names of Windows (``NUL.txt``)         ``_`` in front, on every system: the file may
                                              be copied, or the folder be a share
ends like our own partial files               ``_`` behind
longer than MAX_NAME_BYTES                    shortened, the extension kept
a dot in front (``.env``)                     left alone: it is shown before it is accepted
============================================  ==============================================

Place in the flow: the receiving session calls it on the proposal, before anything is shown
or accepted; docs/security.md says what it protects from.
"""

import hashlib
import re
import unicodedata
from dataclasses import dataclass

from rtcsend.errors import UnsafePath

MAX_NAME_BYTES = 255  # bytes of UTF-8; NAME_MAX of Linux and macOS, and no more units on NTFS
MAX_UNTRUSTED_BYTES = 4096  # bytes of UTF-8; PATH_MAX of Linux: nobody has a longer name
MAX_EXTENSION_BYTES = 32  # bytes with the dot; what is longer is no extension, but a dotted name
MAX_TAG_LENGTH = 16  # characters; tags are our own small numbers
PARTIAL_SUFFIX = ".rtcsend-partial"

_MAX_PASSES = 8  # rounds of cleaning; two or three are needed, see _settle
_SHOWN_LENGTH = 60  # characters of a refused name that the error repeats
_HASH_BYTES = 8  # bytes; tells shortened partial names apart, an accident away from equal

_DRIVE = re.compile(r"\s*[A-Za-z]:")
_WINDOWS_FORBIDDEN = frozenset('<>:"|?*')
_UNSAFE_CATEGORIES = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
# Default_Ignorable_Code_Point (Unicode, DerivedCoreProperties.txt) outside category Cf, without
# the variation selectors, which half of all emoji carry.
_INVISIBLE = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u3164\uffa0")
# Microsoft, "Naming Files, Paths, and Namespaces": the superscript digits count as digits.
_PORT_DIGITS = "0123456789\u00b9\u00b2\u00b3"
_DEVICES = frozenset(
    {"CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$", "CLOCK$"}
    | {port + digit for port in ("COM", "LPT") for digit in _PORT_DIGITS}
)
_COMPRESSIONS = frozenset({".gz", ".bz2", ".xz", ".zst", ".lz", ".lz4", ".lzma", ".br", ".z"})


@dataclass(frozen=True, slots=True)
class SafeName:
    """A name that can be joined to a folder and stays directly inside it."""

    name: str
    changed: bool
    """True when it is not what the sender sent: tell the user."""


def safe_name_untrusted(name: str, *, windows: bool) -> SafeName:
    """Make the name of a proposed file safe, or refuse it.

    Args:
        name: What the peer sent.
        windows: Whether the file system's rules are those of Windows.

    Raises:
        UnsafePath: The name is not a bare name, or nothing safe is left of it.
    """
    _refuse_untrusted(name)
    safe = _settle(name, windows=windows)
    return SafeName(safe, changed=safe != name)


def numbered_name(name: str, number: int) -> str:
    """Return the name with a number before its extension: ``film (1).iso``.

    Args:
        name: A safe name.
        number: From 1.
    """
    stem, extension = split_extension(name)
    ending = f" ({number}){extension}"
    return _cut(stem, MAX_NAME_BYTES - _size(ending)).rstrip() + ending


def partial_name(name: str, tag: str = "") -> str:
    """Return the name of the hidden file that holds ``name`` while it is incomplete.

    The same name and tag always give the same result.

    Args:
        name: The safe name of the target.
        tag: Tells apart partial files of the same target; our own, short and ASCII.
    """
    assert len(tag) <= MAX_TAG_LENGTH, "tags are short"
    ending = (f".{tag}" if tag else "") + PARTIAL_SUFFIX
    whole = f".{name}{ending}"
    if _size(whole) <= MAX_NAME_BYTES:
        return whole
    digest = hashlib.blake2b(name.encode(errors="surrogatepass"), digest_size=_HASH_BYTES)
    ending = f"~{digest.hexdigest()}{ending}"
    return "." + _cut(name, MAX_NAME_BYTES - 1 - _size(ending)) + ending


def split_extension(name: str) -> tuple[str, str]:
    """Split into stem and extension, the dot with the latter; ``.tar.gz`` is one extension.

    A leading dot begins no extension, nor does one followed by white space or much text.
    """
    stem, extension = _split_last(name)
    if extension.lower() in _COMPRESSIONS:
        inner_stem, inner = _split_last(stem)
        if inner.lower() == ".tar":
            return inner_stem, inner + extension
    return stem, extension


def _split_last(name: str) -> tuple[str, str]:
    stem, dot, last = name.rpartition(".")
    extension = dot + last
    is_extension = (
        stem.strip(".") != ""
        and last != ""
        and _size(extension) <= MAX_EXTENSION_BYTES
        and not any(character.isspace() for character in last)
    )
    return (stem, extension) if is_extension else (name, "")


def _refuse_untrusted(name: str) -> None:
    """Raise for what cannot be the bare name of a file, whatever is done to it."""
    if len(name) > MAX_UNTRUSTED_BYTES or _size(name) > MAX_UNTRUSTED_BYTES:
        raise UnsafePath(f"The name {_shown(name)} is longer than {MAX_UNTRUSTED_BYTES} bytes.")
    if name in {"", ".", ".."}:
        raise UnsafePath(f"The name {_shown(name)} is not the name of a file.")
    if "\0" in name:
        raise UnsafePath(f"The name {_shown(name)} has a NUL in it.")
    if "/" in name or "\\" in name:
        raise UnsafePath(f"The name {_shown(name)} has a path separator in it.")
    # Some characters become letters in normal form C: the Kelvin sign is one.
    if _DRIVE.match(unicodedata.normalize("NFC", name)):
        raise UnsafePath(f"The name {_shown(name)} begins with a drive letter.")


def _settle(name: str, *, windows: bool) -> str:
    """Clean until nothing changes: one rule can undo another (cutting leaves a space at the end).

    So what comes out is a fixed point, and safe by every rule at once.
    """
    settled = name
    for _ in range(_MAX_PASSES):
        before, settled = settled, _clean(settled, windows=windows)
        if not settled:
            raise UnsafePath(f"Nothing is left of the name {_shown(name)} when it is made safe.")
        if settled == before:
            return settled
    raise UnsafePath(f"The name {_shown(name)} cannot be made safe.")


def _clean(name: str, *, windows: bool) -> str:
    name = unicodedata.normalize("NFC", name)
    name = "".join("_" if _is_unsafe(char, windows=windows) else char for char in name)
    name = _trim(name)
    if name.partition(".")[0].rstrip().upper() in _DEVICES:
        name = "_" + name
    if name.lower().endswith(PARTIAL_SUFFIX):
        name += "_"
    return _shorten(name)


def _is_unsafe(character: str, *, windows: bool) -> bool:
    return (
        unicodedata.category(character) in _UNSAFE_CATEGORIES
        or character in _INVISIBLE
        or (windows and character in _WINDOWS_FORBIDDEN)
    )


def _trim(name: str) -> str:
    end = len(name)
    while end and (name[end - 1].isspace() or name[end - 1] == "."):
        end -= 1
    return name[:end].lstrip()


def _shorten(name: str) -> str:
    if _size(name) <= MAX_NAME_BYTES:
        return name
    stem, extension = split_extension(name)
    return _cut(stem, MAX_NAME_BYTES - _size(extension)) + extension


def _cut(text: str, limit: int) -> str:
    """Return the longest start of at most ``limit`` bytes that ends between two characters.

    A letter is not parted from the marks that combine with it, unless nothing would be left.
    """
    end = size = 0
    while end < len(text) and size + _size(text[end]) <= limit:
        size += _size(text[end])
        end += 1
    whole = end
    while 0 < whole < len(text) and unicodedata.category(text[whole]).startswith("M"):
        whole -= 1
    return text[: whole or end]


def _size(text: str) -> int:
    """Bytes of UTF-8; a lone surrogate, which has no encoding, counts as three."""
    return len(text.encode(errors="surrogatepass"))


def _shown(name: str) -> str:
    """Quote a refused name for an error: ``repr`` escapes whatever does not print."""
    return repr(name if len(name) <= _SHOWN_LENGTH else name[:_SHOWN_LENGTH] + "…")
