"""Which proxy leads where."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtcsend.proxy.settings import (
    Proxy,
    ProxyFailed,
    Purpose,
    Server,
    choose_proxy,
    is_near,
    parse_proxy,
)

WEB = Server("rendezvous.example", 443, secure=True)
PLAIN = Server("rendezvous.example", 8765, secure=False)
ALL_KINDS = {
    "wss": "http://wss:1",
    "ws": "http://ws:2",
    "https": "http://https:3",
    "http": "http://http:4",
    "all": "http://all:5",
}


def chosen(server: Server, settings: dict[str, str], purpose: Purpose = "rendezvous") -> str | None:
    proxy = choose_proxy(server, settings, purpose=purpose)
    return None if proxy is None else proxy.host


@pytest.mark.parametrize(
    ("server", "purpose", "order"),
    [
        (WEB, "rendezvous", ["wss", "https", "all"]),
        (PLAIN, "rendezvous", ["ws", "https", "http", "all"]),
        (WEB, "turn", ["https", "all"]),
        (PLAIN, "turn", ["https", "http", "all"]),
    ],
)
def test_the_first_that_is_set(server: Server, purpose: Purpose, order: list[str]) -> None:
    settings = dict(ALL_KINDS)
    for kind in order:
        assert chosen(server, settings, purpose) == kind
        settings[kind] = " "  # empty is not set
    assert chosen(server, settings, purpose) is None


@pytest.mark.parametrize(
    "host",
    [
        *("127.0.0.1", "::1", "[::1]", "localhost", "x.localhost", "ada.local"),
        *("192.168.1.7", "10.0.0.1", "169.254.3.4", "fe80::1", "fd00::1", "100.64.0.1"),
    ],
)
def test_what_is_near_is_reached_directly(host: str) -> None:
    assert is_near(host)
    assert chosen(Server(host, 80, secure=False), ALL_KINDS) is None


@pytest.mark.parametrize(
    "host", ["example.org", "8.8.8.8", "2606:4700::1111", "mylocal", "local.x"]
)
def test_what_is_not_near(host: str) -> None:
    assert not is_near(host)


@pytest.mark.parametrize(
    ("exceptions", "host", "port", "excepted"),
    [
        ("*", "a.example", 443, True),
        ("a.example", "a.example", 443, True),
        ("A.Example", "a.EXAMPLE.", 443, True),
        ("example", "a.example", 443, True),
        (".example", "a.example", 443, True),
        ("*.example", "a.example", 443, True),
        ("ample", "a.example", 443, False),
        ("b.a.example", "a.example", 443, False),
        ("a.example:443", "a.example", 443, True),
        ("a.example:80", "a.example", 443, False),
        ("x, a.example ,y", "a.example", 443, True),
        ("x a.example", "a.example", 443, True),
        ("203.0.114.7", "203.0.114.7", 443, True),
        ("203.0.114.0/24", "203.0.114.7", 443, True),
        ("203.0.114.0/24:443", "203.0.114.7", 443, True),
        ("203.0.115.0/24", "203.0.114.7", 443, False),
        ("2606:4700::/32", "[2606:4700::1]", 443, True),
        ("[2606:4700::1]:443", "2606:4700::1", 443, True),
        ("[2606:4700::1]:80", "2606:4700::1", 443, False),
        ("203.0.114", "203.0.114.7", 443, False),
        ("nonsense/99", "203.0.114.7", 443, False),
        (",,", "a.example", 443, False),
        ("", "a.example", 443, False),
    ],
)
def test_exceptions(exceptions: str, host: str, port: int, excepted: bool) -> None:
    settings = {"all": "http://proxy:1", "no": exceptions}
    expected = None if excepted else "proxy"
    assert chosen(Server(host, port, secure=True), settings) == expected


@given(st.text(max_size=40), st.sampled_from(["a.example", "8.8.8.8", "2606:4700::1"]))
def test_any_exceptions(exceptions: str, host: str) -> None:
    chosen(Server(host, 443, secure=True), {"all": "http://proxy:1", "no": exceptions})


@pytest.mark.parametrize(
    ("text", "proxy"),
    [
        ("http://p.example:3128", Proxy(host="p.example", port=3128)),
        ("http://p.example:3128/", Proxy(host="p.example", port=3128)),
        ("p.example:3128", Proxy(host="p.example", port=3128)),
        ("p.example", Proxy(host="p.example", port=80)),
        ("HTTPS://p.example", Proxy(host="p.example", port=443, secure=True)),
        ("http://[2001:db8::1]:8080", Proxy(host="2001:db8::1", port=8080)),
        (
            "http://ada:l%40ce%3a@p.example:1",
            Proxy(host="p.example", port=1, username="ada", password="l@ce:"),
        ),
        ("http://ada@p.example:1", Proxy(host="p.example", port=1, username="ada")),
        ("http://bücher.example:1", Proxy(host="xn--bcher-kva.example", port=1)),
    ],
)
def test_proxies(text: str, proxy: Proxy) -> None:
    assert parse_proxy(text) == proxy
    assert parse_proxy(proxy.url) == proxy


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("socks5://p:1080", "the proxy that is set is of the kind SOCKS5, not HTTP"),
        ("socks4a://u:secret@p:1080", "the proxy that is set is of the kind SOCKS4A, not HTTP"),
        *(
            (text, "the proxy that is set has no valid address")
            for text in (
                "http://",
                "http://u:secret@",
                "http://p:0",
                "http://p:99999",
                "http://p:x",
                "http://p:1/secret",
                "http://p:1?secret",
                "http://p:1#secret",
                "http://u:%ff@p:1",
                "http://u:a%0ab@p:1",
                "http://a b:1",
                "http://p\r\nX: y:1",
                "http://[::1:1",
                "x" * 3000,
                "http://" + "x" * 70,
            )
        ),
    ],
)
def test_what_is_no_proxy(text: str, reason: str) -> None:
    with pytest.raises(ProxyFailed) as caught:
        parse_proxy(text)
    assert caught.value.reason == reason


def test_a_socks_proxy_of_the_system_is_not_passed_over() -> None:
    with pytest.raises(ProxyFailed, match="SOCKS5"):
        choose_proxy(WEB, {"socks": "p:1080"}, purpose="turn")


@given(st.text())
def test_any_text(text: str) -> None:
    with suppress(ProxyFailed):
        parse_proxy(text)


def test_no_secret_in_a_picture() -> None:
    proxy = parse_proxy("http://ada:lovelace@p.example:3128")
    assert "lovelace" not in f"{proxy}{proxy!r}{proxy.name}"
    assert proxy.authorization == "Basic YWRhOmxvdmVsYWNl"
