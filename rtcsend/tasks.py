"""Running coroutines side by side when one of them is the point and the others watch.

A TaskGroup would wrap every failure in an ExceptionGroup; here the first error is the
error, since each stage ends with exactly one.
"""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


async def first_of(main: Coroutine[Any, Any, T], *watchers: Coroutine[Any, Any, Any]) -> T:
    """Return what ``main`` returns; raise what it or any watcher raises first.

    A watcher that returns has nothing to say, and is no longer waited for. All of them are
    cancelled and awaited before this returns, also when it is cancelled itself.
    """
    main_task = asyncio.create_task(main)
    tasks: list[asyncio.Task[Any]] = [main_task, *map(asyncio.create_task, watchers)]
    pending = set(tasks)
    try:
        while not main_task.done():
            done, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
            for task in done - {main_task}:
                task.result()
        return main_task.result()
    finally:
        await cancel_all(tasks)


async def uninterrupted(main: Coroutine[Any, Any, T]) -> T:
    """Return what ``main`` returns; when this is cancelled, not before ``main`` has ended.

    For what must not be left half done, and takes bounded time by itself.
    """
    task = asyncio.create_task(main)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task])
        raise


async def cancel_all(tasks: list[asyncio.Task[Any]]) -> None:
    """Cancel tasks and wait until they have ended; their errors are dropped."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
