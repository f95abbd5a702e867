"""The way to the engine, :mod:`rtcsend.sending` and :mod:`rtcsend.receiving`, late and in parts.

Importing it is slow: ``--help`` or a mistyped code must not wait for it, nor one side for what the
other one needs. Tests put another engine here. Place in the flow: between the commands and the
session.
"""

from importlib import import_module
from typing import NoReturn, Protocol, cast

from rtcsend.events import Done
from rtcsend.options import Emit, Questions, ReceiveOptions, SendOptions


class SendingEngine(Protocol):
    """What sends: :mod:`rtcsend.sending`."""

    async def send(self, options: SendOptions, *, questions: Questions, emit: Emit) -> Done:
        """Send, and return when the receiver has verified.

        Raises:
            RtcsendError: Every end but success.
        """
        ...


class ReceivingEngine(Protocol):
    """What receives: :mod:`rtcsend.receiving`."""

    async def receive(self, options: ReceiveOptions, *, questions: Questions, emit: Emit) -> Done:
        """Receive, and return when the file is under its name and the sender knows.

        Raises:
            RtcsendError: Every end but success.
        """
        ...


class ListeningEngine(Protocol):
    """What receives from known machines, one after the other: :mod:`rtcsend.listening`."""

    async def listen(
        self, options: ReceiveOptions, *, questions: Questions, emit: Emit
    ) -> NoReturn:
        """Receive from known machines until it is cancelled.

        Raises:
            RtcsendError: Nobody can come (any more).
        """
        ...


def load_sending() -> SendingEngine:
    """Import what sends."""
    return cast("SendingEngine", import_module("rtcsend.sending"))


def load_receiving() -> ReceivingEngine:
    """Import what receives."""
    return cast("ReceivingEngine", import_module("rtcsend.receiving"))


def load_listening() -> ListeningEngine:
    """Import what receives from known machines."""
    return cast("ListeningEngine", import_module("rtcsend.listening"))
