"""The life of a transfer as whoever follows its events sees it: phases, and what changes them.

Pure, and for readers: programs that read ``--json`` or iterate over a
:class:`rtcsend.Sender` can take it as it stands. The drawing in docs/reliability.md is this table,
and the tests hold every process that they start to it.

Does not: decide anything. What leads to the events is :mod:`rtcsend.sending` and
:mod:`rtcsend.receiving` (connections), :mod:`rtcsend.transfer.movement` (stalls) and
:mod:`rtcsend.reconnecting`.
"""

import enum
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Final

from rtcsend.events import (
    Checking,
    Closed,
    CodeReady,
    Connected,
    Done,
    Error,
    Known,
    LeftOut,
    Paired,
    Progress,
    Proposal,
    Reconnecting,
    Refusal,
    Resumed,
    RouteChanged,
    Scanning,
    Stalled,
    Waiting,
)


class Phase(enum.Enum):
    """Where a transfer is."""

    MEETING = "meeting"
    """From the start: code, pairing, first connection."""
    RUNNING = "running"
    """Connected: a person decides, bytes are compared or travel, the disk makes them last."""
    STALLED = "stalled"
    """Connected as far as anybody knows, and nothing moves."""
    RECONNECTING = "reconnecting"
    """The path is lost; what has come is safe, and this side tries to meet the other again."""
    DONE = "done"
    FAILED = "failed"


LIFE: Final[Mapping[tuple[Phase, str], Phase]] = MappingProxyType(
    {
        (Phase.MEETING, Connected.name): Phase.RUNNING,
        (Phase.MEETING, Error.name): Phase.FAILED,
        (Phase.MEETING, Known.name): Phase.DONE,  # all that “rtcsend pair” is for
        (Phase.RUNNING, Stalled.name): Phase.STALLED,
        (Phase.RUNNING, Reconnecting.name): Phase.RECONNECTING,
        (Phase.RUNNING, Done.name): Phase.DONE,
        (Phase.RUNNING, Error.name): Phase.FAILED,
        (Phase.STALLED, Proposal.name): Phase.RUNNING,
        (Phase.STALLED, Checking.name): Phase.RUNNING,
        (Phase.STALLED, Resumed.name): Phase.RUNNING,
        (Phase.STALLED, Progress.name): Phase.RUNNING,
        (Phase.STALLED, Reconnecting.name): Phase.RECONNECTING,
        (Phase.STALLED, Done.name): Phase.DONE,
        (Phase.STALLED, Error.name): Phase.FAILED,
        (Phase.RECONNECTING, Connected.name): Phase.RUNNING,
        (Phase.RECONNECTING, Done.name): Phase.DONE,
        (Phase.RECONNECTING, Error.name): Phase.FAILED,
    }
)
"""What changes the phase. An event that is not here for a phase leaves it as it is, if it is one
of :data:`WITHIN`."""

WITHIN: Final[Mapping[Phase, frozenset[str]]] = MappingProxyType(
    {
        Phase.MEETING: frozenset(
            {
                *(Scanning.name, LeftOut.name, CodeReady.name, Closed.name),
                *(Waiting.name, Refusal.name, Paired.name, Stalled.name),
            }
        ),
        Phase.RUNNING: frozenset(
            {Proposal.name, Checking.name, Resumed.name, Progress.name, RouteChanged.name}
        ),
        # Another way may be what it takes; but only what moves ends it.
        Phase.STALLED: frozenset({Stalled.name, RouteChanged.name}),
        # A person who is asked, and a disk that syncs, outlive a connection.
        Phase.RECONNECTING: frozenset({Reconnecting.name, Proposal.name, Progress.name}),
        Phase.DONE: frozenset(),
        Phase.FAILED: frozenset(),
    }
)


def phase_after(phase: Phase, event: str) -> Phase:
    """Return the phase after an event.

    Args:
        phase: Before it.
        event: Its name.

    Raises:
        ValueError: There is no such event in that phase.
    """
    following = LIFE.get((phase, event))
    if following is not None:
        return following
    if event not in WITHIN[phase]:
        raise ValueError(f"there is no event {event!r} while {phase.value}")
    return phase


def phase_of(events: Iterable[str]) -> Phase:
    """Return the phase after the events of a whole life, by their names.

    Raises:
        ValueError: They cannot come in this order.
    """
    phase = Phase.MEETING
    for event in events:
        phase = phase_after(phase, event)
    return phase


def phases_of(events: Iterable[tuple[int | None, str]]) -> Mapping[int | None, Phase]:
    """Return the phases after the events of a sender's life, which may have several receivers.

    Args:
        events: Of which receiver each is, as in :attr:`rtcsend.events.Event.receiver`; its name.

    Returns:
        That of each receiver, and for None that of all together: its ``done`` comes when all are.

    Raises:
        ValueError: They cannot come in this order.
    """
    phases: dict[int | None, Phase] = {None: Phase.MEETING}
    for receiver, event in events:
        before = phases.setdefault(receiver, Phase.MEETING)
        is_all_done = receiver is None and event == Done.name and Phase.DONE in phases.values()
        phases[receiver] = Phase.DONE if is_all_done else phase_after(before, event)
    return phases
