"""One thread of one file: its disk jobs in order, one after the other [shell].

A pool of threads would do the same with more locks; and a job for this file would wait behind
another file's. The thread is started by the first job. It is a daemon, so that a pipe that
never moves does not hold up the end of the process: whoever must not leave a job behind waits
in :meth:`DiskThread.aclose`.
"""

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from queue import SimpleQueue
from typing import TypeVar

from rtcsend.files.jobs import settle

T = TypeVar("T")


class DiskThread:
    """Runs blocking jobs. Call on the loop only.

    Args:
        name: Of the thread, for people who look at the process.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._jobs: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._thread: threading.Thread | None = None
        self._closed = False

    def submit(self, job: Callable[[], T]) -> "asyncio.Future[T]":
        """Run a job when all earlier ones are done, whether or not somebody still waits then."""
        assert not self._closed, "a job for a thread that has ended"
        loop = asyncio.get_running_loop()
        done: asyncio.Future[T] = loop.create_future()
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
            self._thread.start()

        def run() -> None:
            try:
                result = job()
            except BaseException as exc:  # whatever it is belongs to whoever waits
                _tell(loop, _fail, done, exc)
            else:
                _tell(loop, _succeed, done, result)

        self._jobs.put(run)
        return done

    def close(self) -> None:
        """End the thread after its last job, without waiting. May be called again."""
        if not self._closed:
            self._closed = True
            self._jobs.put(None)

    async def aclose(self) -> None:
        """End the thread, and wait for its last job, through any number of cancellations."""
        self.close()
        if self._thread is not None:
            await settle(asyncio.create_task(asyncio.to_thread(self._thread.join)))

    def _run(self) -> None:
        while (run := self._jobs.get()) is not None:
            run()
            del run  # it holds the last job's data


def _tell(loop: asyncio.AbstractEventLoop, how: Callable[..., None], *args: object) -> None:
    with suppress(RuntimeError):  # the loop is gone, and so is everybody who waited
        loop.call_soon_threadsafe(how, *args)


def _succeed(done: "asyncio.Future[T]", result: T) -> None:
    if not done.done():
        done.set_result(result)


def _fail(done: "asyncio.Future[T]", exc: BaseException) -> None:
    if not done.done():
        if isinstance(exc, StopIteration):  # no future takes it (PEP 479), and nobody would hear
            exc = _as_error(exc)
        done.set_exception(exc)
        done.exception()  # seen: one that nobody waits for is dropped


def _as_error(exc: BaseException) -> RuntimeError:
    error = RuntimeError("a job ended an iteration that is not its own")
    error.__cause__ = exc
    return error
