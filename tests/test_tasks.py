import asyncio
from collections.abc import Awaitable, Callable

import pytest

from rtcsend.tasks import cancel_all, first_of, uninterrupted


class Boom(Exception):
    pass


class Bang(Exception):
    pass


class Gate:
    """A coroutine that waits to be told, and remembers how it ended."""

    def __init__(self) -> None:
        self.entered = asyncio.Event()
        self.open = asyncio.Event()
        self.ended = ""
        self.over = asyncio.Event()

    async def run(self, then: Callable[[], None] = lambda: None) -> str:
        self.entered.set()
        try:
            await self.open.wait()
            then()
        except BaseException as exc:
            await asyncio.sleep(0)  # cleaning up takes a turn of the loop
            self.ended = type(exc).__name__
            self.over.set()
            raise
        self.ended = "returned"
        self.over.set()
        return self.ended


def boom() -> None:
    raise Boom


def bang() -> None:
    raise Bang


async def outcome(running: Awaitable[str]) -> str:
    """Await; no task may be left over."""
    before = asyncio.all_tasks()
    try:
        return await running
    finally:
        assert asyncio.all_tasks() == before


async def test_main_returns_and_the_watchers_are_cancelled() -> None:
    main, watcher = Gate(), Gate()
    main.open.set()
    assert await outcome(first_of(main.run(), watcher.run(), watcher.run())) == "returned"
    assert watcher.ended == "CancelledError"


async def test_main_alone() -> None:
    main = Gate()
    main.open.set()
    assert await outcome(first_of(main.run())) == "returned"


async def test_main_fails_and_the_watchers_are_cancelled() -> None:
    main, watcher = Gate(), Gate()
    main.open.set()
    with pytest.raises(Boom):
        await outcome(first_of(main.run(boom), watcher.run()))
    assert watcher.ended == "CancelledError"


async def test_a_watcher_fails_and_main_is_cancelled() -> None:
    main, watcher, other = Gate(), Gate(), Gate()
    watcher.open.set()
    with pytest.raises(Boom):
        await outcome(first_of(main.run(), other.run(), watcher.run(boom)))
    assert (main.ended, other.ended) == ("CancelledError", "CancelledError")


async def test_a_watcher_that_returns_is_forgotten() -> None:
    main, watcher = Gate(), Gate()
    watcher.open.set()

    async def open_main_after_the_watcher() -> None:
        await watcher.over.wait()
        main.open.set()

    assert await outcome(first_of(main.run(), watcher.run(), open_main_after_the_watcher()))
    assert (main.ended, watcher.ended) == ("returned", "returned")


async def test_a_watcher_that_fails_at_the_same_time_is_not_lost() -> None:
    main, watcher = Gate(), Gate()
    main.open.set()
    watcher.open.set()
    with pytest.raises(Boom):
        await outcome(first_of(main.run(), watcher.run(boom)))


async def test_two_watchers_that_fail_give_one_error() -> None:
    first, second = Gate(), Gate()
    first.open.set()
    second.open.set()
    with pytest.raises((Boom, Bang)):
        await outcome(first_of(Gate().run(), first.run(boom), second.run(bang)))
    assert (first.ended, second.ended) == ("Boom", "Bang")


async def test_cancelled_from_outside_all_end_first() -> None:
    main, watcher = Gate(), Gate()
    before = asyncio.all_tasks()
    task = asyncio.create_task(first_of(main.run(), watcher.run()))
    await main.entered.wait()
    await watcher.entered.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (main.ended, watcher.ended) == ("CancelledError", "CancelledError")
    assert asyncio.all_tasks() == before


async def test_main_that_is_cancelled_by_itself() -> None:
    async def give_up() -> None:
        raise asyncio.CancelledError

    watcher = Gate()
    with pytest.raises(asyncio.CancelledError):
        await first_of(give_up(), watcher.run())
    assert watcher.ended == "CancelledError"


async def test_a_timeout_around_it_is_a_timeout() -> None:
    main = Gate()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0):
            await first_of(main.run())


async def test_what_is_uninterrupted_ends_before_the_cancelling_is_felt() -> None:
    main = Gate()
    task = asyncio.create_task(uninterrupted(main.run()))
    await main.entered.wait()
    task.cancel()
    await asyncio.sleep(0)
    assert not task.done()
    main.open.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert main.ended == "returned"


async def test_what_is_uninterrupted_returns_and_raises_as_it_does() -> None:
    main, failing = Gate(), Gate()
    main.open.set()
    failing.open.set()
    assert await uninterrupted(main.run()) == "returned"
    with pytest.raises(Boom):
        await uninterrupted(failing.run(boom))


async def test_cancel_all_drops_what_the_tasks_raise() -> None:
    waiting, failing = Gate(), Gate()
    failing.open.set()
    tasks = [asyncio.create_task(waiting.run()), asyncio.create_task(failing.run(boom))]
    await failing.over.wait()
    await cancel_all([*tasks])
    assert all(task.done() for task in tasks)
    assert waiting.ended == "CancelledError"
    await cancel_all([])


async def test_cancel_all_of_a_task_that_has_not_begun() -> None:
    gate = Gate()
    task = asyncio.create_task(gate.run())
    await cancel_all([task])
    assert task.cancelled()
    assert not gate.entered.is_set()
