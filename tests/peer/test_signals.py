import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtcsend.errors import IncompatiblePeer, NoRoute, PeerProtocolError, WrongCode
from rtcsend.options import RoutePolicy
from rtcsend.pairing.envelope import MAX_PLAINTEXT
from rtcsend.peer.candidate import Candidate
from rtcsend.peer.signals import (
    AbortSignal,
    CandidateSignal,
    DescriptionSignal,
    EndOfCandidates,
    Hello,
    UnknownSignal,
    common_protocol,
    common_route,
    parse_signal_untrusted,
    serialize_message,
    serialize_signal,
)
from tests.peer.test_description import CHROMIUM_OFFER, OFFER, descriptions

HELLO: dict[str, Any] = {
    "type": "hello",
    "protocols": [1],
    "agent": "rtcsend/1",
    "route": "any",
    "datapath": 0,
}
CANDIDATE = Candidate(foundation="1", priority=5, address="10.0.0.1", port=6, type="host")


def parse(message: object) -> object:
    return parse_signal_untrusted(json.dumps(message).encode())


@pytest.mark.parametrize(
    "signal",
    [
        Hello(agent="rtcsend/0.1.0", route=RoutePolicy.ANY),
        Hello(agent="", route=RoutePolicy.RELAY_ONLY, protocols=(3, 2, 1)),
        Hello(agent="ünï", route=RoutePolicy.DIRECT_ONLY, protocols=()),
        Hello(agent="x", route=RoutePolicy.ANY, datapath=255),
        DescriptionSignal(OFFER),
        DescriptionSignal(replace(OFFER, sctp_init=b"\1\0\0\x14" + bytes(16))),
        CandidateSignal(CANDIDATE),
        EndOfCandidates(),
    ],
)
def test_what_is_written_is_read_back(
    signal: Hello | DescriptionSignal | CandidateSignal | EndOfCandidates,
) -> None:
    assert parse_signal_untrusted(serialize_signal(signal)) == signal


@given(descriptions)
def test_any_description_fits_a_box_and_comes_back(description: Any) -> None:
    plaintext = serialize_signal(DescriptionSignal(description))
    assert len(plaintext) <= MAX_PLAINTEXT
    assert parse_signal_untrusted(plaintext) == DescriptionSignal(description)


def test_the_wire_form() -> None:
    assert serialize_signal(EndOfCandidates()) == b'{"type":"end-of-candidates"}'
    assert json.loads(serialize_signal(CandidateSignal(CANDIDATE))) == {
        "type": "candidate",
        "candidate": "candidate:1 1 udp 5 10.0.0.1 6 typ host",
    }
    assert json.loads(serialize_signal(DescriptionSignal(OFFER))) == {
        "type": "offer",
        "sdp": OFFER.to_sdp(),
    }
    hello = Hello(agent="rtcsend/1", route=RoutePolicy.ANY)
    assert json.loads(serialize_signal(hello)) == HELLO


def test_a_candidate_of_a_kind_that_is_not_used() -> None:
    text = "candidate:1 1 tcp 1671430143 10.0.0.1 9 typ host tcptype active"
    assert parse({"type": "candidate", "candidate": text}) == CandidateSignal(None)


def test_an_abort() -> None:
    signal = parse({"type": "abort", "code": "wrong-code", "reason": "No match."})
    assert isinstance(signal, AbortSignal)
    assert type(signal.error) is WrongCode


@pytest.mark.parametrize("kind", ["ice-restart", "", "OFFER", "offer ", "bye"])
def test_what_a_later_version_says_is_read_over(kind: str) -> None:
    assert parse({"type": kind, "sdp": 7}) == UnknownSignal()


def test_who_says_nothing_of_its_data_path_may_be_anybody() -> None:
    message = {name: value for name, value in HELLO.items() if name != "datapath"}
    assert parse(message) == Hello(agent="rtcsend/1", route=RoutePolicy.ANY, datapath=0)


def test_more_fields_are_read_over() -> None:
    assert parse({**HELLO, "color": "green"}) == parse(HELLO)
    assert parse({"type": "end-of-candidates", "generation": 2}) == EndOfCandidates()


