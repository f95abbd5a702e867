"""Chromium: a page served by the test, which connects back to it by WebSocket."""

import asyncio
import json
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from http import HTTPStatus
from pathlib import Path
from typing import Any

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

from tests.fakes.chromium import Chromium
from tests.interop.peers import TIMEOUT, Outcome

PAGE = Path(__file__).with_name("page.html")


class PagePeer:
    """The other end of the page's WebSocket: a StandardPeer whose methods run in the page."""

    def __init__(self) -> None:
        self.candidates: asyncio.Queue[str | None] = asyncio.Queue()
        self._ready = asyncio.Event()
        self._socket: ServerConnection | None = None
        self._calls: list[asyncio.Future[Any]] = []

    def serve(self, connection: ServerConnection, request: Request) -> Response | None:
        """Give the page to whoever asks for it; let the WebSocket through."""
        if request.path == "/socket":
            return None
        headers = Headers({"Content-Type": "text/html; charset=utf-8"})
        return Response(HTTPStatus.OK, "OK", headers, PAGE.read_bytes())

    async def hear(self, socket: ServerConnection) -> None:
        """Read what the page says, until it ends; then every call fails."""
        self._socket = socket
        try:
            async for text in socket:
                self._on_message(json.loads(text))
        except ConnectionClosed:
            pass  # the browser was ended
        finally:
            for call in self._calls:
                if not call.done():
                    call.set_exception(AssertionError("the page has gone"))
                    call.exception()  # not everybody waits

    def _on_message(self, message: dict[str, Any]) -> None:
        match message:
            case {"ready": _}:
                self._ready.set()
            case {"candidate": None}:
                self.candidates.put_nowait(None)
            case {"candidate": ""}:
                pass  # the end of one generation, before the end of all
            case {"candidate": str(candidate)}:
                self.candidates.put_nowait(candidate)
            case {"id": int(number), "error": str(error)}:
                self._calls[number].set_exception(AssertionError(error))
            case {"id": int(number), "result": result}:
                self._calls[number].set_result(result)
            case _:
                raise AssertionError(message)

    async def _call(self, method: str, *args: object) -> Any:
        assert self._socket is not None, "ready"
        call: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        number = len(self._calls)
        self._calls.append(call)
        await self._socket.send(json.dumps({"id": number, "method": method, "args": args}))
        return await call

    async def wait_ready(self) -> None:
        await self._ready.wait()

    async def offer(self) -> str:
        return str(await self._call("offer"))

    async def answer(self, sdp: str) -> str:
        return str(await self._call("answer", sdp))

    async def accept(self, sdp: str) -> None:
        await self._call("accept", sdp)

    async def add_candidate(self, candidate: str | None) -> None:
        await self._call("add_candidate", candidate)

    async def wait_open(self) -> None:
        await self._call("wait_open")

    async def say(self, text: str) -> None:
        await self._call("say", text)

    async def collect(self, count: int, *, slowly: bool = False) -> Outcome:
        return Outcome(**await self._call("collect", count, slowly))

    async def push(self, count: int) -> Outcome:
        return Outcome(**await self._call("push", count))

    async def close_data(self) -> None:
        await self._call("close_data")

    async def close(self) -> None:
        await self._call("close")

    async def wait_closed(self) -> None:
        await self._call("wait_closed")


def _port(server: Server) -> int:
    port: int = next(iter(server.sockets)).getsockname()[1]
    return port


@asynccontextmanager
async def chromium_peer() -> AsyncIterator[PagePeer]:
    """Start a browser with the page; end it with the context."""
    peer = PagePeer()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        async with serve(peer.hear, "127.0.0.1", 0, process_request=peer.serve) as server:
            async with Chromium(Path(folder), f"http://127.0.0.1:{_port(server)}/") as browser:
                try:
                    async with asyncio.timeout(TIMEOUT):
                        await peer.wait_ready()
                except TimeoutError:
                    raise AssertionError(browser.log[-4000:]) from None
                yield peer
