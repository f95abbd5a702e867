import json
import string
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtcsend import errors
from rtcsend.blocks import DIGEST_BYTES, MAX_BLOCKS
from rtcsend.errors import PeerProtocolError, RtcsendError
from rtcsend.options import MIN_LIMIT
from rtcsend.transfer.frames import MAX_PAYLOAD
from rtcsend.transfer.messages import (
    DIGEST_SIZE,
    MAX_CONTROL_SIZE,
    MAX_PATH_LENGTH,
    MAX_SENDER_LENGTH,
    MAX_WINDOW,
    MIN_WINDOW,
    PAGE_BLOCKS,
    SAMPLE_SIZE,
    TRANSFER_SIZE,
    AbortMessage,
    AcceptMessage,
    ByeMessage,
    CheckingMessage,
    CompleteMessage,
    ControlMessage,
    EndMessage,
    HaveMessage,
    PingMessage,
    ProposalMessage,
    ProposedEntry,
    WrittenMessage,
    parse_control_untrusted,
    serialize_control,
)

MAX_INTEGER = 9_007_199_254_740_991
DIGEST = "0123456789abcdef" * 4

INTEGERS = st.integers(0, MAX_INTEGER)


def hexadecimal(size: int) -> st.SearchStrategy[str]:
    return st.text(alphabet="0123456789abcdef", min_size=size, max_size=size)


DIGESTS = hexadecimal(DIGEST_SIZE)
PROPOSALS = st.builds(
    ProposalMessage,
    transfer=hexadecimal(TRANSFER_SIZE),
    entries=st.tuples(
        st.builds(
            ProposedEntry,
            path=st.text(st.characters(), max_size=MAX_PATH_LENGTH),  # lone surrogates too
            kind=st.just("file"),
            size=INTEGERS,
            sample=hexadecimal(SAMPLE_SIZE),
        )
    ),
    sender=st.text(st.characters(), max_size=MAX_SENDER_LENGTH),
)
ACCEPTS = st.builds(
    AcceptMessage,
    entries=st.sampled_from([(), (0,)]),
    window=st.integers(MIN_WINDOW, MAX_WINDOW),
    limit=st.just(0) | st.integers(MIN_LIMIT, MAX_INTEGER),
    start=INTEGERS,
    blocks=st.integers(0, MAX_BLOCKS),
)
MESSAGES: st.SearchStrategy[ControlMessage] = st.one_of(
    PROPOSALS,
    ACCEPTS,
    st.builds(WrittenMessage, entry=st.just(0), bytes=INTEGERS),
    st.builds(
        HaveMessage,
        entry=st.just(0),
        first=st.integers(0, MAX_BLOCKS - 1),
        digests=st.integers(1, 5).flatmap(lambda n: st.binary(min_size=32 * n, max_size=32 * n)),
    ),
    st.builds(CheckingMessage, entry=st.just(0), bytes=INTEGERS, sent=INTEGERS),
    st.builds(EndMessage, entry=st.just(0), digest=DIGESTS, sent=INTEGERS),
    st.builds(CompleteMessage, entry=st.just(0), digest=DIGESTS),
    st.just(ByeMessage()),
    st.just(PingMessage()),
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(), max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4)
    ),
    max_leaves=12,
)

VALID: dict[str, dict[str, Any]] = {
    "proposal": {
        "type": "proposal",
        "transfer": "0011223344556677" * 2,
        "entries": [{"path": "film.iso", "kind": "file", "size": 4_400_000_000, "sample": DIGEST}],
        "sender": "ada-laptop",
    },
    "accept": {
        "type": "accept",
        "entries": [0],
        "window": 16_777_216,
        "limit": 0,
        "start": 5,
        "blocks": 7,
    },
    "have": {"type": "have", "entry": 0, "first": 0, "digests": "A" * 43},
    "checking": {"type": "checking", "entry": 0, "bytes": 1_048_576, "sent": 0},
    "written": {"type": "written", "entry": 0, "bytes": 1_048_576},
    "end": {"type": "end", "entry": 0, "digest": DIGEST, "sent": 13},
    "complete": {"type": "complete", "entry": 0, "digest": DIGEST},
    "bye": {"type": "bye"},
    "ping": {"type": "ping"},
    "abort": {"type": "abort", "code": "declined", "reason": "film.iso was declined."},
}


def parse(message: object) -> ControlMessage:
    return parse_control_untrusted(json.dumps(message))


@given(MESSAGES)
def test_round_trip(message: ControlMessage) -> None:
    text = serialize_control(message)
    assert parse_control_untrusted(text) == message
    assert len(text) <= MAX_CONTROL_SIZE
    assert text.isascii()


