"""Faults of the network, in the laboratory: a link is silent, a NAT forgets, a machine moves.

What is measured, in seconds of one clock: from the fault to the first word about it, to the end of
the connection; from the end of the fault to the next byte that is written at the receiver.
"""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

from tests.e2e.processes import Machine, Side
from tests.faults.scene import Pair, Scene
from tests.lab import Lab

RTT: Final = 40.0  # milliseconds
LIMIT: Final = 4_000_000  # bytes a second, so that it lasts as long as the fault and its end
READY: Final = 2 << 20  # bytes that have arrived before a fault
NOTICED: Final = 9.0  # seconds of silence, after which a path is lost


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """What a fault of the network came to.

    Attributes:
        said: Seconds until the first of the two said that something is wrong; None: neither did.
        noticed: Seconds until the last of the two reconnected; None: neither had to.
        flowing: Seconds from the end of the fault to the next byte at the receiver.
        twice: Bytes that were written and travelled again.
        losses: How often the receiver lost the connection.
    """

    said: float | None
    noticed: float | None
    flowing: float
    twice: int
    losses: int


class Networked:
    """A laboratory with its rendezvous, and a file that goes from alice to bob.

    Args:
        lab: Entered.
        machine: For the processes.
        seconds: That the transfer takes at least.
    """

    def __init__(self, lab: Lab, machine: Machine, *, seconds: float) -> None:
        self.lab, self.machine = lab, machine
        self.scene = Scene(machine, size=int(seconds * LIMIT))
        self.server = lab.rendezvous()

    @asynccontextmanager
    async def moving(self, *options: str, env: dict[str, str] | None = None) -> AsyncIterator[Pair]:
        """Run both commands, and yield when the first blocks are written."""
        self.lab.links(rtt_ms=RTT)
        inside = (self.lab.alice.inside, self.lab.bob.inside)
        command = ("--server", self.server, "--limit", str(LIMIT), *options)
        async with self.scene.both(*command, inside=inside, env=env) as pair:
            await pair.receiver.moving(READY)
            yield pair

    async def happen(
        self,
        begin: Callable[[], None],
        end: Callable[[], None] = lambda: None,
        *,
        seconds: float | None = 0.0,
        options: tuple[str, ...] = (),
        env: dict[str, str] | None = None,
    ) -> Fault:
        """Let something happen amid the file; return what came of it when the file is there.

        Args:
            begin: The fault begins.
            end: It ends.
            seconds: How long it lasts; None: until both have noticed.
            options: Of both commands.
            env: For both.
        """
        async with self.moving(*options, env=env) as pair:
            sides = (pair.sender, pair.receiver)
            words = [Watch(side, self.scene) for side in sides]
            loop = asyncio.get_running_loop()
            begin()
            began = loop.time()
            if seconds is None:
                await asyncio.gather(*(word.reconnecting for word in words))
            else:
                await asyncio.sleep(seconds)
            before = position(pair.receiver)
            end()
            ended = loop.time()
            await pair.receiver.moving(before + 1)
            flowing = loop.time() - ended
            await pair.succeed()
            said = [time for word in words for time in word.times()]
            noticed = [word.reconnected_at for word in words if word.reconnected_at is not None]
            for word in words:
                await word.aclose()
        self.scene.check_whole(pair)
        return Fault(
            said=min(said) - began if said else None,
            noticed=max(noticed) - began if noticed else None,
            flowing=flowing,
            twice=sent_twice(pair, words[1]),
            losses=losses(pair.receiver),
        )

    async def asleep(self, who: str, *, seconds: float) -> Fault:
        """Have one side's process stand still, as with the lid closed."""
        hosts = {"sender": self.lab.alice, "receiver": self.lab.bob}

        def signal_all(number: signal.Signals) -> None:
            for pid in hosts[who].pids():
                os.kill(pid, number)

        return await self.happen(
            lambda: signal_all(signal.SIGSTOP),
            lambda: signal_all(signal.SIGCONT),
            seconds=seconds,
        )


class Watch:
    """Notes when a side first says that it stands still, and that it reconnects.

    Args:
        side: Which.
        scene: Where its file is.
    """

    def __init__(self, side: Side, scene: Scene) -> None:
        self._side, self._scene = side, scene
        self.there = 0
        """Bytes that were at the receiver when it reconnected."""
        self.stalled_at: float | None = None
        self.reconnected_at: float | None = None
        self._stalled = asyncio.create_task(self._note("stalled"))
        self.reconnecting = asyncio.create_task(self._note("reconnecting"))

    def times(self) -> list[float]:
        """Return when it said a word, as far as it did."""
        return [time for time in (self.stalled_at, self.reconnected_at) if time is not None]

    async def aclose(self) -> None:
        """Watch no longer."""
        for task in (self._stalled, self.reconnecting):
            task.cancel()
        await asyncio.gather(self._stalled, self.reconnecting, return_exceptions=True)

    async def _note(self, name: str) -> None:
        while True:
            try:
                await self._side.event(name)
            except TimeoutError:  # a fault that lasts longer than any single step
                continue
            break
        now = asyncio.get_running_loop().time()
        if name == "stalled":
            self.stalled_at = now
        else:
            self.reconnected_at = now
            self.there = self._scene.there()


def position(side: Side) -> int:
    """Return how far a side says that it is."""
    return max((event["bytes"] for event in side.events if event["event"] == "progress"), default=0)


def losses(side: Side) -> int:
    """Return how often a side has lost the connection."""
    return sum(event["event"] == "reconnecting" and event["attempt"] == 1 for event in side.events)


def sent_twice(pair: Pair, word: Watch) -> int:
    """Return how many bytes were at the receiver when it reconnected first, and came again."""
    resumed = next(
        (e["bytes"] for e in pair.receiver.events if e["event"] == "resumed"), word.there
    )
    return max(0, word.there - int(resumed))
