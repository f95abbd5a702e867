"""Rooms in Redis, for any number of server processes behind any load balancer.

The log of each room is a stream. A command is appended by a script if the stream still ends
where this process believes it does; otherwise the script answers what has come meanwhile, and
the command is decided on anew. So a command that was sent twice, since its answer was lost, is
logged once. The same call publishes the entry to each other process that has a socket in the
room, as its log tells: a process that enters is told from the next entry on, and has seen those
before. Numbers show what it missed, and then it reads the stream.

Beside a stream are marks of who is known in the room, so that strangers have no log read.

A stream lives for as long as a process with a socket in it says so, and some minutes more.

Shell. Source: Redis streams; docs/architecture.md, "The server's rooms".
"""

import asyncio
import logging
import math
import secrets
from collections.abc import Callable, Coroutine
from types import TracebackType
from typing import Any, Self

from signal_server.commands import Request
from signal_server.directory import Directory
from signal_server.logs import log
from signal_server.storage import Name
from signal_server.store import redis_scripts as scripts
from signal_server.store.base import Decide, Listener, StoreUnavailable
from signal_server.store.lingering import Lingering
from signal_server.store.redis_connection import RedisAddress, Words
from signal_server.store.redis_feed import RedisFeed
from signal_server.store.redis_link import FAILURES, RedisLink
from signal_server.store.redis_logs import RedisLogs
from signal_server.store.redis_reasons import reason_of
from signal_server.store.redis_rooms import RedisRooms
from signal_server.store.redis_upkeep import keep_beating, keep_logs
from signal_server.store.replica import EntryId

ABSENT_SPARE = 60  # seconds that a log is there after its sides have lost their places
KEEP_SECONDS = 900  # that a stream lives after nobody has said that it should


class RedisStore:
    """A :class:`signal_server.store.base.Store` that processes share.

    Args:
        address: ``redis://[[USER]:PASSWORD@]HOST[:PORT][/DATABASE]``, ``rediss://…`` for TLS, or
            ``unix:///PATH``.
        clock: Seconds on which entries are dated; the Redis server's own by default.
        keep_seconds: How long a log outlives a process that was killed with a socket in it.
        absent_seconds: How long sides without a socket keep their places.
    """

    immediate = False

    def __init__(
        self,
        address: str,
        *,
        clock: Callable[[], float] | None = None,
        keep_seconds: float = KEEP_SECONDS,
        absent_seconds: float = KEEP_SECONDS,
    ) -> None:
        self.process = secrets.token_hex(6)
        self._lingering = Lingering(absent_seconds + ABSENT_SPARE)
        self.directory = Directory(self._lingering)
        self._clock = clock
        self._keep_seconds = keep_seconds
        self._tasks: set[asyncio.Task[None]] = set()
        where = RedisAddress(address)
        self._link = RedisLink(where, process=self.process)
        self._logs = RedisLogs(
            self._link,
            keep_ms=round(keep_seconds * 1000),
            absent_ms=round((absent_seconds + ABSENT_SPARE) * 1000),
        )
        self._rooms = RedisRooms(
            self._link,
            self._logs,
            process=self.process,
            directory=self.directory,
            now=self.now,
            date=self._date,
            start=self._start,
        )
        self._feed = RedisFeed(
            where,
            channel=scripts.channel_of(self.process),
            on_published=self._rooms.published,
            on_back=self._rooms.catch_up,
        )

    async def __aenter__(self) -> Self:
        """Connect.

        Raises:
            StoreUnavailable: Redis cannot be reached, or refuses.
        """
        try:
            await self._link.check()
            await self._link.beat(live=0)
        except StoreUnavailable:
            await self._link.aclose()
            raise
        except FAILURES as exc:
            await self._link.aclose()
            raise StoreUnavailable(reason_of(exc)) from exc
        self._start(self._feed.run())
        self._start(
            keep_beating(
                self._link,
                live=lambda: self.directory.live,
                rooms=lambda: list(self._rooms),
                commit=self.commit,
            )
        )
        self._start(
            keep_logs(self._logs, needed=self._rooms.needed, keep_seconds=self._keep_seconds)
        )
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """End all tasks and connections, and say that this process is gone."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._lingering.close()
        await self._link.depart()
        await self._link.aclose()

    @property
    def available(self) -> bool:
        """Whether Redis answered last, and takes anything."""
        return self._link.available and not self._link.full

    def listen(self, listener: Listener) -> None:
        """Tell ``listener`` from now on."""
        self._rooms.listen(listener)

    def now(self) -> float:
        """Return the time of the Redis server, as far as it is known."""
        if self._clock is not None:
            return self._clock()
        return self._link.now()

    def is_alive(self, process: str) -> bool:
        """Return whether a process lives, as far as is known."""
        return self._link.is_alive(process)

    def live(self) -> int:
        """Return about how many mailboxes all processes have."""
        return max(self._link.live, self.directory.live)

    def stored_bytes(self) -> float:
        """Return the bytes of bodies in the rooms that are followed; infinity if Redis is full."""
        return math.inf if self._link.crowded else self.directory.stored_bytes

    async def reserve(
        self, side: str, name: Name, *, again: bool, admit: Callable[[], None]
    ) -> Name:
        """Remember the nameplate of a request, or return what was remembered before."""
        key = scripts.reserve_key(side)
        keep: Words = ("SET", key, name.text, "GET", "EX", scripts.RESERVE_SECONDS)

        async def attempt() -> Name:
            if again:
                await self._link.call(*keep)
                return name
            known = scripts.parse_reserved_untrusted(await self._link.call("GET", key))
            if known is None:
                admit()
                known = scripts.parse_reserved_untrusted(await self._link.call(*keep, "NX"))
            return known or name

        return await self._link.patiently(attempt)

    async def commit(self, name: Name, decide: Decide) -> None:
        """Decide, append, and carry it out."""
        await self._rooms.commit(name, decide)

    async def enter(
        self, name: Name, request: Request, decide: Decide, *, admit: Callable[[], None]
    ) -> None:
        """Ask for what there is, and then do the same."""
        await self._rooms.enter(name, request, decide, admit=admit)

    def _date(self, expected: EntryId) -> int | None:
        if self._clock is None:
            return None
        return max(round(self._clock() * 1000), expected.milliseconds, 1)

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: "asyncio.Task[None]") -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (failure := task.exception()) is not None:
            log(logging.ERROR, "store task failed", exc_info=failure)
