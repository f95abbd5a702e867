"""The rooms in Redis that this process follows: entries of its own, and those of others.

What it does: appends what is decided on; carries entries out, its own when their append is
answered and those of others as they are published; reads a log where something may be missing.
What it does not: know how a log is kept (:mod:`signal_server.store.redis_logs`), or what else
processes share (:mod:`signal_server.store.redis_store`).

A room is followed from the entry on that brings this process in, since whoever appends behind it
knows that, and publishes to it. What the process itself appends is not published to it: an
entry whose answer is lost is found by reading.

Shell by its locks and tasks. Source: docs/architecture.md, "The server's rooms".
"""

import asyncio
import itertools
import logging
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from typing import Any

from signal_server.commands import Enter, Request, Say
from signal_server.directory import Directory
from signal_server.logs import log
from signal_server.mailbox import Room
from signal_server.outputs import CLOSE_POLICY, RequestRefused
from signal_server.storage import Name
from signal_server.store import redis_scripts as scripts
from signal_server.store.base import Decide, Listener, StoreUnavailable
from signal_server.store.entries import BadEntry, Entry
from signal_server.store.followed import MAX_HELD, Followed
from signal_server.store.redis_link import RedisLink
from signal_server.store.redis_logs import LostLog, Missed, RedisLogs
from signal_server.store.replica import (
    MAX_ENTRIES,
    EntryId,
    Gap,
    Replica,
    parse_published_untrusted,
)

CATCH_UP_AT_ONCE = 8  # rooms that are read anew side by side


