"""One known machine: its name, and its file."""

import dataclasses
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtcsend.errors import UsageError
from rtcsend.known.names import MAX_NAME, check_name, suggested_name
from rtcsend.known.record import Machine, parse_machine_untrusted, serialize_machine

LAPTOP = Machine(name="laptop", key=bytes(32), secret=b"s" * 32, paired=1_763_745_275)


@pytest.mark.parametrize("name", ["laptop", "a", "7", "ci.example.org", "x_1-2", "büro", "机器"])
def test_names(name: str) -> None:
    assert check_name(name) == name


@pytest.mark.parametrize(
    "name",
    [
        *("", " ", "a b", "-a", ".a", "_a", "a/b", "a\\b", "a\n", "a\x1b[1m", "a\0"),
        *("\u202eabc", "x" * 65, "é" * 33, "\ud800"),
    ],
)
def test_no_names(name: str) -> None:
    with pytest.raises(UsageError):
        check_name(name)


@given(st.text(max_size=80))
def test_a_name_is_short_printable_and_stays_one(text: str) -> None:
    try:
        name = check_name(text)
    except UsageError:
        return
    assert name.isprintable()
    assert len(name.encode()) <= MAX_NAME
    assert check_name(name) == name


@pytest.mark.parametrize(
    ("host", "name"),
    [("ada-laptop", "ada-laptop"), ("host.example.org", "host"), ("", "other"), ("-é-", "other")],
)
def test_a_host_name_makes_a_name(host: str, name: str) -> None:
    assert suggested_name(host) == name


@given(st.text(max_size=300))
def test_what_is_suggested_is_a_name(host: str) -> None:
    check_name(suggested_name(host))


@pytest.mark.parametrize("removed", [None, 1_763_745_999])
def test_a_file_gives_back_what_was_written(removed: int | None) -> None:
    machine = dataclasses.replace(LAPTOP, removed=removed)
    assert parse_machine_untrusted(serialize_machine(machine)) == machine


@pytest.mark.parametrize(
    "change",
    [
        {"v": 2},
        {"name": "a b"},
        {"key": "AA"},
        {"key": None},
        {"secret": "_" * 44},
        {"paired": -1},
        {"paired": 1.5},
        {"removed": "x"},
    ],
)
def test_damage_is_noticed(change: dict[str, object]) -> None:
    message = json.loads(serialize_machine(LAPTOP)) | change
    with pytest.raises(ValueError, match="no known machine"):
        parse_machine_untrusted(json.dumps(message).encode())


@given(st.binary(max_size=300))
def test_any_bytes_are_a_machine_or_none(data: bytes) -> None:
    with pytest.raises(ValueError, match="no known machine"):
        parse_machine_untrusted(data)


def test_a_machine_shows_no_secret() -> None:
    assert "ssss" not in repr(LAPTOP)
