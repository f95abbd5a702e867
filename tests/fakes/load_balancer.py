"""A TCP load balancer without any memory, in front of several servers.

Each connection goes to the next server that takes it, as a round-robin balancer with health
checks would have it.
"""

import asyncio
import contextlib
import itertools

from tests.fakes.tcp_server import BLOCK, TcpServer, until_one_ends


class LoadBalancer(TcpServer):
    """Passes connections on while it is entered.

    Attributes:
        ports: Of the servers, on this machine.
        uses: Which server each connection went to, by its place in ``ports``.
    """

    def __init__(self, *ports: int) -> None:
        super().__init__()
        self.ports = list(ports)
        self.uses: list[int] = []
        self._next = itertools.count()
        self._to_server = [0] * len(ports)
        self._moved = asyncio.Condition()

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self.port}"

    async def told(self, server: int, count: int) -> None:
        """Return when clients have sent so many bytes to a server."""
        async with self._moved:
            await self._moved.wait_for(lambda: self._to_server[server] >= count)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Pass everything on to the next server that takes the connection."""
        for _ in self.ports:
            number = next(self._next) % len(self.ports)
            with contextlib.suppress(OSError):
                from_server, to_server = await asyncio.open_connection(
                    "127.0.0.1", self.ports[number]
                )
                break
        else:
            return
        self.uses.append(number)
        try:
            await until_one_ends(
                self._pump(reader, to_server, number), self._pump(from_server, writer, None)
            )
        finally:
            to_server.transport.abort()

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
