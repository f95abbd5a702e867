import asyncio
import itertools

import pytest

from rtcsend.cli.waiting import looks, wait_for_code
from rtcsend.errors import (
    NoSuchCode,
    Refused,
    RendezvousUnreachable,
    RtcsendError,
    WrongCode,
)
from signal_server.limits import Limits
from tests.fakes.clock import run_virtual

NOT_YET = NoSuchCode("Nobody waits at this number.")
NOBODY = RendezvousUnreachable("No sender was found.")
LATER = Refused("Too many.")
LATER.retry_after = 100
NEVER = Refused("Not here.")


def play(
    *ends: RtcsendError, near: bool = False, seconds: float = 600.0
) -> tuple[list[float], int]:
    """Return when it looked, and how often it said that it waits."""
    looked: list[float] = []
    told: list[None] = []

    async def attempt() -> None:
        looked.append(asyncio.get_running_loop().time())
        if len(looked) <= len(ends):
            raise ends[len(looked) - 1]

    async def run() -> None:
        await wait_for_code(attempt, seconds=seconds, near=near, on_wait=lambda: told.append(None))

    run_virtual(run)
    return looked, len(told)


def test_a_code_that_is_there_is_not_waited_for() -> None:
    assert play() == ([0], 0)


def test_looks_at_a_server_come_further_apart() -> None:
    assert play(*[NOT_YET] * 7) == ([0, 2, 6, 14, 30, 62, 122, 182], 1)


def test_a_server_that_names_a_time_is_not_asked_before() -> None:
    assert play(NOT_YET, LATER, NOT_YET) == ([0, 2, 102, 110], 1)


def test_nearby_it_looks_often_and_the_sender_need_not_be_there() -> None:
    assert play(NOBODY, NOT_YET, near=True) == ([0, 0.5, 1.0], 1)


@pytest.mark.parametrize("end", [NOBODY, NEVER, WrongCode("Wrong.")])
def test_other_ends_are_ends(end: RtcsendError) -> None:
    with pytest.raises(type(end)):
        play(end)


def test_the_last_end_is_the_end_when_the_time_is_over() -> None:
    with pytest.raises(NoSuchCode):
        play(*[NOT_YET] * 5, seconds=13)


def test_without_the_option_it_looks_once() -> None:
    with pytest.raises(NoSuchCode):
        play(NOT_YET, seconds=0)


def test_one_that_waits_stays_within_what_a_server_has_free() -> None:
    limits = Limits()
    failures = 0.0
    for pause in itertools.islice(looks(near=False), 200):
        failures += 1
        assert failures <= limits.failed_claims
        failures = max(0.0, failures - pause / limits.forgive_seconds)
