"""The server of :mod:`tests.fakes.rendezvous`, as two processes that share a real Redis.

Sockets go to one and the other in turn, so that nearly every pair is on both; time is the
test's. After each step everything that was appended has come to both.
"""

import asyncio
import itertools
from collections.abc import Coroutine
from typing import Any

from signal_server.admission import Admission
from signal_server.limits import Limits
from signal_server.messages import Welcome
from signal_server.metrics import Counters
from signal_server.outputs import Output
from signal_server.reception import Reception
from signal_server.store.redis_store import RedisStore
from tests.fakes.redis_server import RedisServer


class SharedRendezvousMachine:
    """Two receptions; each call returns what to do at both."""

    def __init__(self, redis: RedisServer, *, welcome: Welcome, limits: Limits) -> None:
        counter = itertools.count()
        redis.command("FLUSHALL")
        self._runner = asyncio.Runner()
        self._now = 0.0
        self._outputs: list[Output] = []
        self.stores: list[RedisStore] = []
        self.receptions: list[Reception] = []
        admission = Admission(limits)  # of both: what a source may do is no matter of the store
        counters = Counters()
        for _ in range(2):
            store = self._runner.run(self._open(redis.address))
            self.stores.append(store)
            self.receptions.append(
                Reception(
                    welcome=lambda: welcome,
                    limits=limits,
                    store=store,
                    admission=admission,
                    entropy=lambda size: next(counter).to_bytes(size, "big"),
                    output=self._outputs.append,
                    counters=counters,
                )
            )
        self.counters = counters

    def close(self) -> None:
        for store in self.stores:
            self._runner.run(store.__aexit__(None, None, None))
        self._runner.close()

    def connect(self, number: int, source: str, *, now: float) -> list[Output]:
        self._now = now

        async def connect() -> None:
            self._at(number).connect(number, source)

        return self._finish(connect(), now=now)

    def receive(self, number: int, frame: str | bytes, *, now: float) -> list[Output]:
        return self._finish(self._at(number).receive(number, frame), now=now)

    def disconnect(self, number: int, *, now: float) -> list[Output]:
        return self._finish(self._at(number).disconnect(number), now=now)

    def handle_timer(self, *, now: float) -> list[Output]:
        outputs: list[Output] = []
        for reception in self.receptions:
            outputs += self._finish(reception.handle_timer(), now=now)
        return outputs

    def get_timer(self) -> float | None:
        times = (reception.get_timer() for reception in self.receptions)
        return min((when for when in times if when is not None), default=None)

    def movable(self) -> list[int]:
        return sorted(number for each in self.receptions for number in each.movable())

    def assert_empty(self) -> None:
        """Nobody has a socket anywhere, so no process follows anything."""
        for store in self.stores:
            assert (len(store.directory), store.directory.live, store.directory.sides) == (0, 0, 0)
            assert store.directory.stored_bytes == 0
            assert store._rooms._locals == {}

    def _at(self, number: int) -> Reception:
        return self.receptions[number % 2]

    async def _open(self, address: str) -> RedisStore:
        store = RedisStore(address, clock=lambda: self._now)
        return await store.__aenter__()

    def _finish(self, call: Coroutine[Any, Any, None], *, now: float) -> list[Output]:
        self._now = now
        self._runner.run(self._settled(call))
        outputs = list(self._outputs)
        self._outputs.clear()
        return outputs

    async def _settled(self, call: Coroutine[Any, Any, None]) -> None:
        await call
        async with asyncio.timeout(90):
            while not await self._is_settled():
                pass  # it waits for Redis, which says what there is

    async def _is_settled(self) -> bool:
        for store in self.stores:
            await store._link.call("PING")
            if len(store._tasks) > 3:  # besides feed, heartbeats and keeping logs
                return False
            for local in list(store._rooms._locals.values()):
                words = ("XREVRANGE", local.key, "+", "-", "COUNT", 1)
                last = await store._link.call(*words)
                if last and last[0][0].decode() != str(local.replica.last):
                    return False
        return True
