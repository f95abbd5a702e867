"""Every kind of NAT is recognised, through losses, and nobody can lie about it from outside."""

import pytest
from aioice import stun
from hypothesis import given, settings
from hypothesis import strategies as st

from rtcsend.doctor.codec import Endpoint
from rtcsend.doctor.conclusion import Filtering, Mapping
from rtcsend.doctor.nat import FILTERING, MAPPING, MAX_SERVERS, NatProbe
from tests.doctor.world import (
    OTHER,
    PUBLIC,
    SERVER,
    Answers,
    Nat,
    Serve,
    World,
    answer,
    dead,
    drawn,
    plain,
    rfc5780,
    unlucky,
)

MAPPINGS = [Mapping.INDEPENDENT, Mapping.ADDRESS, Mapping.ADDRESS_AND_PORT]
FILTERINGS = [Filtering.INDEPENDENT, Filtering.ADDRESS, Filtering.ADDRESS_AND_PORT]
SECOND = ("192.0.2.44", 3478)
CONE = (Mapping.INDEPENDENT, Filtering.ADDRESS_AND_PORT)


def probe(*servers: Endpoint) -> NatProbe:
    machine = NatProbe(entropy=drawn())
    for server in servers or (SERVER,):
        machine.add_server(server, now=0.0)
    return machine


@pytest.mark.parametrize("mapping", MAPPINGS)
@pytest.mark.parametrize("filtering", FILTERINGS)
def test_all_kinds(mapping: Mapping, filtering: Filtering) -> None:
    machine = probe()
    world = World(machine, Nat(mapping, filtering), rfc5780)
    world.run()
    assert machine.done
    assert (machine.mapping(), machine.filtering()) == (mapping, filtering)
    assert machine.bindings[SERVER].mapped == (PUBLIC, 40_000)
    assert machine.bindings[SERVER].rtt == pytest.approx(0.04)
    assert world.now < 1


@pytest.mark.parametrize("mapping", MAPPINGS)
@pytest.mark.parametrize("filtering", FILTERINGS)
@pytest.mark.parametrize("seed", range(20))
def test_all_kinds_with_losses(mapping: Mapping, filtering: Filtering, seed: int) -> None:
    machine = probe()
    World(machine, Nat(mapping, filtering), rfc5780, lose=unlucky(seed)).run()
    assert machine.bindings[SERVER].mapped == (PUBLIC, 40_000)
    assert (machine.mapping(), machine.filtering()) == (mapping, filtering)


def test_a_dead_server_is_given_up_soon() -> None:
    machine = probe()
    world = World(machine, Nat(*CONE), dead)
    world.run()
    assert machine.done
    assert machine.settled(SERVER)
    assert not machine.bindings
    assert world.now == 3
    assert [now for now, _ in world.sent] == [0, 0.5, 1, 2]
    assert machine.mapping() is Mapping.UNKNOWN
    assert machine.filtering() is Filtering.UNKNOWN


def test_a_dead_server_delays_no_other() -> None:
    def serve(data: bytes, source: Endpoint, to: Endpoint) -> Answers:
        return [] if to == SECOND else rfc5780(data, source, to)

    machine = probe(SECOND, SERVER)
    World(machine, Nat(*CONE), serve).run()
    assert machine.bindings[SERVER].rtt == pytest.approx(0.04)
    assert machine.mapping() is Mapping.INDEPENDENT


def test_a_server_may_come_later() -> None:
    machine = NatProbe(entropy=drawn())
    assert machine.done
    machine.add_server(SERVER, now=7.0)
    machine.add_server(SERVER, now=7.1)
    assert machine.get_timer() == 7.0
    assert len(machine.to_send(now=7.0)) == 1
    assert not machine.settled(SERVER)
    assert not machine.done


def test_there_is_a_limit_of_servers() -> None:
    machine = NatProbe(entropy=drawn())
    for number in range(100):
        machine.add_server(("203.0.113.1", 1000 + number), now=0)
    assert len(machine.to_send(now=0)) == MAX_SERVERS


@pytest.mark.parametrize(
    ("mapping", "servers", "expected"),
    [
        (Mapping.INDEPENDENT, (SERVER, SECOND), Mapping.INDEPENDENT),
        (Mapping.ADDRESS, (SERVER, SECOND), Mapping.DEPENDENT),
        (Mapping.ADDRESS_AND_PORT, (SERVER, SECOND), Mapping.DEPENDENT),
        (Mapping.INDEPENDENT, (SERVER,), Mapping.UNKNOWN),
        # Two ports of one address show dependence on the port, and independence of nothing.
        (Mapping.INDEPENDENT, (SERVER, (SERVER[0], 1)), Mapping.UNKNOWN),
        (Mapping.ADDRESS_AND_PORT, (SERVER, (SERVER[0], 1)), Mapping.ADDRESS_AND_PORT),
    ],
)
def test_servers_with_one_address_are_compared(
    mapping: Mapping, servers: tuple[Endpoint, ...], expected: Mapping
) -> None:
    machine = probe(*servers)
    World(machine, Nat(mapping, Filtering.ADDRESS_AND_PORT), plain).run()
    assert machine.mapping() is expected
    assert machine.filtering() is Filtering.UNKNOWN


def without_changes(data: bytes, source: Endpoint, to: Endpoint) -> Answers:
    """Have another address, and never answer from there unless asked there."""
    return [(to, one) for _, one in rfc5780(data, source, to)]


