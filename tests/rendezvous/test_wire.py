import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtcsend.rendezvous.wire import (
    MAX_COUNT,
    MAX_FRAME,
    BadMessage,
    Fields,
    decode_base64url_untrusted,
    encode_base64url,
    fields_of,
    parse_object_untrusted,
    serialize_object,
)


@given(st.binary(max_size=200))
def test_base64url_round_trip(data: bytes) -> None:
    text = encode_base64url(data)
    assert "=" not in text
    assert decode_base64url_untrusted(text) == data


@pytest.mark.parametrize("text", ["A", "AB", "AAAAA", "AA==", "A+/A", "AA A", "AAé", "QUJ", "\n"])
def test_base64url_refuses_what_is_not_canonical(text: str) -> None:
    if text == "AB":  # the last four bits are not zero
        assert encode_base64url(b"\x00") == "AA"
    with pytest.raises(BadMessage):
        decode_base64url_untrusted(text)


@given(st.text(alphabet="AQgw-_", max_size=6))
def test_base64url_has_one_spelling(text: str) -> None:
    try:
        data = decode_base64url_untrusted(text)
    except BadMessage:
        return
    assert encode_base64url(data) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "null",
        "[]",
        '"type"',
        "{",
        '{"a":1,"a":2}',
        '{"a":{"b":1,"b":1}}',
        '{"a":NaN}',
        '{"a":Infinity}',
        '{"a":-Infinity}',
        '{"a":1e999}',
        '{"a":' + "1" * 17 + "}",
        '{"a":' + "[" * 30_000 + "]" * 30_000 + "}",
        "[" * 60_000,
        '{"a":"' + "x" * MAX_FRAME + '"}',
        '{"a":"' + "é" * (MAX_FRAME // 2) + '"}',  # few enough characters, too many bytes
        '\ufeff{"a":1}',
        "{'a':1}",
        '{"a":1}x',
    ],
)
def test_refused_objects(text: str) -> None:
    with pytest.raises(BadMessage):
        parse_object_untrusted(text)


def test_the_largest_frame_is_taken() -> None:
    text = '{"a":"' + "x" * (MAX_FRAME - 8) + '"}'
    assert len(text) == MAX_FRAME
    assert parse_object_untrusted(text).has("a")
    with pytest.raises(BadMessage, match="too large"):
        parse_object_untrusted(text.replace("x", "xx", 1))


@given(st.one_of(st.text(), st.binary().map(lambda data: data.decode("latin-1"))))
def test_any_text_is_an_object_or_bad(text: str) -> None:
    with contextlib.suppress(BadMessage):
        parse_object_untrusted(text)


@given(st.recursive(st.none() | st.integers() | st.text(), st.lists, max_leaves=5))
def test_any_json_is_an_object_or_bad(value: object) -> None:
    with contextlib.suppress(BadMessage):
        parse_object_untrusted(json.dumps({"a": value}))


def test_lone_surrogates_are_refused_where_text_is_kept() -> None:
    fields = parse_object_untrusted('{"a":"\\ud800"}')
    with pytest.raises(BadMessage, match="Unicode"):
        fields.text("a", max_length=10)


def test_text_of_a_frame_may_hold_lone_surrogates_itself() -> None:
    with pytest.raises(BadMessage):
        parse_object_untrusted('{"a":"\ud800"}').text("a", max_length=10)


@pytest.mark.parametrize("value", [None, 1, True, [], {}, "xx"])
def test_text_refuses_other_types_and_lengths(value: object) -> None:
    with pytest.raises(BadMessage):
        Fields({"a": value}).text("a", max_length=1)


@pytest.mark.parametrize("value", [-1, MAX_COUNT + 1, True, 1.0, "1", [], {}])
def test_count_refuses_everything_else(value: object) -> None:
    with pytest.raises(BadMessage):
        Fields({"n": value}).count("n")


@pytest.mark.parametrize(("value", "count"), [(None, 0), (0, 0), (7, 7), (MAX_COUNT, MAX_COUNT)])
def test_count(value: object, count: int) -> None:
    assert Fields({"n": value}).count("n") == count
    assert Fields({}).count("n") == 0


def test_items_are_bounded() -> None:
    assert Fields({"l": [1, 2]}).items("l", max_items=2) == [1, 2]
    assert Fields({"l": None}).items("l", max_items=2) == []
    values: list[object] = [[1, 2, 3], {}, "ab", 1]
    for value in values:
        with pytest.raises(BadMessage):
            Fields({"l": value}).items("l", max_items=2)


def test_fields_of_wants_an_object() -> None:
    assert fields_of({"a": 1}).has("a")
    with pytest.raises(BadMessage):
        fields_of([("a", 1)])


def test_serialized_frames_are_ascii() -> None:
    assert serialize_object({"a": "é€"}).isascii()
