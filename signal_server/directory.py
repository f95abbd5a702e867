"""The rooms that a process knows: all of them with a store in memory, else those it is in.

What it does: finds a room by its name, carries out commands in it, counts over all, and tells
whoever holds a mailbox when it is over.
What it does not: decide on commands, or bring them here; that is a store's.

Pure. Source: docs/rendezvous-protocol.md, "Limits".
"""

from collections import Counter
from collections.abc import Callable, Iterator
from typing import Protocol

from signal_server.commands import Command, Enter, Say
from signal_server.mailbox import Facts, Room, Told
from signal_server.storage import Mailbox, Name


class Absence(Protocol):
    """What becomes of mailboxes that may live on when this process is told no more of them."""

    def keep(self, name: Name, free: Callable[[], None]) -> None:
        """Call ``free`` once, in time: a mailbox of that name has been let go of."""
        ...

    def came_back(self, name: Name) -> None:
        """Free one mailbox of that name now, if there is any: it is held anew."""
        ...


class Directory:
    """Rooms by name, and their sums.

    Args:
        absence: Of rooms that are forgotten here and are kept elsewhere; None: there are none.

    Attributes:
        live: Mailboxes of which no side has left.
        sides: In all mailboxes, without those that have left one.
        stored_bytes: Of all bodies.
    """

    def __init__(self, absence: Absence | None = None) -> None:
        self._absence = absence
        self._rooms: dict[Name, Room] = {}
        self._drawn: dict[str, Name] = {}  # side -> the nameplate that was drawn for it
        self._held: dict[Mailbox, Callable[[], None]] = {}
        self.live = 0
        self.sides = 0
        self.stored_bytes = 0

    def __len__(self) -> int:
        """Return how many rooms there are."""
        return len(self._rooms)

    def __iter__(self) -> Iterator[Room]:
        """Return all rooms."""
        return iter(self._rooms.values())

    def get(self, name: Name) -> Room | None:
        """Return the room of that name, if somebody is in it."""
        return self._rooms.get(name)

    def drawn_for(self, side: str) -> Name | None:
        """Return the nameplate that a side has been given, which asked for any."""
        return self._drawn.get(side)

    def add(self, room: Room) -> None:
        """Take in a room that another process has filled."""
        self._rooms[room.name] = room
        self._count(room, 1)

    def is_held(self, mailbox: Mailbox) -> bool:
        """Return whether a mailbox counts for somebody."""
        return mailbox in self._held

    def hold(self, name: Name, mailbox: Mailbox, free: Callable[[], None], *, again: bool) -> None:
        """Have ``free`` called once, when a mailbox that is here is over.

        Args:
            name: Of its room.
            mailbox: Not held.
            free: Takes note that it counts no more.
            again: It is not a new one.
        """
        if again and self._absence is not None:
            self._absence.came_back(name)
        self._held[mailbox] = free

    def remove(self, room: Room, *, lives_on: bool) -> None:
        """Forget a room, which may live on elsewhere."""
        if self._rooms.pop(room.name, None) is not None:
            self._count(room, -1)
            if lives_on:
                self._leave_to_absence(room)
            self._forget(room.mailboxes)

    def apply(self, room: Room, command: Command, *, now: float) -> tuple[list[Told], Facts]:
        """Carry out a command; the room is taken in, or forgotten when nobody is left in it."""
        sides, stored = room.sides, room.stored_bytes
        if isinstance(command, Say):  # most are, and they change nothing else
            told, facts = room.apply(command, now=now)
            self.stored_bytes += room.stored_bytes - stored
            return told, facts
        if not room.mailboxes:
            self._rooms[room.name] = room
        before = list(room.mailboxes)
        told, facts = room.apply(command, now=now)
        self.sides += room.sides - sides
        self.stored_bytes += room.stored_bytes - stored
        self.live += facts.opened - (facts.ended is not None)
        if isinstance(command, Enter) and facts.opened:
            self._remember(room)
        self._forget([mailbox for mailbox in before if mailbox not in room.mailboxes])
        if not room.mailboxes:
            self._rooms.pop(room.name, None)
        return told, facts

    def census(self) -> dict[str, int]:
        """Return how many mailboxes there are in each state."""
        states = Counter(
            "ended" if mailbox.ended_at is not None else "paired" if mailbox.is_full else "waiting"
            for room in self._rooms.values()
            for mailbox in room.mailboxes
        )
        return {state: states[state] for state in ("waiting", "paired", "ended")}

    def _remember(self, room: Room) -> None:
        key = room.mailboxes[-1].sides[0].key
        if key is not None and key.kind == "allocate" and not key.text:
            self._drawn[key.side] = room.name

    def _forget(self, mailboxes: list[Mailbox]) -> None:
        for mailbox in mailboxes:
            free = self._held.pop(mailbox, None)
            if free is not None:
                free()
            key = mailbox.sides[0].key
            if key is not None:
                self._drawn.pop(key.side, None)

    def _leave_to_absence(self, room: Room) -> None:
        for mailbox in room.mailboxes:
            if self._absence is not None and mailbox in self._held:
                self._absence.keep(room.name, self._held.pop(mailbox))

    def _count(self, room: Room, sign: int) -> None:
        self.live += sign * sum(mailbox.ended_at is None for mailbox in room.mailboxes)
        self.sides += sign * room.sides
        self.stored_bytes += sign * room.stored_bytes
