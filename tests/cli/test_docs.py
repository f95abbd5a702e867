"""docs/cli.md is true: its events, its options, its environment variables."""

import dataclasses
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.main import get_command

from rtcsend import events
from rtcsend.cli import bench, clean, demo_run, peers
from rtcsend.cli.main import app
from rtcsend.doctor import findings
from rtcsend.events import Event
from tests.cli.pty_process import ROOT

PAGE = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")
EXAMPLES = [json.loads(line) for line in re.findall(r'^\{"v".*\}$', PAGE, re.MULTILINE)]


def event_classes(base: type[Event] = Event) -> Iterator[type[Event]]:
    for subclass in base.__subclasses__():
        if subclass.name != base.name:  # it is one, and not what some have in common
            yield subclass
        yield from event_classes(subclass)


CLASSES = {
    event.name: event
    for event in event_classes()
    if event.__module__
    in {module.__name__ for module in (events, demo_run, bench, clean, findings, peers)}
}


def test_every_event_has_an_example() -> None:
    assert {example["event"] for example in EXAMPLES} == set(CLASSES)


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: str(example["event"]))
def test_examples_have_the_fields_of_the_event(example: dict[str, object]) -> None:
    event = CLASSES[str(example["event"])]
    names = [field.name for field in dataclasses.fields(event)]
    fields = [name for name in names if name not in event.not_in_json]
    assert list(example) in (
        # Of one of several receivers, or of a known machine's visits; or of neither.
        ["v", "event", *(name for name in fields if name not in left_out)]
        for left_out in (["visit"], ["receiver"], ["receiver", "visit"])
    )
    assert example["v"] == events.JSON_VERSION


def options(command: str) -> set[str]:
    group = get_command(app)
    commands = getattr(group, "commands")  # noqa: B009 - typer's group, in every version
    return {
        name
        for parameter in commands[command].params
        for name in parameter.opts
        if name.startswith("--") and name != "--help"
    }


@pytest.mark.parametrize("command", ["send", "receive", "clean", "demo", "bench", "doctor"])
def test_every_option_is_on_the_page_and_no_other(command: str) -> None:
    sections = dict(re.findall(r"^## `rtcsend (\w+)[^\n]*\n(.*?)(?=^## )", PAGE, re.M | re.S))
    shared = re.search(r"^## Options of send and receive\n(.*?)(?=^## )", PAGE, re.M | re.S)
    assert shared is not None
    text = sections[command] + (shared[1] if command in {"send", "receive"} else "")
    rows = re.findall(r"^\| (`-[^|]*) \|", text, re.M)
    named = {name for row in rows for name in re.findall(r"--[a-z-]+", row)}
    assert named == options(command)


def test_every_environment_variable_is_on_the_page() -> None:
    sources = [*Path(ROOT, "rtcsend").rglob("*.py"), *Path(ROOT, "signal_server").rglob("*.py")]
    used = {
        name
        for source in sources
        for name in re.findall(r"\bRTCSEND_[A-Z_]+\b", source.read_text(encoding="utf-8"))
    }
    # Those of the server are in docs/operations.md.
    clients = {name for name in used if not name.startswith("RTCSEND_SERVER_")}
    assert clients <= set(re.findall(r"`(RTCSEND_[A-Z_]+)`", PAGE))
