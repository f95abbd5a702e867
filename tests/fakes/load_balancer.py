"""A TCP load balancer without any memory, in front of several servers.

Each connection goes to the next server that takes it, as a round-robin balancer with health
checks would have it.
"""

import asyncio
import contextlib
import itertools
from types import TracebackType
from typing import Self

BLOCK = 65_536


class LoadBalancer:
    """Passes connections on while it is entered.

    Attributes:
        ports: Of the servers, on this machine.
        uses: Which server each connection went to, by its place in ``ports``.
    """

    def __init__(self, *ports: int) -> None:
        self.ports = list(ports)
        self.uses: list[int] = []
        self.port = 0
        self._next = itertools.count()
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._to_server = [0] * len(ports)
        self._moved = asyncio.Condition()

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
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._server.wait_closed()

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self.port}"

    async def told(self, server: int, count: int) -> None:
        """Return when clients have sent so many bytes to a server."""
        async with self._moved:
            await self._moved.wait_for(lambda: self._to_server[server] >= count)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None, "called in one"
        self._tasks.add(task)
        try:
            await self._serve(reader, writer)
        except (OSError, asyncio.CancelledError):
            pass  # broken, or the balancer ends
        finally:
            self._tasks.discard(task)
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for _ in self.ports:
            number = next(self._next) % len(self.ports)
            with contextlib.suppress(OSError):
                opened = await asyncio.open_connection("127.0.0.1", self.ports[number])
                break
        else:
            return
        self.uses.append(number)
        pumps = [
            asyncio.create_task(self._pump(reader, opened[1], number)),
            asyncio.create_task(self._pump(opened[0], writer, None)),
        ]
        try:
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for pump in pumps:
                pump.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)
            opened[1].transport.abort()

    async def _pump(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, server: int | None
    ) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(BLOCK):
                writer.write(data)
                await writer.drain()
                if server is not None:
                    async with self._moved:
                        self._to_server[server] += len(data)
                        self._moved.notify_all()
