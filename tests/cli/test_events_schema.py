"""docs/events.schema.json: the same events and fields as the classes, and no others.

Real output is held against it wherever a test starts a process (tests/e2e/processes.py).
"""

import dataclasses
import types
import typing
from typing import Any, Literal

import pytest
from jsonschema import ValidationError

from rtcsend.events import JSON_VERSION, Entry, Event
from tests.cli.test_docs import CLASSES, EXAMPLES
from tests.events_schema import SCHEMA, check_event, validator

DEFS = SCHEMA["$defs"]
BOTH = ("receiver", "visit")
"""Fields that any event may have: the schema says so once."""


def test_it_is_a_schema_of_this_version() -> None:
    assert SCHEMA["$id"] == f"urn:rtcsend:events:{JSON_VERSION}"
    assert SCHEMA["properties"]["v"] == {"const": JSON_VERSION}
    validator()


def test_every_class_is_in_it_and_no_other() -> None:
    assert set(DEFS) == {*CLASSES, "entry"}
    named = [rule["if"]["properties"]["event"]["const"] for rule in SCHEMA["allOf"]]
    assert sorted(named) == sorted(CLASSES)


@pytest.mark.parametrize("name", CLASSES)
def test_every_field_is_in_it_with_its_type_and_a_description(name: str) -> None:
    definition = DEFS[name]
    assert definition["description"]
    assert definition["required"] == list(definition["properties"])
    assert list(definition["properties"])[:2] == ["v", "event"]
    fields(CLASSES[name], {k: v for k, v in definition["properties"].items() if k not in "v event"})


def test_entries_too() -> None:
    fields(Entry, DEFS["entry"]["properties"])


def fields(cls: type[Event | Entry], properties: dict[str, Any]) -> None:
    hints = typing.get_type_hints(cls)
    left_out = (*BOTH, *(cls.not_in_json if issubclass(cls, Event) else ()))
    names = [field.name for field in dataclasses.fields(cls) if field.name not in left_out]
    assert list(properties) == names
    for name, schema in properties.items():
        assert schema["description"], name
        if "enum" in schema:
            literals = set(literals_of(hints[name]))
            assert not literals or literals == set(schema["enum"]), name
        elif schema["type"] != "object":
            assert schema["type"] == json_type(hints[name]), name


def json_type(hint: object) -> str | list[str]:
    if typing.get_origin(hint) is types.UnionType:
        first, last = typing.get_args(hint)
        assert last is type(None)
        return [str(json_type(first)), "null"]
    if typing.get_origin(hint) is tuple:
        return "array"
    names = {str: "string", int: "integer", float: "number", bool: "boolean"}
    assert isinstance(hint, type)
    return names[hint]


def literals_of(hint: object) -> list[object]:
    if typing.get_origin(hint) is Literal:
        return list(typing.get_args(hint))
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        literal, _none = typing.get_args(hint)
        return [*literals_of(literal), None]
    return []


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: str(example["event"]))
def test_the_examples_of_the_page_are_valid(example: dict[str, Any]) -> None:
    check_event(example)


@pytest.mark.parametrize(
    "event",
    [
        {"v": 2, "event": "resumed", "bytes": 1},
        {"v": 1, "event": "resumed", "bytes": "1"},
        {"v": 1, "event": "resumed", "bytes": -1},
        {"v": 1, "event": "resumed"},
        {"v": 1, "event": "resumed", "receiver": 0, "bytes": 1},
        {"event": "resumed", "bytes": 1},
        {"v": 1},
    ],
)
def test_what_is_wrong_is_found(event: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        validator().validate(event)


def test_readers_take_what_they_do_not_know() -> None:
    validator().validate({"v": 1, "event": "resumed", "bytes": 1, "why": "later"})
    validator().validate({"v": 1, "event": "of-tomorrow"})
