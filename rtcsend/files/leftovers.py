"""What earlier runs have left in a folder: looked for, gone on with, listed and removed.

A partial file is bound to its content, not to its name. Looked for, in this order:

1. whose journal has the same sample and size, whatever its name is
2. of the target's name and the same size: the content may have changed in places
3. of the target's name and without a journal that counts

Which of its blocks are right is the business of their digests. What is left of another size
stays as it is: it may be gone on with by its own content. Only success removes it, and
``rtcsend clean``. Only plain blocking calls.
"""

import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from typing import Final

from rtcsend.files.folder import KEEPS_OPEN_FILES, Folder
from rtcsend.files.journal import Journal
from rtcsend.files.journal_file import JOURNAL_SUFFIX, journal_name, read_journal, remove_journal
from rtcsend.files.partial import (
    PartialFile,
    create_partial,
    hold_partial,
    is_own_file,
    open_leftover,
    partial_names,
)
from rtcsend.files.paths import PARTIAL_SUFFIX

MAX_LOOKED_AT: Final = 100_000  # names of a folder; more take longer than sending again
MAX_JOURNALS: Final = 1_000  # journals read; nobody has so many, but somebody may put them there
_UNIT: Final = 512  # bytes; of st_blocks, POSIX <sys/stat.h>


@dataclass(frozen=True, slots=True, kw_only=True)
class Leftover:
    """A partial file, or a journal alone, that nobody may hold any more.

    Attributes:
        name: In its folder.
        journal: What its journal says; None when there is none that counts.
        length: Bytes from its start to its end.
        allocated: Bytes that it takes on the disk.
        modified: When it was last written, in seconds since 1970.
    """

    name: str
    journal: Journal | None
    length: int
    allocated: int
    modified: float


def claim_partial(
    folder: Folder, target: str, *, size: int, sample: str, mode: int | None
) -> PartialFile:
    """Take over the best leftover for a transfer, or make a new partial file; locked.

    Args:
        folder: Where the target will be.
        target: The safe name of the target.
        size: Bytes of the whole file; what is longer is cut.
        sample: Of the whole file, see :mod:`rtcsend.files.sample`.
        mode: Permission bits of the finished file; None: what the umask leaves.

    Raises:
        CannotWrite: All its names are taken.
        OSError: The folder cannot be written.
    """
    for leftover in _suitable(folder, target, size=size, sample=sample):
        partial = hold_partial(folder, leftover.name, mode=mode)
        if partial is None:
            continue
        if partial.length > size:
            os.ftruncate(partial.fd, size)
        return PartialFile(partial.name, partial.fd, partial.final_mode, min(partial.length, size))
    return create_partial(folder, target, mode=mode)


def bytes_there(folder: Folder, target: str, *, size: int, sample: str) -> int:
    """Return how much of the disk :func:`claim_partial` would find taken already."""
    for leftover in _suitable(folder, target, size=size, sample=sample):
        fd = open_leftover(folder, leftover.name)
        if fd is not None:
            os.close(fd)
            return min(leftover.allocated, size)
    return 0


def leftovers(folder: Folder) -> Iterator[Leftover]:
    """Yield all that earlier runs have left in a folder, held or not.

    Raises:
        OSError: The folder cannot be read.
    """
    with os.scandir(folder.path) as entries:
        names = [
            entry.name
            for entry in islice(entries, MAX_LOOKED_AT)
            if entry.name.startswith(".") and entry.name.endswith((PARTIAL_SUFFIX, JOURNAL_SUFFIX))
        ]
    partials = {name for name in names if name.endswith(PARTIAL_SUFFIX)}
    journals = {journal_name(name) for name in partials}
    # A journal alone was left between the last rename and its removal.
    found = (name for name in sorted(names) if name in partials or name not in journals)
    for name in islice(found, MAX_JOURNALS):
        facts = folder.stat(name)
        if facts is not None and is_own_file(facts):
            yield Leftover(
                name=name,
                journal=read_journal(folder, name) if name in partials else None,
                length=facts.st_size,
                allocated=getattr(facts, "st_blocks", -(-facts.st_size // _UNIT)) * _UNIT,
                modified=facts.st_mtime,
            )


def remove_leftover(folder: Folder, leftover: Leftover, *, dry_run: bool) -> bool:
    """Remove a leftover and its journal; return False when somebody holds it.

    Args:
        folder: Where it is.
        leftover: From :func:`leftovers`.
        dry_run: Whether to say only what would happen.

    Raises:
        OSError: It cannot be removed.
    """
    fd = open_leftover(folder, leftover.name)
    if fd is None:
        return False
    try:
        if dry_run:
            return True
        if KEEPS_OPEN_FILES:
            os.close(fd)
        folder.unlink(leftover.name)
        remove_journal(folder, leftover.name)
    finally:
        if not KEEPS_OPEN_FILES or dry_run:
            os.close(fd)
    return True


def _suitable(folder: Folder, target: str, *, size: int, sample: str) -> list[Leftover]:
    """Return the leftovers that may be gone on with, the best first."""
    names = set(partial_names(target))

    def rank(leftover: Leftover) -> int | None:
        journal = leftover.journal
        if not leftover.name.endswith(PARTIAL_SUFFIX):
            return None
        if journal is not None and (journal.size, journal.sample) == (size, sample):
            return 0
        if leftover.name not in names:
            return None
        if journal is not None:
            return 1 if journal.size == size else None
        return 2 if leftover.length <= size else None

    found: list[tuple[int, int, str, Leftover]] = []
    with suppress(OSError):
        for leftover in leftovers(folder):
            place = rank(leftover)
            if place is not None:
                found.append((place, -leftover.length, leftover.name, leftover))
    return [leftover for *_, leftover in sorted(found, key=lambda item: item[:3])]
