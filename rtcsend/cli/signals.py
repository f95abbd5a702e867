"""Ctrl-C, SIGTERM and SIGHUP: the first ends the transfer, the second ends the process.

The first signal cancels the engine, which has two seconds to tell the other side; then the
transfer ends with Interrupted (SIGINT) or Terminated (SIGTERM, SIGHUP). The second one
means that this takes too long for somebody: the process ends at once, with the same code.
A broken standard output stops a transfer by the same way (:mod:`rtcsend.cli.results`).

Handlers are Python's plain ones and not the loop's, so that a second signal is heard also
when the loop is busy. That the first is heard also when the loop sleeps takes more: Python runs
a handler when the main thread next runs Python, and a signal that comes just before the system
call that waits, or in another thread, does not end the waiting. So each also writes a byte to
a socket that the loop reads. Place in the flow: around the engine, in the main thread.
"""

import asyncio
import os
import signal
import socket
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, Final, TypeVar

from rtcsend.datapath.loop import new_event_loop
from rtcsend.errors import Interrupted, RtcsendError, StoppedByUser, Terminated

SERVES_ON: Final = "Run it again to serve on."
"""The hint of what serves until it is stopped."""
T = TypeVar("T")

SIGNALS: Final[list[signal.Signals]] = [
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
]
"""What people and service managers send; Windows has no SIGHUP."""
_WAKEUP_BYTES: Final = 4096  # read at once; each is a signal that has come


class Stopper:
    """Ends one coroutine on a signal, once, and knows why.

    Args:
        restore: Puts the terminal in order before the process ends at once.
        hint: What to do afterwards, where it is not to run both commands again and go on.
    """

    def __init__(self, *, restore: Callable[[], None], hint: str | None = None) -> None:
        self._restore = restore
        self._hint = hint
        self._reason: StoppedByUser | None = None
        self._cancel: Callable[[], None] | None = None

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run ``work`` in an event loop of its own; call in the main thread.

        Returns:
            Its result, also when the signal came too late to stop it.

        Raises:
            Interrupted: SIGINT stopped it.
            Terminated: SIGTERM, SIGHUP or :meth:`stop` stopped it.
        """
        with self._handlers(), asyncio.Runner(loop_factory=new_event_loop) as runner:
            return runner.run(self._run(work))

    def stop(self, reason: StoppedByUser) -> None:
        """End the work for ``reason``; from any thread, and from signal handlers."""
        if self._reason is None:
            self._reason = reason
            if self._cancel is not None:
                self._cancel()

    async def _run(self, work: Coroutine[Any, Any, T]) -> T:
        loop = asyncio.get_running_loop()
        task = asyncio.create_task(work, name="transfer")
        self._cancel = lambda: _cancel_soon(loop, task)
        if self._reason is not None:  # it came between the handlers and the loop
            task.cancel()
        try:
            with _woken_by_signals(loop):
                return await task
        except (asyncio.CancelledError, RtcsendError) as exc:
            # What the engine says about its own end is a consequence of the signal.
            if self._reason is None:
                raise
            raise self._reason from exc
        finally:
            self._cancel = None

    @contextmanager
    def _handlers(self) -> Iterator[None]:
        before = {number: signal.signal(number, self._on_signal) for number in SIGNALS}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        reason = stopped_by(number)
        if self._reason is not None:
            self._restore()
            os._exit(reason.exit_code)
        if self._hint is not None:
            reason.hint = self._hint
        self.stop(reason)


@contextmanager
def _woken_by_signals(loop: asyncio.AbstractEventLoop) -> Iterator[None]:
    """Have every signal end the loop's waiting, so that its handler runs at once."""
    reading, writing = socket.socketpair()
    with reading, writing:
        reading.setblocking(False)
        writing.setblocking(False)  # as set_wakeup_fd asks
        try:
            loop.add_reader(reading, reading.recv, _WAKEUP_BYTES)
        except NotImplementedError:  # the proactor of Windows, which sees to it by itself
            yield
            return
        before = signal.set_wakeup_fd(writing.fileno(), warn_on_full_buffer=False)
        try:
            yield
        finally:
            signal.set_wakeup_fd(before)
            loop.remove_reader(reading)


def stopped_by(number: int) -> StoppedByUser:
    """Return the error for a signal: SIGHUP counts as SIGTERM, both end a service."""
    if number == signal.SIGINT:
        return Interrupted("Stopped by Ctrl-C.")
    return Terminated(f"Stopped by {signal.Signals(number).name}.")


def _cancel_soon(loop: asyncio.AbstractEventLoop, task: "asyncio.Task[Any]") -> None:
    try:
        loop.call_soon_threadsafe(task.cancel)
    except RuntimeError:  # the loop is closed: there is nothing left to stop
        return
