import pytest

from rtcsend.errors import Declined, PeerAborted, PeerProtocolError
from rtcsend.options import RoutePolicy
from rtcsend.pairing.envelope import Sealer
from rtcsend.pairing.keys import Role
from rtcsend.peer.signalling import SealedSignalling
from rtcsend.peer.signals import AbortSignal, EndOfCandidates, Hello, serialize_signal
from tests.peer.box import KEYS, boxes, signallings

HELLO = Hello(agent="x", route=RoutePolicy.ANY)


async def test_signals_arrive_in_order_both_ways() -> None:
    sides = signallings()
    for role in Role:
        await sides[role].send(HELLO)
        await sides[role].send(EndOfCandidates())
    for role in Role:
        assert await sides[role].receive_hello() == HELLO
        assert await sides[role].receive() == EndOfCandidates()


async def test_the_mailbox_sees_nothing() -> None:
    ends = boxes()
    await SealedSignalling(ends[Role.SENDER], KEYS, Role.SENDER).send(HELLO)
    body = ends[Role.RECEIVER].inbound.get_nowait()
    assert body is not None
    assert b"hello" not in body
    assert b"agent" not in body


async def test_an_abort_arrives() -> None:
    sides = signallings()
    await sides[Role.RECEIVER].send_abort(Declined("No, thank you."))
    signal = await sides[Role.SENDER].receive()
    assert isinstance(signal, AbortSignal)
    assert type(signal.error) is Declined


async def test_an_abort_instead_of_a_greeting() -> None:
    sides = signallings()
    await sides[Role.RECEIVER].send_abort(Declined("No, thank you."))
    with pytest.raises(Declined) as caught:
        await sides[Role.SENDER].receive_hello()
    assert caught.value.told_by_peer


async def test_something_else_instead_of_a_greeting() -> None:
    sides = signallings()
    await sides[Role.RECEIVER].send(EndOfCandidates())
    with pytest.raises(PeerProtocolError, match="greet"):
        await sides[Role.SENDER].receive_hello()


async def test_the_other_side_has_left() -> None:
    ends = boxes()
    ends[Role.RECEIVER].leave()
    with pytest.raises(PeerAborted):
        await SealedSignalling(ends[Role.SENDER], KEYS, Role.SENDER).receive()


@pytest.mark.parametrize("position", [0, 8, 9, 30, -1])
async def test_one_changed_byte(position: int) -> None:
    ends = boxes()
    await SealedSignalling(ends[Role.SENDER], KEYS, Role.SENDER).send(HELLO)
    body = bytearray(ends[Role.RECEIVER].inbound.get_nowait() or b"")
    body[position] ^= 1
    await ends[Role.SENDER].send(bytes(body))
    with pytest.raises(PeerProtocolError):
        await SealedSignalling(ends[Role.RECEIVER], KEYS, Role.RECEIVER).receive()


async def test_our_own_boxes_come_back() -> None:
    ends = boxes()
    ours = SealedSignalling(ends[Role.SENDER], KEYS, Role.SENDER)
    await ours.send(HELLO)
    await ends[Role.RECEIVER].send(ends[Role.RECEIVER].inbound.get_nowait() or b"")
    with pytest.raises(PeerProtocolError):
        await ours.receive()


async def test_a_sealed_lie_is_refused_too() -> None:
    ends = boxes()
    sealer = Sealer(KEYS.sealing[Role.RECEIVER])
    await ends[Role.RECEIVER].send(sealer.seal(serialize_signal(HELLO)[:-1]))
    with pytest.raises(PeerProtocolError):
        await SealedSignalling(ends[Role.SENDER], KEYS, Role.SENDER).receive()
