"""A whole rendezvous server without sockets, loop or clock: frames and seconds are the test's."""

import itertools
from collections.abc import Callable, Coroutine
from typing import Any

from signal_server.admission import Admission
from signal_server.directory import Directory
from signal_server.limits import Limits
from signal_server.messages import Welcome
from signal_server.metrics import Counters
from signal_server.outputs import Output
from signal_server.reception import Reception
from signal_server.store.memory import MemoryStore


class RendezvousMachine:
    """A reception with its store in memory; each call returns what to do.

    The store waits for nothing, so its coroutines are run to their end in one step.
    """

    def __init__(
        self,
        *,
        welcome: Welcome,
        limits: Limits,
        entropy: Callable[[int], bytes] | None = None,
        admission: Admission | None = None,
    ) -> None:
        counter = itertools.count()
        self._now = 0.0
        self._outputs: list[Output] = []
        self.store = MemoryStore(lambda: self._now)
        self._reception = Reception(
            welcome=lambda: welcome,
            limits=limits,
            store=self.store,
            admission=admission or Admission(limits),
            entropy=entropy or (lambda size: next(counter).to_bytes(size, "big")),
            output=self._outputs.append,
        )

    @property
    def reception(self) -> Reception:
        return self._reception

    def close(self) -> None:
        """Do nothing."""

    def movable(self) -> list[int]:
        return self._reception.movable()

    def assert_empty(self) -> None:
        directory = self.directory
        assert (len(directory), directory.live, directory.sides) == (0, 0, 0)
        assert (directory.stored_bytes, directory._drawn) == (0, {})

    @property
    def directory(self) -> Directory:
        return self.store.directory

    @property
    def counters(self) -> Counters:
        return self._reception.counters

    def connect(self, number: int, source: str, *, now: float) -> list[Output]:
        self._now = now
        self._reception.connect(number, source)
        return self._drain()

    def receive(self, number: int, frame: str | bytes, *, now: float) -> list[Output]:
        return self._finish(self._reception.receive(number, frame), now=now)

    def disconnect(self, number: int, *, now: float) -> list[Output]:
        return self._finish(self._reception.disconnect(number), now=now)

    def handle_timer(self, *, now: float) -> list[Output]:
        return self._finish(self._reception.handle_timer(), now=now)

    def get_timer(self) -> float | None:
        return self._reception.get_timer()

    def _finish(self, call: Coroutine[Any, Any, None], *, now: float) -> list[Output]:
        self._now = now
        try:
            call.send(None)
        except StopIteration:
            return self._drain()
        raise AssertionError("a store in memory waits for nothing")

    def _drain(self) -> list[Output]:
        outputs = list(self._outputs)
        self._outputs.clear()
        return outputs