@pytest.mark.parametrize(
    "message",
    [
        {},
        [],
        None,
        {"type": None},
        {"type": 1},
        {"type": ["hello"]},
        {"type": "x" * 33},
        {"type": "hello"},
        {**HELLO, "protocols": None},
        {**HELLO, "protocols": 1},
        {**HELLO, "protocols": "1"},
        {**HELLO, "protocols": ["1"]},
        {**HELLO, "protocols": [True]},
        {**HELLO, "protocols": [None]},
        {**HELLO, "protocols": [1] * 17},
        {**HELLO, "route": None},
        {**HELLO, "route": "ANY"},
        {**HELLO, "route": 1},
        {**HELLO, "route": ["any"]},
        {**HELLO, "route": {"any": 1}},
        {**HELLO, "agent": None},
        {**HELLO, "agent": 1},
        {**HELLO, "agent": "x" * 101},
        {**HELLO, "datapath": None},
        {**HELLO, "datapath": "1"},
        {**HELLO, "datapath": True},
        {**HELLO, "datapath": -1},
        {**HELLO, "datapath": 256},
        {"type": "offer"},
        {"type": "offer", "sdp": None},
        {"type": "offer", "sdp": ""},
        {"type": "offer", "sdp": OFFER.to_sdp() + "x" * 16_384},
        {"type": "answer", "sdp": CHROMIUM_OFFER},
        {"type": "offer", "sdp": OFFER.to_sdp(), "sctp_init": None},
        {"type": "offer", "sdp": OFFER.to_sdp(), "sctp_init": 1},
        {"type": "offer", "sdp": OFFER.to_sdp(), "sctp_init": "AQ=="},
        {"type": "offer", "sdp": OFFER.to_sdp(), "sctp_init": "ä"},
        {"type": "offer", "sdp": OFFER.to_sdp(), "sctp_init": "A" * 1_028},
        {"type": "candidate"},
        {"type": "candidate", "candidate": None},
        {"type": "candidate", "candidate": ""},
        {"type": "candidate", "candidate": "x" * 513},
        {"type": "abort"},
        {"type": "abort", "code": "wrong-code"},
    ],
)
def test_malformed_signals_are_refused(message: object) -> None:
    with pytest.raises(PeerProtocolError):
        parse(message)


def test_a_signal_that_is_too_long() -> None:
    with pytest.raises(PeerProtocolError):
        parse_signal_untrusted(b" " * MAX_PLAINTEXT + serialize_message(HELLO))


fields = st.sampled_from(
    ["type", "sdp", "candidate", "protocols", "agent", "route", "code", "reason"]
)
values = (
    st.none()
    | st.integers(-5, 5)
    | st.text(max_size=20)
    | st.sampled_from(["hello", "offer", "answer", "candidate", "abort", "any", OFFER.to_sdp()])
    | st.lists(st.integers(0, 3), max_size=3)
)


@given(st.dictionaries(fields, values).map(lambda m: json.dumps(m).encode()) | st.binary())
def test_any_bytes_are_a_signal_or_the_one_error(plaintext: bytes) -> None:
    try:
        signal = parse_signal_untrusted(plaintext)
    except PeerProtocolError:
        return
    assert isinstance(
        signal,
        Hello | DescriptionSignal | CandidateSignal | EndOfCandidates | AbortSignal | UnknownSignal,
    )


def hello(*protocols: int) -> Hello:
    return Hello(protocols=protocols, agent="", route=RoutePolicy.ANY)


@pytest.mark.parametrize(
    ("ours", "theirs", "expected"),
    [
        ((1,), (1,), 1),
        ((2, 1), (1,), 1),
        ((1,), (3, 2, 1), 1),
        ((2, 1), (1, 2), 2),
        ((1, 2), (2, 1), 2),
    ],
)
def test_the_common_protocol(ours: tuple[int, ...], theirs: tuple[int, ...], expected: int) -> None:
    assert common_protocol(hello(*ours), hello(*theirs)) == expected
    assert common_protocol(hello(*theirs), hello(*ours)) == expected


@pytest.mark.parametrize(("ours", "theirs"), [((1,), ()), ((), ()), ((1,), (2,)), ((1, 2), (3,))])
def test_no_common_protocol(ours: tuple[int, ...], theirs: tuple[int, ...]) -> None:
    with pytest.raises(IncompatiblePeer):
        common_protocol(hello(*ours), hello(*theirs))


ANY, RELAY, DIRECT = RoutePolicy.ANY, RoutePolicy.RELAY_ONLY, RoutePolicy.DIRECT_ONLY


@pytest.mark.parametrize(
    ("ours", "theirs", "expected"),
    [
        (ANY, ANY, ANY),
        (RELAY, RELAY, RELAY),
        (DIRECT, DIRECT, DIRECT),
        # Who allows relays only hides its own addresses; the other side need not hide its own.
        (RELAY, ANY, RELAY),
        (ANY, RELAY, ANY),
        # Direct holds for both sides, or relays would be used after all.
        (DIRECT, ANY, DIRECT),
        (ANY, DIRECT, DIRECT),
    ],
)
def test_the_common_route(ours: RoutePolicy, theirs: RoutePolicy, expected: RoutePolicy) -> None:
    assert common_route(ours, theirs) is expected


@pytest.mark.parametrize(("ours", "theirs"), [(RELAY, DIRECT), (DIRECT, RELAY)])
def test_routes_that_exclude_each_other(ours: RoutePolicy, theirs: RoutePolicy) -> None:
    with pytest.raises(NoRoute):
        common_route(ours, theirs)


def test_who_has_no_protocol_is_there_to_be_known() -> None:
    ours = Hello(agent="a", route=RoutePolicy.ANY)
    with pytest.raises(IncompatiblePeer, match="rtcsend pair"):
        common_protocol(ours, Hello(protocols=(), agent="a", route=RoutePolicy.ANY))
