"""What has come from the rendezvous, and who waits for it: welcome, answers, messages, the end.

What it does: takes the machine's events as the keeper delivers them, and wakes the callers of
:mod:`rtcsend.rendezvous.client`, who wait for a condition to become true.
What it does not: ask for anything, or know a socket.

Shell, without I/O of its own. Source: docs/rendezvous-protocol.md.
"""

import asyncio
from collections import deque
from collections.abc import Callable

from rtcsend.errors import InternalError, RtcsendError
from rtcsend.rendezvous.keeper import error_of
from rtcsend.rendezvous.machine_events import (
    Attached,
    Failed,
    MachineEvent,
    MessageReceived,
    PeerPresence,
    TurnedAway,
    Welcomed,
)


class Arrivals:
    """What one client has been brought, until it has ended."""

    def __init__(self) -> None:
        self._changed = asyncio.Event()  # set with each change
        self.welcomed: Welcomed | None = None
        self.answer: Attached | Failed | None = None
        """Of the request that waits."""
        self.inbox: deque[MessageReceived | PeerPresence] = deque()
        # How it ended.
        self._failure: RtcsendError | None = None
        self.is_released = False
        """Whether this side has ended it."""

    @property
    def is_over(self) -> bool:
        """Whether nothing more comes."""
        return self._failure is not None or self.is_released

    def deliver(self, event: MachineEvent) -> None:
        """Take an event of the machine; called by the keeper.

        Raises:
            RtcsendError: It is the server's word that all is over; for the keeper to end with.
        """
        match event:
            case Welcomed():
                self.welcomed = event
            case MessageReceived() | PeerPresence():
                self.inbox.append(event)
            case Failed(error=error, attached=True):
                raise error_of(error)
            case Attached() | Failed():
                self.answer = event
            case TurnedAway():
                raise AssertionError("the keeper deals with it")
        self._changed.set()

    def fail(self, failure: RtcsendError) -> None:
        """End it for everybody who waits."""
        self._failure = failure
        self._changed.set()

    def release(self) -> None:
        """End it from this side."""
        self.is_released = True
        self._changed.set()

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait for a condition that only changes with what comes; or for the end."""
        while not condition() and not self.is_over:
            self._changed.clear()  # wakes nobody late: set() has scheduled all who waited
            await self._changed.wait()

    def changed(self) -> None:
        """Have all who wait look at their conditions again."""
        self._changed.set()

    def check_alive(self) -> None:
        """Raise what has ended it, as a new object: its traceback is that of one caller."""
        if self._failure is not None:
            failure = self._failure
            raise type(failure)(failure.message, hint=failure.hint) from failure
        if self.is_released:
            raise InternalError("The rendezvous client was used after its release.")