def refusing_changes(data: bytes, source: Endpoint, to: Endpoint) -> Answers:
    request = stun.parse_message(data)
    if "CHANGE-REQUEST" not in request.attributes:
        return rfc5780(data, source, to)
    error = stun.Message(
        stun.Method.BINDING,
        stun.Class.ERROR,
        request.transaction_id,
        {"ERROR-CODE": (420, "Unknown")},
    )
    return [(to, bytes(error))]


def with_a_dead_second_address(data: bytes, source: Endpoint, to: Endpoint) -> Answers:
    return [(at, one) for at, one in rfc5780(data, source, to) if at[0] == to[0] == SERVER[0]]


def test_a_second_address_that_is_dead_tells_no_filtering() -> None:
    machine = probe()
    World(machine, Nat(*CONE), with_a_dead_second_address).run()
    assert machine.filtering() is Filtering.UNKNOWN
    assert machine.mapping() is Mapping.UNKNOWN


@pytest.mark.parametrize("serve", [without_changes, refusing_changes])
def test_a_server_that_cannot_change_tells_no_filtering(serve: Serve) -> None:
    machine = probe()
    World(machine, Nat(*CONE), serve).run()
    assert machine.ignores_changes
    assert machine.filtering() is Filtering.UNKNOWN
    assert machine.mapping() is Mapping.INDEPENDENT


@pytest.mark.parametrize(
    "other",
    [
        SERVER,
        (SERVER[0], 3479),  # no other address
        ("203.0.113.11", SERVER[1]),  # no other port
        ("127.0.0.1", 3479),
        ("2001:db8::1", 3479),
        ("224.0.0.1", 3479),
        ("0.0.0.0", 3479),
    ],
)
def test_a_server_cannot_have_us_send_elsewhere(other: Endpoint) -> None:
    def serve(data: bytes, source: Endpoint, to: Endpoint) -> Answers:
        return [(to, answer(stun.parse_message(data), source, {"OTHER-ADDRESS": other}))]

    machine = probe()
    world = World(machine, Nat(*CONE), serve)
    world.run()
    assert {to for _, to in world.sent} == {SERVER}
    assert SERVER in machine.bindings


def test_a_public_server_does_not_lead_into_our_network() -> None:
    public = ("8.8.8.8", 3478)

    def serve(data: bytes, source: Endpoint, to: Endpoint) -> Answers:
        inside = {"OTHER-ADDRESS": ("192.168.1.1", 53)}
        return [(to, answer(stun.parse_message(data), source, inside))]

    machine = probe(public)
    world = World(machine, Nat(*CONE), serve)
    world.run()
    assert {to for _, to in world.sent} == {public}


def asked() -> tuple[NatProbe, stun.Message]:
    machine = probe()
    (out,) = machine.to_send(now=0)
    return machine, stun.parse_message(out.data)


def test_the_wrong_source_place_or_transaction_is_not_heard() -> None:
    machine, request = asked()
    good = answer(request, (PUBLIC, 1), {})
    machine.receive_untrusted(good, place=MAPPING, source=OTHER, now=0.1)
    machine.receive_untrusted(good, place=MAPPING, source=None, now=0.1)
    machine.receive_untrusted(good, place=FILTERING, source=SERVER, now=0.1)
    stranger = stun.Message(stun.Method.BINDING, stun.Class.REQUEST, bytes(12))
    machine.receive_untrusted(
        answer(stranger, (PUBLIC, 1), {}), place=MAPPING, source=SERVER, now=0.1
    )
    assert not machine.bindings
    machine.receive_untrusted(good, place=MAPPING, source=SERVER, now=0.2)
    assert machine.bindings[SERVER].mapped == (PUBLIC, 1)
    machine.receive_untrusted(
        answer(request, (PUBLIC, 2), {}), place=MAPPING, source=SERVER, now=0.3
    )
    assert machine.bindings[SERVER].mapped == (PUBLIC, 1)


def test_what_is_no_answer_is_not_heard() -> None:
    machine, request = asked()
    for kind in (stun.Class.REQUEST, stun.Class.INDICATION, stun.Class.ERROR):
        message = stun.Message(
            stun.Method.BINDING, kind, request.transaction_id, {"XOR-MAPPED-ADDRESS": (PUBLIC, 1)}
        )
        machine.receive_untrusted(bytes(message), place=MAPPING, source=SERVER, now=0.1)
    without = stun.Message(stun.Method.BINDING, stun.Class.RESPONSE, request.transaction_id)
    machine.receive_untrusted(bytes(without), place=MAPPING, source=SERVER, now=0.1)
    assert not machine.bindings


@settings(max_examples=300)
@given(st.binary(max_size=200), st.integers(0, 1), st.booleans())
def test_garbage_does_nothing(data: bytes, place: int, framed: bool) -> None:
    machine, request = asked()
    if framed:  # with a header that is right, and attributes that are not
        body = data[: len(data) // 4 * 4]
        head = stun.Message(stun.Method.BINDING, stun.Class.RESPONSE, request.transaction_id)
        data = stun.set_body_length(bytes(head) + body, len(body))
    machine.receive_untrusted(data, place=place, source=SERVER, now=0.1)
    assert machine.filtering() is Filtering.UNKNOWN
    assert machine.mapping() is Mapping.UNKNOWN
