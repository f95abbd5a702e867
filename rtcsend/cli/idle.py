"""``--idle-timeout``: the end of a transfer in which nothing has moved for so long.

A script would rather fail than hang. What counts is what the events tell: a stall says since
when nothing has moved, and a lost path is no movement either. The time that a person takes to come,
or to answer a question, is the matter of ``--timeout``. Nor does a stall count of one who is not
paired yet: that ends soon by itself, and he may be a stranger, who must not end the others.

Place in the flow: around the engine, which it cancels, so that the other side is told.
"""

import asyncio
import math
from collections.abc import Callable, Coroutine
from typing import Any, Final

from rtcsend.errors import GO_ON, ConnectionLost
from rtcsend.events import (
    Checking,
    Connected,
    Done,
    Error,
    Event,
    Paired,
    Progress,
    Reconnecting,
    Stalled,
)
from rtcsend.options import Emit
from rtcsend.tasks import first_of

_HINT: Final = f"Run both commands again {GO_ON}, or give a longer --idle-timeout."


class IdleWatch:
    """When a transfer is to be given up. Pure: told the events, and what the time is.

    Args:
        limit: Seconds without a move.
    """

    def __init__(self, limit: float) -> None:
        self._limit = limit
        self._moved_at: float | None = None
        self._idle_since: float | None = None
        self._known: set[int | None] = set()  # which receivers have proven who they are

    @property
    def deadline(self) -> float:
        """When to give up; infinite while all is well."""
        return math.inf if self._idle_since is None else self._idle_since + self._limit

    def observe(self, event: Event, *, now: float) -> None:
        """Take note of an event."""
        match event:
            case Progress() | Checking():
                self._moved_at, self._idle_since = now, None
            # Whether anything moves is seen in a moment; or it was one of several receivers.
            case Paired() | Connected():
                self._known.add(event.receiver)
                self._idle_since = None
            case Done() | Error():
                self._known.discard(event.receiver)
                self._idle_since = None
            case Stalled(seconds=seconds) if event.receiver in self._known:
                self._idle_since = now - seconds if self._moved_at is None else self._moved_at
            case Reconnecting() if self._idle_since is None:
                self._idle_since = now if self._moved_at is None else self._moved_at
            case _:
                return


async def end_when_idle(
    start: Callable[[Emit], Coroutine[Any, Any, Done]], emit: Emit, *, limit: float
) -> Done:
    """Run a transfer as long as something moves.

    Args:
        start: Makes the engine's coroutine, given where events go.
        emit: Where they go.
        limit: Seconds without a move.

    Raises:
        ConnectionLost: Nothing has moved for ``limit`` seconds.
        RtcsendError: Every other end but success.
    """
    clock = asyncio.get_running_loop().time
    watch = IdleWatch(limit)
    changed = asyncio.Event()

    def observe(event: Event) -> None:
        watch.observe(event, now=clock())
        changed.set()
        emit(event)

    async def give_up() -> None:
        while (left := watch.deadline - clock()) > 0:
            changed.clear()
            try:
                async with asyncio.timeout(None if math.isinf(left) else left):
                    await changed.wait()
            except TimeoutError:
                continue
        raise ConnectionLost(f"Nothing has moved for {limit:g} s.", hint=_HINT)

    return await first_of(start(observe), give_up())
