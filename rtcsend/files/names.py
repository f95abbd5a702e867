r"""Single names that come from a peer: which are refused, which are made safe, how [pure].

It decides about the text alone and never looks at a disk; whether a target exists is the
sink's business. Who shows a name on a terminal escapes it all the same: a safe name may still
be misleading. Used through :mod:`rtcsend.files.paths`, which puts names together to paths.

The policy, for the bare name of one file and for each component of a path:

============================================  ==============================================
the name                                      what becomes of it
============================================  ==============================================
empty, ``.``, ``..``                          refused
has ``/`` or NUL                              refused
longer than MAX_UNTRUSTED_BYTES               refused
nothing left after the rules below            refused
has ``\``                                     a bare name: refused; a component: each ``_``
begins like ``C:``                            a bare name, and the first component: refused
not in Unicode normal form C                  normalised
control characters (C0, DEL, C1)              each ``_``
line and paragraph separators                 each ``_``
format characters (Cf): bidirectional         each ``_``; this breaks up joined emoji, whose
controls, zero-width, soft hyphen, tags       joiner cannot be told from a trick
other characters that are never drawn         each ``_`` (Hangul fillers, grapheme joiner …)
lone surrogates                               each ``_``; but those that stand for bytes, which
                                              are no UTF-8, stay where names are bytes
``<>:"|?*``                                   each ``_``, on Windows only; so no name there
                                              means an alternate data stream
white space at either end, dots at the end    removed
device names of Windows (``NUL.txt``)         ``_`` in front, on every system: the file may
                                              be copied, or the folder be a share
like a short alias (``PROGRA~1.TXT``)         the last ``~`` is ``_``, on Windows only, where
                                              it may mean another file of the folder
ends like our own hidden files                ``_`` behind: ``.x.rtcsend-partial``, and all
                                              other endings that begin with ``.rtcsend-``
longer than MAX_NAME_BYTES                    shortened, the extension kept
a dot or a dash in front (``.env``, ``-rf``)  left alone: it is shown before it is accepted
============================================  ==============================================
"""

import hashlib
import re
import string
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

from rtcsend.errors import UnsafePath

MAX_NAME_BYTES = 255  # bytes of UTF-8; NAME_MAX of Linux and macOS, and no more units on NTFS
MAX_UNTRUSTED_BYTES = 4096  # bytes of UTF-8; PATH_MAX of Linux: nobody has a longer name
MAX_EXTENSION_BYTES = 32  # bytes with the dot; what is longer is no extension, but a dotted name
MAX_TAG_LENGTH = 16  # characters; tags are our own small numbers
OWN_MARK = ".rtcsend-"
"""Begins the endings of all files that are ours and hidden: no peer can name a file so."""
PARTIAL_SUFFIX = f"{OWN_MARK}partial"

_MAX_PASSES = 8  # rounds of cleaning; two or three are needed, see _settle
_SHOWN_LENGTH = 60  # characters of a refused name that the error repeats
_HASH_BYTES = 8  # bytes; tells shortened partial names apart, an accident away from equal

_DRIVE = re.compile(r"\s*[A-Za-z]:")
# Bounded, so that the "_" behind it is never cut off again with an extension that is too long.
_OWN = re.compile(re.escape(OWN_MARK) + r"[a-z0-9-]{0,20}\Z")
# Nothing is wrong with these, whatever the system; most names of most people.
_PLAIN = re.compile(r"[A-Za-z0-9_-](?:[A-Za-z0-9_. -]{0,80}[A-Za-z0-9_-])?", re.ASCII)
_PLAIN_LENGTH = 82  # characters; the same again, for many names between slashes
_PLAIN_BYTES = (string.ascii_letters + string.digits + "_. -/").encode()
# In lower case: what begins or ends with a blank or a dot, is empty, ours, or may be a device.
_ODD = ("/.", "./", "/ ", " /", "//", OWN_MARK, "/con", "/prn", "/aux", "/nul", "/com", "/lpt")
# Microsoft, MS-FSCC §2.1.5.2.1: 8 characters, a tilde and digits at their end, and 3.
_SHORT_ALIAS = re.compile(r"\A(?=[^.]{3,8}(?:\.|\Z))([^.]+)~([0-9]+(?:\.[^.]{0,3})?)\Z", re.ASCII)
_LONE = re.compile("[\udc80-\udcff]")
_WINDOWS_FORBIDDEN = frozenset('<>:"|?*')
_UNSAFE_CATEGORIES = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
# Default_Ignorable_Code_Point (Unicode, DerivedCoreProperties.txt) outside category Cf, without
# the variation selectors, which half of all emoji carry.
_INVISIBLE = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u3164\uffa0")
_VARIATION_SELECTORS = frozenset(
    chr(code)
    for first, last in ((0x180B, 0x180F), (0xFE00, 0xFE0F), (0xE0100, 0xE01EF))
    for code in range(first, last + 1)
)
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
    """Make the bare name of a proposed file safe, or refuse it.

    Args:
        name: What the peer sent.
        windows: Whether the file system's rules are those of Windows.

    Raises:
        UnsafePath: It is not a bare name, or nothing safe is left of it.
    """
    refuse_untrusted(name)
    if "\\" in name:
        raise UnsafePath(f"The name {shown_untrusted(name)} has a path separator in it.")
    refuse_drive_untrusted(name)
    return _safe(name, windows=windows)


