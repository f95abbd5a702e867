import contextlib
import json
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtcsend.rendezvous import messages as m
from rtcsend.rendezvous.frames import (
    parse_client_message_untrusted,
    parse_server_message_untrusted,
    serialize,
)
from rtcsend.rendezvous.messages import MAX_BODY, MAX_FRAME, BadMessage

SIDE = "A" * 22
TOKEN = "tokentokentokentoken_-"
MAILBOX = "m" * 43

counts = st.integers(0, 10**9)
nameplates = st.integers(1, 10**9 - 1).map(str)
base64url = st.sampled_from("ABCxyz019-_")
tokens = st.text(base64url, min_size=16, max_size=64)
sides = st.none() | st.text(base64url, min_size=22, max_size=22)
display = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
bodies = st.binary(max_size=300).map(m.Message)
ice_servers = st.builds(
    m.IceServer,
    urls=st.lists(
        st.sampled_from(["stun:h:1", "turn:h?transport=tcp"]), min_size=1, max_size=3
    ).map(tuple),
    username=st.none() | display,
    credential=st.none() | display,
)
client_messages = st.one_of(
    st.builds(
        m.Allocate,
        nameplate=st.none() | nameplates,
        side=sides,
        received=counts,
        auth=st.none() | st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1),
    ),
    st.builds(m.Claim, nameplate=nameplates, side=sides, received=counts),
    st.builds(m.Meet, mailbox=tokens, side=sides, received=counts, permit=st.none() | tokens),
    st.builds(m.Resume, token=tokens, nameplate=nameplates, received=counts),
    st.builds(m.Resume, token=tokens, mailbox=tokens, received=counts),
    bodies,
    st.just(m.Release()),
    st.sampled_from(get_args(m.ReportedRoute)).map(m.Report),
)
server_messages = st.one_of(
    st.builds(
        m.Welcome,
        server=display,
        ice_servers=st.lists(ice_servers, max_size=3).map(tuple),
        motd=st.none() | display,
        protocol=counts,
        min_client=st.none() | st.sampled_from(["1", "0.1.0", "2026.11"]),
        reports=st.booleans(),
    ),
    st.builds(m.Allocated, nameplate=nameplates, token=tokens, received=counts),
    st.builds(m.Claimed, token=tokens, received=counts),
    st.builds(m.Resumed, received=counts),
    bodies,
    st.builds(
        m.Peer,
        st.sampled_from(get_args(m.PeerState)),
        st.lists(ice_servers, max_size=3).map(tuple),
        st.none() | tokens,
    ),
    st.builds(
        m.ErrorMessage,
        code=st.sampled_from(get_args(m.ErrorCode)),
        message=display,
        retry_after=st.none() | counts,
    ),
)


@given(client_messages)
def test_client_messages_round_trip(message: m.ClientMessage) -> None:
    assert parse_client_message_untrusted(serialize(message)) == message


@given(server_messages)
def test_server_messages_round_trip(message: m.ServerMessage) -> None:
    assert parse_server_message_untrusted(serialize(message)) == message


KEYS = "type nameplate side received mailbox token body state code message server ice_servers "
KEYS += "auth permit route retry_after min_client reports"
TYPES = "allocate claim meet resume message release report "
TYPES += "welcome allocated claimed resumed peer error"
keys = st.sampled_from(KEYS.split())
values = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=30), st.just("7"),
    st.just(SIDE), st.just("joined"), st.lists(st.integers() | st.text(), max_size=3),
    st.lists(st.dictionaries(st.sampled_from(["urls", "username"]), st.just(["stun:h"]))),
)  # fmt: skip
types = st.sampled_from(TYPES.split())


@given(st.text() | st.binary().map(lambda data: data.decode("latin-1")))
def test_any_text_is_a_message_or_bad(text: str) -> None:
    for parse in (parse_client_message_untrusted, parse_server_message_untrusted):
        with contextlib.suppress(BadMessage):
            parse(text)


