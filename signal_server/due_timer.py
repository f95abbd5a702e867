"""The one timer of a server: set to what is due first, however many deadlines there are.

Shell, thin. Place in the flow: kept by :mod:`signal_server.sockets`; what is due is known to
:class:`signal_server.deadlines.Deadlines`.
"""

import asyncio
import math
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any


class DueTimer:
    """Has work done when something is due, and not again while that is under way.

    Args:
        next_due: Returns when something is due, or None.
        now: The clock of that.
        handle: Does what is due.
        start: Starts a coroutine as a task, and keeps it.
    """

    def __init__(
        self,
        *,
        next_due: Callable[[], float | None],
        now: Callable[[], float],
        handle: Callable[[], Awaitable[None]],
        start: Callable[[Coroutine[Any, Any, None]], None],
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._next_due = next_due
        self._now = now
        self._handle = handle
        self._start = start
        self._timer: asyncio.TimerHandle | None = None
        self._armed_for = math.inf  # on the clock of what is due; -inf while the work is done

    def arm(self) -> None:
        """Take note that something new may be due; going off too early does no harm."""
        when = self._next_due()
        if when is None or when >= self._armed_for:
            return
        if self._timer is not None:
            self._timer.cancel()
        self._armed_for = when
        self._timer = self._loop.call_at(self._loop.time() + when - self._now(), self._go_off)

    def arm_anew(self) -> None:
        """Take note that the two clocks may have drifted apart, or one of them was set."""
        if self._timer is not None:
            self._cancel()
            self.arm()

    def close(self) -> None:
        """Go off no more, whatever becomes due."""
        self._next_due = _nothing
        self._cancel()

    def _cancel(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer, self._armed_for = None, math.inf

    def _go_off(self) -> None:
        self._timer, self._armed_for = None, -math.inf
        self._start(self._work())

    async def _work(self) -> None:
        try:
            await self._handle()
        finally:
            self._armed_for = math.inf
            self.arm()


def _nothing() -> None:
    return None
