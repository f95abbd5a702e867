"""What other processes append, as it comes: a connection that listens to this process's channel.

Whoever appends to a room's log publishes the entry to each other process that has a socket in
the room, which its log tells. So a process subscribes to one channel, once, and hears of no room
but those it is in.

What is published while the connection is away is lost; so whoever listens is told when it is
back, and reads the logs again.

Shell.
"""

import asyncio
import logging
from collections.abc import Callable

from signal_server.logs import log
from signal_server.store.redis_connection import CONNECT_TIMEOUT, RedisAddress, RedisConnection
from signal_server.store.redis_link import FAILURES
from signal_server.store.redis_reasons import reason_of

PAUSE = 0.2  # seconds before the next connection
POLL_SECONDS = 5.0  # between two looks whether the connection still answers


class RedisFeed:
    """A subscription.

    Args:
        address: Of Redis.
        channel: Of this process.
        on_published: Takes the data; must not block.
        on_back: Called whenever the connection is there again: all that is published from now
            on will come.
    """

    def __init__(
        self,
        address: RedisAddress,
        *,
        channel: str,
        on_published: Callable[[bytes], None],
        on_back: Callable[[], None],
    ) -> None:
        self._address = address
        self._channel = channel
        self._on_published = on_published
        self._on_back = on_back

    async def run(self) -> None:
        """Keep a connection until cancelled."""
        while True:
            try:
                connection = await self._address.connect(on_message=self._on_published)
                try:
                    await self._listen(connection)
                finally:
                    await connection.aclose()
            except FAILURES as exc:
                log(logging.DEBUG, "store feed lost", reason=reason_of(exc))
            await asyncio.sleep(PAUSE)

    async def _listen(self, connection: RedisConnection) -> None:
        """Listen until the connection is lost.

        Raises:
            FAILURES: It does not answer.
        """
        async with asyncio.timeout(CONNECT_TIMEOUT):
            await connection.call("SUBSCRIBE", self._channel)
        self._on_back()
        while connection.is_open:
            await asyncio.wait([connection.lost], timeout=POLL_SECONDS)
            if connection.is_open:
                await connection.call("PING")
