import json
from functools import partial
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtcsend.errors import PeerProtocolError
from rtcsend.strict_json import (
    MAX_DEPTH,
    MAX_INTEGER,
    JsonObject,
    parse_list_untrusted,
    parse_object_untrusted,
    take_bool,
    take_int,
    take_list,
    take_str,
)
from tests.fuzz.cost import lines_run

SIZE = 10_000  # characters; no limit for most cases here


def nested(depth: int, opening: str = '{"a":', closing: str = "}") -> str:
    return opening * depth + "0" + closing * depth


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{}", {}),
        (' {"a" : 1 }\r\n', {"a": 1}),
        ('{"a":null,"b":true,"c":[1,"x",{}]}', {"a": None, "b": True, "c": [1, "x", {}]}),
        (f'{{"a":{MAX_INTEGER},"b":-{MAX_INTEGER}}}', {"a": MAX_INTEGER, "b": -MAX_INTEGER}),
        (nested(MAX_DEPTH), {"a": {"a": {"a": {"a": 0}}}}),
        ('{"a":"[[[[[[{{{{{{"}', {"a": "[[[[[[{{{{{{"}),
        (r'{"a":"\"[[[[[[","b":"\\"}', {"a": '"[[[[[[', "b": "\\"}),
        ('{"a":[[1]],"b":[[2]],"c":[[3]]}', {"a": [[1]], "b": [[2]], "c": [[3]]}),
        ('{"ä":"€"}', {"ä": "€"}),
    ],
)
def test_objects_are_read(text: str, expected: JsonObject) -> None:
    assert parse_object_untrusted(text, max_size=SIZE) == expected
    assert parse_object_untrusted(text.encode(), max_size=SIZE) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "{",
        "}",
        "[]",
        "1",
        '"a"',
        "null",
        "true",
        "NaN",
        "{'a':1}",
        '{"a":1}{}',
        '{"a":1,}',
        '{"a":01}',
        '{"a":1.0}',
        '{"a":1e3}',
        '{"a":-0.0}',
        '{"a":NaN}',
        '{"a":Infinity}',
        '{"a":-Infinity}',
        f'{{"a":{MAX_INTEGER + 1}}}',
        f'{{"a":-{MAX_INTEGER + 1}}}',
        '{"a":' + "9" * 9_000 + "}",
        '{"a":1,"a":1}',
        '{"b":{"a":1,"a":2}}',
        '{"a":"\n"}',
        '{"a":"',
        '{"a":"\\',
        "\ufeff{}",
        nested(MAX_DEPTH + 1),
        '{"a":' + nested(MAX_DEPTH, "[", "]") + "}",
        r'{"a":"\\","b":[[[[1]]]]}',
        "[" * SIZE,
        '{"a":' * 1_000,
    ],
)
def test_everything_else_is_refused(text: str) -> None:
    with pytest.raises(PeerProtocolError):
        parse_object_untrusted(text, max_size=SIZE)
    with pytest.raises(PeerProtocolError):
        parse_object_untrusted(text.encode(), max_size=SIZE)


def test_the_size_is_checked_before_anything_else() -> None:
    text = '{"a":"12345"}'
    assert parse_object_untrusted(text, max_size=len(text)) == {"a": "12345"}
    for too_long in (text + " ", (text + " ").encode(), "[" * (len(text) + 1)):
        with pytest.raises(PeerProtocolError, match="too long"):
            parse_object_untrusted(too_long, max_size=len(text))


def test_bytes_that_are_not_utf_8_are_replaced_in_strings_only() -> None:
    assert parse_object_untrusted(b'{"a":"\xff"}', max_size=SIZE) == {"a": "\ufffd"}
    with pytest.raises(PeerProtocolError):
        parse_object_untrusted(b'{"a":\xff}', max_size=SIZE)


@given(st.text() | st.text('{}[]",:\\0123eE.-+ truefalsn') | st.binary())
def test_any_text_is_an_object_or_the_one_error(text: str | bytes) -> None:
    try:
        value = parse_object_untrusted(text, max_size=SIZE)
    except PeerProtocolError:
        return
    assert isinstance(value, dict)


scalars = st.none() | st.booleans() | st.integers(-MAX_INTEGER, MAX_INTEGER) | st.text()
one_deep = scalars | st.lists(scalars) | st.dictionaries(st.text(), scalars)


@given(st.dictionaries(st.text(), one_deep | st.lists(one_deep)), st.booleans())
def test_what_json_wrote_is_read_back(value: JsonObject, ascii_only: bool) -> None:
    text = json.dumps(value, ensure_ascii=ascii_only)
    assert parse_object_untrusted(text, max_size=len(text)) == value


