"""Allocations and channels outlive their lifetimes: virtual time, a server that is a function."""

import asyncio
import struct
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from itertools import pairwise
from typing import Any

import pytest
from aioice import stun
from aioice.turn import TurnTransport

from rtcsend.peer.turn_client import (
    CHANNEL_REFRESH,
    PERMISSION_LIFETIME,
    TurnTcpClient,
    TurnUdpClient,
    refresh_delay,
    result_of,
)
from tests.doctor.turn_server import HOST, PASSWORD, USER, TurnServer
from tests.fakes.clock import VirtualClockLoop

SERVER = (HOST, 3478)
PEER = ("198.51.100.9", 40_000)


class Wire(asyncio.DatagramTransport):
    """Takes what the client sends to the server, and the answer back, at once.

    Attributes:
        asked: Time and method of each request.
        silent: Requests that are lost, from the next one on.
        data: What else was sent.
    """

    def __init__(self, server: TurnServer) -> None:
        super().__init__()
        self._server, self._closing = server, False
        self._loop = asyncio.get_running_loop()
        self.client: TurnUdpClient | None = None
        self.asked: list[tuple[float, stun.Method]] = []
        self.data: list[bytes] = []
        self.silent = 0

    def sendto(self, data: bytes, _addr: object = None) -> None:  # type: ignore[override]
        if data[0] >> 6:
            self.data.append(data)
            return
        self.asked.append((self._loop.time(), stun.Method(stun.parse_message(data).message_method)))
        if self.silent:
            self.silent -= 1
            return
        assert self.client is not None
        for _, answer in self._server.receive(0, data):
            self._loop.call_soon(self.client.datagram_received, answer, SERVER)

    def is_closing(self) -> bool:
        return self._closing

    def close(self) -> None:
        if not self._closing:
            self._closing = True
            assert self.client is not None
            self._loop.call_soon(self.client.connection_lost, None)

    def times(self, method: stun.Method) -> list[float]:
        return [when for when, what in self.asked if what == method]


class Receiver(asyncio.DatagramProtocol):
    """Keeps whether it was told of the end."""

    def __init__(self) -> None:
        self.is_lost = False
        self.errors: list[Exception] = []

    def error_received(self, exc: Exception) -> None:
        self.errors.append(exc)

    def connection_lost(self, exc: Exception | None) -> None:
        self.is_lost = True


class Allocated:
    """An allocation with a channel."""

    def __init__(self) -> None:
        self.server = TurnServer()
        self.wire = Wire(self.server)
        self.client = TurnUdpClient(SERVER, username=USER, password=PASSWORD)
        self.wire.client = self.client
        self.client.connection_made(self.wire)
        self.relay = TurnTransport(self.client)
        self.receiver = Receiver()

    async def send(self) -> None:
        self.relay.sendto(b"x", PEER)
        for _ in range(10):
            await asyncio.sleep(0)


@asynccontextmanager
async def allocated() -> AsyncIterator[Allocated]:
    made = Allocated()
    await made.relay._connect(made.receiver)
    await made.send()
    made.wire.asked.clear()
    try:
        yield made
    finally:
        made.relay.close()
        await asyncio.sleep(100)
        assert made.wire.is_closing()
        assert asyncio.all_tasks() == {asyncio.current_task()}  # nothing is kept any more


def run(test: Coroutine[Any, Any, None]) -> None:
    with asyncio.Runner(loop_factory=VirtualClockLoop) as runner:
        runner.run(test)


@pytest.mark.parametrize(("lifetime", "delay"), [(600, 480), (3600, 3480), (100, 50), (3, 1.5)])
def test_when_a_lifetime_is_renewed(lifetime: float, delay: float) -> None:
    assert refresh_delay(lifetime) == delay


def test_a_grant_that_cannot_be_an_address_is_none() -> None:
    def forge(message: stun.Message) -> stun.Message:
        if "XOR-RELAYED-ADDRESS" in message.attributes:
            message.attributes["XOR-RELAYED-ADDRESS"] = ("203.0.113.10", 0)
        return message

    async def test() -> None:
        made = Allocated()
        made.server.forge = forge
        with pytest.raises(ConnectionError, match="cannot be an address"):
            await made.relay._connect(made.receiver)
        made.wire.close()  # as who has asked does
        await asyncio.sleep(1)
        assert asyncio.all_tasks() == {asyncio.current_task()}

    run(test())