@given(types, st.dictionaries(keys, values))
def test_any_fields_are_a_message_or_bad(name: str, fields: dict[str, object]) -> None:
    text = json.dumps(fields | {"type": name})
    for parse in (parse_client_message_untrusted, parse_server_message_untrusted):
        try:
            message = parse(text)
        except BadMessage:
            continue
        assert parse(serialize(message)) == message


WIRE = [
    (m.Allocate(), {"type": "allocate", "received": 0}),
    (m.Claim(nameplate="7"), {"type": "claim", "nameplate": "7", "received": 0}),
    (
        m.Resume(nameplate="7", token=TOKEN, received=2),
        {"type": "resume", "token": TOKEN, "nameplate": "7", "received": 2},
    ),
    (m.Message(b"\xff\xfe"), {"type": "message", "body": "__4"}),
    (m.Release(), {"type": "release"}),
    (m.Peer("away"), {"type": "peer", "state": "away"}),
    (
        m.Welcome(server="s", ice_servers=(m.IceServer(("turn:h",), "u", "c"),)),
        {
            "type": "welcome",
            "protocol": 1,
            "server": "s",
            "ice_servers": [{"urls": ["turn:h"], "username": "u", "credential": "c"}],
            "motd": None,
        },
    ),
    (
        m.ErrorMessage(code="not-found", message="x"),
        {"type": "error", "code": "not-found", "message": "x"},
    ),
    (
        m.ErrorMessage(code="rate-limited", message="x", retry_after=7),
        {"type": "error", "code": "rate-limited", "message": "x", "retry_after": 7},
    ),
    (m.Report("relayed"), {"type": "report", "route": "relayed"}),
    (
        m.Peer("joined", (m.IceServer(("turn:h",), "u", "c"),)),
        {
            "type": "peer",
            "state": "joined",
            "ice_servers": [{"urls": ["turn:h"], "username": "u", "credential": "c"}],
        },
    ),
]


def test_a_code_that_nobody_knows_yet_refuses() -> None:
    frame = '{"type":"error","code":"teapot","message":"short and stout","retry_after":4}'
    refused = m.ErrorMessage(code="refused", message="short and stout", retry_after=4)
    assert parse_server_message_untrusted(frame) == refused


@pytest.mark.parametrize(("message", "wire"), WIRE)
def test_wire_form(message: m.ClientMessage | m.ServerMessage, wire: dict[str, object]) -> None:
    assert json.loads(serialize(message)) == wire


