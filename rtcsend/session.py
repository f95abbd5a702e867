"""What both sides of a session have in common: WebRTC comes late, and connections come and go.

Place in the flow: used by :mod:`rtcsend.sending` and :mod:`rtcsend.receiving`.
"""

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

from rtcsend import __version__
from rtcsend.errors import ConnectionLost, UsageError
from rtcsend.events import Done
from rtcsend.options import (
    DATAPATH_VARIABLE,
    DISCOVERY_VARIABLE,
    LOCAL_ONLY,
    STOCK,
    CommonOptions,
)
from rtcsend.peer.signals import Hello
from rtcsend.reconnecting import Link
from rtcsend.tasks import first_of

if TYPE_CHECKING:
    from types import ModuleType

    from rtcsend.connecting import Connection

_WEBRTC: Final = "rtcsend.connecting"  # imports aiortc, which takes a tenth of a second


def check_environment() -> None:
    """Refuse a variable with a value that it cannot have, before anybody is asked for anything.

    Raises:
        UsageError: DATAPATH_VARIABLE or DISCOVERY_VARIABLE has one.
    """
    if os.environ.get(DATAPATH_VARIABLE, "") not in ("", STOCK):
        raise UsageError(
            f"{DATAPATH_VARIABLE} names no data path that there is.",
            hint=f"Set it to {STOCK}, for plain aiortc, or leave it out.",
        )
    if os.environ.get(DISCOVERY_VARIABLE, "") not in ("", LOCAL_ONLY):
        raise UsageError(
            f"{DISCOVERY_VARIABLE} does not say where to look for the other side.",
            hint=f"Set it to {LOCAL_ONLY}, for this machine only, or leave it out.",
        )


@asynccontextmanager
async def loading_webrtc() -> AsyncIterator["asyncio.Task[ModuleType]"]:
    """Import aiortc in a thread while people and servers take their time."""
    task = asyncio.create_task(asyncio.to_thread(import_module, _WEBRTC))
    try:
        yield task
    finally:
        await asyncio.gather(task, return_exceptions=True)


def greeting(options: CommonOptions, webrtc: "ModuleType") -> Hello:
    """Return what this side says of itself; ``webrtc`` is what was loaded."""
    return Hello(
        agent=f"rtcsend/{__version__}", route=options.route, datapath=webrtc.local_version()
    )


async def carry(
    link: Link,
    connection: "Connection",
    run: "Callable[[Connection], Coroutine[Any, Any, Done]]",
    *,
    is_over: Callable[[], bool],
    position: Callable[[], int],
    give_up: Callable[[], Coroutine[Any, Any, None]] | None = None,
) -> Done:
    """Run a transfer over one connection after the other, until it is done.

    ``position`` says how far it has come, so that two who meet again and again and move nothing
    come to an end. ``give_up`` runs beside each attempt to meet again, and raises when that is
    enough.
    """
    while True:
        try:
            return await first_of(run(connection), link.watch(is_over=is_over))
        except ConnectionLost as lost:
            watchers = () if give_up is None else (give_up(),)
            connection = await first_of(link.meet_again(lost, position=position()), *watchers)
