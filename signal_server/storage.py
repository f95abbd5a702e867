"""One mailbox: two sides, and what each has said, counted.

What it does: holds who is in, who is away since when, and the bodies of both directions.
What it does not: send, expire or refuse anything; that is :mod:`signal_server.mailbox`.

Pure. Source: docs/rendezvous-protocol.md, "Mailboxes".
"""

from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from signal_server.limits import Limits
from signal_server.messages import Message

SIDES = 2  # never three
CLOCK_ERROR = 0.5  # seconds by which two processes may see the time of their store differently


class Name(NamedTuple):
    """What a mailbox is called; a nameplate and a meeting never share one."""

    kind: Literal["nameplate", "mailbox"]
    text: str


class SideKey(NamedTuple):
    """What makes a repeated request the same request."""

    kind: Literal["allocate", "claim", "meet"]
    text: str
    """The nameplate or mailbox that it names; empty for any free nameplate."""
    side: str


class Connection(NamedTuple):
    """One socket of one server process."""

    opened: float
    """On the clock that all processes of a store share."""
    process: str
    number: int
    """Rises from socket to socket of a process."""

    def is_newer_than(self, other: "Connection") -> bool:
        """Return whether this one certainly was opened later."""
        if self.process == other.process:
            return self.number > other.number
        return self.opened > other.opened + CLOCK_ERROR


@dataclass(slots=True, eq=False)
class Side:
    """One of the two; at most one of ``connection`` and ``away_since`` is set."""

    token: str
    key: SideKey | None
    connection: Connection | None
    away_since: float | None = None
    left: bool = False
    sent: list[Message] = field(default_factory=list)
    sent_bytes: int = 0


@dataclass(slots=True, eq=False)
class Mailbox:
    """A nameplate's or a meeting's mailbox, with one or two sides."""

    created: float
    sides: list[Side] = field(default_factory=list)
    ended_at: float | None = None
    """When the first of the two left; from then on nobody new can come."""

    @property
    def is_full(self) -> bool:
        """Whether both places are taken."""
        return len(self.sides) == SIDES

    @property
    def is_over(self) -> bool:
        """Whether nobody is left in it."""
        return all(side.left for side in self.sides)

    def other(self, side: Side) -> Side | None:
        """Return the side opposite to ``side``; None while nobody has come."""
        for candidate in self.sides:
            if candidate is not side:
                return candidate
        return None

    def sent_to(self, side: Side) -> int:
        """Return how many messages ``side`` has been sent by the other one."""
        other = self.other(side)
        return 0 if other is None else len(other.sent)

    def deadline(self, limits: Limits) -> float | None:
        """Return when something here expires: the mailbox, or an absent side's place."""
        if self.ended_at is not None:
            return self.ended_at + limits.ended_seconds
        times = [
            side.away_since + limits.away_seconds
            for side in self.sides
            if side.away_since is not None
        ]
        if not self.is_full:
            times.append(self.created + limits.unclaimed_seconds)
        return min(times, default=None)
