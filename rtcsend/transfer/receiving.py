"""The shell around :class:`~rtcsend.transfer.receiver.ReceiverMachine`.

Coroutines side by side: the disk is written, what an earlier run has left is read, messages
come in, and the clock ticks. Messages are read while the disk is slow, so a dead or departing
sender is noticed at once; what waits for the disk is bounded by the window, which the machine
enforces. When the connection is lost, the same object goes on over the next one.
"""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from contextlib import aclosing
from typing import Any, Final

from rtcsend.errors import ConnectionLost, PeerNeverCame, RtcsendError
from rtcsend.events import Done, Stalled
from rtcsend.tasks import cancel_all, first_of
from rtcsend.transfer.backlog import Backlog
from rtcsend.transfer.compression import load, unpack_untrusted
from rtcsend.transfer.exchange import Exchange
from rtcsend.transfer.frames import FRAME_HEADER
from rtcsend.transfer.machine_events import AllReceived, Kept, ProposalBegan, Proposed, SenderKnows
from rtcsend.transfer.ports import Channels, Clock, Decide, Emit, Offer, Sink
from rtcsend.transfer.receiver import ReceiverMachine
from rtcsend.transfer.reporting import Reporter, nothing_done

FLUSH_INTERVAL: Final = 0.25  # seconds; on a slow path less than a block is written and reported
FAREWELL_TIMEOUT: Final = 10.0  # seconds for a sender that lives to say that it knows
PROPOSAL_TIMEOUT: Final = 60.0  # seconds; a program answers at once, a person may have to --verify


