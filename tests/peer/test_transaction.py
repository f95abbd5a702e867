"""STUN requests on virtual time, over a protocol of aioice's whose wire the test holds."""

import asyncio
from typing import Any

import pytest
from aioice import stun
from aioice.ice import StunProtocol

from rtcsend.peer.ice import IceConnection
from rtcsend.peer.transaction import (
    CHECK_TIMEOUT,
    CONSENT_WAITS,
    LEAST_CHECK_WAIT,
    LONGEST_CHECK_WAIT,
    MAX_NUDGES,
    MOST_CHECK_WAIT,
    QUERY_WAITS,
    Transaction,
    check_waits,
)
from tests.fakes.clock import run_virtual

HERE, THERE = ("192.0.2.1", 1000), ("192.0.2.2", 2000)
KEY = b"k" * 22
PACE = 0.005  # seconds
CHECK_WAITS = check_waits(1, pace=PACE)


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


def response(wire: Wire, *, key: bytes = KEY, code: int | None = None, sending: int = -1) -> bytes:
    asked = stun.parse_message(wire.sent[sending][1])
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


def test_waits_grow_and_are_longer_where_many_pairs_are_checked() -> None:
    assert CHECK_WAITS[:5] == pytest.approx((0.05, 0.1, 0.2, 0.4, 0.8))
    for pairs in (0, 1, 10, 20, 30, 100, 10_000):
        waits = check_waits(pairs, pace=PACE)
        assert sum(waits) == pytest.approx(CHECK_TIMEOUT)
        assert LEAST_CHECK_WAIT <= waits[0] <= MOST_CHECK_WAIT
        assert 0 < min(waits) <= max(waits) <= LONGEST_CHECK_WAIT
        assert len(waits) <= 10
    assert check_waits(20, pace=PACE)[0] == pytest.approx(20 * PACE)
    assert check_waits(10_000, pace=PACE)[0] == MOST_CHECK_WAIT


@pytest.mark.parametrize(("sending", "rtt"), [(0, 2.0), (1, 1.95), (2, 1.85), (3, 1.65)])
def test_the_round_trip_is_that_of_the_sending_which_is_answered(sending: int, rtt: float) -> None:
    async def main() -> None:
        made, wire = protocol()
        running = asyncio.create_task(
            Transaction(made, request(), THERE, key=KEY, waits=CHECK_WAITS).run()
        )
        await asyncio.sleep(2.0)
        made.datagram_received(response(wire, sending=sending), THERE)
        answer = await running
        assert answer.address == THERE
        assert answer.rtt == pytest.approx(rtt)
        assert made.transactions == {}
        made.datagram_received(response(wire), THERE)  # nobody waits any more
        await asyncio.sleep(60.0)
        assert len(wire.sent) == 6

    run_virtual(main)


def test_each_sending_is_a_transaction_of_its_own() -> None:
    async def main() -> None:
        made, wire = protocol()
        asked = request()
        asked.attributes["USERNAME"] = "there:here"
        with pytest.raises(stun.TransactionTimeout):
            await Transaction(made, asked, THERE, key=KEY, waits=CHECK_WAITS).run()
        sent = [stun.parse_message(data) for _, data in wire.sent]
        assert len({message.transaction_id for message in sent}) == len(sent) == len(CHECK_WAITS)
        assert all(message.check_message_integrity(KEY) for message in sent)
        assert {message.attributes["USERNAME"] for message in sent} == {"there:here"}

    run_virtual(main)


def test_a_nudge_sends_it_now() -> None:
    async def main() -> None:
        made, wire = protocol()
        transaction = Transaction(made, request(), THERE, key=KEY, waits=CHECK_WAITS)
        running = asyncio.create_task(transaction.run())
        await asyncio.sleep(0.03)
        transaction.nudge()
        await asyncio.sleep(0.01)
        assert wire.times == [0.0, 0.03]
        made.datagram_received(response(wire), THERE)
        transaction.nudge()
        assert (await running).rtt == pytest.approx(0.01)
        assert len(wire.sent) == 2

    run_virtual(main)


def test_nudges_have_a_bound() -> None:
    async def main() -> None:
        made, wire = protocol()
        transaction = Transaction(made, request(), THERE, waits=CONSENT_WAITS)
        running = asyncio.create_task(transaction.run())
        await asyncio.sleep(0.1)
        for _ in range(10 * MAX_NUDGES):
            transaction.nudge()
        assert len(wire.sent) == len(made.transactions) == 1 + MAX_NUDGES
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        assert made.transactions == {}

    run_virtual(main)


def test_a_forged_answer_changes_nothing_and_an_error_is_one() -> None:
    async def main() -> None:
        made, wire = protocol()
        running: asyncio.Task[Any] = asyncio.create_task(
            Transaction(made, request(), THERE, key=KEY, waits=CHECK_WAITS).run()
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
        running = asyncio.create_task(Transaction(made, request(), THERE, waits=CHECK_WAITS).run())
        await asyncio.sleep(0.2)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await asyncio.sleep(60.0)
        assert wire.times == [0.0, 0.05, 0.15]
        assert made.transactions == {}

    run_virtual(main)
