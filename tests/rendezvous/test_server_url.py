import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtcsend.errors import UsageError
from rtcsend.rendezvous.server_url import normalise_server_url


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("ws://h", "ws://h/v1"),
        ("wss://h/", "wss://h/v1"),
        ("WSS://Example.ORG:443/v1", "wss://example.org:443/v1"),
        ("http://h:80", "ws://h:80/v1"),
        ("https://h/rtcsend", "wss://h/rtcsend/v1"),
        ("https://h/rtcsend/v1/", "wss://h/rtcsend/v1"),
        ("h", "ws://h:8765/v1"),
        (" 192.168.1.7:40123 ", "ws://192.168.1.7:40123/v1"),
        ("[2001:db8::1]:99", "ws://[2001:db8::1]:99/v1"),
        ("2001:DB8::1", "ws://[2001:db8::1]:8765/v1"),
        ("[::1]", "ws://[::1]:8765/v1"),
        ("h:", "ws://h:8765/v1"),  # an empty port is the default one; RFC 3986 section 3.2.3
        ("host/path", "ws://host:8765/path/v1"),
        (f"wss://h:1#sha256={'0a' * 32}", f"wss://h:1/v1#sha256={'0a' * 32}"),
        (f"https://h#SHA256={':'.join(['0A'] * 32)}", f"wss://h/v1#sha256={'0a' * 32}"),
    ],
)
def test_normalise(text: str, expected: str) -> None:
    assert normalise_server_url(text) == expected
    assert normalise_server_url(expected) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "://",
        "ws://",
        "ws://:80",
        "ftp://h",
        "ws://h:0",
        "ws://h:65536",
        "ws://h:x",
        "ws://u:hunter2@h",
        "ws://h?x=1",
        "ws://h#x",
        f"ws://h#sha256={'0a' * 32}",
        f"wss://h#sha256={'0a' * 31}",
        f"wss://h#sha1={'0a' * 32}",
        "ws://h h",
        "ws://h\r\nx",
        "ws://hé",
        "ws://[::1",
        "ws://[::g]",
        "ws://a..b",
        "ws://-a",
        "ws://h/" + "x" * 2_048,
    ],
)
def test_refused(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        normalise_server_url(text)
    assert "hunter2" not in caught.value.message


@given(st.text() | st.text("ws:/[]@.1h?#%"))
def test_any_text_is_a_url_or_refused(text: str) -> None:
    try:
        url = normalise_server_url(text)
    except UsageError:
        return
    assert url.startswith(("ws://", "wss://"))
    assert url.endswith("/v1")
    assert normalise_server_url(url) == url