@given(st.integers(1, 12), st.sampled_from([('{"a":', "}"), ("[", "]")]))
def test_depth_is_what_python_would_count(depth: int, brackets: tuple[str, str]) -> None:
    text = '{"x":' + nested(depth, *brackets) + "}"
    if depth < MAX_DEPTH:
        assert parse_object_untrusted(text, max_size=SIZE)
    else:
        with pytest.raises(PeerProtocolError, match="too deeply"):
            parse_object_untrusted(text, max_size=SIZE)


def depth_character_by_character(text: str) -> int:
    depth = deepest = 0
    in_string = escaped = False
    for character in text:
        if in_string:
            in_string = escaped or character != '"'
            escaped = character == "\\" and not escaped
        elif character == '"':
            in_string = True
        elif character in "{[":
            depth += 1
            deepest = max(deepest, depth)
        elif character in "}]":
            depth -= 1
    return deepest


nested_values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.text('{}[]",:\\a€', max_size=8),
    lambda values: (
        st.lists(values, max_size=3)
        | st.dictionaries(st.text('"\\[}a', max_size=4), values, max_size=2)
    ),
    max_leaves=8,
)


@given(st.dictionaries(st.text('"\\[}a', max_size=4), nested_values, max_size=3), st.booleans())
def test_depth_is_counted_outside_strings_only(value: JsonObject, ascii_only: bool) -> None:
    text = json.dumps(value, ensure_ascii=ascii_only)
    if depth_character_by_character(text) <= MAX_DEPTH:
        assert parse_object_untrusted(text, max_size=len(text)) == value
    else:
        with pytest.raises(PeerProtocolError, match="too deeply"):
            parse_object_untrusted(text, max_size=len(text))


@pytest.mark.parametrize("part", ["[", "[]", '"', '\\"', "\\", "€", '{"a":', '"a":1,', "]["])
def test_the_largest_message_takes_as_few_steps_as_the_smallest(part: str) -> None:
    def refuse(text: str) -> None:
        with pytest.raises(PeerProtocolError):
            parse_object_untrusted(text, max_size=len(text))

    few, many = (lines_run(partial(refuse, part * count)) for count in (9, 20_000))
    assert many < few + 20


MESSAGE: JsonObject = {"text": "abc", "number": 7, "flag": True, "list": [1, 2], "none": None}


def test_take_str() -> None:
    assert take_str(MESSAGE, "text", max_length=3) == "abc"
    assert take_str(MESSAGE, "absent", max_length=3, default="x") == "x"
    for key in ("number", "flag", "list", "none", "absent"):
        with pytest.raises(PeerProtocolError, match=key):
            take_str(MESSAGE, key, max_length=3)
    with pytest.raises(PeerProtocolError):
        take_str(MESSAGE, "text", max_length=2)
    with pytest.raises(PeerProtocolError):
        take_str(MESSAGE, "none", max_length=3, default="x")


def test_take_int() -> None:
    assert take_int(MESSAGE, "number") == 7
    assert take_int(MESSAGE, "number", low=7, high=7) == 7
    for key in ("text", "flag", "list", "none", "absent"):
        with pytest.raises(PeerProtocolError, match=key):
            take_int(MESSAGE, key)
    for low, high in ((8, 9), (0, 6)):
        with pytest.raises(PeerProtocolError):
            take_int(MESSAGE, "number", low=low, high=high)
    with pytest.raises(PeerProtocolError):
        take_int({"number": -1}, "number")


def test_take_list() -> None:
    assert take_list(MESSAGE, "list", max_length=2) == [1, 2]
    for key in ("text", "number", "flag", "none", "absent"):
        with pytest.raises(PeerProtocolError, match=key):
            take_list(MESSAGE, key, max_length=2)
    with pytest.raises(PeerProtocolError):
        take_list(MESSAGE, "list", max_length=1)


@pytest.mark.parametrize("value", [True, False])
def test_a_truth(value: bool) -> None:
    assert take_bool({"a": value}, "a") is value


@pytest.mark.parametrize("message", [{}, {"a": None}, {"a": 0}, {"a": 1}, {"a": "true"}, {"a": []}])
def test_no_truth(message: JsonObject) -> None:
    with pytest.raises(PeerProtocolError, match="bad “a”"):
        take_bool(message, "a")


def test_a_list() -> None:
    assert parse_list_untrusted(b'[1,{"a":[]}]', max_size=SIZE) == [1, {"a": []}]


@pytest.mark.parametrize("text", ["{}", "null", "1", "[", "[1.5]", '[{"a":1,"a":2}]', "[" * 9])
def test_no_list(text: str) -> None:
    with pytest.raises(PeerProtocolError):
        parse_list_untrusted(text, max_size=SIZE)
