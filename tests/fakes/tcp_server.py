"""A TCP server of the test's own on loopback, whose connections end with it."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Coroutine
from types import TracebackType
from typing import Any, Self

from rtcsend.tasks import cancel_all

BLOCK = 65_536


class TcpServer(ABC):
    """Listens while it is entered; a subclass says what each connection is for.

    Attributes:
        port: Where clients connect.
    """

    def __init__(self) -> None:
        self.port = 0
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        assert self._server is not None, "it was entered"
        self._server.close()
        await cancel_all(list(self._tasks))
        await self._server.wait_closed()

    @abstractmethod
    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection, which is broken when this returns."""

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None, "called in one"
        self._tasks.add(task)
        try:
            await self.serve(reader, writer)
        except (OSError, asyncio.CancelledError):
            pass  # broken, or the server ends
        finally:
            self._tasks.discard(task)
            writer.transport.abort()


async def until_one_ends(*pumps: Coroutine[Any, Any, None]) -> None:
    """Run both directions of a connection, until one of them is over."""
    tasks = [asyncio.create_task(pump) for pump in pumps]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        await cancel_all(tasks)
