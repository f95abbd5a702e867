"""What can happen to the mailboxes under one name: the entries of a room's log.

A command is decided on (:mod:`signal_server.decisions`) by the process that owns the socket,
on the state as it is, and then carried out (:mod:`signal_server.mailbox`) by every process
that has a socket in the room, in one order.

Pure. Source: docs/rendezvous-protocol.md; docs/architecture.md, "The server's rooms".
"""

from dataclasses import dataclass, field
from typing import NamedTuple

from signal_server.messages import Allocate, Claim, ErrorCode, Meet, Message, Resume
from signal_server.storage import Connection

Request = Allocate | Claim | Meet | Resume


@dataclass(frozen=True, slots=True)
class Enter:
    """A socket is attached to a side, a new one or its old one."""

    connection: Connection
    request: Request
    token: str = field(repr=False)
    """Of the side, if it is a new one."""


class Say(NamedTuple):  # the one of all commands that is made for each message
    """A side says something to the other one."""

    connection: Connection
    message: Message


@dataclass(frozen=True, slots=True)
class Away:
    """A socket is gone; its side may come back."""

    connection: Connection


@dataclass(frozen=True, slots=True)
class Leave:
    """A side releases the mailbox."""

    connection: Connection


@dataclass(frozen=True, slots=True)
class Expire:
    """Some sides' time is over: they waited or were away too long, or their mailbox has ended."""

    tokens: tuple[str, ...] = field(repr=False)
    code: ErrorCode | None
    """What their sockets are told, if there are any."""


@dataclass(frozen=True, slots=True)
class Gone:
    """A server process has died, and its sockets with it."""

    process: str


Command = Enter | Say | Away | Leave | Expire | Gone
