"""STUN requests on virtual time, over a protocol of aioice's whose wire the test holds."""

import asyncio
from typing import Any

import pytest
from aioice import stun
from aioice.ice import StunProtocol

from rtcsend.peer.ice import IceConnection
from rtcsend.peer.transaction import CHECK_WAITS, CONSENT_WAITS, QUERY_WAITS, Transaction
from tests.fakes.clock import run_virtual

HERE, THERE = ("192.0.2.1", 1000), ("192.0.2.2", 2000)
KEY = b"k" * 22


class Wire(asyncio.DatagramTransport):
    """Notes when something was sent."""

    def __init__(self) -> None:
        super().__init__()
        self.sent: list[tuple[float, bytes]] = []

    def sendto(self, data: object, addr: object = None) -> None:
        assert isinstance(data, bytes)
        assert addr == THERE
        self.sent.append((asyncio.get_running_loop().time(), data))

    @property
    def times(self) -> list[float]:
        return [round(time, 3) for time, _ in self.sent]


def protocol() -> tuple[StunProtocol, Wire]:
    made = StunProtocol(IceConnection(ice_controlling=True))
    wire = Wire()
    made.connection_made(wire)
    return made, wire


def request() -> stun.Message:
    return stun.Message(message_method=stun.Method.BINDING, message_class=stun.Class.REQUEST)


def response(wire: Wire, *, key: bytes = KEY, code: int | None = None) -> bytes:
    asked = stun.parse_message(wire.sent[-1][1])
    answer = stun.Message(
        message_method=asked.message_method,
        message_class=stun.Class.RESPONSE if code is None else stun.Class.ERROR,
        transaction_id=asked.transaction_id,
    )
    if code is not None:
        answer.attributes["ERROR-CODE"] = (code, "No")
    answer.add_message_integrity(key)
    return bytes(answer)


@pytest.mark.parametrize("waits", [CHECK_WAITS, QUERY_WAITS, CONSENT_WAITS])
def test_it_is_sent_again_and_given_up(waits: tuple[float, ...]) -> None:
    async def main() -> None:
        made, wire = protocol()
        with pytest.raises(stun.TransactionTimeout):
            await Transaction(made, request(), THERE, waits=waits).run()
        assert wire.times == [round(sum(waits[:number]), 3) for number in range(len(waits))]
        assert asyncio.get_running_loop().time() == pytest.approx(sum(waits))
        assert made.transactions == {}

    run_virtual(main)


def test_the_round_trip_is_known_if_it_was_sent_once() -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        for wait, expected in ((0.1, 0.1), (0.2, None)):
            made, wire = protocol()
            running = asyncio.create_task(Transaction(made, request(), THERE, key=KEY).run())
            await asyncio.sleep(wait)
            made.datagram_received(response(wire), THERE)
            answer = await running
            assert answer.address == THERE
            assert answer.rtt == (None if expected is None else pytest.approx(expected))
            made.datagram_received(response(wire), THERE)  # nobody waits any more
        assert loop.time() == pytest.approx(0.3)

    run_virtual(main)


def test_a_nudge_sends_it_now() -> None:
    async def main() -> None:
        made, wire = protocol()
        transaction = Transaction(made, request(), THERE, key=KEY)
        running = asyncio.create_task(transaction.run())
        await asyncio.sleep(0.05)
        transaction.nudge()
        assert wire.times == [0.0, 0.05]
        made.datagram_received(response(wire), THERE)
        transaction.nudge()
        assert (await running).rtt is None
        assert len(wire.sent) == 2

    run_virtual(main)


def test_a_forged_answer_changes_nothing_and_an_error_is_one() -> None:
    async def main() -> None:
        made, wire = protocol()
        running: asyncio.Task[Any] = asyncio.create_task(
            Transaction(made, request(), THERE, key=KEY).run()
        )
        await asyncio.sleep(0.01)
        made.datagram_received(response(wire, key=b"forged" * 4), THERE)
        await asyncio.sleep(0.01)
        assert not running.done()
        made.datagram_received(response(wire, code=487), THERE)
        with pytest.raises(stun.TransactionFailed) as caught:
            await running
        assert caught.value.response.error_code == 487

    run_virtual(main)


def test_one_that_is_cancelled_sends_nothing_more() -> None:
    async def main() -> None:
        made, wire = protocol()
        running = asyncio.create_task(Transaction(made, request(), THERE).run())
        await asyncio.sleep(0.2)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await asyncio.sleep(60.0)
        assert wire.times == [0.0, 0.15]
        assert made.transactions == {}

    run_virtual(main)
