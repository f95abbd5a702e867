import asyncio

import pytest

from rtcsend.files.jobs import run_to_end, settle
from tests.files.gate import Gate


async def test_the_result_and_the_error_come_through() -> None:
    async def work(*, fail: bool) -> int:
        if fail:
            raise OSError("no")
        return 7

    assert await run_to_end(work(fail=False)) == 7
    with pytest.raises(OSError, match="no"):
        await run_to_end(work(fail=True))


async def test_a_cancellation_waits_for_the_thread() -> None:
    gate = Gate()
    ended: list[str] = []
    job = gate.before(lambda: ended.append("job"))
    task = asyncio.create_task(run_to_end(asyncio.to_thread(job)))
    await gate.reached.wait()
    for _ in range(3):  # an impatient user
        task.cancel()
        await asyncio.sleep(0)
        assert not task.done()
    gate.open()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert ended == ["job"]


async def test_what_nobody_will_see_is_discarded() -> None:
    gate = Gate()
    discarded: list[int] = []

    async def discard(result: int) -> None:
        await asyncio.sleep(0)
        discarded.append(result)

    work = asyncio.to_thread(gate.before(lambda: 7))
    task = asyncio.create_task(run_to_end(work, discard=discard))
    await gate.reached.wait()
    task.cancel()
    gate.open()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert discarded == [7]


async def test_the_error_of_cancelled_work_is_dropped_and_nothing_discarded() -> None:
    gate = Gate()

    def fail() -> int:
        raise OSError("nobody hears this")

    async def discard(result: int) -> None:
        raise AssertionError(result)

    work = asyncio.to_thread(gate.before(fail))
    task = asyncio.create_task(run_to_end(work, discard=discard))
    await gate.reached.wait()
    task.cancel()
    gate.open()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_work_that_is_itself_cancelled() -> None:
    async def work() -> None:
        raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        await run_to_end(work())
    cancelled = asyncio.create_task(work())
    await settle(cancelled)
    assert cancelled.cancelled()
