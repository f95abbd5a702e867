"""The shell around :class:`~rtcsend.transfer.sender.SenderMachine`.

Three coroutines side by side: the file goes out (waiting for the window, the rate limit and
the channel), control messages come in, and the clock ticks. Only :meth:`Sending._flush`
sends control messages.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from rtcsend.errors import PeerNeverCame, RtcsendError
from rtcsend.events import Done
from rtcsend.tasks import first_of
from rtcsend.transfer.messages import MAX_SENDER_LENGTH, ProposedEntry
from rtcsend.transfer.ports import Channels, Clock, Emit, Source
from rtcsend.transfer.rate import RateLimiter, frame_size_for
from rtcsend.transfer.reporting import Reporter, nothing_done
from rtcsend.transfer.sender import Accepted, Completed, SenderMachine, Skipped, Written

CLOSE_TIMEOUT: Final = 2.0  # seconds for the receiver to see our farewell and close


class Sending:
    """Sends one file over open channels; used once.

    Args:
        channels: Open ones.
        source: The file.
        sender: Host name to show to the receiver's user.
        payload_size: Bytes in a frame at most, for this peer.
        limit: Bytes per second at most, None for no limit.
        answer_timeout: Seconds to wait for the receiver to accept.
        emit: Takes progress events.
        clock: Monotonic seconds.
    """

    def __init__(
        self,
        channels: Channels,
        source: Source,
        *,
        sender: str,
        payload_size: int,
        limit: int | None,
        answer_timeout: float,
        emit: Emit,
        clock: Clock,
    ) -> None:
        self._channels = channels
        self._source = source
        self._payload_size = payload_size
        self._limit = limit
        self._answer_timeout = answer_timeout
        self._emit = emit
        self._clock = clock
        entry = ProposedEntry(path=source.name, kind="file", size=source.size)
        self._machine = SenderMachine(entry, sender=sender[:MAX_SENDER_LENGTH], now=clock())
        self._reporter: Reporter | None = None
        self._answered: asyncio.Future[Accepted | Skipped] = (
            asyncio.get_running_loop().create_future()
        )
        self._window = asyncio.Event()
        self._completed = asyncio.Event()

    @property
    def is_over(self) -> bool:
        """Whether the receiver has confirmed everything, or wanted nothing."""
        return self._completed.is_set()

    async def run(self) -> Done:
        """Return when the receiver has confirmed everything.

        Raises:
            RtcsendError: Whatever ended the transfer, on either side. The channels are then
                still open, so that the caller can say so to the other side.
        """
        return await first_of(
            self._send(), self._unless_completed(self._receive), self._unless_completed(self._tick)
        )

    async def _unless_completed(self, watch: Callable[[], Awaitable[None]]) -> None:
        """Watch. Once the receiver has the file, nothing that it says or leaves out undoes it."""
        try:
            await watch()
        except RtcsendError:
            if not self._completed.is_set():
                raise

    async def _send(self) -> Done:
        await self._flush()
        try:
            async with asyncio.timeout(self._answer_timeout):
                answer = await self._answered
        except TimeoutError as exc:
            raise PeerNeverCame("The other side did not answer the proposal.") from exc
        if isinstance(answer, Skipped):
            await self._say_bye()
            return nothing_done()
        reporter = self._reporter = Reporter(self._source.size, emit=self._emit, now=self._clock())
        await self._send_file(self._common_limit(answer.limit))
        digest = await self._source.digest()
        self._machine.end(digest, now=self._clock())
        await self._flush()
        await self._completed.wait()
        reporter.written(self._source.size, now=self._clock())
        done = reporter.done(digest=digest, path=self._source.name, now=self._clock())
        await self._say_bye()
        return done

    def _common_limit(self, theirs: int) -> int | None:
        return min((limit for limit in (self._limit, theirs) if limit), default=None)

    async def _send_file(self, limit: int | None) -> None:
        limiter = RateLimiter(limit, now=self._clock())
        frame_size = frame_size_for(limit, self._payload_size)
        async for block in self._source.blocks():
            rest = memoryview(block)
            while rest:
                size = min(len(rest), frame_size)
                await self._wait_for_window(size)
                if delay := limiter.delay(size, now=self._clock()):
                    await asyncio.sleep(delay)
                frame = self._machine.frame(rest[:size], now=self._clock())
                await self._channels.send_data(frame)
                rest = rest[size:]

    async def _wait_for_window(self, size: int) -> None:
        while self._machine.sendable < size:
            self._window.clear()
            await self._window.wait()

    async def _say_bye(self) -> None:
        """Let the receiver close first: our own end would drop what it has not read yet."""
        self._machine.bye(now=self._clock())
        try:
            async with asyncio.timeout(CLOSE_TIMEOUT):
                await self._flush()
                await self._channels.wait_closed()
        except (TimeoutError, RtcsendError):
            return  # it has confirmed everything: what is left is manners

    async def _receive(self) -> None:
        while True:
            message = await self._channels.receive()
            # A receiver has nothing to say on the data channel: frames fail to parse as text.
            text = message if isinstance(message, str) else ""
            self._machine.receive_control_untrusted(text, now=self._clock())
            self._take_events()
            await self._flush()

    def _take_events(self) -> None:
        while event := self._machine.next_event():
            match event:
                case Accepted() | Skipped():
                    if isinstance(event, Skipped):
                        self._completed.set()
                    if not self._answered.done():  # given up in the same instant
                        self._answered.set_result(event)
                case Written(bytes=count):
                    self._window.set()
                    if self._reporter is not None:
                        self._reporter.written(count, now=self._clock())
                case Completed():
                    self._completed.set()

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(max(0.0, self._machine.get_timer() - self._clock()))
            self._machine.handle_timer(now=self._clock())
            await self._flush()

    async def _flush(self) -> None:
        for text in self._machine.messages_to_send():
            await self._channels.send_control(text)
