import asyncio
import threading

import pytest

from rtcsend.files.disk_thread import DiskThread
from tests.files.gate import Gate


async def test_jobs_run_in_order_in_one_thread() -> None:
    thread, seen = DiskThread("test"), list[tuple[int, int]]()

    def job(number: int) -> int:
        seen.append((number, threading.get_ident()))
        return number

    jobs = [thread.submit(lambda number=number: job(number)) for number in range(20)]  # type: ignore[misc]  # a lambda's default has no type
    assert await asyncio.gather(*jobs) == list(range(20))
    assert [number for number, _ in seen] == list(range(20))
    assert len({ident for _, ident in seen}) == 1
    await thread.aclose()


async def test_an_error_belongs_to_whoever_waits(caplog: pytest.LogCaptureFixture) -> None:
    def fail() -> None:
        raise OSError("no")

    thread = DiskThread("test")
    with pytest.raises(OSError, match="no"):
        await thread.submit(fail)
    thread.submit(fail)  # nobody waits
    assert await thread.submit(lambda: 7) == 7
    await thread.aclose()
    await asyncio.sleep(0)
    assert caplog.messages == []


async def test_a_job_that_ends_an_iteration_fails() -> None:
    thread = DiskThread("test")
    with pytest.raises(RuntimeError, match="iteration"):  # no future takes a StopIteration
        await thread.submit(lambda: next(iter(())))
    await thread.aclose()


async def test_closing_waits_for_the_last_job_also_when_cancelled() -> None:
    thread, gate = DiskThread("test"), Gate()
    ended: list[int] = []
    job = thread.submit(gate.before(lambda: ended.append(1)))
    job.cancel()  # nobody waits, and it runs all the same
    await gate.reached.wait()
    closing = asyncio.create_task(thread.aclose())
    for _ in range(3):
        await asyncio.sleep(0)
        closing.cancel()
    done, _ = await asyncio.wait([closing], timeout=0)
    assert not done
    gate.open()
    await asyncio.wait([closing])
    assert ended == [1]
    await thread.aclose()


async def test_one_that_had_nothing_to_do() -> None:
    before = threading.active_count()
    thread = DiskThread("test")
    assert threading.active_count() == before
    await thread.aclose()


def test_a_loop_that_is_gone() -> None:
    async def main() -> tuple[DiskThread, threading.Event]:
        thread, event = DiskThread("test"), threading.Event()
        thread.submit(event.wait)
        return thread, event

    thread, event = asyncio.run(main())
    event.set()
    thread.close()
    assert thread._thread is not None
    thread._thread.join()
