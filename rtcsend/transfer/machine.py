"""What both sides of a transfer have in common: moves, control messages, signs of life.

Pure. A machine lives as long as one connection. The contract of both machines: after each call
that changes state, drain :meth:`TransferMachine.next_event` and send what
:meth:`TransferMachine.next_message` gives; call :meth:`TransferMachine.handle_timer` at
:meth:`TransferMachine.get_timer`.

Which moves are legal in which state is a table, see :mod:`rtcsend.transfer.states`.
"""

import abc
import enum
from collections import deque
from collections.abc import Mapping
from typing import Generic, TypeVar

from rtcsend.errors import InternalError, PeerProtocolError
from rtcsend.events import Stalled
from rtcsend.transfer.liveness import Liveness
from rtcsend.transfer.messages import ControlMessage, PingMessage, serialize_control
from rtcsend.transfer.movement import Movement, Waiting
from rtcsend.transfer.states import Move

StateT = TypeVar("StateT", bound=enum.Enum)
MoveT = TypeVar("MoveT", bound=Move)
EventT = TypeVar("EventT")


class TransferMachine(abc.ABC, Generic[StateT, MoveT, EventT]):
    """The common half of the sending and the receiving machine.

    Args:
        state: The first one.
        transitions: The legal moves, and where they lead.
        limit: Bytes per second that this side wants at most; 0 for no limit.
        now: Seconds.
    """

    def __init__(
        self,
        state: StateT,
        transitions: Mapping[tuple[StateT, MoveT], StateT],
        *,
        limit: int,
        now: float,
    ) -> None:
        self._state = state
        self._transitions = transitions
        self._liveness = Liveness(now=now)
        self._movement = Movement(limit=limit, now=now)
        self._outbound: deque[str] = deque()
        self.events: deque[EventT | Stalled] = deque()
        """What :meth:`next_event` gives; to be looked at where a call would be too slow."""

    @property
    def state(self) -> StateT:
        """Where this side stands."""
        return self._state

    def next_event(self) -> EventT | Stalled | None:
        """Return what happened, oldest first; None when there is nothing more."""
        return self.events.popleft() if self.events else None

    def next_message(self) -> str | None:
        """Return the next control message to send; None when there is nothing more."""
        return self._outbound.popleft() if self._outbound else None

    @property
    def has_messages(self) -> bool:
        """Whether :meth:`next_message` has something."""
        return bool(self._outbound)

    @property
    def moved(self) -> int:
        """A count that has grown whenever something has moved."""
        return self._moved()

    @property
    def is_at_rest(self) -> bool:
        """Whether nothing has to move now."""
        waiting = self._waiting()
        return waiting is None or waiting.is_chosen

    def heard(self, *, now: float) -> None:
        """Something came from the other side, be it no message."""
        self._liveness.heard(now=now)

    def get_timer(self) -> float:
        """Return when to call :meth:`handle_timer`."""
        return min(self._liveness.get_timer(), self._movement.get_timer())

    def handle_timer(self, *, now: float) -> None:
        """Let time pass.

        Raises:
            ConnectionLost: The other side has been silent for too long.
            PeerProtocolError: It lives, but does not go on.
        """
        if self._liveness.is_ping_due(now=now):
            self._say(self._ping(), now=now)
        if now >= self._movement.get_timer():
            stalled = self._movement.look(
                self._moved(), self._waiting(), heard_at=self._liveness.heard_at, now=now
            )
            if stalled:
                self.events.append(stalled)

    def _next(self, move: MoveT) -> StateT:
        """Return the state that a move leads to.

        Raises:
            PeerProtocolError: The other side made a move that is not legal now.
            InternalError: This side did.
        """
        following = self._transitions.get((self._state, move))
        if following is not None:
            return following
        where = f"“{move.value}” in the state “{self._state.value}”"
        if move.is_heard:
            raise PeerProtocolError(f"The other side made an illegal move: {where}.")
        raise InternalError(f"This side made an illegal move: {where}.")

    def _say(self, message: ControlMessage, *, now: float) -> None:
        self._outbound.append(serialize_control(message))
        self._liveness.said(now=now)

    def _ping(self) -> PingMessage:
        """Return the sign of life that is due."""
        return PingMessage()

    @abc.abstractmethod
    def _moved(self) -> int:
        """Return a count that grows whenever something moves."""

    @abc.abstractmethod
    def _waiting(self) -> Waiting | None:
        """Return what the transfer waits for now; None when nothing has to move."""
