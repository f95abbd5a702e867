"""An HTTP proxy that connects, with or without credentials; and what broken ones do.

It keeps what it was asked for, and passes bytes on until both ends are done.
"""

import asyncio
import base64
import sys
from contextlib import suppress
from ssl import SSLContext
from types import TracebackType
from typing import Self

OPEN = b"HTTP/1.1 200 Connection established\r\n\r\n"
_BLOCK = 65_536  # bytes


class ConnectProxy:
    """A proxy on loopback, or elsewhere, running while it is entered.

    Args:
        host: Where it listens.
        port: There; 0: a free one.
        credentials: ``USER:PASSWORD`` that it wants; None: it wants none.
        answer: What it says to every CONNECT instead of connecting.
        repeat: Something that it says after that, for ever.
        silent: Say nothing at all.
        ssl: Of TLS to the proxy itself.
        names: Where names lead that only it knows.

    Attributes:
        port: Where it listens.
        asked: The authorities of all CONNECT requests, in order.
        lines: All header lines that came.
    """

    def __init__(
        self,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        credentials: str | None = None,
        answer: bytes | None = None,
        repeat: bytes = b"",
        silent: bool = False,
        ssl: SSLContext | None = None,
        names: dict[str, str] | None = None,
    ) -> None:
        self._host, self.port, self._ssl = host, port, ssl
        self._wanted = None
        if credentials is not None:
            self._wanted = f"Basic {base64.b64encode(credentials.encode()).decode()}"
        self._answer, self._repeat, self._silent = answer, repeat, silent
        self._names = names or {}
        self._tasks: set[asyncio.Task[None]] = set()
        self.asked: list[str] = []
        self.lines: list[str] = []

    @property
    def url(self) -> str:
        """As ``HTTPS_PROXY`` has it, without credentials."""
        return f"http{'s' if self._ssl else ''}://{self._host}:{self.port}"

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(
            self._on_client, self._host, self.port, ssl=self._ssl
        )
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._server.wait_closed()

    def _on_client(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._serve(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            with suppress(OSError, asyncio.IncompleteReadError):
                head = (await reader.readuntil(b"\r\n\r\n")).decode("ascii")
                first, *lines = head.split("\r\n")[:-2]
                self.lines += lines
                method, authority, _ = first.split()
                assert method == "CONNECT", first
                self.asked.append(authority)
                await self._respond(authority, lines, reader, writer)
        finally:
            writer.transport.abort()

    async def _respond(
        self,
        authority: str,
        lines: list[str],
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        if self._silent:
            await reader.read()
        elif self._answer is not None:
            writer.write(self._answer)
            while self._repeat:
                writer.write(self._repeat)
                await writer.drain()
            await writer.drain()
            await reader.read()
        elif self._wanted is not None and f"Proxy-Authorization: {self._wanted}" not in lines:
            writer.write(
                b"HTTP/1.1 407 Proxy Authentication Required\r\n"
                b'Proxy-Authenticate: Basic realm="test"\r\nContent-Length: 0\r\n\r\n'
            )
            await writer.drain()
        else:
            await self._connect(authority, reader, writer)

    async def _connect(
        self, authority: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        host, _, port = authority.rpartition(":")
        host = host.strip("[]")
        try:
            there = await asyncio.open_connection(self._names.get(host, host), int(port))
        except OSError:
            writer.write(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n")
            await writer.drain()
            return
        writer.write(OPEN)
        try:
            await asyncio.gather(_pass_on(reader, there[1]), _pass_on(there[0], writer))
        finally:
            there[1].transport.abort()


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while block := await reader.read(_BLOCK):
            writer.write(block)
            await writer.drain()
    writer.transport.abort()


async def serve_for_ever(host: str, port: int) -> None:
    """Run a proxy until it is killed."""
    async with ConnectProxy(host=host, port=port):
        print("ready", flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(serve_for_ever(sys.argv[1], int(sys.argv[2])))
