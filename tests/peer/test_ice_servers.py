import pytest

from rtcsend.options import RoutePolicy
from rtcsend.peer.ice_servers import (
    MAX_STUN,
    MAX_TURN,
    MAX_WAYS,
    Servers,
    StunServer,
    servers_of,
)
from rtcsend.rendezvous.messages import IceServer


def asked(*servers: IceServer, route: RoutePolicy = RoutePolicy.ANY) -> Servers:
    return servers_of(servers, route=route)


def turn(*urls: str, username: str = "u") -> IceServer:
    return IceServer(urls=urls, username=username, credential="p")


def ways(servers: Servers) -> list[list[tuple[str, str, int]]]:
    return [[(way.protocol, way.host, way.port) for way in ladder] for ladder in servers.turn]


def test_all_stun_servers_are_asked_once() -> None:
    urls = ("stun:a.test", "stun:a.test:3478", "stun:[2001:db8::1]:19302")
    assert asked(IceServer(urls=urls), IceServer(urls=urls)).stun == (
        StunServer("a.test", 3478),
        StunServer("2001:db8::1", 19302),
    )


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("turn:a.test", [("udp", "a.test", 3478), ("tcp", "a.test", 3478)]),
        ("turn:a.test:80?transport=udp", [("udp", "a.test", 80)]),
        ("turn:a.test:80?transport=tcp", [("tcp", "a.test", 80)]),
        ("turns:a.test", [("tls", "a.test", 5349)]),
        ("turns:a.test:443?transport=tcp", [("tls", "a.test", 443)]),
        ("turns:[2001:db8::1]:443?transport=udp", [("tls", "2001:db8::1", 443)]),
    ],
)
def test_the_ways_that_a_url_names(url: str, expected: list[tuple[str, str, int]]) -> None:
    assert ways(asked(turn(url))) == [expected]


def test_a_machine_is_one_ladder_however_it_was_named() -> None:
    servers = asked(
        turn("turns:a.test:443", "turn:a.test?transport=tcp"),
        turn("turn:b.test?transport=udp"),
        turn("turn:a.test", "turn:a.test?transport=udp"),
        turn("turn:a.test?transport=udp", username="another"),
    )
    assert ways(servers) == [
        [("udp", "a.test", 3478), ("tcp", "a.test", 3478), ("tls", "a.test", 443)],
        [("udp", "b.test", 3478)],
        [("udp", "a.test", 3478)],
    ]


def test_what_the_route_allows() -> None:
    servers = IceServer(urls=("stun:a.test",)), turn("turn:a.test?transport=udp")
    relayed, direct = RoutePolicy.RELAY_ONLY, RoutePolicy.DIRECT_ONLY
    assert (asked(*servers, route=relayed).stun, len(asked(*servers, route=relayed).turn)) == (
        (),
        1,
    )
    assert (len(asked(*servers, route=direct).stun), asked(*servers, route=direct).turn) == (1, ())


def test_what_cannot_be_used_is_passed_over() -> None:
    bad = ("http://a.test", "turn:a.test:0", "stun:a.test:99999", "stuns:a.test", "stun:[::1")
    assert asked(turn(*bad), IceServer(urls=("turn:a.test",))) == Servers()


def test_there_is_an_end_to_it() -> None:
    stun = IceServer(urls=tuple(f"stun:s{number}.test" for number in range(99)))
    machines = turn(*(f"turn:t{number}.test" for number in range(99)))
    ports = turn(*(f"turn:one.test:{number + 1}" for number in range(99)))
    assert len(asked(stun).stun) == MAX_STUN
    assert len(asked(machines).turn) == MAX_TURN
    assert [len(ladder) for ladder in asked(ports).turn] == [MAX_WAYS]


def test_no_credential_is_shown() -> None:
    assert "secret" not in repr(
        asked(IceServer(urls=("turn:a.test",), username="u", credential="secret"))
    )
