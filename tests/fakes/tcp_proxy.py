"""A TCP proxy in front of a server, which breaks connections when a test says so."""

import asyncio
import contextlib
from types import TracebackType
from typing import Self

BLOCK = 65_536


class TcpProxy:
    """Passes bytes to ``127.0.0.1:port`` while it is entered.

    Attributes:
        port: Where clients connect.
        connections: How many have come so far.
        refusing: New connections are dropped at once.
        cut_after: Break a connection when the server has sent so many bytes on it; the rest
            is lost. Taken anew for each connection.
    """

    def __init__(self, port: int) -> None:
        self._target = port
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._writers: set[asyncio.StreamWriter] = set()
        self._stalled: set[asyncio.StreamWriter] = set()
        self._came = asyncio.Condition()
        self.port = 0
        self.connections = 0
        self.refusing = False
        self.cut_after: int | None = None

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
        assert self._server is not None
        self._server.close()
        self.drop_all()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._server.wait_closed()

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self.port}/v1"

    def drop_all(self) -> None:
        """Break every connection; what was on its way is lost."""
        for writer in list(self._writers):
            writer.transport.abort()

    def stall(self) -> None:
        """Let nothing pass any more on the connections that are open, which nobody is told."""
        self._stalled |= self._writers

    async def wait_for_connections(self, count: int) -> None:
        """Wait until so many connections have come, from the beginning on."""
        async with self._came:
            await self._came.wait_for(lambda: self.connections >= count)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self._writers.add(writer)
        async with self._came:
            self.connections += 1
            self._came.notify_all()
        try:
            if not self.refusing:
                await self._serve(reader, writer)
        except (OSError, asyncio.CancelledError):
            pass  # broken, or the proxy ends
        finally:
            self._tasks.discard(task)
            self._writers.discard(writer)
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        to_server, from_server = await asyncio.open_connection("127.0.0.1", self._target)
        self._writers.add(from_server)
        limit, self.cut_after = self.cut_after, None
        pumps = [
            asyncio.create_task(self._pump(reader, from_server, None)),
            asyncio.create_task(self._pump(to_server, writer, limit)),
        ]
        try:
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for pump in pumps:
                pump.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)
            self._writers.discard(from_server)
            from_server.transport.abort()

    async def _pump(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, limit: int | None
    ) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(BLOCK):
                if writer in self._stalled:
                    continue
                if limit is not None and len(data) >= limit:
                    writer.write(data[:limit])
                    await writer.drain()
                    return
                limit = None if limit is None else limit - len(data)
                writer.write(data)
                await writer.drain()
