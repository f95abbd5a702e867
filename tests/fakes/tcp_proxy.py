"""A TCP proxy in front of a server, which breaks connections when a test says so."""

import asyncio
import contextlib

from tests.fakes.tcp_server import BLOCK, TcpServer, until_one_ends


class TcpProxy(TcpServer):
    """Passes bytes to ``127.0.0.1:port`` while it is entered.

    Attributes:
        port: Where clients connect.
        connections: How many have come so far.
        refusing: New connections are dropped at once.
        cut_after: Break a connection when the server has sent so many bytes on it; the rest
            is lost. Taken anew for each connection.
    """

    def __init__(self, port: int) -> None:
        super().__init__()
        self._target = port
        self._writers: set[asyncio.StreamWriter] = set()
        self._stalled: set[asyncio.StreamWriter] = set()
        self._came = asyncio.Condition()
        self.connections = 0
        self.refusing = False
        self.cut_after: int | None = None

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

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Pass everything on, as far as the test lets it."""
        self._writers.add(writer)
        async with self._came:
            self.connections += 1
            self._came.notify_all()
        try:
            if not self.refusing:
                await self._pass_on(reader, writer)
        finally:
            self._writers.discard(writer)

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        from_server, to_server = await asyncio.open_connection("127.0.0.1", self._target)
        self._writers.add(to_server)
        limit, self.cut_after = self.cut_after, None
        try:
            await until_one_ends(
                self._pump(reader, to_server, None), self._pump(from_server, writer, limit)
            )
        finally:
            self._writers.discard(to_server)
            to_server.transport.abort()

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
