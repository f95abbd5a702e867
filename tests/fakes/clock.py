"""An event loop whose clock jumps: an hour of waiting takes no time at all.

When nothing is ready to run, the clock moves to the next timer. When there is no timer
either, the test would hang for ever, and fails instead. Only for code without real sockets
or threads, whose answers would be jumped over.
"""

import asyncio
import selectors
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

_T = TypeVar("_T")


class Deadlock(RuntimeError):
    """Everybody waits, and nothing will ever happen."""


class _NeverWaiting(selectors.DefaultSelector):
    """A selector that counts the seconds it was asked to wait, and does not wait."""

    def __init__(self) -> None:
        super().__init__()
        self.elapsed = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if ready or (timeout is not None and timeout <= 0):
            return ready
        if timeout is None:
            raise Deadlock("all tasks wait, and no timer is armed")
        self.elapsed += timeout
        return ready


class VirtualClockLoop(asyncio.SelectorEventLoop):
    """A loop on virtual time, which starts at 0."""

    def __init__(self) -> None:
        self._waits = _NeverWaiting()
        super().__init__(self._waits)
        # The loop runs timers that are due within the resolution: keep it below a microsecond.
        self._clock_resolution = 1e-9

    def time(self) -> float:
        """Return virtual seconds."""
        return self._waits.elapsed


def run_virtual(main: Callable[[], Coroutine[Any, Any, _T]]) -> _T:
    """Run a coroutine function to its end on a loop of its own."""
    with asyncio.Runner(loop_factory=VirtualClockLoop) as runner:
        return runner.run(main())


def skip(seconds: float) -> None:
    """Move the clock of the running loop: what was to be waited for until then is over.

    For loops with real sockets, so that a test need not be quicker than a deadline: what has to
    come before it comes first, and then this is called.
    """
    loop = asyncio.get_running_loop()
    time = loop.time
    loop.time = lambda: time() + seconds  # type: ignore[method-assign]  # on purpose
