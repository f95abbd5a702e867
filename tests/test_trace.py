"""The vocabulary of the trace: held together with its page and its calls; and what is hidden."""

import ast
import asyncio
import json
import re
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtcsend.events import CodeReady, Connected, Error, Paired, Progress, RouteChanged
from rtcsend.trace import (
    MAX_LINES,
    MAX_TEXT,
    Recorder,
    Step,
    Where,
    about,
    attempt,
    note,
    recording,
)

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "troubleshooting.md").read_text(encoding="utf-8")


class Lines:
    """What a recorder has written."""

    def __init__(self, *, addresses: bool = False) -> None:
        self.now = 100.0
        self.text = ""
        self.recorder = Recorder(self._write, clock=lambda: self.now, addresses=addresses)

    def _write(self, line: str) -> None:
        assert line.endswith("\n")
        assert line.count("\n") == 1
        self.text += line

    def all(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.text.splitlines()]


# The vocabulary


def test_every_step_and_fact_is_on_the_page_in_order() -> None:
    section = PAGE[PAGE.index("## A trace, for a bug report") :]
    rows = re.findall(r"^\| `([a-z-]+)` \| [^|]+ \| ([^|]*)\|$", section, re.M)
    told = {name: re.findall(r"`(\w+)`", re.sub(r"\([^)]*\)", "", facts)) for name, facts in rows}
    assert told == {step.label: list(step.facts) for step in Step}
    assert [name for name, _ in rows] == [step.label for step in Step]


def test_the_example_is_of_this_vocabulary() -> None:
    lines = [json.loads(line) for line in re.findall(r'^\{"t": .*\}$', PAGE, re.M)]
    facts = {step.label: step.facts for step in Step}
    assert len(lines) > 4
    for line in lines:
        assert list(line)[:2] == ["t", "step"]
        assert set(line) - {"t", "step", "receiver"} <= set(facts[line["step"]])


def calls() -> list[ast.Call]:
    sources = [path.read_text(encoding="utf-8") for path in (ROOT / "rtcsend").rglob("*.py")]
    return [
        node
        for source in sources
        if "from rtcsend.trace import" in source
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id in ("note", "attempt")
    ]


def test_calls_tell_what_the_step_has() -> None:
    found = calls()
    assert len(found) > 10
    for call in found:
        step, *describe = call.args
        assert isinstance(step, ast.Attribute), ast.dump(call)
        told = {keyword.arg for keyword in call.keywords if keyword.arg} | (
            {"result", "ms"} if describe else set()
        )
        assert told <= set(Step[step.attr].facts), f"{step.attr}: {told}"


# The recorder


def test_times_and_facts() -> None:
    lines = Lines()
    with recording(lines.recorder):
        lines.now += 1.23456
        note(Step.RENDEZVOUS_OPEN, ms=12.5)
    note(Step.RENDEZVOUS_OPEN, ms=13.5)  # nobody listens any more
    assert lines.all() == [{"t": 1.2346, "step": "rendezvous-open", "ms": 12.5}]


def test_a_fact_that_the_step_has_not_got() -> None:
    lines = Lines()
    with recording(lines.recorder), pytest.raises(AssertionError, match="no such fact"):
        note(Step.RENDEZVOUS_OPEN, password="x")


async def test_tasks_are_recorded_with_their_transfer() -> None:
    async def step(number: int) -> None:
        await asyncio.sleep(0)
        note(Step.RECONNECTING, attempt=number)

    async def transfer(lines: Lines, number: int) -> None:
        with recording(lines.recorder):
            await asyncio.gather(*(asyncio.create_task(step(number)) for _ in range(2)))

    one, other = Lines(), Lines()
    await asyncio.gather(transfer(one, 1), transfer(other, 2))
    assert [line["attempt"] for line in one.all()] == [1, 1]
    assert [line["attempt"] for line in other.all()] == [2, 2]


async def test_steps_of_one_of_several_say_of_which() -> None:
    lines = Lines()

    async def serve(number: int) -> None:
        note(Step.GATHERED)
        await asyncio.create_task(connect())
        progress = Progress(bytes=number, total=9, bytes_per_s=0, receiver=number)
        lines.recorder.observe(progress)  # by whoever shows the events, outside of all that
        lines.recorder.observe(progress)

    async def connect() -> None:
        note(Step.DTLS, result="ok")

    with recording(lines.recorder):
        tasks = []
        for number in (1, 2):
            with about(("receiver", number)):
                tasks.append(asyncio.create_task(serve(number)))
        await asyncio.gather(*tasks)
        note(Step.GATHERED)
    lines.recorder.observe(
        Error(code="declined", exit=40, message="No.", hint="", receiver=2),
    )
    lines.recorder.observe(Error(code="declined", exit=40, message="No.", hint="", visit=3))
    told = [(line["step"], line.get("receiver"), line.get("visit")) for line in lines.all()]
    assert sorted(told[:6]) == [
        (step, number, None) for step in ("dtls", "first-byte", "gathered") for number in (1, 2)
    ]
    assert told[6:] == [("gathered", None, None), ("failed", 2, None), ("failed", None, 3)]
    assert list(lines.all()[0])[:3] == ["t", "step", "receiver"]


