"""Class, exit code, slug and docs/cli.md say the same."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from rtcsend import errors
from rtcsend.errors import RtcsendError

PAGE = Path(__file__).parents[1] / "docs" / "cli.md"
_ROW = re.compile(r"^\| (\d+) \| `(\w+)` \| `([a-z-]+)` \| (.+) \|$", re.MULTILINE)


def leaves(error: type[RtcsendError] = RtcsendError) -> Iterator[type[RtcsendError]]:
    """Yield the classes that end a process: those without subclasses."""
    for subclass in error.__subclasses__():
        if subclass.__module__ != errors.__name__:
            continue
        if any(deeper.__module__ == errors.__name__ for deeper in subclass.__subclasses__()):
            yield from leaves(subclass)
        else:
            yield subclass


CLASSES = sorted(leaves(), key=lambda error: error.exit_code)


def test_every_way_to_end_is_on_the_page() -> None:
    rows = [
        (int(code), name, slug) for code, name, slug, _ in _ROW.findall(PAGE.read_text("utf-8"))
    ]
    assert rows == [(error.exit_code, error.__name__, error.slug) for error in CLASSES]


def test_codes_are_the_contract() -> None:
    assert [error.exit_code for error in CLASSES] == [
        *(1, 2, 10, 11, 12, 13, 20, 21, 30, 31),
        *(40, 41, 42, 43, 50, 51, 52, 53, 130, 143),
    ]


def test_slugs_are_unique() -> None:
    assert len({error.slug for error in CLASSES}) == len(CLASSES)


def test_the_tree_in_the_docstring_is_the_tree() -> None:
    drawn = re.findall(r"[├└]── (\w+) +(\d+)", errors.__doc__ or "")
    assert [(name, int(code)) for name, code in drawn] == [
        (error.__name__, error.exit_code) for error in CLASSES
    ]


@pytest.mark.parametrize("error", CLASSES, ids=lambda error: error.__name__)
def test_an_error_is_two_sentences(error: type[RtcsendError]) -> None:
    raised = error("It happened.")
    assert str(raised) == raised.message == "It happened."
    assert raised.hint == error.default_hint
    assert raised.hint[0].isupper()
    assert raised.hint.endswith(".")
    assert ". " not in raised.hint
    assert error("It happened.", hint="Do this.").hint == "Do this."


@pytest.mark.parametrize("error", [RtcsendError, *RtcsendError.__subclasses__()])
def test_groups_have_a_code_too(error: type[RtcsendError]) -> None:
    # Nobody raises a group; if somebody does, it is a bug.
    if error not in CLASSES:
        assert error.exit_code == 1
