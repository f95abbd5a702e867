import json
import string
import zlib
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtcsend import errors
from rtcsend.blocks import DIGEST_BYTES
from rtcsend.errors import PeerProtocolError, RtcsendError
from rtcsend.manifest.entry import MAX_ENTRIES
from rtcsend.manifest.layout import MAX_STREAM_BLOCKS
from rtcsend.manifest.page import MAX_PAGE_SIZE
from rtcsend.options import MIN_LIMIT
from rtcsend.transfer.frames import MAX_PAYLOAD
from rtcsend.transfer.messages import (
    DIGEST_SIZE,
    MAX_CONTROL_SIZE,
    MAX_SENDER_LENGTH,
    MAX_WINDOW,
    MIN_WINDOW,
    PAGE_BLOCKS,
    PAGE_RANGES,
    TRANSFER_SIZE,
    AbortMessage,
    AcceptMessage,
    ByeMessage,
    CheckingMessage,
    CompleteMessage,
    ControlMessage,
    EndMessage,
    EntriesMessage,
    HaveMessage,
    PingMessage,
    ProposalMessage,
    SkipMessage,
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
PROPOSALS = st.integers(1, MAX_ENTRIES).flatmap(
    lambda entries: st.builds(
        ProposalMessage,
        transfer=hexadecimal(TRANSFER_SIZE),
        sender=st.text(st.characters(), max_size=MAX_SENDER_LENGTH),  # lone surrogates too
        entries=st.just(entries),
        files=st.integers(0, entries),
        bytes=INTEGERS,
        digest=DIGESTS,
        repeated=st.booleans(),
    )
)
PROPOSALS |= PROPOSALS.map(lambda proposal: replace(proposal, holes=proposal.bytes))
ACCEPTS = st.builds(
    AcceptMessage,
    entries=st.integers(0, MAX_ENTRIES),
    bytes=INTEGERS,
    window=st.integers(MIN_WINDOW, MAX_WINDOW),
    limit=st.just(0) | st.integers(MIN_LIMIT, MAX_INTEGER),
    start=INTEGERS,
    blocks=st.integers(0, MAX_STREAM_BLOCKS),
)
RANGES = (
    st.sets(st.integers(0, MAX_ENTRIES), min_size=1, max_size=8)
    .filter(lambda numbers: not len(numbers) % 2)
    .map(lambda numbers: tuple(sorted(numbers)))
)
MESSAGES: st.SearchStrategy[ControlMessage] = st.one_of(
    PROPOSALS,
    ACCEPTS,
    st.builds(
        EntriesMessage,
        first=st.integers(0, MAX_ENTRIES - 1),
        page=st.binary(min_size=1, max_size=100),
    ),
    st.builds(SkipMessage, ranges=RANGES),
    st.builds(WrittenMessage, bytes=INTEGERS),
    st.builds(
        HaveMessage,
        first=st.integers(0, MAX_STREAM_BLOCKS),
        digests=st.integers(0, 5).flatmap(lambda n: st.binary(min_size=32 * n, max_size=32 * n)),
    ),
    st.builds(CheckingMessage, bytes=INTEGERS, sent=INTEGERS),
    st.builds(EndMessage, digest=DIGESTS, sent=INTEGERS),
    st.builds(CompleteMessage, digest=DIGESTS),
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
        "sender": "ada-laptop",
        "entries": 5,
        "files": 4,
        "bytes": 4_400_000_000,
        "digest": DIGEST,
        "repeated": False,
    },
    "entries": {"type": "entries", "first": 0, "page": "eJw"},
    "skip": {"type": "skip", "ranges": [0, 3, 7, 8]},
    "accept": {
        "type": "accept",
        "entries": 3,
        "bytes": 4_000_000_000,
        "window": 16_777_216,
        "limit": 0,
        "start": 5,
        "blocks": 7,
    },
    "have": {"type": "have", "first": 0, "digests": "A" * 43},
    "checking": {"type": "checking", "bytes": 1_048_576, "sent": 0},
    "written": {"type": "written", "bytes": 1_048_576},
    "end": {"type": "end", "digest": DIGEST, "sent": 13},
    "complete": {"type": "complete", "digest": DIGEST},
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


def test_the_largest_messages_fit() -> None:
    for message in (
        ProposalMessage(
            transfer="0" * TRANSFER_SIZE,
            sender="\U0001f3ac" * MAX_SENDER_LENGTH,
            entries=MAX_ENTRIES,
            files=MAX_ENTRIES,
            bytes=MAX_INTEGER,
            digest=DIGEST,
        ),
        # A page that does not shrink has a few bytes more.
        EntriesMessage(first=MAX_ENTRIES - 1, page=zlib.compress(bytes(MAX_PAGE_SIZE), 0)),
        SkipMessage(ranges=tuple(range(MAX_ENTRIES - 2 * PAGE_RANGES, MAX_ENTRIES))),
        HaveMessage(first=MAX_STREAM_BLOCKS, digests=bytes(PAGE_BLOCKS * DIGEST_BYTES)),
    ):
        text = serialize_control(message)
        assert len(text) <= MAX_CONTROL_SIZE
        assert parse_control_untrusted(text) == message


def test_one_page_more_does_not_fit() -> None:
    for message in (
        SkipMessage(ranges=tuple(range(2 * PAGE_RANGES + 2))),
        HaveMessage(first=0, digests=bytes((PAGE_BLOCKS + 1) * DIGEST_BYTES)),
    ):
        with pytest.raises(PeerProtocolError):
            parse_control_untrusted(serialize_control(message))


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
_NO_LISTS: list[object] = [None, True, 0, "0", {}, {"0": 0}]

FIELDS: list[tuple[str, str, list[object], list[object]]] = [
    ("proposal", "transfer", ["f" * 32], [*_NO_STRINGS, "", "f" * 31, "F" * 32, "f" * 64]),
    ("proposal", "sender", ["", "a" * MAX_SENDER_LENGTH], [*_NO_STRINGS, "a" * 256]),
    ("proposal", "entries", [4, MAX_ENTRIES], [*_NO_INTEGERS, 0, 3, MAX_ENTRIES + 1]),
    ("proposal", "files", [0, 5], [*_NO_INTEGERS, 6]),
    ("proposal", "bytes", [0, MAX_INTEGER], _NO_INTEGERS),
    ("proposal", "digest", ["f" * 64], _NO_DIGESTS),
    ("proposal", "holes", [0, 4_400_000_000], [*_NO_INTEGERS, 4_400_000_001]),
    ("proposal", "repeated", [True, False], [None, 0, 1, "true", [], {}]),
    ("entries", "first", [0, MAX_ENTRIES - 1], [*_NO_INTEGERS, MAX_ENTRIES]),
    ("entries", "page", ["eA"], [*_NO_STRINGS, "", "eA==", "eB", "e", "+A", "eA\n"]),
    (
        "skip",
        "ranges",
        [[0, MAX_ENTRIES]],
        [*_NO_LISTS, [], [0], [1, 1], [1, 0], [0, 1, 1, 2], [-1, 1], [0, MAX_ENTRIES + 1]],
    ),
    ("skip", "ranges", [], [[0, 1.5], [False, 1], [0, True], ["0", "1"], [[0, 1]], [None, 1]]),
    ("accept", "entries", [0, MAX_ENTRIES], [*_NO_INTEGERS, MAX_ENTRIES + 1]),
    ("accept", "bytes", [0, MAX_INTEGER], _NO_INTEGERS),
    ("accept", "start", [0, MAX_INTEGER], _NO_INTEGERS),
    ("accept", "blocks", [0, MAX_STREAM_BLOCKS], [*_NO_INTEGERS, MAX_STREAM_BLOCKS + 1]),
    ("have", "first", [0, MAX_STREAM_BLOCKS], [*_NO_INTEGERS, MAX_STREAM_BLOCKS + 1]),
    ("have", "digests", ["", "A" * 43], [*_NO_STRINGS, "A", "A" * 42, "A" * 44, "A" * 42 + "B"]),
    ("checking", "bytes", [0, MAX_INTEGER], _NO_INTEGERS),
    ("checking", "sent", [0, MAX_INTEGER], _NO_INTEGERS),
    ("accept", "window", [65_536, 1 << 30], [*_NO_INTEGERS, 0, 65_535, (1 << 30) + 1]),
    ("accept", "limit", [0, MIN_LIMIT, MAX_INTEGER], [*_NO_INTEGERS, 1, MIN_LIMIT - 1]),
    ("written", "bytes", [0, MAX_INTEGER], _NO_INTEGERS),
    ("end", "digest", ["f" * 64], _NO_DIGESTS),
    ("end", "sent", [0, MAX_INTEGER], _NO_INTEGERS),
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


@pytest.mark.parametrize(
    ("kind", "field"), [(kind, field) for kind, field, _, _ in FIELDS if field != "holes"]
)
def test_no_field_may_be_missing(kind: str, field: str) -> None:
    fields = {name: value for name, value in VALID[kind].items() if name != field}
    with pytest.raises(PeerProtocolError):
        parse(fields)


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
        '{"type":"written","bytes":1e3}',
        '{"type":"written","bytes":NaN}',
        '{"type":"written","bytes":1,"bytes":2}',
        '{"type":"written","bytes":-0.0}',
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
