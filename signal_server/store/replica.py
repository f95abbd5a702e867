"""A room as one process knows it, and how far it has followed the room's log.

Entries come from three ways (what an append was refused for, what was published, what was read
again), doubled and with gaps; each is carried out once, in order.

Pure. Source: Redis streams, "Entry IDs": milliseconds of the server's clock and a sequence
number, always rising.
"""

from typing import NamedTuple

from signal_server.decisions import is_possible
from signal_server.directory import Directory
from signal_server.mailbox import Room
from signal_server.storage import Name
from signal_server.store.base import Listener
from signal_server.store.entries import BadEntry, Entry, parse_entry_untrusted

MAX_ENTRIES = 16_384  # of one log; a pairing has some fifty, and 16 MiB are the most to read anew


class EntryId(NamedTuple):
    """The number of an entry; none has 0-0."""

    milliseconds: int
    sequence: int

    def __str__(self) -> str:
        """Return it as Redis writes it."""
        return f"{self.milliseconds}-{self.sequence}"

    @property
    def seconds(self) -> float:
        """When it was logged."""
        return self.milliseconds / 1000


NO_ENTRY = EntryId(0, 0)


class Gap(Exception):
    """Entries are missing before this one."""


class Replica:
    """One room. Not all of its log has to be here: it is read when it is needed.

    Args:
        name: Of the room.
        directory: Where the room is while somebody is in it.
        listener: Told what entries have come to.
    """

    def __init__(self, name: Name, directory: Directory, listener: Listener) -> None:
        self._directory = directory
        self._listener = listener
        self.room = Room(name)
        self.last = NO_ENTRY
        self.entries = 0

    def follow(
        self, number: EntryId, entry: Entry, *, previous: EntryId | None = None, own: bool
    ) -> None:
        """Carry out an entry, unless that has been done.

        Args:
            number: Of the entry.
            entry: What was logged.
            previous: The entry before it; None when it is known to be the next one.
            own: Whether this process has logged it.

        Raises:
            Gap: Others come before it.
            BadEntry: It cannot have been decided on in this state.
        """
        if number <= self.last:
            return
        if previous is not None and previous != self.last:
            raise Gap
        if not is_possible(self.room, entry.command):
            raise BadEntry("not possible here")
        self.last = number
        self.entries += 1
        told, facts = self._directory.apply(self.room, entry.command, now=number.seconds)
        self._listener.carried_out(self.room, entry.command, told, facts, own=own)

    def forget(self, *, lives_on: bool = False) -> None:
        """Begin anew: the log is gone, or another one; or it lives on without this process."""
        self._directory.remove(self.room, lives_on=lives_on)
        self.room = Room(self.room.name)
        self.last = NO_ENTRY
        self.entries = 0

    def let_go(self) -> None:
        """Begin anew, and tell that nobody here needs the room."""
        room = self.room
        self.forget(lives_on=True)
        self._listener.let_go(room)

    def lose(self) -> None:
        """Begin anew, and tell that the room is lost."""
        room = self.room
        self.forget()
        self._listener.lost(room)


def parse_id_untrusted(text: bytes) -> EntryId:
    """Return the number of an entry.

    Raises:
        BadEntry: It is none.
    """
    milliseconds, dash, sequence = text.partition(b"-")
    if not (milliseconds.isdigit() and dash and sequence.isdigit()) or len(text) > 42:  # noqa: PLR2004 - two of 64 bits
        raise BadEntry("no number")
    return EntryId(int(milliseconds), int(sequence))


def parse_published_untrusted(data: bytes) -> tuple[EntryId, EntryId, Entry]:
    """Return the previous number, the number and the entry of what a log's append published.

    It is ``PREVIOUS NUMBER HEAD`` and a line feed, and then the body as it is.

    Raises:
        BadEntry: It is nothing of the kind.
    """
    line, feed, body = data.partition(b"\n")
    parts = line.split(b" ", 2)
    if not feed or len(parts) != 3:  # noqa: PLR2004 - two numbers and a head
        raise BadEntry("not published by an append")
    previous, number = parse_id_untrusted(parts[0]), parse_id_untrusted(parts[1])
    return previous, number, parse_entry_untrusted(parts[2], body)
