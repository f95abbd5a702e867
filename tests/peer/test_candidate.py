import ipaddress
from typing import get_args

import pytest
from aiortc.sdp import candidate_from_sdp
from hypothesis import given
from hypothesis import strategies as st

from rtcsend.errors import PeerProtocolError
from rtcsend.peer.candidate import (
    MAX_CANDIDATE_LENGTH,
    MAX_PORT,
    MAX_PRIORITY,
    Candidate,
    CandidateType,
    can_be_offered_untrusted,
    enumeration,
    maybe_parse_candidate_untrusted,
)

HOST = "candidate:1 1 udp 2130706431 10.0.0.1 8998 typ host"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            HOST,
            Candidate(
                foundation="1", priority=2130706431, address="10.0.0.1", port=8998, type="host"
            ),
        ),
        (
            "a=candidate:H/+9 1 UDP 1694498815 2001:db8::7 1 typ srflx raddr :: rport 9",
            Candidate(
                foundation="H/+9",
                priority=1694498815,
                address="2001:db8::7",
                port=1,
                type="srflx",
                related_address="::",
                related_port=9,
            ),
        ),
        (
            # What Chromium adds: a generation, the ufrag again, a network, its cost.
            "candidate:842163049 1 udp 41885695 203.0.113.9 50000 typ relay raddr 0.0.0.0 rport 1"
            " generation 0 ufrag pXa1 network-id 3 network-cost 999",
            Candidate(
                foundation="842163049",
                priority=41885695,
                address="203.0.113.9",
                port=50000,
                type="relay",
                related_address="0.0.0.0",
                related_port=1,
            ),
        ),
        (
            "candidate:0 1 UDP 2122252543 3f0e6c54-a2d1-4c9b-8f1e-0a2b4c6d8e9.local 54321 typ host",
            Candidate(
                foundation="0",
                priority=2122252543,
                address="3f0e6c54-a2d1-4c9b-8f1e-0a2b4c6d8e9.local",
                port=54321,
                type="host",
            ),
        ),
        (
            "candidate:9 1 udp 1862270975 192.0.2.1 65535 typ prflx raddr 10.0.0.1 rport 9 x y",
            Candidate(
                foundation="9",
                priority=1862270975,
                address="192.0.2.1",
                port=65535,
                type="prflx",
                related_address="10.0.0.1",
                related_port=9,
            ),
        ),
    ],
)
def test_candidates_are_read(text: str, expected: Candidate) -> None:
    assert maybe_parse_candidate_untrusted(text) == expected
    assert maybe_parse_candidate_untrusted(str(expected)) == expected


@pytest.mark.parametrize("number", [None, 0, 9])
def test_a_hidden_related_port_is_written_as_9(number: int | None) -> None:
    # RFC 8839 §5.1 wants it so; browsers say 0, and that is read.
    hidden = Candidate(
        foundation="1",
        priority=1,
        address="192.0.2.1",
        port=2,
        type="relay",
        related_address="0.0.0.0",
        related_port=number,
    )
    assert str(hidden).endswith(" typ relay raddr 0.0.0.0 rport 9")
    read = maybe_parse_candidate_untrusted(f"{HOST} raddr 0.0.0.0 rport 0")
    assert read is not None
    assert (read.related_address, read.related_port) == ("0.0.0.0", 0)


@pytest.mark.parametrize(
    "text",
    [
        "candidate:1 1 TCP 1671430143 10.0.0.1 9 typ host tcptype active",
        "candidate:1 1 tcp 1671430143 10.0.0.1 4444 typ host tcptype passive generation 0",
        "candidate:1 1 ssltcp 1671430143 10.0.0.1 443 typ host",
        "candidate:1 2 udp 1671430142 10.0.0.1 8999 typ host",
        "candidate:1 256 udp 1671430142 10.0.0.1 8999 typ host",
    ],
)
def test_kinds_that_are_not_used_are_passed_over(text: str) -> None:
    assert maybe_parse_candidate_untrusted(text) is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "candidate:",
        " " + HOST,
        HOST + " ",
        HOST + "\n",
        HOST + "\r\na=fingerprint:sha-256 00",
        HOST.replace(" ", "  "),
        HOST.replace(" ", "\t"),
        "CANDIDATE" + HOST.removeprefix("candidate"),
        HOST + " generation",
        HOST + " raddr 10.0.0.1 rport",
        HOST + " ä b",
        HOST.replace(":1 ", ": "),
        HOST.replace(":1 ", ":" + "1" * 33 + " "),
        HOST.replace(":1 ", ":1-2 "),
        HOST.replace("typ host", "typ moon"),
        HOST.replace("typ host", "typ HOST"),
        HOST.replace("typ host", "host"),
        HOST.replace("udp", "udp6"),
        HOST.replace("8998", "0"),
        HOST.replace("8998", "65536"),
        HOST.replace("8998", "99999"),
        HOST.replace("8998", "-1"),
        HOST.replace("8998", "8998.0"),
        HOST.replace("8998", "८९९८"),
        HOST.replace("2130706431", "0"),
        HOST.replace("2130706431", str(MAX_PRIORITY + 1)),
        HOST.replace("2130706431", "12345678901"),
        HOST.replace(" 1 udp", " 1000 udp"),
        HOST.replace("10.0.0.1", "10.0.0"),
        HOST.replace("10.0.0.1", "10.0.0.256"),
        HOST.replace("10.0.0.1", "10.0.0.01"),
        HOST.replace("10.0.0.1", "[::1]"),
        HOST.replace("10.0.0.1", "fe80::1%eth0"),
        HOST.replace("10.0.0.1", "example.org"),
        HOST.replace("10.0.0.1", "localhost"),
        HOST.replace("10.0.0.1", "printer.local.example.org"),
        HOST.replace("10.0.0.1", "a.b.local"),
        HOST.replace("10.0.0.1", "-.local."),
        HOST.replace("10.0.0.1", "a" * 64 + ".local"),
        HOST.replace("10.0.0.1", ".local"),
        HOST.replace("10.0.0.1", "167772161"),
        HOST + " x" * MAX_CANDIDATE_LENGTH,
        HOST + " raddr printer.example.org rport 9",
        HOST + " raddr \x1b[2J rport 9",
        HOST + " raddr 10.0.0.1 rport 65536",
    ],
)
def test_malformed_candidates_are_refused(text: str) -> None:
    with pytest.raises(PeerProtocolError):
        maybe_parse_candidate_untrusted(text)


