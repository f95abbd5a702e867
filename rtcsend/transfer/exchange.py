"""What both shells do over a connection: listen, keep time, and pass on what the machine says.

A shell. It lives as long as one connection; what outlives that is in
:class:`~rtcsend.transfer.sending.Sending` and :class:`~rtcsend.transfer.receiving.Receiving`.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, Generic, TypeVar

from rtcsend.transfer.machine import TransferMachine
from rtcsend.transfer.movement import CRAWL_LEAST, RESTED
from rtcsend.transfer.ports import Channels, Clock

MachineT = TypeVar("MachineT", bound=TransferMachine[Any, Any, Any])


class Exchange(Generic[MachineT]):
    """A machine and the channels that it speaks over.

    Args:
        channels: Open ones.
        machine: A new one.
        clock: Monotonic seconds.
    """

    def __init__(self, channels: Channels, machine: MachineT, *, clock: Clock) -> None:
        self.channels = channels
        self.machine = machine
        self._clock = clock
        self._began = clock()
        self._due = asyncio.Event()
        self._quiet = asyncio.Event()

    @property
    def brought(self) -> int:
        """What it has been good for, as a count: what has moved, or a minute without need for it.

        Two that meet again and again come to an end when this does not grow.
        """
        has_rested = self.machine.is_at_rest and self._clock() >= self._began + RESTED
        return self.machine.moved + (CRAWL_LEAST if has_rested else 0)

    def flush(self) -> None:
        """Have the control messages sent that are due; does not wait for it."""
        if self.machine.has_messages:
            self._quiet.clear()
            self._due.set()

    async def wait_until_said(self) -> None:
        """Return when no control message waits for the channel any more."""
        await self._quiet.wait()

    async def speak(self) -> None:
        """Send control messages when they are due, for ever: nobody else does.

        Raises:
            ConnectionLost: The channels are closed.
        """
        while True:
            while text := self.machine.next_message():
                await self.channels.send_control(text)
            self._quiet.set()
            self._due.clear()
            await self._due.wait()

    async def listen(self, take: Callable[[Sequence[str | bytes]], None]) -> None:
        """Give all that comes to ``take``, for ever.

        Raises:
            RtcsendError: The connection is lost, or ``take`` says that it has to end.
        """
        while True:
            take(await self.channels.receive_all())

    async def keep_time(self, take_events: Callable[[], None]) -> None:
        """Let time pass for the machine, for ever; what it tells goes to ``take_events``.

        Raises:
            ConnectionLost: The other side is silent.
            PeerProtocolError: It lives, but does not go on.
        """
        machine = self.machine
        while True:
            await asyncio.sleep(max(0.0, machine.get_timer() - self._clock()))
            machine.heard(now=self.channels.heard_at)
            machine.handle_timer(now=self._clock())
            take_events()
            self.flush()
