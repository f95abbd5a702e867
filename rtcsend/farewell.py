"""The line to the other side, by which it learns how this one ends.

A side that fails, or is stopped, says so by every way there is: sealed through the
rendezvous, and on the control channel once that is open. The first is not held up by a full
data path, the second needs no server.
"""

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import TYPE_CHECKING, Final, Self

from rtcsend.errors import InternalError, Interrupted, RtcsendError
from rtcsend.peer.signalling import SealedSignalling
from rtcsend.peer.signals import AbortSignal
from rtcsend.transfer.messages import AbortMessage, serialize_control

if TYPE_CHECKING:
    from rtcsend.datapath.channel import Channels

FAREWELL_TIMEOUT: Final = 1.5  # seconds for everything; who presses Ctrl-C does not wait for more

logger = logging.getLogger("rtcsend.session")


class Line:
    """A context from pairing to the end; an error that leaves it is told to the other side.

    Args:
        signalling: The sealed way through the rendezvous.

    Attributes:
        channels: To be set when they are open.
    """

    def __init__(self, signalling: SealedSignalling) -> None:
        self._signalling = signalling
        self.channels: Channels | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        match exc:
            case None:
                return
            case RtcsendError():
                if not exc.told_by_peer:
                    await self._tell(exc)
            case asyncio.CancelledError():
                await self._tell(Interrupted("The user stopped it."))
            case _:
                await self._tell(InternalError("Something went wrong inside."))

    async def watch(self, *, is_over: Callable[[], bool] = lambda: False) -> None:
        """Watch for an abort by way of the rendezvous, beside something else.

        Args:
            is_over: Whether the transfer has succeeded: then an abort changes nothing more.

        Once the channels are open the rendezvous has done its work: that it, or the other
        side's mailbox, goes away then means nothing, and the watch just ends.

        Raises:
            RtcsendError: The other side has ended, or left before the channels were open.
        """
        while True:
            try:
                signal = await self._signalling.receive()
            except RtcsendError:
                if self.channels is None:
                    raise
                logger.info("= rendezvous no longer needed")
                return
            if isinstance(signal, AbortSignal) and not is_over():
                raise signal.error

    async def _tell(self, error: RtcsendError) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(FAREWELL_TIMEOUT):
                await asyncio.gather(self._tell_by_rendezvous(error), self._tell_by_channel(error))

    async def _tell_by_rendezvous(self, error: RtcsendError) -> None:
        with suppress(RtcsendError):  # it may be long gone: there is the other way
            await self._signalling.send_abort(error)

    async def _tell_by_channel(self, error: RtcsendError) -> None:
        if self.channels is None:
            return
        with suppress(RtcsendError):
            await self.channels.send_control(serialize_control(AbortMessage(error)))
            await self.channels.wait_closed()