@pytest.mark.parametrize("kind", VALID)
def test_the_text_is_the_fields_without_blanks(kind: str) -> None:
    text = json.dumps(VALID[kind], separators=(",", ":"))
    message = parse_control_untrusted(text)
    assert serialize_control(message) == text or kind == "abort"  # below


def test_the_largest_proposal_fits() -> None:
    entry = ProposedEntry(
        path="\U0001f3ac" * MAX_PATH_LENGTH, kind="file", size=MAX_INTEGER, sample=DIGEST
    )
    proposal = ProposalMessage(
        transfer="0" * TRANSFER_SIZE, entries=(entry,), sender="\U0001f3ac" * MAX_SENDER_LENGTH
    )
    text = serialize_control(proposal)
    assert len(text) <= MAX_CONTROL_SIZE
    assert parse_control_untrusted(text) == proposal


def test_the_largest_page_fits() -> None:
    page = HaveMessage(entry=0, first=MAX_BLOCKS - 1, digests=bytes(PAGE_BLOCKS * DIGEST_BYTES))
    text = serialize_control(page)
    assert len(text) <= MAX_CONTROL_SIZE
    assert parse_control_untrusted(text) == page
    with pytest.raises(PeerProtocolError):
        parse_control_untrusted(text.replace("A", "A" * 44, 1))


def test_one_frame_always_fits_the_window() -> None:
    assert MIN_WINDOW >= MAX_PAYLOAD


ALL_ERRORS = [
    kind
    for kind in vars(errors).values()
    if isinstance(kind, type) and issubclass(kind, RtcsendError)
]


@pytest.mark.parametrize("error", ALL_ERRORS, ids=lambda error: str(error.__name__))
def test_an_abort_of_every_error_arrives(error: type[RtcsendError]) -> None:
    sent = error("It is “so”.\n" * 100, for_peer=None)
    message = parse_control_untrusted(serialize_control(AbortMessage(sent)))
    assert isinstance(message, AbortMessage)
    assert message.error.told_by_peer
    assert message.error.exit_code >= 20


@given(MESSAGES, st.data())
def test_unknown_fields_are_read_over(message: ControlMessage, data: st.DataObject) -> None:
    fields = json.loads(serialize_control(message))
    # Letters that no field starts with; numbers that a JavaScript peer holds exactly.
    names = st.text("x", min_size=1, max_size=3)
    extra = data.draw(st.dictionaries(names, st.integers(-MAX_INTEGER, MAX_INTEGER), max_size=3))
    assert parse({**extra, **fields}) == message


# Field by field: for each, values inside the bounds and outside.
_WRONG_TYPES: list[object] = [None, True, 1.5, "1", [], {}]
_NO_INTEGERS: list[object] = [*_WRONG_TYPES, -1, MAX_INTEGER + 1, 10**30]
_NO_STRINGS: list[object] = [None, True, 1, [], {}]
_NO_DIGESTS: list[object] = [
    *_NO_STRINGS,
    "",
    DIGEST[:-1],
    DIGEST + "0",
    DIGEST.upper(),
    DIGEST[:-1] + "g",
    DIGEST[:-1] + "\n",
    DIGEST[:-1] + "\u0660",  # a digit, for str.isdigit
]
_NO_ENTRIES: list[object] = [None, True, 0, "0", {}, {"0": 0}]

FIELDS: list[tuple[str, str, list[object], list[object]]] = [
    ("proposal", "sender", ["", "a" * MAX_SENDER_LENGTH], [*_NO_STRINGS, "a" * 256]),
    ("proposal", "entries", [], [*_NO_ENTRIES, [], [0], [None], [[]], [{}]]),
    ("accept", "entries", [[], [0]], [*_NO_ENTRIES, [1], [-1], [0, 0], ["0"], [True], [[0]]]),
    ("accept", "window", [65_536, 1 << 30], [*_NO_INTEGERS, 0, 65_535, (1 << 30) + 1]),
    ("accept", "limit", [0, MIN_LIMIT, MAX_INTEGER], [*_NO_INTEGERS, 1, MIN_LIMIT - 1]),
    ("written", "entry", [0], [*_NO_INTEGERS, 1]),
    ("written", "bytes", [0, MAX_INTEGER], _NO_INTEGERS),
    ("end", "entry", [0], [*_NO_INTEGERS, 1]),
    ("end", "digest", ["f" * 64], _NO_DIGESTS),
    ("complete", "entry", [0], [*_NO_INTEGERS, 1]),
    ("complete", "digest", ["0" * 64], _NO_DIGESTS),
    ("abort", "code", ["", "declined", "x" * 64], [*_NO_STRINGS, "x" * 65]),
    ("abort", "reason", ["", "x" * 500], [*_NO_STRINGS, "x" * 501]),
]
GOOD = [(kind, field, value) for kind, field, good, _ in FIELDS for value in good]
BAD = [(kind, field, value) for kind, field, _, bad in FIELDS for value in bad]


