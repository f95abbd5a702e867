"""The connection to Redis: calls that are patient, the time there, and who else is connected.

Shell. Place in the flow: below :mod:`signal_server.store.redis_store`, which knows the rooms.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from signal_server.store import redis_scripts as scripts
from signal_server.store.base import StoreUnavailable
from signal_server.store.processes import FORGET_SECONDS, Processes, parse_heartbeat
from signal_server.store.redis_clock import ClockEstimate

PATIENCE = 5.0  # seconds for a commit; then its socket is closed, and the client comes again
CALL_TIMEOUT = 2.0  # seconds for one answer of Redis
CONNECT_TIMEOUT = 2.0  # seconds
PAUSE = 0.1  # seconds between two tries
MAX_CONNECTIONS = 16  # of this process; a call takes well under a millisecond

FAILURES = (RedisError, OSError, TimeoutError)
"""What a call raises when Redis is not there, or refuses."""

_log = logging.getLogger("rtcsend.rendezvous.server.store")
_T = TypeVar("_T")


class RedisLink:
    """Calls to one Redis.

    Args:
        address: As :class:`signal_server.store.redis_store.RedisStore` takes it.
        process: The name of this one.

    Raises:
        ValueError: The address cannot be understood (on construction).

    Attributes:
        available: Whether it answered last.
        client: For calls; each has to go through :meth:`call`.
        append: The scripts of :mod:`signal_server.store.redis_scripts`.
        read: Likewise.
    """

    def __init__(self, address: str, *, process: str) -> None:
        self.available = False
        self._process = process
        self._clock = ClockEstimate()  # of the Redis server, on the loop's
        self._processes = Processes(process)
        pool = BlockingConnectionPool.from_url(
            address,
            max_connections=MAX_CONNECTIONS,
            timeout=CALL_TIMEOUT,
            socket_timeout=CALL_TIMEOUT,
            socket_connect_timeout=CONNECT_TIMEOUT,
            retry=Retry(NoBackoff(), 0),
        )
        self.client = Redis.from_pool(pool)
        self.append = self.client.register_script(scripts.APPEND)
        self.read = self.client.register_script(scripts.READ)
        self._heartbeat = self.client.register_script(scripts.HEARTBEAT)

    @property
    def live(self) -> int:
        """Mailboxes of all processes that live."""
        return self._processes.live

    def now(self) -> float:
        """Return the time of the Redis server, as far as it is known."""
        return asyncio.get_running_loop().time() + self._clock.offset

    def is_alive(self, process: str) -> bool:
        """Return whether a process lives, as far as is known."""
        return self._processes.is_alive(process, now=asyncio.get_running_loop().time())

    async def beat(self, *, live: int) -> None:
        """Say that this process is there, with so many mailboxes, and hear of the others.

        Raises:
            FAILURES: It did not work.
        """
        loop = asyncio.get_running_loop()
        asked = loop.time()
        answer = await self.call(
            self._heartbeat(list(scripts.PROCESSES), [self._process, live, FORGET_SECONDS])
        )
        seconds, seen = parse_heartbeat(answer)
        now = loop.time()
        self._clock.answered(seconds, asked=asked, now=now)
        self._processes.heard(seen, now=now)

    async def call(self, call: Any) -> Any:
        """Return what Redis answers.

        Raises:
            FAILURES: It does not.
        """
        answer = await call
        if not self.available:
            self.available = True
            _log.info("= the store answers")
        return answer

    def failed(self, exc: Exception) -> None:
        """Take note that a call did not work."""
        self._processes.lost_touch()
        if self.available:
            self.available = False
            _log.warning("x the store does not answer: %s", type(exc).__name__)

    async def patiently(self, attempt: Callable[[], Awaitable[_T]]) -> _T:
        """Try until it works, or patience is at its end.

        Raises:
            StoreUnavailable: It did not work.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + PATIENCE
        while True:
            try:
                async with asyncio.timeout_at(deadline):
                    return await attempt()
            except FAILURES as exc:
                self.failed(exc)
                if loop.time() + PAUSE >= deadline:
                    raise StoreUnavailable(type(exc).__name__) from exc
            await asyncio.sleep(PAUSE)

    async def aclose(self) -> None:
        """Say that this process is gone, and close all connections."""
        try:
            await self.call(self.client.zrem(scripts.PROCESSES[0], self._process))
        except FAILURES as exc:
            _log.debug("x not told: %s", type(exc).__name__)
        await self.client.aclose()