class Receiving:
    """Receives what is sent, over as many connections as it takes.

    A lost connection does not interrupt the person who is asked, nor the disk that syncs: both
    go on meanwhile. Whoever gives up after a :class:`~rtcsend.errors.ConnectionLost` calls
    :meth:`aclose`.

    Args:
        decide: Asked once; may take as long as a person takes. Whoever made the sink that it
            returns abandons it when :meth:`run` raises, and is not called again.
        limit: Bytes per second at most, None for no limit.
        emit: Takes progress events.
        clock: Monotonic seconds.
    """

    def __init__(
        self,
        *,
        decide: Decide,
        limit: int | None,
        emit: Emit,
        clock: Clock,
        proposal_timeout: float = PROPOSAL_TIMEOUT,
    ) -> None:
        self._decide = decide
        self._limit = limit
        self._emit = emit
        self._clock = clock
        self._proposal_timeout = proposal_timeout
        # What the connections so far have come to.
        self._proposed: Proposed | None = None
        self._deciding: asyncio.Task[Sink | None] | None = None
        self._backlog = Backlog()
        self._reporter: Reporter | None = None
        self._wire = 0
        self._received: AllReceived | None = None
        self._size: int | None = None
        self._brought = 0
        self._finishing: asyncio.Task[Done] | None = None
        self._done: Done | None = None

    @property
    def done(self) -> Done | None:
        """The result, as soon as everything is saved, or nothing was wanted.

        After a ConnectionLost the sender may not know it yet; it is safe all the same.
        """
        return self._done

    @property
    def is_over(self) -> bool:
        """Whether everything is saved, or nothing was wanted."""
        return self._done is not None

    @property
    def position(self) -> int:
        """A count that grows while it goes on: what ended connections have brought, in bytes."""
        return self._brought

    async def run(self, channels: Channels) -> Done:
        """Return when everything is verified, synced and renamed, and the sender knows.

        Raises:
            ConnectionLost: The path is dead: call it again with new channels. When
                :attr:`done` is set, that is for the sender's sake only.
            RtcsendError: Whatever ended the transfer, on either side. The channels are then
                still open, so that the caller can say so to the other side.
        """
        machine = ReceiverMachine(
            earlier=self._proposed,
            digest=self._received.digest if self._received else None,
            size=self._size,
            limit=self._limit or 0,
            now=self._clock(),
        )
        over = _Connection(channels, machine, clock=self._clock)
        try:
            return await first_of(
                self._store(over),
                self._unless_stored(over.speak, over),
                self._unless_stored(lambda: over.listen(lambda all_: self._take(over, all_)), over),
                self._unless_stored(lambda: over.keep_time(lambda: self._look(over)), over),
            )
        except ConnectionLost:
            self._brought += over.brought
            raise  # the person and the disk are not interrupted
        except BaseException:
            await self.aclose()
            raise

    async def aclose(self) -> None:
        """Stop asking, and let the disk come to its end; then :attr:`done` is final.

        To be called when there will be no other connection.
        """
        if self._deciding is not None:
            await cancel_all([self._deciding])
        if self._finishing is not None:
            await asyncio.gather(self._finishing, return_exceptions=True)

    async def _unless_stored(
        self, watch: Callable[[], Coroutine[Any, Any, None]], over: "_Connection"
    ) -> None:
        """Watch. Once all is stored, nothing that the sender says or leaves out undoes it."""
        try:
            await watch()
        except ConnectionLost:
            if not over.finished.is_set():
                raise
        except RtcsendError:
            if not self.is_over:
                raise
            over.finished.set()

    async def _store(self, over: "_Connection") -> Done:
        sink = await self._decided(await self._wait_for_proposal(over))
        if sink is None:
            over.machine.skip_all(now=self._clock())
            self._done = done = nothing_done()
        else:
            reporter = await self._accept(over, sink)
            await first_of(
                self._write_all(over, sink, reporter),
                self._survey(over, sink, reporter),
                sink.watch(),
            )
            done = await self._finished(over, sink, reporter)
            over.machine.complete(done.blake3, now=self._clock())
        await self._say_farewell(over)
        return done

    async def _wait_for_proposal(self, over: "_Connection") -> Proposed:
        try:
            async with asyncio.timeout(self._proposal_timeout):
                await over.proposal_began.wait()
        except TimeoutError as exc:
            raise PeerNeverCame("The sender connected, but proposed nothing.") from exc
        return await over.proposal

    async def _decided(self, proposed: Proposed) -> Sink | None:
        self._proposed = proposed
        if self._deciding is None:
            offer = Offer(sender=proposed.proposal.sender, manifest=proposed.manifest)
            self._deciding = asyncio.create_task(self._decide(offer))
        return await asyncio.shield(self._deciding)

    async def _accept(self, over: "_Connection", sink: Sink) -> Reporter:
        """Put away what an earlier connection brought, and say what is there."""
        selection = sink.selection
        self._backlog.is_live = selection.layout.is_open
        if self._finishing is None:
            while self._backlog:
                await self._write_next(sink)
            await sink.flush()
            start, blocks = sink.written, sink.blocks
        else:
            assert self._size is not None, "all is received"
            start, blocks = self._size, 0
        over.sink, over.stored_before = sink, sink.stored
        over.machine.accept(
            selection,
            start=start,
            blocks=blocks,
            unpack=unpack_untrusted if load() else None,
            now=self._clock(),
        )
        over.flush()
        if self._reporter is None:
            total = None if selection.layout.is_open else selection.layout.size
            self._reporter = Reporter(total, emit=self._emit, now=self._clock())
        offered = over.machine.offered
        self._reporter.connected(start=start, offered=offered, now=self._clock())
        return self._reporter

    async def _survey(self, over: "_Connection", sink: Sink, reporter: Reporter) -> None:
        """Read what an earlier run has left, and say what it is: as the channel takes it."""
        machine = over.machine
        if machine.surveyed >= machine.offered:
            return
        async with aclosing(sink.survey(machine.next_offered)) as pages:
            async for first, digests in pages:
                machine.have(first, digests, now=self._clock())
                over.flush()
                reporter.checking(machine.surveyed, now=self._clock())
                await over.wait_until_said()
        machine.have_no_more(now=self._clock())
        over.flush()

    async def _write_all(self, over: "_Connection", sink: Sink, reporter: Reporter) -> None:
        """Write until everything is with the sink: whole blocks, or after a while what is there."""
        backlog, machine, clock = self._backlog, over.machine, self._clock
        written_at = clock()
        while backlog or not over.is_complete:
            stored, is_due = sink.stored, clock() >= written_at + FLUSH_INTERVAL
            if backlog.is_ready or (backlog and (is_due or over.is_complete)):
                await self._write_next(sink)
            elif not is_due:
                is_idle = machine.is_settled
                await over.wait_for_data(None if is_idle else FLUSH_INTERVAL)
                written_at = clock() if is_idle else written_at
                continue
            if is_due:
                await sink.flush()
            # A stream of lines never stands still, and is acknowledged all the same.
            if is_due or (sink.stored != stored and not backlog.is_live):
                written_at = clock()
            machine.written(sink.stored - over.stored_before, now=clock())
            if is_due:
                machine.acknowledge(now=clock())
            over.flush()
            reporter.compared(machine.position, kept=machine.kept, now=clock())
            reporter.progress(sink.written, moved=sink.stored, now=clock())

    async def _write_next(self, sink: Sink) -> None:
        """Give the sink the next block or mark; when cancelled, it has it or it waits here."""
        mark = self._backlog.next_mark()
        if mark is None:
            await sink.write(self._backlog.take())
        else:
            await sink.keep(mark)
            self._backlog.pass_mark(mark)

    async def _finished(self, over: "_Connection", sink: Sink, reporter: Reporter) -> Done:
        if self._finishing is None:
            assert self._received is not None, "all is received"
            self._finishing = asyncio.create_task(self._finish(sink, self._received, reporter))
        return await asyncio.shield(self._finishing)

    async def _finish(self, sink: Sink, received: AllReceived, reporter: Reporter) -> Done:
        digest = received.digest
        paths = map(str, await sink.finish(digest, received.sums))
        reporter.progress(sink.written, moved=sink.stored, now=self._clock())
        files = sink.selection.layout.files
        self._done = reporter.done(
            files=files, digest=digest, paths=paths, wire=self._wire, now=self._clock()
        )
        return self._done

    async def _say_farewell(self, over: "_Connection") -> None:
        """Send the last word, and wait until the sender has it: closing would drop it."""
        over.flush()
        try:
            async with asyncio.timeout(FAREWELL_TIMEOUT):
                await over.finished.wait()
        except TimeoutError:
            return  # it is safe here; whether the sender knows is the sender's matter

    def _take(self, over: "_Connection", messages: Sequence[str | bytes]) -> None:
        machine, now = over.machine, self._clock()
        add, receive_frame = self._backlog.add, machine.receive_frame_untrusted
        for message in messages:
            if isinstance(message, bytes):
                offset, payload = receive_frame(message, now=now)
                add(offset, payload)
                self._wire += len(message) - FRAME_HEADER.size
            else:
                machine.receive_control_untrusted(message, now=now)
            if machine.events:
                self._take_events(over)
        if self._backlog.is_ready or over.is_complete or over.is_idle:
            over.arrived.set()

    def _look(self, over: "_Connection") -> None:
        """Take note of what no message says; comes once a second."""
        self._take_events(over)
        over.machine.is_held = over.sink is not None and over.sink.is_held

    def _take_events(self, over: "_Connection") -> None:
        while event := over.machine.next_event():
            match event:
                case ProposalBegan():
                    over.proposal_began.set()
                case Proposed():
                    if not over.proposal.done():  # given up in the same instant
                        over.proposal.set_result(event)
                case Kept(position=position):
                    self._backlog.keep(position)
                case AllReceived():
                    self._received, self._size = event, over.machine.position
                    over.is_complete = True
                case SenderKnows():
                    over.finished.set()
                case Stalled():
                    self._emit(event)


class _Connection(Exchange[ReceiverMachine]):
    """What belongs to one connection."""

    def __init__(self, channels: Channels, machine: ReceiverMachine, *, clock: Clock) -> None:
        super().__init__(channels, machine, clock=clock)
        self._loop = asyncio.get_running_loop()
        self.proposal_began = asyncio.Event()
        self.proposal: asyncio.Future[Proposed] = self._loop.create_future()
        self.sink: Sink | None = None
        """Where it goes, once that is decided."""
        self.stored_before = 0
        """Bytes that earlier connections have brought to the disk."""
        self.arrived = asyncio.Event()
        self.is_idle = False
        """Whether the disk waits for anything at all, not just for a block."""
        self.is_complete = False
        """Whether everything has come, and the word that it has."""
        self.finished = asyncio.Event()

    async def wait_for_data(self, patience: float | None) -> None:
        """Return when there is a block to write, or everything has come, or after a while.

        Args:
            patience: Seconds; None: as long as it takes, but until anything at all comes.
        """
        self.is_idle = patience is None
        self.arrived.clear()
        timer = None if patience is None else self._loop.call_later(patience, self.arrived.set)
        try:
            await self.arrived.wait()
        finally:
            self.is_idle = False
            if timer is not None:
                timer.cancel()
