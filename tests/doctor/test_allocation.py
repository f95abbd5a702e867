"""Allocations are granted, refused, bound and given back; who cannot sign is not heard."""

import pytest
from aioice import stun
from hypothesis import given, settings
from hypothesis import strategies as st

from rtcsend.doctor.allocation import CHANNEL, Allocation, Refusal, Step
from rtcsend.doctor.transaction import UDP
from tests.doctor.turn_server import HOST, PASSWORD, USER, TurnServer
from tests.doctor.world import drawn

PEER = (HOST, 50_001)


def allocation() -> Allocation:
    return Allocation(username=USER, password=PASSWORD, schedule=UDP, entropy=drawn(), now=0.0)


def step(machine: Allocation) -> Step:
    """Return how far it is; a call, since it changes."""
    return machine.step


def talk(machine: Allocation, server: TurnServer, *, now: float = 0.0, rounds: int = 10) -> float:
    """Pass messages both ways, 0.1 s each; return the time."""
    for _ in range(rounds):
        for data in machine.messages_to_send(now=now):
            for _, answer in server.receive(0, data):
                machine.receive_untrusted(answer, now=now + 0.1)
        now += 0.1
    return now


def test_its_life() -> None:
    machine, server = allocation(), TurnServer()
    now = talk(machine, server)
    assert step(machine) is Step.ALLOCATED
    assert machine.granted is not None
    assert machine.granted.relayed == (HOST, 50_000)
    assert machine.granted.mapped == ("198.51.100.7", 4_000)
    assert machine.granted.lifetime == 600
    assert machine.rtt == pytest.approx(0.1)
    machine.bind(PEER, now=now)
    now = talk(machine, server, now=now)
    assert step(machine) is Step.BOUND
    machine.release(now=now)
    machine.release(now=now)
    talk(machine, server, now=now)
    assert step(machine) is Step.OVER
    assert server.allocations == {}
    assert machine.refusal is None


def test_what_is_granted_meanwhile_is_given_back_too() -> None:
    machine, server = allocation(), TurnServer()
    (request,) = machine.messages_to_send(now=0)
    ((_, challenge),) = server.receive(0, request)
    machine.receive_untrusted(challenge, now=0.1)
    (request,) = machine.messages_to_send(now=0.1)
    server.receive(0, request)  # whose answer comes too late
    assert server.allocations
    machine.release(now=0.2)
    talk(machine, server, now=0.2)
    assert step(machine) is Step.OVER
    assert server.allocations == {}


def test_nothing_is_given_back_where_nobody_was_asked_properly() -> None:
    machine = allocation()
    machine.release(now=0)
    assert step(machine) is Step.OVER
    assert machine.messages_to_send(now=0) == []


def test_a_stale_nonce_is_replaced() -> None:
    machine = allocation()
    talk(machine, TurnServer(stale=1))
    assert step(machine) is Step.ALLOCATED


def test_a_nonce_that_is_always_stale_is_not_followed_for_ever() -> None:
    machine = allocation()
    talk(machine, TurnServer(stale=99), rounds=50)
    assert (machine.step, machine.refusal) == (Step.OVER, Refusal.CREDENTIAL)


def test_a_wrong_password() -> None:
    machine = allocation()
    talk(machine, TurnServer(password="another"))
    assert (machine.step, machine.refusal, machine.error) == (Step.OVER, Refusal.CREDENTIAL, 401)


@pytest.mark.parametrize(
    ("code", "refusal"),
    [
        (300, Refusal.ELSEWHERE),
        (400, Refusal.NO_TURN),
        (403, Refusal.FORBIDDEN),
        (441, Refusal.CREDENTIAL),
        (486, Refusal.QUOTA),
        (508, Refusal.CAPACITY),
        (599, Refusal.OTHER),
    ],
)
def test_refusals(code: int, refusal: Refusal) -> None:
    machine, server = allocation(), TurnServer()
    server.errors = [code]
    talk(machine, server)
    assert (machine.step, machine.refusal, machine.error) == (Step.OVER, refusal, code)
    machine.release(now=9)
    assert machine.messages_to_send(now=9) == []


def test_a_refused_binding_leaves_something_to_give_back() -> None:
    machine, server = allocation(), TurnServer()
    now = talk(machine, server)
    server.errors = [403]
    machine.bind(PEER, now=now)
    now = talk(machine, server, now=now)
    assert machine.refusal is Refusal.FORBIDDEN
    machine.release(now=now)
    talk(machine, server, now=now)
    assert server.allocations == {}


def test_a_silent_server() -> None:
    machine = allocation()
    sent = []
    while (timer := machine.get_timer()) is not None:
        sent += [timer for _ in machine.messages_to_send(now=timer)]
    assert sent == [0, 0.5, 1, 2]
    assert (machine.step, machine.refusal) == (Step.OVER, Refusal.SILENT)
    assert machine.rtt is None


@pytest.mark.parametrize("password", [None, "another"])
def test_who_cannot_sign_grants_nothing(password: str | None) -> None:
    machine, server = allocation(), TurnServer()
    server.sign = password
    talk(machine, server, rounds=5)
    assert machine.granted is None
    assert step(machine) is Step.ASKING
    server.sign = PASSWORD  # the real one answers the next try
    talk(machine, server, now=1.0)
    assert step(machine) is Step.ALLOCATED


def test_who_cannot_sign_ends_nothing() -> None:
    machine, server = allocation(), TurnServer()
    now = talk(machine, server)
    machine.bind(PEER, now=now)
    (request,) = machine.messages_to_send(now=now)
    forged = stun.Message(
        stun.Method.CHANNEL_BIND,
        stun.Class.RESPONSE,
        stun.parse_message(request).transaction_id,
    )
    machine.receive_untrusted(bytes(forged), now=now)
    assert step(machine) is Step.BINDING


def test_a_nonce_may_become_stale_later() -> None:
    machine, server = allocation(), TurnServer()
    now = talk(machine, server)
    server.stale = 1
    machine.bind(PEER, now=now)
    talk(machine, server, now=now)
    assert step(machine) is Step.BOUND


def test_a_grant_without_an_address_is_none() -> None:
    def forge(message: stun.Message) -> stun.Message:
        message.attributes.pop("XOR-RELAYED-ADDRESS", None)
        return message

    machine, server = allocation(), TurnServer()
    server.forge = forge
    talk(machine, server)
    assert (machine.granted, machine.refusal) == (None, Refusal.OTHER)


def test_a_challenge_without_a_realm_is_a_refusal() -> None:
    def forge(message: stun.Message) -> stun.Message:
        message.attributes.pop("REALM", None)
        return message

    machine, server = allocation(), TurnServer()
    server.forge = forge
    talk(machine, server)
    assert machine.refusal is Refusal.CREDENTIAL


def test_another_transaction_is_not_heard() -> None:
    machine = allocation()
    machine.messages_to_send(now=0)
    strange = stun.Message(
        stun.Method.ALLOCATE, stun.Class.ERROR, bytes(12), {"ERROR-CODE": (508, "full")}
    )
    machine.receive_untrusted(bytes(strange), now=0.1)
    assert machine.refusal is None


def test_the_channel_is_a_valid_one() -> None:
    assert 0x4000 <= CHANNEL <= 0x4FFF


@settings(max_examples=200)
@given(st.binary(max_size=100))
def test_garbage_does_nothing(data: bytes) -> None:
    machine = allocation()
    machine.messages_to_send(now=0)
    machine.receive_untrusted(data, now=0.1)
    assert step(machine) is Step.ASKING