@pytest.mark.parametrize("client", [TurnUdpClient, TurnTcpClient])
async def test_what_cannot_be_read_is_dropped(
    client: type[TurnUdpClient | TurnTcpClient],
) -> None:
    short = struct.pack("!HHI12sHH4s", 0x0104, 8, 0x2112_A442, bytes(12), 0x000D, 1, bytes(4))
    client(SERVER, username=USER, password=PASSWORD).datagram_received(short, SERVER)


def test_both_are_renewed_before_they_end() -> None:
    async def test() -> None:
        async with allocated() as one:
            await asyncio.sleep(3650)
            refreshed = one.wire.times(stun.Method.REFRESH)
            assert len(refreshed) == 3650 // refresh_delay(600)
            bound = one.wire.times(stun.Method.CHANNEL_BIND)
            assert len(bound) == 3650 // CHANNEL_REFRESH
            pauses = [after - before for before, after in pairwise(bound)]
            assert max(pauses) < PERMISSION_LIFETIME
            one.wire.asked.clear()
            await one.send()
            assert one.wire.asked == []  # no packet waits for a channel
            assert not one.receiver.is_lost

    run(test())


def test_a_channel_is_kept_where_answers_are_lost() -> None:
    async def test() -> None:
        async with allocated() as one:
            one.wire.silent = 1 + stun.RETRY_MAX  # one whole transaction
            await asyncio.sleep(PERMISSION_LIFETIME)
            bound = one.wire.times(stun.Method.CHANNEL_BIND)
            assert CHANNEL_REFRESH < bound[-1] < PERMISSION_LIFETIME
            assert one.wire.silent == 0
            assert not one.receiver.is_lost

    run(test())


def test_an_allocation_is_kept_where_answers_are_lost() -> None:
    async def test() -> None:
        async with allocated() as one:
            await asyncio.sleep(450)
            one.wire.asked.clear()
            one.wire.silent = 1 + stun.RETRY_MAX
            await asyncio.sleep(600)
            refreshed = one.wire.times(stun.Method.REFRESH)
            assert refreshed[1 + stun.RETRY_MAX] < 600
            assert not one.receiver.is_lost

    run(test())


@pytest.mark.parametrize("stale", [1, 2])
def test_nonces_get_stale(stale: int) -> None:
    async def test() -> None:
        async with allocated() as one:
            for _ in range(10):
                one.server.stale = stale
                await asyncio.sleep(CHANNEL_REFRESH)
            assert not one.receiver.is_lost
            assert one.client.peer_to_channel == {PEER: 0x4000}

    run(test())


def test_a_server_that_is_silent_for_good() -> None:
    async def test() -> None:
        async with allocated() as one:
            one.wire.silent = 10**6
            await asyncio.sleep(700)
            assert one.receiver.is_lost

    run(test())


@pytest.mark.parametrize("code", [401, 403, 437])
def test_a_server_that_does_not_go_on(code: int) -> None:
    async def test() -> None:
        async with allocated() as one:
            await asyncio.sleep(450)  # two channel refreshes later, next: the allocation's
            one.server.errors = [code] * 2
            await asyncio.sleep(31)
            assert one.receiver.is_lost

    run(test())


def test_a_channel_that_does_not_go_on_is_bound_again_by_the_next_packet() -> None:
    async def test() -> None:
        async with allocated() as one:
            one.server.errors = [400]
            await asyncio.sleep(CHANNEL_REFRESH + 1)
            assert one.client.peer_to_channel == {}
            await one.send()
            assert one.client.peer_to_channel == {PEER: 0x4000}
            assert one.receiver.errors == []
            one.wire.asked.clear()
            await asyncio.sleep(CHANNEL_REFRESH + 1)
            assert len(one.wire.times(stun.Method.CHANNEL_BIND)) == 1  # and kept again

    run(test())


@pytest.mark.parametrize(
    ("exc", "result"),
    [
        (stun.TransactionTimeout(), "timeout"),
        (TimeoutError(), "timeout"),
        (ConnectionResetError("198.51.100.7"), "closed"),
        (OSError("198.51.100.7"), "OSError"),
    ],
)
def test_results_hold_no_address(exc: BaseException, result: str) -> None:
    assert result_of(exc) == result


def test_both_clients_are_kept() -> None:
    assert TurnTcpClient.refresh is TurnUdpClient.refresh
    assert TurnTcpClient.channel_bind is TurnUdpClient.channel_bind
