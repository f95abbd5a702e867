"""The line to the other side, by which it learns how this one ends.

A side that fails, or is stopped, says so by every way there is: sealed through the
rendezvous, on the control channel once that is open, and in the meeting to which it has come
after a loss. The first is not held up by a full data path, the second needs no server, the
third finds also who comes later.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from rtcsend.errors import ConnectionLost, InternalError, Interrupted, RtcsendError
from rtcsend.peer.signalling import SealedSignalling
from rtcsend.peer.signals import (
    AbortSignal,
    AgainSignal,
    CandidateSignal,
    EndOfCandidates,
    Signal,
)
from rtcsend.transfer.messages import AbortMessage, serialize_control

if TYPE_CHECKING:
    from rtcsend.datapath.channel import Channels

FAREWELL_TIMEOUT: Final = 1.5  # seconds for everything; who presses Ctrl-C does not wait for more

Hear = Callable[[Signal], Awaitable[None]]

logger = logging.getLogger("rtcsend.session")


class Line:
    """What goes between the two sides beside the transfer, from pairing to the end.

    Args:
        signalling: The sealed way through the rendezvous.

    Attributes:
        channels: The open ones, if any.
        leave_word: Tells in a meeting; set while the path is lost.
    """

    def __init__(self, signalling: SealedSignalling) -> None:
        self._signalling = signalling
        self._was_connected = False
        self._hear: Hear = _hear_nothing
        self.channels: Channels | None = None
        self.leave_word: Callable[[RtcsendError], Awaitable[None]] | None = None

    def use(self, signalling: SealedSignalling, channels: "Channels", *, hear: Hear) -> None:
        """Take this way through the rendezvous, and these channels, from now on.

        Args:
            signalling: The way.
            channels: Open ones.
            hear: Takes what else comes by that way: candidates that were found late.
        """
        self._signalling = signalling
        self._hear = hear
        self.channels = channels
        self.leave_word = None
        self._was_connected = True

    async def watch(self, *, is_over: Callable[[], bool] = lambda: False) -> None:
        """Watch what comes by way of the rendezvous, beside something else.

        Args:
            is_over: Whether the transfer has succeeded: then an abort changes nothing more.

        Once the channels are open the rendezvous has done its work: that it, or the other
        side's mailbox, goes away then means nothing, and the watch just ends.

        Raises:
            ConnectionLost: The other side has lost the path.
            RtcsendError: The other side has ended, or left before the channels were open.
        """
        while True:
            try:
                signal = await self._signalling.receive()
            except RtcsendError:
                if not self._was_connected:
                    raise
                logger.info("= rendezvous no longer needed")
                return
            match signal:
                case AbortSignal(error=error) if not is_over():
                    raise error
                case AgainSignal() if not is_over():
                    raise ConnectionLost("The other side has lost the connection.")
                case CandidateSignal() | EndOfCandidates():
                    with suppress(RtcsendError):  # it is connected; too many are just passed over
                        await self._hear(signal)
                case _:
                    pass

    async def watch_for_abort(self) -> None:
        """Watch while the path is lost: nothing but an abort means anything then.

        Raises:
            RtcsendError: The other side has ended.
        """
        while True:
            try:
                return await self.watch()
            except ConnectionLost as exc:
                if exc.told_by_peer:
                    raise

    async def say_again(self) -> None:
        """Tell the other side that the path is lost, and that this side goes to the meeting."""
        with suppress(RtcsendError):  # then it has to notice by itself
            await self._signalling.send(AgainSignal())

    async def tell(self, exc: BaseException) -> None:
        """Tell the other side how this one ends, unless it has said so itself."""
        match exc:
            case RtcsendError(told_by_peer=True):
                return
            case RtcsendError():
                await self._tell(exc)
            case asyncio.CancelledError():
                await self._tell(Interrupted("The user stopped it."))
            case _:
                await self._tell(InternalError("Something went wrong inside."))

    async def _tell(self, error: RtcsendError) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(FAREWELL_TIMEOUT):
                await asyncio.gather(
                    self._tell_by_rendezvous(error),
                    self._tell_by_channel(error),
                    self._tell_by_meeting(error),
                )

    async def _tell_by_rendezvous(self, error: RtcsendError) -> None:
        with suppress(RtcsendError):  # it may be long gone: there are the other ways
            await self._signalling.send_abort(error)

    async def _tell_by_meeting(self, error: RtcsendError) -> None:
        if self.leave_word is not None:
            with suppress(RtcsendError):
                await self.leave_word(error)

    async def _tell_by_channel(self, error: RtcsendError) -> None:
        if self.channels is None:
            return
        with suppress(RtcsendError):
            await self.channels.send_control(serialize_control(AbortMessage(error)))
            await self.channels.wait_closed()


async def _hear_nothing(_signal: Signal) -> None:
    """Stand in until there is a connection."""
