"""A server's machine with sockets that remember what they were sent, on the test's own time."""

import itertools
from collections import defaultdict
from collections.abc import Callable
from typing import Any, ClassVar

from signal_server.limits import Limits
from signal_server.messages import (
    Allocate,
    Allocated,
    Claim,
    Claimed,
    ClientMessage,
    ErrorMessage,
    ServerMessage,
    Welcome,
    serialize,
)
from signal_server.outputs import Close, Output
from signal_server.storage import CLOCK_ERROR
from tests.fakes.rendezvous import RendezvousMachine
from tests.fakes.shared_rendezvous import SharedRendezvousMachine

Machine = RendezvousMachine | SharedRendezvousMachine
SIDE_A, SIDE_B, SIDE_C = "A" * 22, "B" * 22, "C" * 22
MAILBOX = "m" * 22
UNKNOWN_TOKEN = "u" * 22
WELCOME = Welcome(server="test")


class World:
    """A machine with sockets that remember what they were sent."""

    make: ClassVar[Callable[..., Machine]]
    open: ClassVar[list[Machine]] = []

    def __init__(self, **limits: Any) -> None:
        self.close_all()
        self.limits = Limits(**limits)
        self.machine = World.make(welcome=WELCOME, limits=self.limits)
        self.open.append(self.machine)
        self.now = 1_000.0
        self.sent: dict[int, list[ServerMessage]] = defaultdict(list)
        self.closed: dict[int, int] = {}
        self._numbers = itertools.count(1)

    @classmethod
    def close_all(cls) -> None:
        while cls.open:
            cls.open.pop().close()

    def socket(self, source: str = "192.0.2.1") -> int:
        number = next(self._numbers)
        # So far apart that the later one counts at any two processes; whole milliseconds, exactly.
        self.now += CLOCK_ERROR + 0.125
        self.do(self.machine.connect(number, source, now=self.now))
        return number

    def send(self, number: int, frame: ClientMessage | str | bytes) -> list[ServerMessage]:
        """Feed one frame, and return what this socket got for it."""
        before = len(self.sent[number])
        text = frame if isinstance(frame, str | bytes) else serialize(frame)
        self.do(self.machine.receive(number, text, now=self.now))
        return self.sent[number][before:]

    def drop(self, number: int) -> None:
        self.do(self.machine.disconnect(number, now=self.now))

    def pass_time(self, seconds: float) -> None:
        """Let time pass, with the timer going off exactly when it should."""
        end = self.now + seconds
        while (when := self.machine.get_timer()) is not None and when <= end:
            self.now = max(when, self.now)
            self.do(self.machine.handle_timer(now=self.now))
        self.now = end

    def do(self, outputs: list[Output]) -> None:
        for output in outputs:
            assert output.connection not in self.closed, "nothing follows a close"
            if isinstance(output, Close):
                self.closed[output.connection] = output.code
            else:
                self.sent[output.connection].append(output.message)

    def news(self, number: int) -> list[ServerMessage]:
        """Return and forget what a socket was sent."""
        return self.sent.pop(number, [])

    def allocate(self, side: str | None = SIDE_A) -> tuple[int, Allocated]:
        number = self.socket()
        [answer] = self.send(number, Allocate(side=side))
        assert isinstance(answer, Allocated)
        self.news(number)
        return number, answer

    def pair(self) -> tuple[int, Allocated, int, Claimed]:
        a, allocated = self.allocate()
        b = self.socket()
        answer = self.send(b, Claim(nameplate=allocated.nameplate, side=SIDE_B))[0]
        assert isinstance(answer, Claimed)
        self.news(a)
        self.news(b)
        return a, allocated, b, answer


def code(messages: list[ServerMessage]) -> str:
    [message] = messages
    assert isinstance(message, ErrorMessage)
    assert message.message
    return message.code
