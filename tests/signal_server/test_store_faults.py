"""Two processes on one Redis, with answers and news that are lost: each message once, in order."""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from redis.exceptions import ConnectionError as LostConnection

from signal_server.limits import Limits
from signal_server.messages import Allocate, Claim, Message, serialize
from signal_server.outputs import Output, Send
from signal_server.store.followed import Followed
from signal_server.store.redis_connection import Word
from signal_server.store.redis_scripts import APPEND
from signal_server.store.redis_store import RedisStore
from tests.fakes.redis_server import needs_redis, redis_server
from tests.fakes.shared_rendezvous import SharedRendezvousMachine
from tests.signal_server.world import SIDE_A, SIDE_B, WELCOME

pytestmark = [pytest.mark.net, needs_redis]

FAULTS = ("", "unsent", "unanswered", "unheard")


class Faulty:
    """A store whose next append, or whose next news of one, meets a fault."""

    def __init__(self, store: RedisStore, monkeypatch: pytest.MonkeyPatch) -> None:
        self.fault = ""
        self._rooms = store._rooms
        self._run, self._take = store._link.run, store._rooms._take_published
        monkeypatch.setattr(store._link, "run", self.run)
        monkeypatch.setattr(store._rooms, "_take_published", self.take)

    async def run(self, script: str, keys: Sequence[str], *arguments: Word) -> Any:
        fault = self.fault if script == APPEND else ""
        if fault in ("unsent", "unanswered"):
            self.fault = ""
            if fault == "unanswered":
                await self._run(script, keys, *arguments)
            raise LostConnection(fault)
        return await self._run(script, keys, *arguments)

    def take(self, local: Followed, published: bytes) -> None:
        if self.fault == "unheard":  # the connection was cut, and is there again
            self.fault = ""
            asyncio.get_running_loop().call_soon(self._rooms.catch_up)
        else:
            self._take(local, published)


def heard(outputs: list[Output], number: int) -> list[bytes]:
    """Return what was said to a socket."""
    sent = [out.message for out in outputs if isinstance(out, Send) and out.connection == number]
    return [message.body for message in sent if isinstance(message, Message)]


def test_whatever_is_lost_each_message_comes_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("signal_server.store.redis_link.PAUSE", 0.0)
    steps = st.tuples(st.booleans(), st.sampled_from(FAULTS), st.sampled_from(FAULTS))

    @settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow])
    @given(st.lists(steps, max_size=12), st.booleans())
    def hold(steps: list[tuple[bool, str, str]], at_one: bool) -> None:
        with monkeypatch.context() as patch:
            machine = SharedRendezvousMachine(redis, welcome=WELCOME, limits=Limits())
            faulty = [Faulty(store, patch) for store in machine.stores]
            a, b = 1, 3 if at_one else 2
            try:
                for number, request in (
                    (a, Allocate(nameplate="7", side=SIDE_A)),
                    (b, Claim(nameplate="7", side=SIDE_B)),
                ):
                    machine.connect(number, "192.0.2.1", now=1.0)
                    machine.receive(number, serialize(request), now=1.0)
                said: dict[int, list[bytes]] = {a: [], b: []}
                got: dict[int, list[bytes]] = {a: [], b: []}
                for index, (first, here, there) in enumerate(steps):
                    speaker = a if first else b
                    faulty[speaker % 2].fault, faulty[1 - speaker % 2].fault = here, there
                    body = b"%d" % index
                    outputs = machine.receive(speaker, serialize(Message(body)), now=2.0)
                    said[b if first else a].append(body)
                    for number in (a, b):
                        got[number] += heard(outputs, number)
                assert got == said
            finally:
                machine.close()

    with redis_server(tmp_path) as redis:
        hold()
