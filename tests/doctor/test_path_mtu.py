"""The largest packet that passes is found, whatever is lost, on every path of the list."""

import pytest
from aioice import stun

from rtcsend.doctor.codec import Endpoint
from rtcsend.doctor.conclusion import Filtering, Mapping
from rtcsend.doctor.path_mtu import SIZES, MtuProbe, Size
from tests.doctor.world import SERVER, Answers, Nat, World, drawn, plain

V6 = ("2001:db8::1", 3478)


def search(mtu: int, *, server: Endpoint = SERVER, headers: int = 28) -> tuple[MtuProbe, World]:
    def serve(data: bytes, source: Endpoint, to: Endpoint) -> Answers:
        return plain(data, source, to) if len(data) + headers <= mtu else []

    probe = MtuProbe(server, rtt=0.04, now=0.0, entropy=drawn())
    world = World(probe, Nat(Mapping.INDEPENDENT, Filtering.ADDRESS_AND_PORT), serve)
    world.run()
    return probe, world


@pytest.mark.parametrize("mtu", SIZES)
def test_every_size(mtu: int) -> None:
    probe, world = search(mtu)
    larger = [size for size in SIZES if size > mtu]
    assert probe.result() == Size(bytes=mtu, next=larger[0] if larger else None)
    assert probe.done
    assert world.now < 1


def test_ipv6_has_larger_headers() -> None:
    probe, _ = search(1_420, server=V6, headers=48)
    assert probe.result() == Size(bytes=1_420, next=1_440)


def test_where_nothing_passes_nobody_knows() -> None:
    probe, _ = search(0)
    assert probe.result() is None
    assert probe.done


def test_it_is_over_as_soon_as_the_largest_is_answered() -> None:
    probe = MtuProbe(SERVER, rtt=0.04, now=0.0, entropy=drawn())
    sent = probe.to_send(now=0)
    for out in sent:
        assert not probe.done
        if len(out.data) + 28 == SIZES[-1]:
            (_, data) = plain(out.data, ("192.0.2.1", 1), SERVER)[0]
            probe.receive_untrusted(data, place=0, source=("192.0.2.9", 9), now=0.1)
            assert not probe.done
            probe.receive_untrusted(data, place=0, source=SERVER, now=0.1)
    assert probe.done


def test_an_error_is_an_answer() -> None:
    probe = MtuProbe(SERVER, rtt=0.04, now=0.0, entropy=drawn())
    request = stun.parse_message(probe.to_send(now=0)[0].data)
    error = stun.Message(
        stun.Method.BINDING, stun.Class.ERROR, request.transaction_id, {"ERROR-CODE": (420, "")}
    )
    probe.receive_untrusted(bytes(error), place=0, source=SERVER, now=0.1)
    assert probe.result() == Size(bytes=SIZES[0], next=SIZES[1])
