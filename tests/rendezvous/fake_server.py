"""The real server's machine behind fake sockets, for clients on virtual time."""

import asyncio
import itertools
from collections import deque
from typing import Literal

from rtcsend.rendezvous.frames import serialize
from rtcsend.rendezvous.messages import Welcome
from rtcsend.rendezvous.websocket import Socket, SocketLost, SocketRefused
from signal_server.limits import Limits
from signal_server.outputs import Close, Output
from tests.fakes.rendezvous import RendezvousMachine

LATENCY = 0.01  # seconds that a frame takes, and a dial

Mood = Literal["well", "refusing", "failing", "later", "hanging", "silent"]


class FakeServer:
    """A server on virtual time.

    Attributes:
        mood: well; refusing (nobody listens), failing (dials break), later (it asks to come
            again), hanging (dials never end), or silent (sockets open, and nothing comes).
        dials: When each dial began.
        script: Frames to send on new sockets instead of what the machine says.
    """

    def __init__(self, welcome: Welcome | None = None, limits: Limits | None = None) -> None:
        counter = itertools.count()
        self.machine = RendezvousMachine(
            welcome=welcome or Welcome(server="fake"),
            limits=limits or Limits(),
            entropy=lambda size: next(counter).to_bytes(size, "big"),
        )
        self.mood: Mood = "well"
        self.dials: list[float] = []
        self.script: list[str | bytes] | None = None
        self.sockets: dict[int, FakeSocket] = {}
        self._numbers = itertools.count(1)

    async def dial(self, url: str) -> Socket:
        assert url.startswith("ws://")
        self.dials.append(self.now)
        await asyncio.sleep(LATENCY)
        if self.mood == "refusing":
            raise SocketRefused("Connection refused")
        if self.mood == "failing":
            raise SocketLost("Connection reset by peer")
        if self.mood == "later":
            raise SocketLost("it answers HTTP 503", later=True)
        if self.mood == "hanging":
            await asyncio.sleep(1e9)
        socket = FakeSocket(self, next(self._numbers))
        self.sockets[socket.number] = socket
        if self.script is not None:
            for frame in self.script:
                socket.arrive(frame)
        elif self.mood != "silent":
            self.do(self.machine.connect(socket.number, "192.0.2.1", now=self.now))
        return socket

    @property
    def now(self) -> float:
        return asyncio.get_running_loop().time()

    @property
    def open_sockets(self) -> int:
        return sum(not socket.gone for socket in self.sockets.values())

    def drop_all(self, code: int | None = None) -> None:
        """Break every socket; frames on their way to the client are lost."""
        for socket in list(self.sockets.values()):
            socket.inbox.clear()
            socket.lose(code)

    def take(self, socket: "FakeSocket", frame: str) -> None:
        if self.script is None and self.mood == "well":
            self.do(self.machine.receive(socket.number, frame, now=self.now))

    def do(self, outputs: list[Output]) -> None:
        for output in outputs:
            socket = self.sockets[output.connection]
            if isinstance(output, Close):
                socket.lose(output.code)
            else:
                socket.arrive(serialize(output.message))


class FakeSocket:
    """The client's end; frames arrive at once and are read after LATENCY."""

    def __init__(self, server: FakeServer, number: int) -> None:
        self.number = number
        self.gone = False
        self.inbox: deque[str | bytes] = deque()
        self._server = server
        self._code: int | None = None
        self._changed = asyncio.Event()

    def arrive(self, frame: str | bytes) -> None:
        if not self.gone:
            self.inbox.append(frame)
            self._changed.set()

    def lose(self, code: int | None) -> None:
        if not self.gone:
            self.gone = True
            self._code = code
            self._changed.set()
            server = self._server
            server.do(server.machine.disconnect(self.number, now=server.now))

    async def send(self, frame: str) -> None:
        await asyncio.sleep(LATENCY)
        if self.gone:
            raise SocketLost("gone", code=self._code)
        self._server.take(self, frame)

    async def receive(self) -> str | bytes:
        await asyncio.sleep(LATENCY)
        while not self.inbox:
            if self.gone:
                raise SocketLost("gone", code=self._code)
            self._changed.clear()
            await self._changed.wait()
        return self.inbox.popleft()

    async def close(self) -> None:
        self.lose(1000)
