"""The shell around :class:`~rtcsend.transfer.receiver.ReceiverMachine`.

Three coroutines side by side: the disk is written, messages come in, and the clock ticks.
Messages are read while the disk is slow, so a dead or departing sender is noticed at once;
what waits for the disk is bounded by the window, which the machine enforces.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final

from rtcsend.errors import PeerNeverCame, RtcsendError
from rtcsend.events import Done
from rtcsend.tasks import first_of
from rtcsend.transfer.frames import MAX_PAYLOAD
from rtcsend.transfer.messages import ProposalMessage
from rtcsend.transfer.ports import Channels, Clock, Emit, Sink
from rtcsend.transfer.receiver import AllReceived, Proposed, ReceiverMachine, SenderKnows
from rtcsend.transfer.reporting import Reporter, nothing_done

FLUSH_INTERVAL: Final = 0.25  # seconds; on a slow path less than a block is written and reported
FAREWELL_TIMEOUT: Final = 10.0  # seconds for the sender to say that it knows; not an error if not
PROPOSAL_TIMEOUT: Final = 60.0  # seconds; a program answers at once, a person may have to --verify
SMALL_PIECE: Final = 4096  # bytes; less is joined, since each object costs some 200 bytes besides

Decide = Callable[[ProposalMessage], Awaitable[Sink | None]]
"""Decides about a proposal: where it goes, or None to skip it; raises to decline."""


class Receiving:
    """Receives one file over open channels; used once.

    Args:
        channels: Open ones.
        decide: Asked once; may take as long as a person takes. Whoever made the sink that it
            returns abandons it when :meth:`run` raises.
        limit: Bytes per second at most, None for no limit.
        emit: Takes progress events.
        clock: Monotonic seconds.
    """

    def __init__(
        self,
        channels: Channels,
        *,
        decide: Decide,
        limit: int | None,
        emit: Emit,
        clock: Clock,
        proposal_timeout: float = PROPOSAL_TIMEOUT,
    ) -> None:
        self._channels = channels
        self._decide = decide
        self._limit = limit
        self._emit = emit
        self._clock = clock
        self._proposal_timeout = proposal_timeout
        self._machine = ReceiverMachine(now=clock())
        self._unwritten: deque[memoryview | bytearray] = deque()
        self._arrived = asyncio.Event()
        loop = asyncio.get_running_loop()
        self._proposal: asyncio.Future[ProposalMessage] = loop.create_future()
        self._digest: asyncio.Future[str] = loop.create_future()
        self._finished = asyncio.Event()

    @property
    def is_over(self) -> bool:
        """Whether the file is saved, or was not wanted."""
        return self._machine.is_over

    async def run(self) -> Done:
        """Return when the file is verified, synced and under its final name.

        Raises:
            RtcsendError: Whatever ended the transfer, on either side. The channels are then
                still open, so that the caller can say so to the other side.
        """
        return await first_of(
            self._store(), self._unless_stored(self._receive), self._unless_stored(self._tick)
        )

    async def _unless_stored(self, watch: Callable[[], Awaitable[None]]) -> None:
        """Watch. Once the file is stored, nothing that the sender says or leaves out undoes it."""
        try:
            await watch()
        except RtcsendError:
            if not self._machine.is_over:
                raise
            self._finished.set()

    async def _store(self) -> Done:
        try:
            async with asyncio.timeout(self._proposal_timeout):
                proposal = await self._proposal
        except TimeoutError as exc:
            raise PeerNeverCame("The sender connected, but proposed nothing.") from exc
        sink = await self._decide(proposal)
        if sink is None:
            self._machine.skip(now=self._clock())
            await self._say_farewell()
            return nothing_done()
        self._machine.accept(limit=self._limit, now=self._clock())
        reporter = Reporter(proposal.entries[0].size, emit=self._emit, now=self._clock())
        await self._flush()
        await self._write_all(sink, reporter)
        digest = self._digest.result()
        path = await sink.finish(digest)
        reporter.written(sink.written, now=self._clock())
        self._machine.complete(digest, now=self._clock())
        done = reporter.done(digest=digest, path=str(path), now=self._clock())
        await self._say_farewell()
        return done

    async def _write_all(self, sink: Sink, reporter: Reporter) -> None:
        stored_at = self._clock()
        while self._unwritten or not self._digest.done():
            before = sink.written
            if self._unwritten:
                await sink.write(memoryview(self._unwritten.popleft()))
            else:
                await self._wait_for_more()
            is_slow = sink.written == before and self._clock() - stored_at >= FLUSH_INTERVAL
            if is_slow:
                await sink.flush()
            if is_slow or sink.written != before:
                stored_at = self._clock()
            self._machine.written(sink.written, now=self._clock())
            if is_slow:
                self._machine.acknowledge(now=self._clock())
            reporter.written(sink.written, now=self._clock())
            await self._flush()

    async def _wait_for_more(self) -> None:
        """Return when anything came, after FLUSH_INTERVAL at the latest."""
        self._arrived.clear()
        with suppress(TimeoutError):
            async with asyncio.timeout(FLUSH_INTERVAL):
                await self._arrived.wait()

    async def _say_farewell(self) -> None:
        """Send the last word, and wait until the sender has it: closing would drop it."""
        try:
            async with asyncio.timeout(FAREWELL_TIMEOUT):
                await self._flush()
                await self._finished.wait()
        except (TimeoutError, RtcsendError):
            return  # the file is safe here; whether the sender knows is the sender's matter

    async def _receive(self) -> None:
        while not self._finished.is_set():
            self._take(await self._channels.receive())
            await self._flush()

    def _take(self, message: str | bytes) -> None:
        now = self._clock()
        if isinstance(message, bytes):
            self._keep(self._machine.receive_frame_untrusted(message, now=now))
        else:
            self._machine.receive_control_untrusted(message, now=now)
        self._arrived.set()
        while event := self._machine.next_event():
            match event:
                case Proposed(proposal=proposal):
                    if not self._proposal.done():  # given up in the same instant
                        self._proposal.set_result(proposal)
                case AllReceived(digest=digest):
                    self._digest.set_result(digest)
                case SenderKnows():
                    self._finished.set()

    def _keep(self, payload: memoryview) -> None:
        """Keep a piece for the disk; small ones in common, whatever size a sender likes."""
        last = self._unwritten[-1] if self._unwritten else None
        if isinstance(last, bytearray) and len(last) + len(payload) <= MAX_PAYLOAD:
            last += payload
        else:
            is_small = len(payload) < SMALL_PIECE
            self._unwritten.append(bytearray(payload) if is_small else payload)

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(max(0.0, self._machine.get_timer() - self._clock()))
            self._machine.handle_timer(now=self._clock())
            await self._flush()

    async def _flush(self) -> None:
        for text in self._machine.messages_to_send():
            await self._channels.send_control(text)
