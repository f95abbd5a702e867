"""``receive --wait``: the receiver may be first, and looks again until the code exists.

A server counts claims that hit nothing, because they are how codes are guessed: some are free, and
one is forgiven in a minute (docs/operations.md). So the looks at a server come further and further
apart, up to that minute, and as late as the server asks for. On this machine and in the LAN
looking costs nobody anything.

Place in the flow: around the engine, which says nothing before it is paired.
"""

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from typing import Any, Final, TypeVar

from rtcsend.errors import NoSuchCode, Refused, RendezvousError, RendezvousUnreachable

FIRST_LOOK: Final = 2.0  # seconds until a server is asked again; then twice as long each time
LAST_LOOK: Final = 60.0  # seconds; servers forgive a failed claim in so long
NEAR_LOOK: Final = 0.5  # seconds between two looks at this machine and the LAN

T = TypeVar("T")


def looks(*, near: bool) -> Iterator[float]:
    """Yield the seconds between one look and the next, without end. Pure.

    Args:
        near: Whether no server was named.
    """
    pause = NEAR_LOOK if near else FIRST_LOOK
    while True:
        yield pause
        pause = NEAR_LOOK if near else min(2 * pause, LAST_LOOK)


async def wait_for_code(
    attempt: Callable[[], Coroutine[Any, Any, T]],
    *,
    seconds: float,
    near: bool,
    on_wait: Callable[[], None],
) -> T:
    """Return what an attempt returns, once the code exists.

    Args:
        attempt: Receives; ends before anything is paired when there is no such code.
        seconds: How long to look again; 0: not at all.
        near: Whether no server was named, so that also having found none may change.
        on_wait: Called once, when the code was not there at first.

    Raises:
        RtcsendError: That of an attempt; of the last one when the time is over.
    """
    clock = asyncio.get_running_loop().time
    deadline = clock() + seconds
    is_told = False
    for pause in looks(near=near):
        try:
            return await attempt()
        except RendezvousError as exc:
            left = deadline - clock()
            if left <= 0 or not _may_change(exc, near=near):
                raise
            asked = exc.retry_after if isinstance(exc, Refused) else None
        if not is_told:
            on_wait()
            is_told = True
        await asyncio.sleep(min(left, max(pause, asked or 0)))
    raise AssertionError("looks have no end")


def _may_change(error: RendezvousError, *, near: bool) -> bool:
    if isinstance(error, Refused):
        return error.retry_after is not None
    return isinstance(error, NoSuchCode) or (near and isinstance(error, RendezvousUnreachable))
