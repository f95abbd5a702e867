"""Rooms in Redis, for any number of server processes behind any load balancer.

The log of each room is a stream. A command is appended by a script if the stream still ends
where this process believes it does; otherwise the script answers what has come meanwhile, and
the command is decided on anew. So a command that was sent twice, since its answer was lost, is
logged once. What is appended is published as well, and a process that has a socket in a room
follows it; numbers show what it missed, and then it reads the stream.

Beside a stream are marks of who is known in the room, so that strangers have no log read.

A stream lives for as long as a process with a socket in it says so, and some minutes more.

Shell. Source: Redis streams; docs/architecture.md, "The server's rooms".
"""

import asyncio
import itertools
import logging
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import TracebackType
from typing import Any, Self

from signal_server.commands import Request
from signal_server.directory import Directory
from signal_server.mailbox import Room
from signal_server.outputs import CLOSE_POLICY, RequestRefused
from signal_server.storage import Name
from signal_server.store import redis_scripts as scripts
from signal_server.store.base import Decide, Listener, StoreUnavailable
from signal_server.store.entries import BadEntry, Entry
from signal_server.store.followed import Followed
from signal_server.store.redis_feed import RedisFeed
from signal_server.store.redis_link import FAILURES, RedisLink
from signal_server.store.redis_logs import Missed, RedisLogs
from signal_server.store.redis_upkeep import keep_beating, keep_logs
from signal_server.store.replica import (
    MAX_ENTRIES,
    NO_ENTRY,
    EntryId,
    Gap,
    Replica,
    parse_published_untrusted,
)

KEEP_SECONDS = 900  # that a stream lives after nobody has said that it should
CATCH_UP_AT_ONCE = 8  # rooms that are read anew side by side

_log = logging.getLogger("rtcsend.rendezvous.server.store")