BAD_FROM_CLIENT: list[dict[str, object]] = [
    {},
    {"type": None},
    {"type": 1},
    {"type": "welcome"},
    {"type": "Allocate"},
    {"type": "allocate", "nameplate": 7},
    {"type": "allocate", "nameplate": "0"},
    {"type": "allocate", "nameplate": "007"},
    {"type": "allocate", "nameplate": "1234567890"},
    {"type": "allocate", "nameplate": "٣"},
    {"type": "allocate", "nameplate": "7\n"},
    {"type": "allocate", "side": "A" * 21},
    {"type": "allocate", "received": -1},
    {"type": "claim"},
    {"type": "claim", "nameplate": None},
    {"type": "meet", "mailbox": "m" * 15},
    {"type": "meet", "mailbox": "m" * 65},
    {"type": "meet", "mailbox": "m" * 20 + "+"},
    {"type": "resume", "token": TOKEN},
    {"type": "resume", "token": TOKEN, "nameplate": "7", "mailbox": MAILBOX},
    {"type": "resume", "nameplate": "7"},
    {"type": "resume", "nameplate": "7", "token": "x"},
    {"type": "message"},
    {"type": "message", "body": "=="},
    {"type": "message", "body": 1},
    {"type": "message", "body": "A" * 64_004},
]
BAD_FROM_SERVER: list[dict[str, object]] = [
    {"type": "allocate"},
    {"type": "welcome"},
    {"type": "welcome", "server": "x" * 1_001},
    {"type": "welcome", "server": "s", "motd": "x" * 1_001},
    {"type": "welcome", "server": "s", "ice_servers": {}},
    {"type": "welcome", "server": "s", "ice_servers": [1]},
    {"type": "welcome", "server": "s", "ice_servers": [{}]},
    {"type": "welcome", "server": "s", "ice_servers": [{"urls": "stun:h"}]},
    {"type": "welcome", "server": "s", "ice_servers": [{"urls": ["http://h"]}]},
    {"type": "welcome", "server": "s", "ice_servers": [{"urls": ["stun:h\r\n"]}]},
    {"type": "welcome", "server": "s", "ice_servers": [{"urls": [None]}]},
    {"type": "welcome", "server": "s", "ice_servers": [{"urls": ["stun:h"], "username": 1}]},
    {"type": "welcome", "server": "s", "ice_servers": [{"urls": ["stun:h"]}] * 21},
    {"type": "welcome", "server": "s", "protocol": "1"},
    {"type": "allocated", "nameplate": "7"},
    {"type": "allocated", "nameplate": 7, "token": TOKEN},
    {"type": "claimed", "token": "x" * 65},
    {"type": "resumed", "received": 1.5},
    {"type": "peer"},
    {"type": "peer", "state": "gone"},
    {"type": "error"},
    {"type": "error", "code": 7},
    {"type": "error", "code": "full", "retry_after": -1},
    {"type": "error", "code": "full", "retry_after": 0.5},
    {"type": "peer", "state": "joined", "ice_servers": [{"urls": ["http://h"]}]},
    {"type": "welcome", "protocol": 1, "server": "s", "min_client": "new"},
    {"type": "welcome", "protocol": 1, "server": "s", "reports": 1},
    {"type": "error", "code": "full", "message": 1},
]


@pytest.mark.parametrize("wire", BAD_FROM_CLIENT, ids=str)
def test_bad_client_messages(wire: dict[str, object]) -> None:
    with pytest.raises(BadMessage):
        parse_client_message_untrusted(json.dumps(wire))


@pytest.mark.parametrize("wire", BAD_FROM_SERVER, ids=str)
def test_bad_server_messages(wire: dict[str, object]) -> None:
    with pytest.raises(BadMessage):
        parse_server_message_untrusted(json.dumps(wire))


def test_unknown_fields_are_ignored() -> None:
    text = '{"type":"peer","state":"left","since":1.5,"x":{"y":[]}}'
    assert parse_server_message_untrusted(text) == m.Peer("left")


def test_the_largest_body_fits_a_frame() -> None:
    frame = serialize(m.Message(bytes(MAX_BODY)))
    assert len(frame) <= MAX_FRAME
    assert parse_client_message_untrusted(frame) == m.Message(bytes(MAX_BODY))
    with pytest.raises(BadMessage):
        parse_client_message_untrusted(serialize(m.Message(bytes(MAX_BODY + 1))))


def test_secrets_are_in_no_repr() -> None:
    secret = "secretsecretsecretsecr"
    for message in (
        m.Welcome(server="s", ice_servers=(m.IceServer(("turn:h",), "u", secret),)),
        m.Allocate(side=secret),
        m.Claim(nameplate="7", side=secret),
        m.Meet(mailbox=secret, side=secret),
        m.Resume(token=secret, mailbox=secret),
        m.Allocated(nameplate="7", token=secret),
        m.Claimed(token=secret),
        m.Message(secret.encode()),
    ):
        assert secret not in repr(message)


@pytest.mark.parametrize(("text", "expected"), [("7", True), ("07", False), ("", False)])
def test_is_nameplate(text: str, *, expected: bool) -> None:
    assert m.is_nameplate(text) is expected


@pytest.mark.parametrize(("text", "expected"), [(MAILBOX, True), ("m" * 15, False)])
def test_is_mailbox(text: str, *, expected: bool) -> None:
    assert m.is_mailbox(text) is expected
