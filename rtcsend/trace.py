"""The steps of a transfer with their times, for bug reports: what ``--trace FILE`` writes.

A stage that has come a step further says so, in one line that costs nothing when nobody listens::

    note(Step.GATHER, kind="turn", protocol="tls", result="ok", ms=43.1, server=Where(host, port))

:class:`Step` is the whole vocabulary: which steps there are, and which facts each may tell.
docs/troubleshooting.md lists the same, and tests/test_trace.py holds vocabulary, page and calls
together. No fact is a secret, a file name or a file's content. What is an address is a
:class:`Where`, and shown only where the user asks for it; otherwise as ``#1``, ``#2``: the
same one, the same number.

Pure: a recorder is bound for one transfer and all its tasks by :func:`recording`, and in it all
that belongs to one of several transfers by :func:`about`; where the lines go, and what the time is,
is the owner's matter (:mod:`rtcsend.cli.trace_file`).
"""

import enum
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Final, Literal, NamedTuple

from rtcsend.events import (
    Connected,
    Done,
    Error,
    Event,
    Progress,
    Proposal,
    Reconnecting,
    Resumed,
    RouteChanged,
    Stalled,
)
from rtcsend.redaction import replace_addresses

TRACE_VERSION: Final = 1
"""The ``trace`` of the first line; raised when a step or a fact changes its meaning."""

MAX_LINES: Final = 20_000  # some 2 MB; a day of fruitless reconnections
MAX_TEXT: Final = 200  # characters of one fact


class Where(NamedTuple):
    """An address or a name of a machine, and a port: shown only on the user's wish."""

    host: str
    port: int


About = tuple[Literal["receiver", "visit"], int]
"""Which of several transfers, as in the events about it, from 1: a sender's, or a listener's."""

Fact = str | int | float | bool | None | Where


class Step(enum.Enum):
    """A step, by the name that the trace has for it, and the facts that it may tell."""

    START = "start", ("trace", "command", "version", "python", "system", "route", "date")
    RENDEZVOUS_DIAL = "rendezvous-dial", ("server", "proxy")
    RENDEZVOUS_OPEN = "rendezvous-open", ("ms",)
    RENDEZVOUS_FAILED = "rendezvous-failed", ("reason", "ms")
    WELCOME = "welcome", ("ice_servers",)
    NAMEPLATE = "nameplate", ("how",)
    PAIRING = "pairing", ("message",)
    HELLO = "hello", ("direction", "version", "route", "datapath")
    DESCRIPTION = "description", ("direction", "kind")
    GATHER = "gather", ("kind", "protocol", "result", "ms", "server")
    GATHERED = "gathered", ()
    CANDIDATE = "candidate", ("direction", "type", "address", "related")
    CHECK = "check", ("local", "remote", "result", "ms", "local_address", "remote_address")
    NOMINATED = "nominated", ("local", "remote", "local_address", "remote_address")
    DTLS = "dtls", ("result", "ms")
    SCTP = "sctp", ("result", "ms")
    CONNECTED = "connected", ("route", "local", "remote", "relay_protocol", "vpn", "rtt_ms")
    ROUTE = "route", ("route", "local", "remote", "relay_protocol", "vpn", "rtt_ms")
    PROPOSAL = "proposal", ("files", "bytes")
    FIRST_BYTE = "first-byte", ()
    PATH_MTU = "path-mtu", ("bytes",)
    RELAY_REFRESH = "relay-refresh", ("kind", "result")
    STALLED = "stalled", ("seconds",)
    RECONNECTING = "reconnecting", ("attempt", "reason")
    RESUMED = "resumed", ("bytes",)
    DONE = "done", ("bytes", "moved", "seconds")
    FAILED = "failed", ("exit", "error")
    CUT = "cut", ("lines",)
    END = "end", ("exit", "error")

    def __init__(self, label: str, facts: tuple[str, ...]) -> None:
        self.label = label
        self.facts = facts


_STEPS: Final[dict[type[Event], Step]] = {
    Connected: Step.CONNECTED,
    RouteChanged: Step.ROUTE,
    Proposal: Step.PROPOSAL,
    Reconnecting: Step.RECONNECTING,
    Resumed: Step.RESUMED,
    Stalled: Step.STALLED,
    Done: Step.DONE,
}
"""Events that are steps, with fields of the names of the facts."""