def safe_component_untrusted(name: str, *, windows: bool) -> SafeName:
    """Make one component of a proposed path safe, or refuse it.

    Unlike a bare name it may have a backslash, which some systems allow and others do not
    (it becomes ``_``), and begin like a drive, which means nothing within a path.

    Args:
        name: What the peer sent between two slashes.
        windows: Whether the file system's rules are those of Windows.

    Raises:
        UnsafePath: It is no name, or nothing safe is left of it.
    """
    refuse_untrusted(name)
    return _safe(name, windows=windows)


def is_plain_name(name: str) -> bool:
    """Return whether a name of the other side is surely safe as it is, on any system.

    Quick, and right about most names of most trees; a name of which it is not sure may be safe.
    """
    return (
        _PLAIN.fullmatch(name) is not None
        and name.partition(".")[0].rstrip().upper() not in _DEVICES
        and OWN_MARK not in name.lower()
    )


def are_plain_names(names: Sequence[str]) -> bool:
    """Return whether all of some names are plain, see :func:`is_plain_name`; quicker for many."""
    joined = f"/{'/'.join(names)}/"
    if (
        joined.isascii()
        and not joined.encode().translate(None, _PLAIN_BYTES)
        and not any(map(joined.lower().__contains__, _ODD))
        and joined.count("/") == len(names) + 1
        and max(map(len, names)) <= _PLAIN_LENGTH
    ):
        return True
    return all(map(is_plain_name, names))


def is_own_name(name: str) -> bool:
    """Return whether a name is one of our hidden files, on any file system."""
    return _OWN.search(folded(name)) is not None


def folded(name: str) -> str:
    """Return what all names have in common that some file system takes for the same.

    Coarser than any single one. Case is folded as by APFS and ext4 (full folding) and as by
    NTFS (upper case); what Unicode calls canonically equivalent is one name on APFS and HFS+;
    what is never drawn counts for nothing on HFS+ and on folders of ext4 that fold.

    Source: Unicode 15 §3.13, D145 (canonical caseless match).
    """
    if name.isascii():
        return name.lower()
    decomposed = unicodedata.normalize("NFD", name)
    drawn = "".join(char for char in decomposed if not _is_ignorable(char))
    return unicodedata.normalize("NFD", drawn.upper().casefold())


def numbered_name(name: str, number: int) -> str:
    """Return the name with a number before its extension: ``film (1).iso``.

    Args:
        name: A safe name.
        number: From 1.
    """
    stem, extension = split_extension(name)
    ending = f" ({number}){extension}"
    return _cut(stem, MAX_NAME_BYTES - size_of(ending)).rstrip() + ending


def partial_name(name: str, tag: str = "", *, suffix: str = PARTIAL_SUFFIX) -> str:
    """Return the name of the hidden file that holds ``name`` while it is incomplete.

    The same name, tag and suffix always give the same result.

    Args:
        name: The safe name of the target.
        tag: Tells apart partial files of the same target; our own, short and ASCII.
        suffix: Begins with OWN_MARK; another for what is kept beside the partial file.
    """
    assert len(tag) <= MAX_TAG_LENGTH, "tags are short"
    assert _OWN.fullmatch(suffix), "no peer may be able to name such a file"
    ending = (f".{tag}" if tag else "") + suffix
    whole = f".{name}{ending}"
    if size_of(whole) <= MAX_NAME_BYTES:
        return whole
    digest = hashlib.blake2b(name.encode(errors="surrogatepass"), digest_size=_HASH_BYTES)
    ending = f"~{digest.hexdigest()}{ending}"
    return "." + _cut(name, MAX_NAME_BYTES - 1 - size_of(ending)) + ending


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
        and size_of(extension) <= MAX_EXTENSION_BYTES
        and not any(character.isspace() for character in last)
    )
    return (stem, extension) if is_extension else (name, "")