def test_it_comes_to_an_end_but_the_end_is_told() -> None:
    lines = Lines()
    for number in range(MAX_LINES + 10):
        lines.recorder.note(Step.RECONNECTING, {"attempt": number})
    lines.recorder.note(Step.END, {"exit": 31, "error": "connection-lost"})
    *_, last_but_two, last_but_one, last = lines.all()
    assert len(lines.all()) == MAX_LINES + 1
    assert (last_but_two["step"], last_but_one["step"]) == ("reconnecting", "cut")
    assert last["exit"] == 31


def test_events() -> None:
    lines = Lines()
    for event in (
        CodeReady(code="7-guitar-velvet", server="ws://192.0.2.7", embedded=True),
        Paired(verification="1234"),
        Connected(route="direct", local="host", remote="srflx", protocol="udp", rtt_ms=0.4),
        RouteChanged(route="direct", local="host", remote="host", protocol="udp", rtt_ms=0.4),
        Progress(bytes=0, total=9, bytes_per_s=0),
        Progress(bytes=1, total=9, bytes_per_s=1),
        Progress(bytes=2, total=9, bytes_per_s=1),
    ):
        lines.recorder.observe(event)
    assert [line["step"] for line in lines.all()] == ["connected", "route", "first-byte"]
    assert "velvet" not in lines.text
    assert "1234" not in lines.text


@pytest.mark.parametrize(("raised", "result"), [(None, "ok"), (TimeoutError(), "TimeoutError")])
def test_attempts(raised: Exception | None, result: str) -> None:
    def try_it() -> None:
        with attempt(Step.DTLS, lambda exc: type(exc).__name__):
            lines.now += 0.0125
            if raised is not None:
                raise raised

    lines = Lines()
    with suppress(TimeoutError):
        try_it()  # nobody listens
    with suppress(TimeoutError), recording(lines.recorder):
        try_it()
    assert lines.all() == [{"t": 0.025, "step": "dtls", "result": result, "ms": 12.5}]


# Addresses

V6 = "2001:db8::7"


def test_addresses_are_numbers() -> None:
    lines = Lines()
    for host in ("192.0.2.1", "turn.example", "192.0.2.1", V6):
        lines.recorder.note(Step.GATHER, {"kind": "turn", "server": Where(host, 443)})
    assert [line["server"] for line in lines.all()] == ["#1", "#2", "#1", "#3"]
    assert "example" not in lines.text
    assert "443" not in lines.text


def test_addresses_on_request() -> None:
    lines = Lines(addresses=True)
    for host in ("192.0.2.1", V6):
        lines.recorder.note(Step.GATHER, {"server": Where(host, 443)})
    lines.recorder.note(Step.RECONNECTING, {"reason": "192.0.2.1 is gone"})
    first, second, third = lines.all()
    assert (first["server"], second["server"]) == ("192.0.2.1:443", f"[{V6}]:443")
    assert third["reason"] == "192.0.2.1 is gone"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("192.0.2.1 does not answer", "#1 does not answer"),
        (f"{V6}, fe80::1%eth0 and [::1]:80", "#1, #2%eth0 and [#3]:80"),
        ("at 192.0.2.1:443, 192.0.2.1.", "at #1:443, #1."),
        ("version 1.2.3 at 12:30:45", "version 1.2.3 at 12:30:45"),
        ("rtcsend/0.1.0", "rtcsend/0.1.0"),
        (f"{V6}: refused; fe80::", "#1: refused; #2"),
    ],
)
def test_addresses_in_texts(text: str, shown: str) -> None:
    lines = Lines()
    lines.recorder.note(Step.RECONNECTING, {"reason": text})
    assert lines.all()[0]["reason"] == shown


@given(st.ip_addresses(), st.text(max_size=5), st.text(max_size=5))
def test_no_address_in_any_text(address: Any, before: str, after: str) -> None:
    lines = Lines()
    lines.recorder.note(Step.RECONNECTING, {"reason": f"{before} {address} {after}"})
    assert f" {address} " not in lines.all()[0]["reason"]


@given(st.text(max_size=3 * MAX_TEXT))
def test_any_text_is_one_short_line(text: str) -> None:
    lines = Lines()
    lines.recorder.note(Step.RECONNECTING, {"reason": text})
    assert len(lines.all()[0]["reason"]) <= MAX_TEXT + 100
