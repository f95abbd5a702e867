"""URLs taken apart, each server once, named without its secret."""

import pytest

from rtcsend.doctor.servers import MAX_SERVERS, Server, servers_of
from rtcsend.rendezvous.ice_urls import parse_ice_url
from rtcsend.rendezvous.messages import IceServer


def one(url: str) -> Server:
    (server,) = servers_of([parse_ice_url(url)])
    return server


@pytest.mark.parametrize(
    ("url", "host", "port", "transport", "name"),
    [
        ("stun:a.example", "a.example", 3478, "udp", "stun:a.example:3478"),
        ("stun:[2001:db8::1]:19302", "2001:db8::1", 19302, "udp", "stun:[2001:db8::1]:19302"),
        ("turn:u:p@b.example", "b.example", 3478, "udp", "turn:b.example:3478?transport=udp"),
        (
            "turn:u:p@b.example:443?transport=tcp",
            "b.example",
            443,
            "tcp",
            "turn:b.example:443?transport=tcp",
        ),
        ("turns:u:p@b.example", "b.example", 5349, "tls", "turns:b.example:5349"),
        ("turns:u:p@1.2.3.4:443?transport=tcp", "1.2.3.4", 443, "tls", "turns:1.2.3.4:443"),
    ],
)
def test_urls(url: str, host: str, port: int, transport: str, name: str) -> None:
    server = one(url)
    assert (server.host, server.port, server.transport) == (host, port, transport)
    assert server.name == name
    assert server.relay == (not url.startswith("stun"))


def test_credentials_are_kept_and_never_shown() -> None:
    server = one("turn:ada:s%3Acret@b.example")
    assert (server.username, server.credential) == ("ada", "s:cret")
    assert "cret" not in repr(server) + server.name
    assert "ada" not in repr(server) + server.name


def test_each_server_and_way_comes_once_and_the_odd_one_never() -> None:
    ice = [
        IceServer(("stun:a:1", "stun:a:1", "http:no")),
        IceServer(("turn:a:1", "turn:a:1?transport=udp", "turn:a:1?transport=tcp"), "u", "p"),
    ]
    names = [server.name for server in servers_of(ice)]
    assert names == ["stun:a:1", "turn:a:1?transport=udp", "turn:a:1?transport=tcp"]


def test_there_is_a_limit() -> None:
    many = [IceServer(tuple(f"stun:host:{port}" for port in range(1, 100)))]
    assert len(servers_of(many)) == MAX_SERVERS
