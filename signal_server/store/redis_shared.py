"""A connection to Redis that whoever calls shares, and that is made again when it is needed.

Shell. Place in the flow: between :mod:`signal_server.store.redis_link` and
:mod:`signal_server.store.redis_connection`.
"""

import asyncio
from collections.abc import Sequence
from typing import Any

from signal_server.store.redis_connection import RedisAddress, RedisConnection, Word, sha_of


class SharedConnection:
    """Calls on one connection at a time.

    Args:
        address: Of Redis.
        scripts: That may be run.
    """

    def __init__(self, address: RedisAddress, *, scripts: Sequence[str]) -> None:
        self._address = address
        self._scripts = scripts
        self._shas = {script: sha_of(script) for script in scripts}
        self._connection: RedisConnection | None = None
        self._opening: asyncio.Task[RedisConnection] | None = None

    async def call(self, *words: Word) -> Any:
        """Return what Redis answers to a command.

        Raises:
            RedisError: It refuses, or the connection is lost.
            OSError: It cannot be reached.
            TimeoutError: It does not answer.
        """
        connection = self._connection
        if connection is None or not connection.is_open:
            connection = await self._opened()
        return await connection.call(*words)

    async def run(self, script: str, keys: Sequence[str], *arguments: Word) -> Any:
        """Return what a script answers; raises as :meth:`call`."""
        return await self.call("EVALSHA", self._shas[script], len(keys), *keys, *arguments)

    async def aclose(self) -> None:
        """Close it."""
        if self._opening is not None:
            self._opening.cancel()
            await asyncio.gather(self._opening, return_exceptions=True)
        if self._connection is not None:
            await self._connection.aclose()

    async def _opened(self) -> RedisConnection:
        """Return a new connection, the same one for all who ask meanwhile."""
        if self._opening is None:
            self._opening = asyncio.get_running_loop().create_task(
                self._address.connect(scripts=self._scripts)
            )
            self._opening.add_done_callback(self._on_opened)
        return await asyncio.shield(self._opening)

    def _on_opened(self, opening: "asyncio.Task[RedisConnection]") -> None:
        self._opening = None
        if not opening.cancelled() and opening.exception() is None:
            self._connection = opening.result()
