"""The way to Redis: calls that are patient, the time there, and who else is connected.

Shell. Place in the flow: below :mod:`signal_server.store.redis_store`, which knows the rooms.
"""

import asyncio
import logging
import math
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

from redis.exceptions import RedisError, ResponseError

from signal_server.logs import log
from signal_server.store import redis_scripts as scripts
from signal_server.store.base import StoreUnavailable
from signal_server.store.processes import FORGET_SECONDS, Processes, parse_heartbeat
from signal_server.store.redis_clock import ClockEstimate
from signal_server.store.redis_connection import RedisAddress, Word, Words
from signal_server.store.redis_memory import room_untrusted
from signal_server.store.redis_reasons import is_full, misfit_untrusted, reason_of
from signal_server.store.redis_shared import SharedConnection

PATIENCE = 5.0  # seconds for a commit; then its socket is closed, and the client comes again
PAUSE = 0.1  # seconds between two tries

FAILURES = (RedisError, OSError, TimeoutError)
"""What a call raises when Redis is not there, or refuses."""

_T = TypeVar("_T")


class RedisLink:
    """Calls to one Redis.

    Args:
        address: Of Redis.
        process: The name of this one.

    Attributes:
        available: Whether it answered last.
        full: Whether it has refused something since it is, and has not said that it is not.
    """

    def __init__(self, address: RedisAddress, *, process: str) -> None:
        self.available = False
        self.full = False
        self._room = math.inf  # bytes that it takes until it is nearly full
        self._process = process
        self._clock = ClockEstimate()  # of the Redis server, on the loop's
        self._processes = Processes(process)
        self._short = SharedConnection(address, scripts=scripts.SHORT)
        self._long = SharedConnection(address, scripts=scripts.LONG)

    @property
    def live(self) -> int:
        """Mailboxes of all processes that live."""
        return self._processes.live

    @property
    def crowded(self) -> bool:
        """Whether it is nearly full, as far as this process knows."""
        return self._room <= 0

    def now(self) -> float:
        """Return the time of the Redis server, as far as it is known."""
        return asyncio.get_running_loop().time() + self._clock.offset

    def is_alive(self, process: str) -> bool:
        """Return whether a process lives, as far as is known."""
        return self._processes.is_alive(process, now=asyncio.get_running_loop().time())

    async def check(self) -> None:
        """Look whether this is a Redis that can be the store.

        Raises:
            StoreUnavailable: It cannot.
            FAILURES: It did not work.
        """
        server = await self._told("INFO", "server")
        misfit = misfit_untrusted(server, await self._told("CLUSTER", "INFO"))
        if misfit is not None:
            raise StoreUnavailable(misfit)
        await self._short.run(scripts.MAY_WRITE, ())  # the heartbeat also passes where it is full

    async def _told(self, *words: Word) -> str:
        """Return what Redis says of itself; nothing where it does not."""
        try:
            answer = await self._short.call(*words)
        except ResponseError:  # an ACL, or there is no cluster
            return ""
        return answer.decode("utf-8", "replace") if isinstance(answer, bytes) else ""

    async def beat(self, *, live: int) -> None:
        """Say that this process is there, with so many mailboxes, and hear of the others.

        Raises:
            FAILURES: It did not work.
        """
        loop = asyncio.get_running_loop()
        asked = loop.time()
        keys = scripts.PROCESSES
        answer = await self.run(scripts.HEARTBEAT, keys, self._process, live, FORGET_SECONDS)
        seconds, seen = parse_heartbeat(answer)
        now = loop.time()
        self._clock.answered(seconds, asked=asked, now=now)
        self._processes.heard(seen, now=now)
        self._room = room_untrusted(await self._told("INFO", "memory"))
        if self.full and self._room > 0:
            self.full = False
            log(logging.INFO, "store answers")

    async def call(self, *words: Word) -> Any:
        """Return what Redis answers to a command.

        Raises:
            FAILURES: It does not.
        """
        return self._answered(await self._short.call(*words))

    async def call_all(self, commands: Sequence[Words]) -> None:
        """Have commands carried out, in one way there and back; raises as :meth:`call`."""
        await asyncio.gather(*(self._short.call(*words) for words in commands))

    async def run(self, script: str, keys: Sequence[str], *arguments: Word) -> Any:
        """Return what Redis answers to one of the scripts; raises as :meth:`call`.

        What may answer a whole log has a connection of its own, so that short calls do not wait
        behind it.
        """
        # Until it says how full it is: twice, since the others append as well.
        self._room -= 2 * sum(len(word) for word in arguments if isinstance(word, bytes))
        shared = self._long if script in scripts.LONG else self._short
        return self._answered(await shared.run(script, keys, *arguments))

    def failed(self, exc: Exception) -> None:
        """Take note that a call did not work."""
        if is_full(exc):  # which is an answer
            if not self.full:
                self.full = True
                log(logging.WARNING, "store does not answer", reason=reason_of(exc))
            return
        self._processes.lost_touch()
        if self.available:
            self.available = False
            log(logging.WARNING, "store does not answer", reason=reason_of(exc))

    async def patiently(self, attempt: Callable[[], Awaitable[_T]]) -> _T:
        """Try until it works; when patience is at its end, try no more.

        Raises:
            StoreUnavailable: It did not work.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + PATIENCE
        while True:
            try:
                return await attempt()  # it ends by itself: each call waits for 2 s at most
            except FAILURES as exc:
                self.failed(exc)
                if loop.time() + PAUSE >= deadline:
                    raise StoreUnavailable(reason_of(exc)) from exc
            await asyncio.sleep(PAUSE)

    async def depart(self) -> None:
        """Say that this process is gone."""
        try:
            await self.call("ZREM", scripts.PROCESSES[0], self._process)
        except FAILURES as exc:
            log(logging.DEBUG, "store not told of the end", reason=reason_of(exc))

    async def aclose(self) -> None:
        """Close all connections."""
        await self._short.aclose()
        await self._long.aclose()

    def _answered(self, answer: Any) -> Any:
        if not self.available:
            self.available = True
            log(logging.INFO, "store answers")
        return answer
