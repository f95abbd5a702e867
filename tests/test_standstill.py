import asyncio

import pytest

from rtcsend.errors import NoRoute
from rtcsend.events import Event, Stalled
from rtcsend.standstill import NO_CONNECTION, SILENCE, told_when_still
from tests.fakes.clock import run_virtual


def told_in(seconds: float, reason: str = SILENCE) -> list[Event]:
    """Return what is told while one step takes so long."""
    told: list[Event] = []

    async def step() -> None:
        async with told_when_still(told.append, reason):
            await asyncio.sleep(seconds)
        await asyncio.sleep(60)

    run_virtual(step)
    return told


def test_what_takes_a_moment_is_not_told() -> None:
    assert told_in(3.9) == []


def test_what_stands_still_is_told_within_five_seconds_and_again_until_it_is_over() -> None:
    assert told_in(15) == [
        Stalled(seconds=seconds, reason="Nothing comes from the other side.")
        for seconds in (4, 9, 14)
    ]


def test_the_reason_is_that_of_the_step() -> None:
    assert told_in(5, NO_CONNECTION) == [
        Stalled(seconds=4, reason="There is no connection to the other side yet.")
    ]


def test_a_step_that_fails_is_not_told_of_any_more() -> None:
    told: list[Event] = []

    async def fail() -> None:
        async with told_when_still(told.append):
            await asyncio.sleep(1)
            raise NoRoute("No way.")

    async def step() -> None:
        with pytest.raises(NoRoute):
            await fail()
        await asyncio.sleep(60)

    run_virtual(step)
    assert told == []
