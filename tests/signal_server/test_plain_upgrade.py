"""Requests that pass by the library: it would take them as well, and answer alike."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.client import ClientProtocol
from websockets.http11 import Request
from websockets.server import ServerProtocol
from websockets.uri import parse_uri

from signal_server.plain_upgrade import LONGEST, Asked, plain_upgrade_untrusted

FIELDS = {
    "Host": "example.com",
    "Upgrade": "websocket",
    "Connection": "Upgrade",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
}
LINES = [f"{name}: {value}" for name, value in FIELDS.items()]


def request(lines: list[str], *, first: str = "GET /v1 HTTP/1.1") -> bytes:
    return "".join(f"{line}\r\n" for line in (first, *lines, "")).encode("latin-1")


def by_the_library(data: bytes) -> tuple[Asked, int, dict[str, str]]:
    """Return what it reads in a request, and the status and fields of its answer."""
    protocol = ServerProtocol()
    protocol.receive_data(data)
    [asked] = protocol.events_received()
    assert isinstance(asked, Request)
    answer = protocol.accept(asked)
    of_proxies = (asked.headers.get_all(name) for name in ("Forwarded", "X-Forwarded-For"))
    fields = {name: value for name, value in answer.headers.raw_items() if name != "Date"}
    return (
        Asked(asked.path.partition("?")[0], *(tuple(values) for values in of_proxies)),
        answer.status_code,
        fields,
    )


def test_the_answer_of_the_standard() -> None:
    upgrade = plain_upgrade_untrusted(request(LINES, first="GET /v1?x=1 HTTP/1.1"))
    assert upgrade is not None
    assert upgrade.asked == Asked("/v1")
    status, *lines = upgrade.answer().decode().split("\r\n")
    assert status == "HTTP/1.1 101 Switching Protocols"
    # RFC 6455 section 1.3 has this key, and what is to be answered.
    assert "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" in lines
    assert lines[-2:] == ["", ""]


def test_our_own_client_is_one_of_those() -> None:
    client = ClientProtocol(parse_uri("wss://example.com:8765/v1"))
    client.send_request(client.connect())
    [data] = client.data_to_send()
    upgrade = plain_upgrade_untrusted(data)
    assert upgrade is not None
    client.receive_data(upgrade.answer())
    assert client.handshake_exc is None
    assert client.state.name == "OPEN"


def test_what_proxies_add_is_read() -> None:
    lines = [*LINES, "Forwarded: for=192.0.2.1", "X-Forwarded-For: 192.0.2.1, 192.0.2.2  "]
    upgrade = plain_upgrade_untrusted(request(lines))
    assert upgrade is not None
    assert upgrade.asked.forwarded == ("for=192.0.2.1",)
    assert upgrade.asked.x_forwarded_for == ("192.0.2.1, 192.0.2.2",)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        request([]),
        request(LINES)[:-1],
        request(LINES) + b"\x81",
        request(LINES, first="POST /v1 HTTP/1.1"),
        request(LINES, first="GET /v1 HTTP/1.0"),
        request(LINES, first="GET  /v1 HTTP/1.1"),
        request(LINES, first="GET http://example.com/v1 HTTP/1.1"),
        request(LINES, first="GET /\xe9 HTTP/1.1"),
        *(request([*LINES[:at], *LINES[at + 1 :]]) for at in range(1, len(LINES))),
        *(request([*LINES, line]) for line in LINES),
        request([*LINES, "X-Forwarded-For: 192.0.2.1", "x-forwarded-for: 192.0.2.2"]),
        request([*LINES, "Content-Length: 0"]),
        request([*LINES, "Transfer-Encoding: chunked"]),
        request([*LINES, "Sec-WebSocket-Protocol: ,"]),
        request([*LINES, " folded: into the line before"]),
        request([*LINES, "Na me: x"]),
        request([*LINES, "Name : x"]),
        request([*LINES, "Name: \xe9"]),
        request([*LINES, "Name: a\rb"]),
        request([*LINES, "Name: a\nX-Forwarded-For: 192.0.2.1"]),
        request([*LINES, "Name: a\x00"]),
        request([*LINES[:-1], "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZR=="]),
        request([*LINES[:-1], "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25j"]),
        request([*LINES[:-2], "Sec-WebSocket-Version: 8", LINES[-1]]),
        request([*LINES, "Name: " + LONGEST * "x"]),
        request([*LINES, *(f"N{number}: x" for number in range(33))]),
    ],
)
def test_whatever_is_unusual_is_left_to_the_library(data: bytes) -> None:
    assert plain_upgrade_untrusted(data) is None


_VALUES = st.text(st.characters(max_codepoint=255), max_size=8)


@given(
    lines=st.permutations(LINES),
    more=st.lists(
        st.tuples(st.sampled_from(["Forwarded", "x-forwarded-for", "Connection", "A"]), _VALUES),
        max_size=2,
    ),
    gap=st.sampled_from([":", ": ", ":  ", " : "]),
    path=st.text(st.characters(max_codepoint=255), max_size=6),
    at=st.integers(0, 300),
    byte=st.binary(max_size=2),
    is_cut=st.booleans(),
)
def test_what_is_taken_the_library_takes_alike(
    *,
    lines: list[str],
    more: list[tuple[str, str]],
    gap: str,
    path: str,
    at: int,
    byte: bytes,
    is_cut: bool,
) -> None:
    lines = [*lines, *(f"{name}{gap}{value}" for name, value in more)]
    data = request(lines, first=f"GET /{path} HTTP/1.1")
    if is_cut:
        data = data[:at] + byte + data[at + len(byte) :]
    upgrade = plain_upgrade_untrusted(data)
    if upgrade is None:
        return
    asked, status, fields = by_the_library(data)
    assert (upgrade.asked, 101) == (asked, status)
    _, *answered = upgrade.answer().decode().rstrip("\r\n").split("\r\n")
    assert dict(line.split(": ") for line in answered) == fields