@pytest.mark.parametrize(("kind", "field", "value"), GOOD)
def test_inside_the_bounds(kind: str, field: str, value: object) -> None:
    parse({**VALID[kind], field: value})


@pytest.mark.parametrize(("kind", "field", "value"), BAD)
def test_outside_the_bounds(kind: str, field: str, value: object) -> None:
    with pytest.raises(PeerProtocolError):
        parse({**VALID[kind], field: value})


@pytest.mark.parametrize(("kind", "field"), [(kind, field) for kind, field, _, _ in FIELDS])
def test_no_field_may_be_missing(kind: str, field: str) -> None:
    fields = {name: value for name, value in VALID[kind].items() if name != field}
    with pytest.raises(PeerProtocolError):
        parse(fields)


@pytest.mark.parametrize(
    ("field", "good", "bad"),
    [
        ("path", ["", "a" * MAX_PATH_LENGTH, "../x"], [*_NO_STRINGS, "a" * (MAX_PATH_LENGTH + 1)]),
        ("kind", ["file"], [*_NO_STRINGS, "", "folder", "FILE"]),
        ("size", [0, MAX_INTEGER], _NO_INTEGERS),
    ],
)
def test_fields_of_an_entry(field: str, good: list[object], bad: list[object]) -> None:
    entry = VALID["proposal"]["entries"][0]

    def proposal(value: object) -> object:
        return {**VALID["proposal"], "entries": [{**entry, field: value}]}

    for value in good:
        assert isinstance(parse(proposal(value)), ProposalMessage)
    for value in bad:
        with pytest.raises(PeerProtocolError):
            parse(proposal(value))
    with pytest.raises(PeerProtocolError):
        parse({**VALID["proposal"], "entries": [{k: v for k, v in entry.items() if k != field}]})


def test_two_entries_are_one_too_many() -> None:
    entries = VALID["proposal"]["entries"] * 2
    with pytest.raises(PeerProtocolError):
        parse({**VALID["proposal"], "entries": entries})


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{}",
        "null",
        "[]",
        '"ping"',
        "ping",
        '{"type":"ping"',
        '{"type":"ping"}}',
        '{"type":"ping"}{"type":"ping"}',
        '{"type":"Ping"}',
        '{"type":"pong"}',
        '{"type":null}',
        '{"type":["ping"]}',
        '{"type":"ping","type":"bye"}',
        '{"type":"written","entry":0,"bytes":1e3}',
        '{"type":"written","entry":0,"bytes":NaN}',
        '{"type":"written","entry":0,"bytes":1,"bytes":2}',
        '{"type":"written","entry":-0.0,"bytes":1}',
        '\ufeff{"type":"ping"}',
        '{"type":"ping","x":' + "[" * 4 + "]" * 4 + "}",
        '{"type":"ping","x":' + "[" * 30_000 + "]" * 30_000 + "}",
        '{"type":"ping","x":' + "9" * 5_000 + "}",
    ],
)
def test_no_control_message(text: str) -> None:
    with pytest.raises(PeerProtocolError):
        parse_control_untrusted(text)


def test_the_size_is_bounded_before_anything_is_parsed() -> None:
    ping = '{"type":"ping"}'
    assert parse_control_untrusted(ping.ljust(MAX_CONTROL_SIZE)) == PingMessage()
    with pytest.raises(PeerProtocolError, match="too long"):
        parse_control_untrusted(ping.ljust(MAX_CONTROL_SIZE + 1))


def parses_or_fails_as_documented(text: str) -> None:
    try:
        message = parse_control_untrusted(text)
    except PeerProtocolError:
        return
    serialize_control(message)


@given(st.text(st.characters(), max_size=300))
def test_any_text(text: str) -> None:
    parses_or_fails_as_documented(text)


@given(st.text(string.digits + '{}[]":,.-+eE\\ntrufalsp ', max_size=60))
def test_any_text_that_looks_like_json(text: str) -> None:
    parses_or_fails_as_documented(text)


@given(JSON)
def test_any_json(value: object) -> None:
    parses_or_fails_as_documented(json.dumps(value))


@given(st.sampled_from(sorted(VALID)), st.data())
def test_any_json_in_any_field(kind: str, data: st.DataObject) -> None:
    field = data.draw(st.sampled_from(sorted(VALID[kind])))
    parses_or_fails_as_documented(json.dumps({**VALID[kind], field: data.draw(JSON)}))


@given(st.sampled_from(sorted(VALID)), st.data())
def test_any_edit_of_a_valid_text(kind: str, data: st.DataObject) -> None:
    text = json.dumps(VALID[kind])
    start = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(start, min(len(text), start + 8)))
    insertion = data.draw(st.text(st.characters(), max_size=4))
    parses_or_fails_as_documented(text[:start] + insertion + text[end:])
