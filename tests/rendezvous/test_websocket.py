import ssl
from typing import Any

import pytest

from rtcsend.rendezvous import websocket
from rtcsend.rendezvous.websocket import SocketLost, SocketRefused, dial_websocket


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
def test_no_proxy_for_this_machine_and_its_network(url: str, *, proxied: bool) -> None:
    assert websocket._proxy_for(url) is (True if proxied else None)


@pytest.mark.parametrize(
    ("raised", "expected"),
    [
        (ConnectionRefusedError(111, "Connection refused"), SocketRefused),
        (OSError(101, "Network is unreachable"), SocketRefused),
        (ConnectionResetError(104, "Connection reset"), SocketLost),
        (TimeoutError(), SocketLost),
        (ssl.SSLCertVerificationError(1, "self-signed"), SocketRefused),
        (ssl.SSLError(1, "wrong version number"), SocketRefused),
        (ImportError("python-socks"), SocketRefused),
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


async def test_an_address_that_the_library_refuses() -> None:
    with pytest.raises(SocketRefused):
        await dial_websocket("nonsense")
