"""Waiting for disk jobs in threads, so that a cancellation leaves none behind [shell].

A thread cannot be interrupted: a task that is cancelled while it awaits one goes on, and the
thread still uses the file that the task is about to close. :func:`run_to_end` turns this
around: the cancellation waits for the job. A disk job is short, at most one block; what can
block for good, such as a pipe, must not be run this way.
"""

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any, TypeVar

T = TypeVar("T")


async def run_to_end(
    work: Coroutine[Any, Any, T],
    *,
    discard: Callable[[T], Coroutine[Any, Any, None]] | None = None,
) -> T:
    """Await ``work``; when cancelled, let it come to its end first, then pass that on.

    Args:
        work: What must not be left half done.
        discard: Disposes of the result that the cancelled caller will never see.

    Raises:
        asyncio.CancelledError: After the end of ``work``, whose own error is then dropped.
    """
    task = asyncio.create_task(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await settle(task)
        if discard is not None and not task.cancelled() and task.exception() is None:
            await settle(asyncio.create_task(discard(task.result())))
        raise


async def settle(task: asyncio.Task[Any]) -> None:
    """Wait until the task is done, through any number of cancellations; drop its error."""
    while not task.done():
        with suppress(asyncio.CancelledError):
            await asyncio.wait([task])
    if not task.cancelled():
        task.exception()
