"""What other processes append, as it comes: one connection that is subscribed to many logs.

Shell. What is published while the connection is away is lost; so whoever listens is told when
it is back, and reads the logs again.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress

from redis.asyncio.client import PubSub, Redis
from redis.exceptions import RedisError

SUBSCRIBE_TIMEOUT = 3.0  # seconds
PAUSE = 0.2  # seconds before the next connection
POLL_SECONDS = 5.0  # between two looks whether the connection still answers

_log = logging.getLogger("rtcsend.rendezvous.server.store")

_LOST = (RedisError, OSError, RuntimeError)
"""What a command may raise where the connection is lost: the package makes another one for it,
while :meth:`RedisFeed.run` may be reading there already, which streams of asyncio refuse."""


class RedisFeed:
    """Subscriptions.

    Args:
        client: Makes the connection.
        own_channel: Subscribed all the time.
        on_published: Takes channel and data; must not block.
        on_back: Called when the connection is there again, with all subscriptions.
    """

    def __init__(
        self,
        client: "Redis",
        *,
        own_channel: str,
        on_published: Callable[[str, bytes], None],
        on_back: Callable[[], Awaitable[None]],
    ) -> None:
        self._client = client
        self._own_channel = own_channel
        self._on_published = on_published
        self._on_back = on_back
        self._wanted: dict[str, asyncio.Future[None]] = {}
        self._connection: PubSub | None = None
        self._asked = False

    async def subscribe(self, channel: str) -> None:
        """Return when everything published from now on will come.

        Raises:
            TimeoutError: The connection is away; it will be subscribed when it is back.
        """
        future = self._wanted.get(channel)
        if future is None:
            future = self._wanted[channel] = asyncio.get_running_loop().create_future()
            if self._connection is not None:
                with suppress(*_LOST):
                    await self._connection.subscribe(channel)
        async with asyncio.timeout(SUBSCRIBE_TIMEOUT):
            await asyncio.shield(future)

    async def unsubscribe(self, channel: str) -> None:
        """Hear no more of a log."""
        future = self._wanted.pop(channel, None)
        if future is not None:
            if not future.done():
                future.set_result(None)
            if self._connection is not None:
                with suppress(*_LOST):
                    await self._connection.unsubscribe(channel)

    async def run(self) -> None:
        """Keep a connection until cancelled."""
        while True:
            try:
                await self._one_connection()
            except (RedisError, OSError, TimeoutError) as exc:
                _log.debug("x feed: %s", type(exc).__name__)
            await asyncio.sleep(PAUSE)

    async def _one_connection(self) -> None:
        connection = self._client.pubsub()
        self._asked = False
        again = {channel: future for channel, future in self._wanted.items() if future.done()}
        for channel in again:
            self._wanted[channel] = asyncio.get_running_loop().create_future()
        try:
            await connection.subscribe(self._own_channel, *self._wanted)
            self._connection = connection
            back = asyncio.get_running_loop().create_task(self._tell_back(list(self._wanted)))
            try:
                while True:
                    await self._take(connection)
            finally:
                back.cancel()
                await asyncio.gather(back, return_exceptions=True)
        finally:
            self._connection = None
            await connection.aclose()  # type: ignore[no-untyped-call]

    async def _tell_back(self, channels: list[str]) -> None:
        for channel in channels:
            future = self._wanted.get(channel)
            if future is not None:
                await asyncio.wait([future])
        await self._on_back()

    async def _take(self, connection: PubSub) -> None:
        """Take one message.

        Raises:
            TimeoutError: The connection does not answer.
            ConnectionError: The package has made another one, and what came meanwhile is lost.
        """
        message = await connection.get_message(timeout=POLL_SECONDS)
        if message is None:
            if self._asked:
                raise TimeoutError
            self._asked = True
            await connection.ping()
            return
        self._asked = False
        channel = (message["channel"] or b"").decode()
        if message["type"] == "message":
            self._on_published(channel, message["data"])
        elif message["type"] == "subscribe":
            future = self._wanted.get(channel)
            if future is not None and future.done():
                raise ConnectionError("subscribed anew")
            if future is not None:
                future.set_result(None)
