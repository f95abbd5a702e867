import asyncio
import time

import pytest

from tests.fakes.clock import Deadlock, run_virtual


def test_an_hour_takes_no_time() -> None:
    order = []

    async def sleeper(seconds: float) -> None:
        await asyncio.sleep(seconds)
        order.append((seconds, asyncio.get_running_loop().time()))

    async def main() -> float:
        await asyncio.gather(sleeper(3600.0), sleeper(0.5))
        return asyncio.get_running_loop().time()

    started = time.monotonic()
    assert run_virtual(main) == pytest.approx(3600.0)
    assert time.monotonic() - started < 60
    assert [seconds for seconds, _ in order] == [0.5, 3600.0]
    assert [when for _, when in order] == pytest.approx([0.5, 3600.0])


def test_a_deadlock_fails() -> None:
    async def main() -> None:
        await asyncio.Event().wait()

    with pytest.raises(Deadlock):
        run_virtual(main)


def test_timeouts_fire_when_they_should() -> None:
    async def main() -> float:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(9.0):
                await asyncio.sleep(10.0)
        return asyncio.get_running_loop().time()

    assert run_virtual(main) == pytest.approx(9.0)
