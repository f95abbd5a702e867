import asyncio
import math
from dataclasses import replace

import pytest

from rtcsend.cli.idle import IdleWatch, end_when_idle
from rtcsend.errors import ConnectionLost
from rtcsend.events import Checking, Done, Event, Progress, Reconnecting, Stalled
from rtcsend.options import Emit
from tests.cli.fake_engine import CONNECTED, DONE, PAIRED, proposal
from tests.fakes.clock import run_virtual

MOVE = Progress(bytes=1, total=2, bytes_per_s=1)
LOST = Reconnecting(reason="Gone.", attempt=1)


def stalled(seconds: int) -> Stalled:
    return Stalled(seconds=seconds, reason="Nothing comes.")


@pytest.mark.parametrize(
    ("events", "deadline"),
    [
        ([], math.inf),
        ([(0, PAIRED), (1, CONNECTED), (2, proposal())], math.inf),  # a person thinks
        ([(0, CONNECTED), (5, MOVE)], math.inf),
        ([(0, CONNECTED), (5, MOVE), (9, stalled(4))], 15),
        ([(0, CONNECTED), (9, stalled(4))], 15),
        ([(5, MOVE), (9, stalled(4)), (10, MOVE)], math.inf),
        ([(5, MOVE), (9, stalled(4)), (10, Checking(bytes=1, total=2))], math.inf),
        ([(5, MOVE), (9, stalled(4)), (12, LOST)], 15),
        ([(5, MOVE), (8, LOST)], 15),
        ([(5, MOVE), (8, LOST), (9, LOST)], 15),
        ([(5, MOVE), (8, LOST), (9, CONNECTED)], math.inf),
        ([(5, MOVE), (8, LOST), (9, CONNECTED), (13, LOST)], 15),  # meeting alone moves nothing
        ([(0, CONNECTED), (8, LOST), (9, LOST)], 18),
        ([(4, stalled(4)), (9, stalled(9))], math.inf),  # not paired: that ends by itself
        ([(0, PAIRED), (4, stalled(4)), (9, stalled(9))], 10),
        ([(0, PAIRED), (4, stalled(4)), (5, CONNECTED), (9, stalled(4))], 15),
        ([(0, CONNECTED), (9, replace(stalled(4), receiver=2))], math.inf),  # a stranger
    ],
)
def test_when_to_give_up(events: list[tuple[float, Event]], deadline: float) -> None:
    watch = IdleWatch(10)
    for now, event in events:
        watch.observe(event, now=now)
    assert watch.deadline == deadline


def test_the_transfer_is_cancelled_and_the_error_says_why() -> None:
    seen: list[Event] = []
    ended: list[float] = []

    async def engine(emit: Emit) -> Done:
        emit(CONNECTED)
        await asyncio.sleep(100)
        emit(MOVE)
        await asyncio.sleep(4)
        emit(stalled(4))
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(asyncio.get_running_loop().time())
        raise AssertionError("never")

    with pytest.raises(ConnectionLost, match=r"^Nothing has moved for 10 s\.$"):
        run_virtual(lambda: end_when_idle(engine, seen.append, limit=10))
    assert ended == [110]
    assert seen == [CONNECTED, MOVE, stalled(4)]


def test_a_transfer_that_moves_ends_as_ever() -> None:
    async def engine(emit: Emit) -> Done:
        for _ in range(5):
            emit(MOVE)
            await asyncio.sleep(9)
            emit(stalled(4))
        return DONE

    assert run_virtual(lambda: end_when_idle(engine, lambda _event: None, limit=10)) == DONE