class RedisStore:
    """A :class:`signal_server.store.base.Store` that processes share.

    Args:
        address: ``redis://[[USER]:PASSWORD@]HOST[:PORT][/DATABASE]``, ``rediss://…`` for TLS, or
            ``unix:///PATH``.
        clock: Seconds on which entries are dated; the Redis server's own by default.
        keep_seconds: How long a log outlives the last process that had a socket in it.
    """

    immediate = False

    def __init__(
        self,
        address: str,
        *,
        clock: Callable[[], float] | None = None,
        keep_seconds: float = KEEP_SECONDS,
    ) -> None:
        self.process = secrets.token_hex(6)
        self.directory = Directory()
        self._clock = clock
        self._keep_seconds = keep_seconds
        self._origins = itertools.count(1)
        self._locals: dict[str, Followed] = {}
        self._reading = asyncio.Semaphore(CATCH_UP_AT_ONCE)
        self._listener: Listener | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._link = RedisLink(address, process=self.process)
        self._logs = RedisLogs(self._link, keep_ms=round(keep_seconds * 1000))
        self._feed = RedisFeed(
            self._link.client,
            own_channel=f"{scripts.PREFIX}:process:{self.process}",
            on_published=self._on_published,
            on_back=self._catch_up_all,
        )

    async def __aenter__(self) -> Self:
        """Connect.

        Raises:
            StoreUnavailable: Redis cannot be reached, or refuses.
        """
        try:
            await self._link.beat(live=0)
        except FAILURES as exc:
            await self._link.client.aclose()
            raise StoreUnavailable(str(exc) or type(exc).__name__) from exc
        self._start(self._feed.run())
        self._start(
            keep_beating(
                self._link,
                live=lambda: self.directory.live,
                rooms=self._rooms,
                commit=self.commit,
            )
        )
        self._start(keep_logs(self._logs, needed=self._needed, keep_seconds=self._keep_seconds))
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
        await self._link.aclose()

    @property
    def available(self) -> bool:
        """Whether Redis answered last."""
        return self._link.available

    def listen(self, listener: Listener) -> None:
        """Tell ``listener`` from now on."""
        self._listener = listener

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

    async def reserve(
        self, side: str, name: Name, *, again: bool, admit: Callable[[], None]
    ) -> Name:
        """Remember the nameplate of a request, or return what was remembered before."""
        key = scripts.reserve_key(side)
        client = self._link.client

        async def attempt() -> Name:
            if not again:
                known = scripts.parse_reserved_untrusted(await self._link.call(client.get(key)))
                if known is not None:
                    return known
                admit()
            kept = await self._link.call(
                client.set(key, name.text, nx=not again, get=True, ex=scripts.RESERVE_SECONDS)
            )
            known = None if again else scripts.parse_reserved_untrusted(kept)
            return name if known is None else known

        return await self._link.patiently(attempt)

    async def is_stranger(self, name: Name, request: Request) -> bool:
        """Ask for the marks of a room, and not for its log."""
        return await self._link.patiently(lambda: self._logs.is_stranger(name, request))

    async def commit(self, name: Name, decide: Decide, *, anew: bool = False) -> None:
        """Decide, append, and carry it out."""
        key = scripts.log_key(name)
        local = self._locals.get(key)
        if local is None:
            assert self._listener is not None, "somebody listens before the first commit"
            replica = Replica(name, self.directory, self._listener)
            local = self._locals[key] = Followed(replica, key)
        local.users += 1
        try:
            async with local.lock:
                await self._commit(local, decide, anew=anew)
        finally:
            local.users -= 1
            await self._let_go(local)

    async def _commit(self, local: Followed, decide: Decide, *, anew: bool) -> None:
        origin = f"{self.process}.{next(self._origins)}"

        async def attempt() -> None:
            if anew and local.read:  # what was published may not have come yet
                await self._catch_up(local)
            done = False
            while not done:
                while not local.read:
                    await self._catch_up(local)
                command = decide(local.replica.room, self.now())
                done = command is None or await self._log(local, Entry(origin, command))

        await self._link.patiently(attempt)
        if not local.subscribed and self._is_inside(local):
            local.subscribed = True
            self._start(self._follow(local))

    async def _log(self, local: Followed, entry: Entry) -> bool:
        """Append an entry; False: something came before it."""
        replica = local.replica
        if replica.entries >= MAX_ENTRIES:
            raise RequestRefused("full", close=CLOSE_POLICY)
        expected = replica.last
        with self._losing(local):
            answer = await self._logs.append(
                local.key,
                entry,
                room=replica.room,
                last=expected,
                milliseconds=None if self._clock is None else self._date(expected),
            )
            if isinstance(answer, Missed):
                return self._take_missed(local, answer, origin=entry.origin)
            if answer is None:
                last = EntryId(max(round(self.now() * 1000), expected.milliseconds + 1), 0)
                replica.follow(last, entry, own=True)
                replica.forget()
                local.read = False
            else:
                replica.follow(answer, entry, own=True)
        return True

    async def _follow(self, local: Followed) -> None:
        """Follow a log, from when this process has its first socket in the room."""
        with suppress(TimeoutError):  # then the feed has it read when it is back
            await self._feed.subscribe(local.key)
            self._fall_behind(local)

    async def _catch_up(self, local: Followed) -> None:
        """Read what there is of a log behind what is known."""
        with self._losing(local):
            missed = await self._logs.read(local.key, last=local.replica.last)
            local.read = True
            self._take_missed(local, missed, origin="")

    def _take_missed(self, local: Followed, missed: Missed, *, origin: str) -> bool:
        """Carry out what has come; return whether ``origin`` is among it."""
        replica = local.replica
        if replica.first not in (NO_ENTRY, missed.first):
            _log.warning("x a room is lost")
            replica.lose()
            local.read = False
            return False
        found = False
        for number, entry in missed.entries:
            own = entry.origin == origin
            found = found or own
            replica.follow(number, entry, own=own)
        return found

    @contextmanager
    def _losing(self, local: Followed) -> Iterator[None]:
        """Lose a room whose log cannot be followed."""
        try:
            yield
        except BadEntry as exc:
            _log.warning("x a log cannot be followed: %s", exc)
            local.replica.lose()
            local.read = False
            raise StoreUnavailable("a log cannot be followed") from exc

    def _on_published(self, channel: str, data: bytes) -> None:
        local = self._locals.get(channel)
        if local is None:
            return
        try:
            published = parse_published_untrusted(data, last=local.replica.last)
            if published is None:
                return
            previous, number, entry = published
            own = entry.origin.startswith(f"{self.process}.")
            local.replica.follow(number, entry, previous=previous, own=own)
        except (Gap, BadEntry):
            self._fall_behind(local)
            return
        if not self._is_inside(local):
            self._start(self._let_go(local))

    def _fall_behind(self, local: Followed) -> None:
        """Have the log read; again if that is under way, for which this may have come too late."""
        local.behind = True
        if not local.catching_up:
            local.catching_up = True
            self._start(self._catch_up_later(local))

    async def _catch_up_later(self, local: Followed) -> None:
        """Read what was missed, however long that takes."""
        while local.behind and self._locals.get(local.key) is local:
            local.behind = False
            local.users += 1
            try:
                async with self._reading, local.lock:
                    await self._link.patiently(lambda: self._catch_up(local))
            except StoreUnavailable:
                local.behind = True
            finally:
                local.users -= 1
                await self._let_go(local)
        local.catching_up = False

    async def _catch_up_all(self) -> None:
        """Read all logs anew: the feed was away."""
        for local in list(self._locals.values()):
            self._fall_behind(local)

    async def _let_go(self, local: Followed) -> None:
        """Forget a room in which this process has no socket any more."""
        if local.users or self._is_inside(local) or self._locals.get(local.key) is not local:
            return
        del self._locals[local.key]
        local.replica.let_go()
        if local.subscribed:
            await self._feed.unsubscribe(local.key)

    def _is_inside(self, local: Followed) -> bool:
        return self.process in local.replica.room.processes()

    # Upkeep

    def _rooms(self) -> list[Room]:
        return [local.replica.room for local in self._locals.values()]

    def _needed(self) -> list[str]:
        return [key for key, local in self._locals.items() if self._is_inside(local)]

    def _date(self, expected: EntryId) -> int:
        return max(round(self.now() * 1000), expected.milliseconds, 1)

    def _start(self, work: Any) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: "asyncio.Task[None]") -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (failure := task.exception()) is not None:
            _log.error("! store", exc_info=failure)
