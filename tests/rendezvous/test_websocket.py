import ssl
from typing import Any

import pytest

from rtcsend.rendezvous import websocket
from rtcsend.rendezvous.websocket import SocketLost, SocketRefused, dial_websocket
from tests.fakes.connect_proxy import ConnectProxy


@pytest.mark.parametrize(
    ("url", "proxied"),
    [
        ("ws://127.0.0.1:1/v1", False),
        ("ws://[::1]:1/v1", False),
        ("ws://192.168.1.7:1/v1", False),
        ("ws://10.0.0.1/v1", False),
        ("ws://[fd00::1]/v1", False),
        ("ws://169.254.1.1/v1", False),
        ("ws://localhost:1/v1", False),
        ("ws://box.local:1/v1", False),
        ("wss://rendezvous.example.org/v1", True),
        ("ws://8.8.8.8/v1", True),
        ("ws://[2606:4700::1]/v1", True),
    ],
)
def test_no_proxy_for_this_machine_and_its_network(
    url: str, *, proxied: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("all_proxy", "http://proxy:1")
    monkeypatch.delenv("no_proxy", raising=False)
    assert (websocket.proxy_for(url) is not None) is proxied


@pytest.mark.parametrize(
    ("raised", "expected"),
    [
        (ConnectionRefusedError(111, "Connection refused"), SocketRefused),
        (OSError(101, "Network is unreachable"), SocketRefused),
        (ConnectionResetError(104, "Connection reset"), SocketLost),
        (TimeoutError(), SocketLost),
        (ssl.SSLCertVerificationError(1, "self-signed"), SocketRefused),
        (ssl.SSLError(1, "wrong version number"), SocketRefused),
    ],
)
async def test_what_the_system_raises_becomes_one_of_two(
    monkeypatch: pytest.MonkeyPatch, raised: Exception, expected: type[Exception]
) -> None:
    async def broken(*_: Any, **__: Any) -> None:
        raise raised

    monkeypatch.setattr(websocket, "connect", broken)
    with pytest.raises(expected) as caught:
        await dial_websocket("wss://h/v1")
    assert caught.value.__cause__ is raised
    assert str(caught.value)


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"credentials": "ada:x"}, "the proxy wants a user and a password"),
        ({"answer": b"HTTP/1.1 403 No\r\n\r\n"}, r"the proxy refuses to connect \(HTTP 403\)"),
        ({"answer": b"220 mail ESMTP\r\n"}, "the proxy does not answer as a proxy"),
        ({"answer": b"HTTP/1.1 200 OK\r\n", "repeat": b"A: b\r\n" * 999}, "not answer as a proxy"),
        ({"answer": b"HTTP/1.1 200 OK\r\nA: ", "repeat": b"b" * 9_999}, "not answer as a proxy"),
        ({"answer": b"HTTP/1.1 500 No\r\n\r\n", "repeat": b"b" * 9_999}, "HTTP 500"),
        ({}, r"the proxy refuses to connect \(HTTP 502\)"),
    ],
)
async def test_proxies_that_are_no_help(
    monkeypatch: pytest.MonkeyPatch, options: dict[str, Any], reason: str
) -> None:
    monkeypatch.delenv("no_proxy", raising=False)
    async with ConnectProxy(names={"rendezvous.invalid": "127.0.0.2"}, **options) as proxy:
        monkeypatch.setenv("https_proxy", proxy.url)
        with pytest.raises(SocketRefused, match=reason) as caught:
            await dial_websocket("wss://rendezvous.invalid:9/v1")
    assert caught.value.hint == websocket.PROXY_HINT


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("socks5://u:secret@127.0.0.1:1080", "the kind SOCKS5, not HTTP"),
        ("http://ada:secret@127.0.0.1:x", "has no valid address"),
        ("http://ada:secret@127.0.0.1:9", "the proxy that is set cannot be reached"),
        ("http://ada:secret@proxy.invalid", "the proxy that is set cannot be reached"),
    ],
)
async def test_proxies_that_are_none(
    monkeypatch: pytest.MonkeyPatch, value: str, reason: str
) -> None:
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.setenv("https_proxy", value)
    with pytest.raises(SocketRefused, match=reason) as caught:
        await dial_websocket("wss://rendezvous.invalid/v1")
    assert "secret" not in str(caught.value)


async def test_what_was_found_nearby_needs_no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("no_proxy", raising=False)
    async with ConnectProxy() as proxy:
        monkeypatch.setenv("all_proxy", proxy.url)
        with pytest.raises((SocketRefused, SocketLost)) as caught:
            await dial_websocket("ws://nearby.invalid:9/v1", proxied=False)
    assert "proxy" not in str(caught.value)
    assert proxy.asked == []


async def test_a_proxy_that_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(websocket, "PROXY_TIMEOUT", 0.05)
    monkeypatch.delenv("no_proxy", raising=False)
    async with ConnectProxy(silent=True) as proxy:
        monkeypatch.setenv("https_proxy", proxy.url)
        with pytest.raises(SocketRefused, match="nothing answers through the proxy") as caught:
            await dial_websocket("ws://rendezvous.invalid/v1")
    assert caught.value.hint == websocket.PROXY_HINT
    assert proxy.asked == ["rendezvous.invalid:80"]


async def test_an_address_that_the_library_refuses() -> None:
    with pytest.raises(SocketRefused):
        await dial_websocket("nonsense")
