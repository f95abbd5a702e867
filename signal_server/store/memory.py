"""Rooms in this process, and nowhere else: the default.

Nothing here waits: a commit is over when the call returns.

Pure: the clock comes in.
"""

from collections.abc import Callable
from types import TracebackType
from typing import Self

from signal_server.commands import Request
from signal_server.directory import Directory
from signal_server.mailbox import Room
from signal_server.storage import Name
from signal_server.store.base import Decide, Listener


class MemoryStore:
    """A :class:`signal_server.store.base.Store` of one process.

    Args:
        clock: Returns seconds.
    """

    process = ""
    available = True
    immediate = True

    def __init__(self, clock: Callable[[], float]) -> None:
        self.now = clock
        self.directory = Directory()
        self._listener: Listener | None = None

    async def __aenter__(self) -> Self:
        """Do nothing."""
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Do nothing."""

    def listen(self, listener: Listener) -> None:
        """Tell ``listener`` from now on."""
        self._listener = listener

    def is_alive(self, process: str) -> bool:
        """Return True for this process."""
        return process == self.process

    def live(self) -> int:
        """Return how many mailboxes there are."""
        return self.directory.live

    def stored_bytes(self) -> float:
        """Return the bytes of all bodies."""
        return self.directory.stored_bytes

    async def reserve(
        self,
        side: str,
        name: Name,
        *,
        again: bool,
        admit: Callable[[], None],
    ) -> Name:
        """Return the nameplate that was drawn for ``side`` before, or ``name``; nothing is kept."""
        del admit
        drawn = None if again else self.directory.drawn_for(side)
        return drawn or name

    async def commit(self, name: Name, decide: Decide) -> None:
        """Decide, and carry it out."""
        room = self.directory.get(name) or Room(name)
        now = self.now()
        command = decide(room, now)
        if command is None:
            return
        told, facts = self.directory.apply(room, command, now=now)
        if self._listener is not None:
            self._listener.carried_out(room, command, told, facts, own=True)

    async def enter(
        self, name: Name, request: Request, decide: Decide, *, admit: Callable[[], None]
    ) -> None:
        """Do the same: there is nothing else that could be known, and nothing dear."""
        del request, admit
        await self.commit(name, decide)
