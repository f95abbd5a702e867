"""The journal on the disk: begun, continued, read and removed [shell].

A transfer does not depend on it: where it cannot be written, it is left out, and a later run
finds the partial file by its name alone. What has its name and is no regular file was not left
by us, and is neither followed nor removed. See :mod:`rtcsend.files.journal` for what is in it.

Only plain blocking calls: the sink runs them in threads.
"""

import errno
import logging
import os
import stat
from contextlib import suppress
from typing import Final

from rtcsend.files.folder import KEEPS_OPEN_FILES, Folder
from rtcsend.files.journal import (
    MAX_JOURNAL_SIZE,
    Journal,
    NotAJournal,
    parse_journal_untrusted,
    serialize_header,
    serialize_synced,
)
from rtcsend.files.paths import OWN_MARK, PARTIAL_SUFFIX
from rtcsend.files.positional import read_whole, write_at

JOURNAL_SUFFIX: Final = f"{OWN_MARK}journal"

logger = logging.getLogger("rtcsend.files")


def journal_name(partial_name: str) -> str:
    """Return the name of the journal of a partial file: as long, so it always fits."""
    return partial_name.removesuffix(PARTIAL_SUFFIX) + JOURNAL_SUFFIX


def read_journal(folder: Folder, partial_name: str) -> Journal | None:
    """Return what the journal of a partial file says; None when there is none that counts."""
    try:
        fd = folder.open(journal_name(partial_name), os.O_RDONLY)
    except OSError:
        return None
    try:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            return None
        return parse_journal_untrusted(read_whole(fd, MAX_JOURNAL_SIZE + 1, 0))
    except (OSError, NotAJournal):
        return None
    finally:
        os.close(fd)


def remove_journal(folder: Folder, partial_name: str) -> None:
    """Remove the journal of a partial file, if there is one. Never fails."""
    name = journal_name(partial_name)
    with suppress(OSError):
        facts = folder.stat(name)
        if facts is not None and stat.S_ISREG(facts.st_mode):
            folder.unlink(name)


class JournalFile:
    """The journal of a partial file that this process holds.

    Args:
        folder: Where the partial file is.
        partial_name: Its name.
        journal: For the header.
    """

    def __init__(self, folder: Folder, partial_name: str, journal: Journal) -> None:
        self._folder = folder
        self._partial_name = partial_name
        self._header = serialize_header(journal)
        self._end = 0
        self._is_synced = False
        self._fd: int | None = None
        try:
            self._fd = _open(folder, journal_name(partial_name))
            # Over an earlier one: as far as they are equal, nothing changes that could be lost.
            self._write(self._header, at=0)
            os.ftruncate(self._fd, self._end)
        except OSError as exc:
            self._give_up(exc)

    def record(self, synced: int) -> None:
        """Note that the disk has so many bytes of the partial file. Never fails."""
        if self._fd is None:
            return
        line = serialize_synced(synced)
        try:
            if self._end + len(line) > MAX_JOURNAL_SIZE:
                os.ftruncate(self._fd, len(self._header))
                self._end = len(self._header)
            self._write(line, at=self._end)
            self._sync_once()
        except OSError as exc:
            self._give_up(exc)

    def remove(self) -> None:
        """Close it, and remove it. Never fails."""
        self.close()
        remove_journal(self._folder, self._partial_name)

    def close(self) -> None:
        """Close it. May be called again."""
        fd, self._fd = self._fd, None
        if fd is not None:
            with suppress(OSError):
                os.close(fd)

    def _write(self, line: bytes, *, at: int) -> None:
        assert self._fd is not None, "a journal that is closed"
        rest = memoryview(line)
        while rest:
            count = write_at(self._fd, rest, at)
            at, rest = at + count, rest[count:]
        self._end = at

    def _sync_once(self) -> None:
        """Make the header and both names last; a record that is lost only says less."""
        if not self._is_synced and self._fd is not None:
            self._is_synced = True
            os.fsync(self._fd)
            self._folder.sync()

    def _give_up(self, exc: OSError) -> None:
        logger.info("! no journal is kept: %s", exc.strerror)
        self.close()


def _open(folder: Folder, name: str) -> int:
    fd = folder.open(name, os.O_RDWR | os.O_CREAT)
    facts = os.fstat(fd)
    if stat.S_ISREG(facts.st_mode) and facts.st_nlink == 1:
        return fd
    os.close(fd)
    if not stat.S_ISREG(facts.st_mode) or KEEPS_OPEN_FILES:
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST))
    # Another name of somebody's file: ours takes its place, the other keeps the content.
    folder.unlink(name)
    return folder.open(name, os.O_RDWR | os.O_CREAT | os.O_EXCL)
