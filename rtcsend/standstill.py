"""Telling that two programs that have met get no further, while they have no connection yet.

A shell. From the first frame on :mod:`rtcsend.transfer.movement` tells that; before, each step
takes a moment, or ends with an error after 10 to 30 seconds, of which nobody would know a reason
until then: a machine that has frozen, a way that nothing goes. No person is waited for here.

Place in the flow: around the steps of pairing and connecting.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from rtcsend.events import Stalled
from rtcsend.options import Emit
from rtcsend.tasks import cancel_all

TOLD_AFTER: Final = 4.0  # seconds; told within five, like any other stall
TOLD_EVERY: Final = 5.0  # seconds between two reminders
SILENCE: Final = "Nothing comes from the other side."
NO_CONNECTION: Final = "There is no connection to the other side yet."


@asynccontextmanager
async def told_when_still(emit: Emit, reason: str = SILENCE) -> AsyncIterator[None]:
    """Within it, one step is done; when that takes long, ``emit`` is told, again and again.

    Args:
        emit: Takes ``stalled``.
        reason: One sentence for it.
    """
    teller = asyncio.create_task(_tell(emit, reason))
    try:
        yield
    finally:
        await cancel_all([teller])


async def _tell(emit: Emit, reason: str) -> None:
    clock = asyncio.get_running_loop().time
    since = clock()
    await asyncio.sleep(TOLD_AFTER)
    while True:
        emit(Stalled(seconds=round(clock() - since), reason=reason))
        await asyncio.sleep(TOLD_EVERY)
