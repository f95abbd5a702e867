"""The way to the engine, :mod:`rtcsend.session`, taken only when a transfer starts.

Importing the engine is slow, and ``--help`` or a mistyped code must not wait for it.
Tests put another engine here. Place in the flow: between the commands and the session.
"""

from importlib import import_module
from typing import NoReturn, Protocol, cast

from rtcsend.events import Done
from rtcsend.options import Emit, Questions, ReceiveOptions, SendOptions


class Engine(Protocol):
    """What moves files: the functions of :mod:`rtcsend.session`."""

    async def send(self, options: SendOptions, *, questions: Questions, emit: Emit) -> Done:
        """Send, and return when the receiver has verified.

        Raises:
            RtcsendError: Every end but success.
        """
        ...

    async def receive(self, options: ReceiveOptions, *, questions: Questions, emit: Emit) -> Done:
        """Receive, and return when the file is under its name and the sender knows.

        Raises:
            RtcsendError: Every end but success.
        """
        ...

    async def listen(
        self, options: ReceiveOptions, *, questions: Questions, emit: Emit
    ) -> NoReturn:
        """Receive from known machines until it is cancelled.

        Raises:
            RtcsendError: Nobody can come (any more).
        """
        ...


def load_engine() -> Engine:
    """Import the engine."""
    return cast("Engine", import_module("rtcsend.session"))
