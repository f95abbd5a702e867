"""One thing that is sent: a file, a directory or a link; or a stream, or a text. Pure.

How it travels, several in a row, is in :mod:`rtcsend.manifest.page`.
"""

from typing import Final, Literal, NamedTuple

MAX_ENTRIES: Final = 1 << 20  # of one transfer
MAX_PATH_LENGTH: Final = 5_000  # characters; over PATH_MAX, so that what is too long is told so
SAMPLE_SIZE: Final = 64  # hexadecimal digits
MAX_TEXT: Final = 65_536  # bytes of UTF-8; more is no message, and wants to be a file
MAX_MODE: Final = 0o777  # never setuid, setgid or sticky

Kind = Literal["file", "directory", "link", "stream", "text"]

WITH_CONTENT: Final = frozenset({"file", "stream", "text"})
"""Kinds that have bytes; the size of a stream is not known before its end."""
SIZED: Final = frozenset({"file", "text"})
"""Kinds of which the size is known."""
ALONE: Final = frozenset({"stream", "text"})
"""Kinds of which there is one, and nothing else beside it."""


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


def path_bytes(path: str) -> bytes:
    """Return the bytes of a path: UTF-8, or what is not."""
    try:
        return path.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:  # half a UTF-16 pair, which Windows allows
        return path.encode("utf-8", "surrogatepass")
