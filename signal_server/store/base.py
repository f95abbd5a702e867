"""What the server asks of whatever keeps its rooms.

A room is a log of commands. A store puts one more command behind those that there are, if
nothing has come between the look at the room and the command; so each is decided on in the
very state in which it is carried out, whoever else is in the room. It carries commands out, in
their order, in each process that has a socket in the room, and hands over what sockets are told.

Pure. Place in the flow: between :mod:`signal_server.reception` and
:mod:`signal_server.mailbox`.
"""

from collections.abc import Callable
from types import TracebackType
from typing import Protocol, Self

from signal_server.commands import Command, Request
from signal_server.directory import Directory
from signal_server.mailbox import Facts, Room, Told
from signal_server.storage import Name

Decide = Callable[[Room, float], Command | None]
"""Looks at a room as it is at that time; may raise, and may be called more than once."""


class StoreUnavailable(Exception):
    """The store did not answer in time; nothing, or what was asked for, has happened.

    Its text is the rest of a sentence about the store, for operators.
    """


class Listener(Protocol):
    """Whoever is told what commands have come to."""

    def carried_out(
        self, room: Room, command: Command, told: list[Told], facts: Facts, *, own: bool
    ) -> None:
        """Take what a command has come to, in the order of the room's log.

        Args:
            room: As it is now.
            command: What was carried out.
            told: For sockets of all processes.
            facts: For those who count.
            own: Whether this process has logged it.
        """
        ...

    def let_go(self, room: Room) -> None:
        """Take note that this process has no socket in a room any more, and follows it no more."""
        ...

    def lost(self, room: Room) -> None:
        """Take note that the store has lost a room: its sockets have to ask again."""
        ...


class Store(Protocol):
    """Rooms, and a clock. Entered before it is used; commits may come from several tasks."""

    @property
    def process(self) -> str:
        """The name of this process, which no other one has ever had."""
        ...

    @property
    def available(self) -> bool:
        """Whether it answers."""
        ...

    @property
    def immediate(self) -> bool:
        """Whether nothing here ever waits."""
        ...

    @property
    def directory(self) -> Directory:
        """The rooms that are here."""
        ...

    async def __aenter__(self) -> Self:
        """Begin.

        Raises:
            StoreUnavailable: There is no such store.
        """
        ...

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """End; sockets have been closed before."""
        ...

    def listen(self, listener: Listener) -> None:
        """Tell ``listener`` from now on."""
        ...

    def now(self) -> float:
        """Return the time in seconds, on the clock of all processes; it may be an estimate."""
        ...

    def is_alive(self, process: str) -> bool:
        """Return whether a process lives, as far as is known."""
        ...

    def live(self) -> int:
        """Return about how many mailboxes there are, of all processes."""
        ...

    def stored_bytes(self) -> float:
        """Return the bytes of bodies here; infinity while the store has no room for many more."""
        ...

    async def reserve(
        self, side: str, name: Name, *, again: bool, admit: Callable[[], None]
    ) -> Name:
        """Remember for some minutes which nameplate the request of ``side`` is given.

        Args:
            side: Of a request for any free nameplate.
            name: One that seems to be free.
            again: The one before was not free after all: forget it.
            admit: Called before anything is kept for a side of which nothing is known; may raise,
                and may be called more than once.

        Returns:
            ``name``, or what was remembered before.

        Raises:
            StoreUnavailable: It does not answer.
            Exception: Whatever ``admit`` raises.
        """
        ...

    async def commit(self, name: Name, decide: Decide) -> None:
        """Let ``decide`` look at a room as it is, and carry out what it returns.

        Args:
            name: Of the room.
            decide: What it returns is carried out only if nothing has come in between; what it
                raises, or None, may be of a state some milliseconds ago.

        Raises:
            StoreUnavailable: The store does not answer.
            Exception: Whatever ``decide`` raises.
        """
        ...

    async def enter(
        self, name: Name, request: Request, decide: Decide, *, admit: Callable[[], None]
    ) -> None:
        """Commit what is decided on a request, having seen all that there was when it was made.

        Args:
            name: Of the room.
            request: Of who wants to enter.
            decide: As for :meth:`commit`.
            admit: May be called before what costs more the more has been said in the room, if
                the request certainly is of nobody who is known there; may raise.

        Raises:
            StoreUnavailable: The store does not answer.
            Exception: Whatever ``decide`` or ``admit`` raises.
        """
        ...
