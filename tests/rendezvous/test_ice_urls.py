import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtcsend.errors import UsageError
from rtcsend.rendezvous.frames import parse_server_message_untrusted, serialize
from rtcsend.rendezvous.ice_urls import parse_ice_url
from rtcsend.rendezvous.messages import IceServer, Welcome


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("stun:stun.example.org", IceServer(("stun:stun.example.org",))),
        ("stun:192.0.2.1:3478", IceServer(("stun:192.0.2.1:3478",))),
        ("stun:[2001:db8::1]:3478", IceServer(("stun:[2001:db8::1]:3478",))),
        ("turn:u:p@h", IceServer(("turn:h",), "u", "p")),
        ("turn:u:p@h:3478?transport=udp", IceServer(("turn:h:3478?transport=udp",), "u", "p")),
        (
            "turns:u:p@[::1]:443?transport=tcp",
            IceServer(("turns:[::1]:443?transport=tcp",), "u", "p"),
        ),
        (
            "turn:1700000000%3Aada:a%2Fb%3D%40%25@h",
            IceServer(("turn:h",), "1700000000:ada", "a/b=@%"),
        ),
        ("turn:%C3%A9:%E2%82%AC@h", IceServer(("turn:h",), "é", "€")),
    ],
)
def test_parse(url: str, expected: IceServer) -> None:
    assert parse_ice_url(url) == expected


@pytest.mark.parametrize(
    "url",
    [
        "",
        "stun:",
        "stun:h:0",
        "stun:h:65536",
        "stun:h:port",
        "stun:u:p@h",
        "stun:h?transport=udp",
        "stuns:h",
        "stun://h",
        "http://h",
        "STUN:h",
        "stun:h h",
        "stun:h\n",
        "stun:[::1",
        "stun:[::g]",
        "stun:[1.2.3]",
        "stun:::1",
        "turn:h",
        "turn:u@h",
        "turn:u:@h",
        "turn::p@h",
        "turn:u:p:q@h",
        "turn:u:p@",
        "turn:u:p@h?transport=tls",
        "turn:u:p@h?transport=udp&x=1",
        "turn:u:100%@h",
        "turn:u:%FF@h",
        "turn:u:%00@h",
        "turn:u:" + "p" * 513 + "@h",
        "stun:" + "h" * 300,
    ],
)
def test_refused(url: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_ice_url(url)
    assert caught.value.hint


@pytest.mark.parametrize(
    "url", ["turn:ada:hunter2@h:99999", "turn:ada:hunter2@", "turn:ada:hunter2"]
)
def test_no_credential_in_an_error(url: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_ice_url(url)
    assert "hunter2" not in caught.value.message
    assert "ada" not in caught.value.message


@given(st.text() | st.text("turns:@[]%?=udp.1h"))
def test_any_text_is_a_server_or_refused(text: str) -> None:
    try:
        server = parse_ice_url(text)
    except UsageError:
        return
    welcome = Welcome(server="s", ice_servers=(server,))
    assert parse_server_message_untrusted(serialize(welcome)) == welcome