def refuse_untrusted(name: str) -> None:
    """Refuse what cannot be one name, whatever is done to it.

    Raises:
        UnsafePath: See the table above.
    """
    if len(name) > MAX_UNTRUSTED_BYTES or size_of(name) > MAX_UNTRUSTED_BYTES:
        raise UnsafePath(
            f"The name {shown_untrusted(name)} is longer than {MAX_UNTRUSTED_BYTES} bytes."
        )
    if name in {"", ".", ".."}:
        raise UnsafePath(f"The name {shown_untrusted(name)} is not the name of a file.")
    if "\0" in name:
        raise UnsafePath(f"The name {shown_untrusted(name)} has a NUL in it.")
    if "/" in name:
        raise UnsafePath(f"The name {shown_untrusted(name)} has a path separator in it.")


def refuse_drive_untrusted(text: str) -> None:
    """Refuse what begins like a drive.

    Raises:
        UnsafePath: It does.
    """
    # Some characters become letters in normal form C: the Kelvin sign is one.
    if _DRIVE.match(unicodedata.normalize("NFC", text)):
        raise UnsafePath(f"The name {shown_untrusted(text)} begins with a drive letter.")


def size_of(text: str) -> int:
    """Return the bytes of UTF-8; a lone surrogate that stands for a byte is one, others three."""
    try:
        return len(text.encode("utf-8", "surrogateescape"))
    except UnicodeEncodeError:
        return len(text.encode(errors="surrogatepass"))


def shown_untrusted(name: str) -> str:
    """Quote a refused name for an error: ``repr`` escapes whatever does not print."""
    return repr(name if len(name) <= _SHOWN_LENGTH else name[:_SHOWN_LENGTH] + "…")


def _safe(name: str, *, windows: bool) -> SafeName:
    safe = _settle(name, windows=windows)
    return SafeName(safe, changed=safe != name)


def _settle(name: str, *, windows: bool) -> str:
    """Clean until nothing changes: one rule can undo another (cutting leaves a space at the end).

    So what comes out is a fixed point, and safe by every rule at once.
    """
    settled = name
    for _ in range(_MAX_PASSES):
        before, settled = settled, _clean(settled, windows=windows)
        if not settled:
            raise UnsafePath(
                f"Nothing is left of the name {shown_untrusted(name)} when it is made safe."
            )
        if settled == before:
            return settled
    raise UnsafePath(f"The name {shown_untrusted(name)} cannot be made safe.")


def _clean(name: str, *, windows: bool) -> str:
    if not _PLAIN.fullmatch(name):
        name = _replace(name, windows=windows)
        if not windows and not _stands_for_bytes(name):
            name = _LONE.sub("_", name)
    if name.partition(".")[0].rstrip().upper() in _DEVICES:
        name = "_" + name
    if windows:
        name = _SHORT_ALIAS.sub(r"\1_\2", name)
    if is_own_name(name):
        name += "_"
    return _shorten(name)


def _replace(name: str, *, windows: bool) -> str:
    name = unicodedata.normalize("NFC", name)
    name = "".join("_" if _is_unsafe(char, windows=windows) else char for char in name)
    return _trim(name)


def _is_unsafe(character: str, *, windows: bool) -> bool:
    if not windows and _LONE.fullmatch(character):
        return False  # see _stands_for_bytes
    return (
        unicodedata.category(character) in _UNSAFE_CATEGORIES
        or character in _INVISIBLE
        or character == "\\"
        or (windows and character in _WINDOWS_FORBIDDEN)
    )


def _stands_for_bytes(name: str) -> bool:
    """Return whether lone surrogates in a name are bytes that are no UTF-8, and nothing else.

    As :func:`os.fsdecode` makes them (PEP 383). Bytes that together are UTF-8 would come out as
    other characters than were looked at.
    """
    if name.isascii():
        return True
    try:
        data = name.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return False
    return data.decode("utf-8", "surrogateescape") == name


def _is_ignorable(character: str) -> bool:
    return (
        character in _VARIATION_SELECTORS
        or character in _INVISIBLE
        or unicodedata.category(character) == "Cf"
    )


def _trim(name: str) -> str:
    end = len(name)
    while end and (name[end - 1].isspace() or name[end - 1] == "."):
        end -= 1
    return name[:end].lstrip()


def _shorten(name: str) -> str:
    if size_of(name) <= MAX_NAME_BYTES:
        return name
    stem, extension = split_extension(name)
    return _cut(stem, MAX_NAME_BYTES - size_of(extension)) + extension


def _cut(text: str, limit: int) -> str:
    """Return the longest start of at most ``limit`` bytes that ends between two characters.

    A letter is not parted from the marks that combine with it, unless nothing would be left.
    """
    if text.isascii():
        return text[:limit]
    end = size = 0
    while end < len(text) and size + size_of(text[end]) <= limit:
        size += size_of(text[end])
        end += 1
    whole = end
    while 0 < whole < len(text) and unicodedata.category(text[whole]).startswith("M"):
        whole -= 1
    return text[: whole or end]
