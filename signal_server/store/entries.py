"""Commands as entries of a log that processes share: a head in JSON, and a body as it is.

The log is only as trustworthy as who else can write to it, so entries are checked like
anything from outside.

Pure. Place in the flow: between :mod:`signal_server.commands` and
:mod:`signal_server.store.redis_store`.
"""

import dataclasses
import json
from typing import Any, NamedTuple

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
    values, body = _values(entry.command)
    return json.dumps({"o": entry.origin, **values}, separators=(",", ":")), body


def parse_entry_untrusted(head: bytes, body: bytes) -> Entry:
    """Return an entry.

    Raises:
        BadEntry: It is none.
    """
    try:
        values = json.loads(head) if len(head) <= MAX_HEAD else None
        if not isinstance(values, dict):
            raise BadEntry("no object")
        return Entry(_text(values["o"]), _command(values, body))
    except (KeyError, TypeError, ValueError, ArithmeticError, RecursionError, BadMessage) as exc:
        raise BadEntry(f"malformed: {type(exc).__name__}") from exc


def _values(command: Command) -> tuple[dict[str, Any], bytes]:
    match command:
        case Say(connection=connection, message=message):
            return {"k": "say", "c": connection}, message.body
        case Enter(connection=connection, request=request, token=token):
            # What was shown for admission has been checked, and is good for more than this room.
            if isinstance(request, Allocate):
                request = dataclasses.replace(request, auth=None)
            elif isinstance(request, Meet):
                request = dataclasses.replace(request, permit=None)
            return {"k": "enter", "c": connection, "r": serialize(request), "t": token}, b""
        case Away(connection=connection):
            return {"k": "away", "c": connection}, b""
        case Leave(connection=connection):
            return {"k": "leave", "c": connection}, b""
        case Expire(tokens=tokens, code=code):
            return {"k": "expire", "t": tokens, "e": code is not None}, b""
        case Gone(process=process):
            return {"k": "gone", "p": process}, b""


def _command(values: dict[str, Any], body: bytes) -> Command:
    kind = values["k"]
    if kind == "expire":
        tokens = tuple(_text(token) for token in values["t"][:SIDES])
        return Expire(tokens, "expired" if values["e"] is True else None)
    if kind == "gone":
        return Gone(_text(values["p"]))
    connection = _connection(values["c"])
    if kind == "say" and len(body) <= MAX_BODY:
        return Say(connection, Message(body))
    if kind == "enter":
        request = parse_client_message_untrusted(values["r"])
        if isinstance(request, Allocate | Claim | Meet | Resume):
            return Enter(connection, request, _text(values["t"]))
    if kind == "away":
        return Away(connection)
    if kind == "leave":
        return Leave(connection)
    raise BadEntry("of no known kind")


def _connection(value: Any) -> Connection:
    opened, process, number = value
    return Connection(float(opened), _text(process), int(number))


def _text(value: object) -> str:
    if not isinstance(value, str) or len(value) > MAX_TEXT:
        raise BadEntry("no text, or too long")
    return value