class Recorder:
    """Turns the steps of one transfer into lines.

    Args:
        write: Takes a line of JSON, with its line end. It must not block, nor raise.
        clock: Monotonic seconds.
        addresses: Show addresses as they are.
    """

    def __init__(
        self,
        write: Callable[[str], None],
        *,
        clock: Callable[[], float],
        addresses: bool = False,
    ) -> None:
        self._write, self._clock, self._shows_addresses = write, clock, addresses
        self._began = clock()
        self._numbers: dict[str, int] = {}
        self._lines = 0
        self._have_moved: set[About | None] = set()

    def note(self, step: Step, facts: dict[str, Fact], *, about: About | None = None) -> None:
        """Write a step; facts that it has not got are left out.

        Args:
            step: Which.
            facts: By the names that ``step.facts`` has.
            about: Which of several transfers; None: the one that is bound, if any.
        """
        assert set(facts) <= set(step.facts), f"{step.label} has no such fact: {facts}"
        about = about or _about.get()
        if step is Step.FIRST_BYTE:
            if about in self._have_moved:
                return  # of the first connection alone, and once
            self._have_moved.add(about)
        self._lines += 1
        if self._lines == MAX_LINES and step is not Step.END:
            step, facts = Step.CUT, {"lines": MAX_LINES}
        elif self._lines > MAX_LINES and step is not Step.END:
            return
        line: dict[str, object] = {"t": round(self.seconds(), 4), "step": step.label}
        if about is not None:
            line |= [about]
        shown = {name: self._shown(fact) for name, fact in facts.items()}
        self._write(json.dumps(line | shown) + "\n")

    def seconds(self) -> float:
        """Return the seconds since it was made."""
        return self._clock() - self._began

    def observe(self, event: Event) -> None:
        """Write what an event tells."""
        match event:
            case Progress(bytes=count):
                if count:
                    self.note(Step.FIRST_BYTE, {}, about=_about_of(event))
            case Error():
                facts: dict[str, Fact] = {"exit": event.exit, "error": event.code}
                self.note(Step.FAILED, facts, about=_about_of(event))
            case _ if step := _STEPS.get(type(event)):
                self._note_fields(step, event)
            case _:  # the code, the verification string: secrets; and what is no step
                return

    def _note_fields(self, step: Step, event: Event) -> None:
        facts = {name: getattr(event, name) for name in step.facts}
        self.note(step, facts, about=_about_of(event))

    def _shown(self, fact: Fact) -> str | int | float | bool | None:
        if isinstance(fact, Where):
            return self._shown_address(fact)
        if not isinstance(fact, str):
            return fact
        text = fact[:MAX_TEXT]
        # No fact that is not a Where should have an address in it; an error's text may.
        if self._shows_addresses:
            return text
        return replace_addresses(text, self._number)

    def _shown_address(self, where: Where) -> str:
        if not self._shows_addresses:
            return self._number(where.host)
        host = f"[{where.host}]" if ":" in where.host else where.host
        return f"{host}:{where.port}"

    def _number(self, host: str) -> str:
        return f"#{self._numbers.setdefault(host, len(self._numbers) + 1)}"


_recorder: ContextVar[Recorder | None] = ContextVar("rtcsend-trace", default=None)
_about: ContextVar[About | None] = ContextVar("rtcsend-trace-about", default=None)


def note(step: Step, **facts: Fact) -> None:
    """Tell a step, if somebody listens.

    Args:
        step: Which.
        facts: By the names that ``step.facts`` has.
    """
    recorder = _recorder.get()
    if recorder is not None:
        recorder.note(step, facts)


@contextmanager
def attempt(step: Step, describe: Callable[[BaseException], str], **facts: Fact) -> Iterator[None]:
    """Tell a step when this context ends, with how long it took and how it came out.

    Args:
        step: One that has ``result`` and ``ms``.
        describe: Returns a word for what was raised; without an error it is ``ok``.
        facts: What else is known of it.
    """
    recorder = _recorder.get()
    if recorder is None:
        yield
        return
    began = recorder.seconds()
    result = "ok"
    try:
        yield
    except BaseException as exc:
        result = describe(exc)
        raise
    finally:
        ms = round((recorder.seconds() - began) * 1000, 1)
        recorder.note(step, {**facts, "result": result, "ms": ms})


@contextmanager
def recording(recorder: Recorder) -> Iterator[None]:
    """Have the steps of this context, and of all tasks that are started in it, recorded."""
    token = _recorder.set(recorder)
    try:
        yield
    finally:
        _recorder.reset(token)


@contextmanager
def about(transfer: About) -> Iterator[None]:
    """Have the steps of this context, and of all tasks that are started in it, say of which."""
    token = _about.set(transfer)
    try:
        yield
    finally:
        _about.reset(token)


def _about_of(event: Event) -> About | None:
    if event.receiver is not None:
        return "receiver", event.receiver
    return None if event.visit is None else ("visit", event.visit)
