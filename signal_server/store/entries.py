"""Commands as entries of a log that processes share: a head of words, and a body as it is.

A head is ``ORIGIN KIND …`` with single spaces: a socket is ``OPENED PROCESS NUMBER``, and a request
is as on the wire, at the end. Nearly all are messages, whose head costs next to nothing.

The log is only as trustworthy as who else can write to it, so entries are checked like
anything from outside.

Pure. Place in the flow: between :mod:`signal_server.commands` and
:mod:`signal_server.store.redis_store`.
"""

import dataclasses
import math
from typing import NamedTuple

from signal_server.commands import Away, Command, Enter, Expire, Gone, Leave, Say
from signal_server.messages import (
    MAX_BODY,
    Allocate,
    BadMessage,
    Claim,
    Meet,
    Message,
    Resume,
    parse_client_message_untrusted,
    serialize,
)
from signal_server.storage import SIDES, Connection

MAX_HEAD = 4_096  # characters; the longest request has two names of 64 characters
MAX_WORDS = 7  # of a head; the last one may have spaces
MAX_TEXT = 64  # characters of a process, a token or an origin


class BadEntry(Exception):
    """An entry that no process of this version has written."""


class Entry(NamedTuple):
    """A command, and who has logged it."""

    origin: str
    """Another one for each entry that any process logs."""
    command: Command


def encode_entry(entry: Entry) -> tuple[str, bytes]:
    """Return head and body."""
    words, body = _words(entry.command)
    return f"{entry.origin} {words}", body


def parse_entry_untrusted(head: bytes, body: bytes) -> Entry:
    """Return an entry.

    Raises:
        BadEntry: It is none.
    """
    if len(head) > MAX_HEAD or len(body) > MAX_BODY:
        raise BadEntry("too long")
    try:
        origin, kind, *rest = head.decode().split(" ", MAX_WORDS - 1)
        return Entry(_text(origin), _command(kind, rest, body))
    except (ValueError, ArithmeticError, RecursionError, BadMessage) as exc:
        raise BadEntry(f"malformed: {type(exc).__name__}") from exc


def _words(command: Command) -> tuple[str, bytes]:
    match command:
        case Say(connection=connection, message=message):
            return f"say {_place(connection)}", message.body
        case Enter(connection=connection, request=request, token=token):
            # What was shown for admission has been checked, and is good for more than this room.
            if isinstance(request, Allocate):
                request = dataclasses.replace(request, auth=None)
            elif isinstance(request, Meet):
                request = dataclasses.replace(request, permit=None)
            return f"enter {_place(connection)} {token} {serialize(request)}", b""
        case Away(connection=connection):
            return f"away {_place(connection)}", b""
        case Leave(connection=connection):
            return f"leave {_place(connection)}", b""
        case Expire(tokens=tokens, code=code):
            return " ".join(("expire", "over" if code is None else "expired", *tokens)), b""
        case Gone(process=process):
            return f"gone {process}", b""


def _command(kind: str, rest: list[str], body: bytes) -> Command:
    if kind == "say":  # most are
        opened, process, number = rest
        return Say(_connection(opened, process, number), Message(body))
    match kind, rest:
        case "enter", [opened, process, number, token, text]:
            request = parse_client_message_untrusted(text)
            if isinstance(request, Allocate | Claim | Meet | Resume):
                return Enter(_connection(opened, process, number), request, _text(token))
        case "away", [opened, process, number]:
            return Away(_connection(opened, process, number))
        case "leave", [opened, process, number]:
            return Leave(_connection(opened, process, number))
        case "expire", ["over" | "expired" as code, *tokens] if len(tokens) <= SIDES:
            return Expire(tuple(map(_text, tokens)), "expired" if code == "expired" else None)
        case "gone", [process]:
            return Gone(_text(process))
        case _:
            pass
    raise BadEntry("of no known kind")


def _place(connection: Connection) -> str:
    return f"{connection.opened!r} {connection.process} {connection.number}"


def _connection(opened: str, process: str, number: str) -> Connection:
    seconds = float(opened)
    if not math.isfinite(seconds):
        raise BadEntry("at no time")
    return Connection(seconds, _text(process), int(number))


def _text(value: str) -> str:
    if not 0 < len(value) <= MAX_TEXT:
        raise BadEntry("no text, or too long")
    return value
