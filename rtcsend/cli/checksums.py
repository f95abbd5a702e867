r"""``--checksums FILE``: one line ``BLAKE3  path`` for each file, as ``b3sum`` prints them.

In the order of sending, so that the same files make the same lines on both sides, each time; only
names that were made safe at the receiver are there as they are stored. Paths are relative to the
folder that was received into. A path with a backslash, a line feed or
a carriage return is escaped, and its line begins with a backslash: as b3sum does.

The lines of many files go to disk as they come; the file gets its name at the end, when all of it
is verified, and until then it is not there. Place in the flow: around the engine.
"""

import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path, PurePath
from typing import IO, Final

from rtcsend.cli.terminal import escape
from rtcsend.errors import CannotWrite
from rtcsend.events import Done, Event, Proposal
from rtcsend.options import STDOUT

_ESCAPES: Final = ((b"\\", b"\\\\"), (b"\n", b"\\n"), (b"\r", b"\\r"))


def checksum_line(digest: str, path: str) -> bytes:
    """Return the line for a file, with its line end. Pure."""
    name = escaped = os.fsencode(path)
    for char, replacement in _ESCAPES:
        escaped = escaped.replace(char, replacement)
    mark = b"\\" if escaped != name else b""
    return b"%s%s  %s\n" % (mark, digest.encode("ascii"), escaped)


class Checksums:
    """Lines that become a file. Made by :func:`checksums_in`.

    Args:
        file: Takes the lines, and can be read again.
    """

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._tops: tuple[str, ...] = ()
        self._done: Done | None = None
        self._failure: OSError | None = None

    def add(self, digest: str, path: str) -> None:
        """Take a file of several; from any one thread."""
        try:
            self._file.write(b"%s %s\0" % (digest.encode("ascii"), os.fsencode(path)))
        except OSError as exc:  # told at the end: the transfer is not to break
            self._failure = exc

    def observe(self, event: Event) -> None:
        """Take note of the names that things were proposed under, and have got."""
        if isinstance(event, Proposal):
            self._tops = event.tops
        elif isinstance(event, Done):
            self._done = event

    def write(self, out: IO[bytes]) -> None:
        """Write the lines.

        Raises:
            OSError: The disk is full, or fails.
        """
        if self._failure is not None:
            raise self._failure
        done = self._done
        if done is None or not done.blake3 or not done.paths:  # all was skipped, or only shown
            return
        names = _new_names(self._tops, done.paths)
        self._file.seek(0)
        count = 0
        for count, (digest, path) in enumerate(_records(self._file), 1):  # noqa: B007
            top, slash, rest = path.partition("/")
            out.write(checksum_line(digest, names.get(top, top) + slash + rest))
        if not count:
            out.write(checksum_line(done.blake3, _name(done.paths[0])))


def _records(file: IO[bytes]) -> Iterator[tuple[str, str]]:
    """Yield what :meth:`Checksums.add` has put away."""
    rest = b""
    while block := file.read(1 << 16):
        *records, rest = (rest + block).split(b"\0")
        for record in records:
            digest, _, path = record.partition(b" ")
            yield digest.decode("ascii"), os.fsdecode(path)


def _new_names(tops: Sequence[str], paths: Sequence[str]) -> Mapping[str, str]:
    """Return what is at the top under another name than proposed (``--rename``, ``--output``)."""
    pairs = zip(tops, map(_name, paths), strict=False)
    return {top: name for top, name in pairs if top != name}


def _name(path: str) -> str:
    return path if path == str(STDOUT) else PurePath(path).name


@contextmanager
def checksums_in(path: Path | None) -> Iterator[Checksums | None]:
    """Within it, digests are collected; when it ends well, ``path`` has them.

    Args:
        path: The file, which is replaced if it is there; None: none is wanted.

    Raises:
        CannotWrite: It cannot be written; before anybody is contacted, if that can be known.
    """
    if path is None:
        yield None
        return
    with _translated(path):
        unfinished = path.with_name(f".{path.name}.{os.getpid()}")
        new = unfinished.open("xb")
    try:
        with new, tempfile.TemporaryFile() as collected:
            sums = Checksums(collected)
            yield sums
            with _translated(path):
                sums.write(new)
                new.flush()
                os.fsync(new.fileno())
                unfinished.replace(path)
    except BaseException:
        with suppress(OSError):
            unfinished.unlink()
        raise


@contextmanager
def _translated(path: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError) as exc:  # ValueError: there is a NUL in the path, or no name
        reason = (isinstance(exc, OSError) and exc.strerror) or "it is no name for a file"
        raise CannotWrite(
            f"The checksums cannot be written to {escape(str(path))}: {reason}.",
            hint="Give --checksums a file in a folder that you can write to.",
        ) from exc
