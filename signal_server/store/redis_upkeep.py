"""What a process does for its rooms in Redis from time to time, whatever its clients do.

What it does: says that it lives and hears who else does, buries who does not, and says which
logs are needed.

Shell, thin. Place in the flow: run by :mod:`signal_server.store.redis_store`.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress

from signal_server.commands import Command, Gone
from signal_server.mailbox import Room
from signal_server.storage import Name
from signal_server.store.base import Decide, StoreUnavailable
from signal_server.store.processes import HEARTBEAT_SECONDS
from signal_server.store.redis_link import FAILURES, RedisLink
from signal_server.store.redis_logs import TOUCH_BATCH, RedisLogs


async def keep_beating(
    link: RedisLink,
    *,
    live: Callable[[], int],
    rooms: Callable[[], Iterable[Room]],
    commit: Callable[[Name, Decide], Awaitable[None]],
) -> None:
    """Say that this process is there, and take its dead neighbours out of the rooms they were in.

    Args:
        link: To Redis.
        live: Returns how many mailboxes this process has.
        rooms: Returns those that it follows.
        commit: Logs what is decided on in a room.
    """
    while True:
        await asyncio.sleep(HEARTBEAT_SECONDS)
        try:
            await link.beat(live=live())
        except FAILURES as exc:
            link.failed(exc)
            continue
        for room in rooms():
            dead = [process for process in room.processes() if not link.is_alive(process)]
            if dead:
                with suppress(StoreUnavailable):
                    await commit(room.name, _burying(dead[0]))


async def keep_logs(
    logs: RedisLogs, *, needed: Callable[[], list[str]], keep_seconds: float
) -> None:
    """Say that logs are needed, three times before they would end.

    Args:
        logs: In Redis.
        needed: Returns their keys.
        keep_seconds: How long they outlive that.
    """
    while True:
        await asyncio.sleep(keep_seconds / 3)
        keys = needed()
        for start in range(0, len(keys), TOUCH_BATCH):
            with suppress(*FAILURES):
                await logs.touch(keys[start : start + TOUCH_BATCH])


def _burying(process: str) -> Decide:
    def decide(room: Room, _now: float) -> Command | None:
        return Gone(process) if process in room.processes() else None

    return decide
