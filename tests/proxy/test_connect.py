"""The machine that asks for a connection: answers, in pieces, broken, without end."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtcsend.proxy.connect import MAX_HEAD, ConnectMachine
from rtcsend.proxy.settings import ProxyFailed

OPEN = b"HTTP/1.1 200 Connection established\r\nVia: x\r\n\r\n"
WANTS = b"HTTP/1.1 407 Authentication\r\nProxy-Authenticate: %s realm=x\r\n\r\n"


def machine(*, authorization: str | None = None) -> ConnectMachine:
    return ConnectMachine("turn.example", 443, authorization=authorization)


def test_the_request() -> None:
    assert machine().request() == (
        b"CONNECT turn.example:443 HTTP/1.1\r\nHost: turn.example:443\r\n\r\n"
    )
    assert b"\r\nProxy-Authorization: Basic eA==\r\n\r\n" in (
        machine(authorization="Basic eA==").request()
    )
    assert ConnectMachine("2001:db8::1", 1).request().startswith(b"CONNECT [2001:db8::1]:1 ")
    assert ConnectMachine("[2001:db8::1]", 1).request().startswith(b"CONNECT [2001:db8::1]:1 ")


@pytest.mark.parametrize("host", ["a b", "a\r\nX: y", "", "a\n"])
def test_no_other_header_by_a_name(host: str) -> None:
    with pytest.raises(AssertionError):
        ConnectMachine(host, 1)


@pytest.mark.parametrize(
    "answer",
    [
        OPEN,
        b"HTTP/1.0 200\r\n\r\n",
        b"HTTP/1.1 204 x\n\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n",  # which means nothing; RFC 9110 §9.3.6
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Hints\r\nLink: x\r\n\r\n" + OPEN,
    ],
)
def test_open_in_one_piece_and_byte_by_byte(answer: bytes) -> None:
    whole = machine()
    whole.receive_untrusted(answer)
    assert whole.is_open
    one = machine()
    for index in range(len(answer)):
        assert not one.is_open
        one.receive_untrusted(answer[index : index + 1])
    assert one.is_open


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (b"HTTP/1.1 403 Forbidden\r\n\r\n<html>", "the proxy refuses to connect (HTTP 403)"),
        (b"HTTP/1.1 301 Moved\r\nLocation: x\r\n\r\n", "the proxy refuses to connect (HTTP 301)"),
        (WANTS % b"Basic", "the proxy wants a user and a password"),
        (
            WANTS % b"NTLM",
            "the proxy wants another authentication than Basic, which is all there is here",
        ),
        (OPEN + b"x", "the proxy speaks before the server was asked"),
        (b"SSH-2.0-OpenSSH\r\n", "the proxy does not answer as a proxy"),
        (b"\x15\x03\x01\x00\x02\x02\x16", "the proxy does not answer as a proxy"),
        (b"HTTP/2 200\r\n\r\n", "the proxy does not answer as a proxy"),
        (b"HTTP/1.1 2000 x\r\n\r\n", "the proxy does not answer as a proxy"),
        (b"HTTP/1.1 200 x\ry\r\n\r\n", "the proxy does not answer as a proxy"),
        (b"HTTP/1.1 099 x\r\n\r\n", "the proxy does not answer as a proxy"),
        (b"HTTP/1.1 200 " + b"x" * MAX_HEAD, "the proxy does not answer as a proxy"),
        (b"HTTP/1.1 200 x\r\n" + b"a: b\r\n" * MAX_HEAD, "the proxy does not answer as a proxy"),
    ],
)
def test_refusals_and_nonsense(answer: bytes, reason: str) -> None:
    with pytest.raises(ProxyFailed) as caught:
        machine().receive_untrusted(answer)
    assert caught.value.reason == reason


def test_a_credential_that_is_refused() -> None:
    with pytest.raises(ProxyFailed) as caught:
        machine(authorization="Basic eA==").receive_untrusted(WANTS % b"bAsIc")
    assert (caught.value.reason, caught.value.slug) == (
        "the proxy refuses user and password",
        "proxy-credential",
    )


@pytest.mark.parametrize(
    ("first", "endless"),
    [
        (b"HTTP/1.1 200 x\r\nB: ", b"x"),
        (b"HTTP/1.1 200 x\r\n", b"A: b\r\n"),
        (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    ],
)
def test_an_answer_without_end_is_not_kept(first: bytes, endless: bytes) -> None:
    asked = machine()
    asked.receive_untrusted(first)
    for _ in range((MAX_HEAD - len(first)) // len(endless)):
        asked.receive_untrusted(endless)
    with pytest.raises(ProxyFailed, match="does not answer as a proxy"):
        asked.receive_untrusted(endless)


def test_the_end_of_the_connection() -> None:
    with pytest.raises(ProxyFailed, match="closed"):
        machine().receive_eof()


@given(st.lists(st.binary(max_size=200) | st.sampled_from([OPEN, b"HTTP/1.1 ", b"\r\n\r\n"])))
def test_any_bytes(pieces: list[bytes]) -> None:
    asked = machine()
    with suppress(ProxyFailed):
        for piece in pieces:
            if not asked.is_open:
                asked.receive_untrusted(piece)
