"""What both sides of a transfer have in common: events, control messages, signs of life.

Pure. The contract of both machines: after each call that changes state, drain
:meth:`TransferMachine.next_event` and send :meth:`TransferMachine.messages_to_send`; call
:meth:`TransferMachine.handle_timer` at :meth:`TransferMachine.get_timer`.
"""

from collections import deque
from typing import Generic, TypeVar

from rtcsend.transfer.liveness import Liveness
from rtcsend.transfer.messages import ControlMessage, PingMessage, serialize_control

EventT = TypeVar("EventT")


class TransferMachine(Generic[EventT]):
    """The common half of the sending and the receiving machine."""

    def __init__(self, *, now: float) -> None:
        self._liveness = Liveness(now=now)
        self._events: deque[EventT] = deque()
        self._outbound: list[str] = []

    def next_event(self) -> EventT | None:
        """Return what happened, oldest first; None when there is nothing more."""
        return self._events.popleft() if self._events else None

    def messages_to_send(self) -> list[str]:
        """Return the control messages to send now, in order; each is returned once."""
        messages, self._outbound = self._outbound, []
        return messages

    def get_timer(self) -> float:
        """Return when to call :meth:`handle_timer`."""
        return self._liveness.get_timer()

    def handle_timer(self, *, now: float) -> None:
        """Let time pass.

        Raises:
            ConnectionLost: The other side has been silent for too long.
        """
        if self._liveness.is_ping_due(now=now):
            self._say(PingMessage(), now=now)

    def _say(self, message: ControlMessage, *, now: float) -> None:
        self._outbound.append(serialize_control(message))
        self._liveness.said(now=now)