class RedisRooms:
    """Rooms by the keys of their logs, for as long as this process needs them.

    Args:
        link: To Redis.
        logs: There.
        process: The name of this one.
        directory: Where rooms are while somebody is in them.
        now: The time that all processes share, in seconds.
        date: Returns the milliseconds to number an entry with that follows on another one;
            None for the clock of the Redis server.
        start: Runs a task in the background, and keeps it.
    """

    def __init__(
        self,
        link: RedisLink,
        logs: RedisLogs,
        *,
        process: str,
        directory: Directory,
        now: Callable[[], float],
        date: Callable[[EntryId], int | None],
        start: Callable[[Coroutine[Any, Any, None]], None],
    ) -> None:
        self._link = link
        self._logs = logs
        self._process = process
        self._directory = directory
        self._now = now
        self._date = date
        self._start = start
        self._listener: Listener | None = None
        self._origins = itertools.count(1)
        self._locals: dict[str, Followed] = {}
        self._reading = asyncio.Semaphore(CATCH_UP_AT_ONCE)

    def __iter__(self) -> Iterator[Room]:
        """Return all rooms."""
        return (local.replica.room for local in self._locals.values())

    def listen(self, listener: Listener) -> None:
        """Tell ``listener`` from now on."""
        self._listener = listener

    def needed(self) -> list[str]:
        """Return the keys of the logs that have to be kept."""
        return [key for key, local in self._locals.items() if self._is_inside(local)]

    async def commit(self, name: Name, decide: Decide) -> None:
        """Decide, append, and carry it out."""
        local = self._local(name)
        await self._in_turn(local, lambda: self._commit(local, decide))

    async def enter(
        self, name: Name, request: Request, decide: Decide, *, admit: Callable[[], None]
    ) -> None:
        """Ask for what there is, and then do the same."""
        local = self._local(name)

        async def look(origin: str) -> bool:
            if local.read:  # what was published may not have come yet
                return await self._read(local, origin)
            found = await self._logs.look(local.key, request)
            if not isinstance(found, bool):
                local.read = True
                return self._take_missed(local, found, origin)
            if not found:
                admit()
            return False  # and then it is read

        await self._in_turn(local, lambda: self._commit(local, decide, before=look))

    def _local(self, name: Name) -> Followed:
        key = scripts.log_key(name)
        local = self._locals.get(key)
        if local is None:
            assert self._listener is not None, "somebody listens before the first commit"
            local = Followed(Replica(name, self._directory, self._listener), key)
            self._locals[key] = local
        return local

    async def _in_turn(self, local: Followed, work: Callable[[], Awaitable[None]]) -> None:
        """Do what nothing else may come between, and then take what was published meanwhile."""
        local.users += 1
        try:
            async with local.lock:
                await work()
        finally:
            local.users -= 1
            if not local.lock.locked():
                self._take_held(local)
            self._let_go(local)

    async def _commit(
        self,
        local: Followed,
        decide: Decide,
        *,
        before: Callable[[str], Awaitable[bool]] | None = None,
    ) -> None:
        origin = f"{self._process}.{next(self._origins)}"

        async def attempt() -> None:
            if before is not None and await self._losing(local, before(origin), lost=False):
                return
            # Whoever was in a lost room asks again; what it has said must not come out of turn.
            lost = before is None
            while not await self._losing(local, self._step(local, decide, origin), lost=lost):
                pass

        await self._link.patiently(attempt)

    async def _step(self, local: Followed, decide: Decide, origin: str) -> bool:
        """Do the next thing for a commit, and return whether it was the last one."""
        if not local.read:
            return await self._read(local, origin)
        command = decide(local.replica.room, self._now())
        return command is None or await self._append(local, Entry(origin, command))

    async def _append(self, local: Followed, entry: Entry) -> bool:
        """Append an entry, and return whether it is in the log; else something came before it."""
        replica = local.replica
        # What ends something always gets in, or it would never end; each entrance brings little.
        if replica.entries >= MAX_ENTRIES and isinstance(entry.command, Enter | Say):
            raise RequestRefused("full", close=CLOSE_POLICY)
        local.read = False  # it may be in the log before this process knows
        answer = await self._logs.append(
            local.key,
            entry,
            room=replica.room,
            last=replica.last,
            milliseconds=self._date(replica.last),
            others=replica.room.processes() - {self._process},
        )
        local.read = True
        if not isinstance(answer, EntryId):
            return self._take_missed(local, answer, entry.origin)
        replica.follow(answer, entry, own=True)
        if not replica.room.mailboxes:  # the log is gone
            replica.forget()
            local.read = False
        return True

    async def _read(self, local: Followed, origin: str = "") -> bool:
        """Read what there is of a log behind what is known; return whether ``origin`` is there."""
        missed = await self._logs.read(local.key, last=local.replica.last)
        local.read = True
        return self._take_missed(local, missed, origin)

    def _take_missed(self, local: Followed, missed: Missed, origin: str) -> bool:
        """Carry out what has come; return whether ``origin`` is among it."""
        found = False
        for number, entry in missed:
            own = entry.origin == origin
            found = found or own
            local.replica.follow(number, entry, own=own)
        return found

    async def _losing(self, local: Followed, work: Awaitable[bool], *, lost: bool) -> bool:
        """Return as ``work`` does; or ``lost``, if the log is another one, and the room is lost.

        Raises:
            StoreUnavailable: The log cannot be followed; likewise.
        """
        try:
            return await work
        except BadEntry as exc:
            log(logging.WARNING, "room lost", reason=str(exc))
            local.read = False
            local.replica.lose()
            if not isinstance(exc, LostLog):
                raise StoreUnavailable("a log cannot be followed") from exc
            return lost

    # What others append

    def published(self, data: bytes) -> None:
        """Take ``KEY ENTRY``, the entry as :func:`parse_published_untrusted` has it."""
        key, _, published = data.partition(b" ")
        local = self._locals.get(key.decode("ascii", "replace"))
        if local is None:
            return  # let go meanwhile
        if not local.lock.locked():
            self._take_published(local, published)
        elif len(local.held) < MAX_HELD:
            local.held.append(published)
        else:
            self._fall_behind(local)

    def _take_held(self, local: Followed) -> None:
        held, local.held = local.held, []
        for published in held:
            self._take_published(local, published)

    def _take_published(self, local: Followed, published: bytes) -> None:
        try:
            previous, number, entry = parse_published_untrusted(published)
            local.replica.follow(number, entry, previous=previous, own=False)
        except (Gap, BadEntry):
            self._fall_behind(local)
            return
        if not isinstance(entry.command, Say):  # nobody leaves by that
            self._let_go(local)

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
            try:
                async with self._reading:
                    await self._in_turn(local, lambda: self._catch_up(local))
            except StoreUnavailable:
                local.behind = True
        local.catching_up = False

    async def _catch_up(self, local: Followed) -> None:
        await self._link.patiently(lambda: self._losing(local, self._read(local), lost=True))

    def catch_up(self) -> None:
        """Read all logs anew: what was published may be lost."""
        for local in self._locals.values():
            self._fall_behind(local)

    def _let_go(self, local: Followed) -> None:
        """Forget a room in which this process has no socket any more."""
        if local.users or self._is_inside(local) or self._locals.get(local.key) is not local:
            return
        del self._locals[local.key]
        local.replica.let_go()

    def _is_inside(self, local: Followed) -> bool:
        return self._process in local.replica.room.processes()