def test_the_longest_candidate() -> None:
    filler = MAX_CANDIDATE_LENGTH - len(HOST) - len(" x ")
    assert maybe_parse_candidate_untrusted(f"{HOST} x {'y' * filler}")
    with pytest.raises(PeerProtocolError):
        maybe_parse_candidate_untrusted(f"{HOST} x {'y' * (filler + 1)}")


names = st.from_regex(r"[A-Za-z0-9-]{1,63}\.local", fullmatch=True)
addresses = st.ip_addresses().map(str)
candidates = st.builds(
    Candidate,
    foundation=st.from_regex(r"[A-Za-z0-9+/]{1,32}", fullmatch=True),
    priority=st.integers(1, MAX_PRIORITY),
    address=addresses | names,
    port=st.integers(1, MAX_PORT),
    type=st.sampled_from(get_args(CandidateType)),
) | st.builds(
    Candidate,
    foundation=st.just("1"),
    priority=st.integers(1, MAX_PRIORITY),
    address=addresses,
    port=st.integers(1, MAX_PORT),
    type=st.sampled_from(get_args(CandidateType)),
    related_address=addresses,
    related_port=st.integers(1, MAX_PORT),
)


@given(candidates)
def test_what_is_written_is_read_back(candidate: Candidate) -> None:
    assert maybe_parse_candidate_untrusted(str(candidate)) == candidate


@given(candidates)
def test_what_is_written_is_what_aiortc_reads(candidate: Candidate) -> None:
    theirs = candidate_from_sdp(str(candidate).removeprefix("candidate:"))
    assert (theirs.foundation, theirs.component, theirs.protocol) == (
        candidate.foundation,
        1,
        "udp",
    )
    assert (theirs.ip, theirs.port, theirs.priority) == (
        candidate.address,
        candidate.port,
        candidate.priority,
    )
    assert (theirs.type, theirs.relatedAddress, theirs.relatedPort) == (
        candidate.type,
        candidate.related_address,
        candidate.related_port,
    )


pieces = st.lists(
    st.sampled_from([*HOST.split(), "raddr", "rport", "tcp", "0", "::1", "a.local"]) | st.text(),
    max_size=14,
).map(" ".join)


@given(st.text() | st.text().map(lambda rest: HOST + rest) | pieces)
def test_any_text_is_a_candidate_nothing_or_the_one_error(text: str) -> None:
    try:
        candidate = maybe_parse_candidate_untrusted(text)
    except PeerProtocolError:
        return
    if candidate is not None:
        assert 0 < candidate.port <= MAX_PORT
        assert 0 < candidate.priority <= MAX_PRIORITY
        if not candidate.address.endswith(".local"):
            ipaddress.ip_address(candidate.address)


@pytest.mark.parametrize(
    ("kinds", "text"),
    [
        ([], "no candidates"),
        (["host", "host"], "host candidates"),
        (["relay", "host"], "host and relay candidates"),
        (["relay", "srflx", "host"], "host, srflx and relay candidates"),
    ],
)
def test_types_as_people_read_them(kinds: list[str], text: str) -> None:
    assert enumeration(kinds) == text


@pytest.mark.parametrize(
    ("address", "port", "like", "expected"),
    [
        ("203.0.113.9", 1, None, True),
        ("203.0.113.9", 65_535, "10.0.0.1", True),
        ("2001:db8::9", 9, "2001:db8::1", True),
        ("2001:db8::9", 9, "10.0.0.1", False),
        ("203.0.113.9", 0, None, False),
        ("0.0.0.0", 9, None, False),
        ("::", 9, None, False),
        ("224.0.0.1", 9, None, False),
        ("ff02::1", 9, None, False),
    ],
)
def test_what_servers_call_an_address(
    address: str, port: int, like: str | None, *, expected: bool
) -> None:
    assert can_be_offered_untrusted((address, port), like=like) is expected
