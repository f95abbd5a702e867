"""The shell around :class:`~rtcsend.transfer.sender.SenderMachine`.

Three coroutines side by side: the stream goes out (waiting for the window, the rate limit and
the channel), control messages come in, and the clock ticks. When the connection is lost, the
same object goes on over the next one.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import aclosing
from typing import TYPE_CHECKING, Final

from rtcsend.errors import PeerNeverCame, RtcsendError
from rtcsend.events import Done, Stalled
from rtcsend.options import Compress
from rtcsend.tasks import first_of
from rtcsend.transfer.compression import Packer, load
from rtcsend.transfer.exchange import Exchange
from rtcsend.transfer.frames import FRAME_HEADER, payload_filling
from rtcsend.transfer.machine_events import Accepted, Completed, DigestsCame, Skipped, Written
from rtcsend.transfer.messages import MAX_SENDER_LENGTH, TRANSFER_SIZE, ProposalMessage
from rtcsend.transfer.ports import Channels, Clock, Emit, Entropy, Source
from rtcsend.transfer.rate import RateLimiter, frame_size_for
from rtcsend.transfer.reporting import Reporter, nothing_done
from rtcsend.transfer.sender import SenderMachine

if TYPE_CHECKING:
    from rtcsend.manifest.selection import Selection

CLOSE_TIMEOUT: Final = 2.0  # seconds for the receiver to see our farewell and close


class Sending:
    """Sends what a source has, over as many connections as it takes.

    Args:
        source: What to send.
        sender: Host name to show to the receiver's user.
        limit: Bytes per second on the path at most, None for no limit.
        compress: Whether frames are packed, for a receiver that takes that.
        pool: The limit of all receivers of this sender together, if they have one.
        sharers: How many these may be.
        answer_timeout: Seconds to wait for the receiver to accept, over all connections.
        emit: Takes progress events.
        clock: Monotonic seconds.
        entropy: For the number of the transfer.
    """

    def __init__(
        self,
        source: Source,
        *,
        sender: str,
        limit: int | None,
        answer_timeout: float,
        emit: Emit,
        clock: Clock,
        entropy: Entropy,
        compress: Compress = Compress.NEVER,
        pool: RateLimiter | None = None,
        sharers: int = 1,
    ) -> None:
        self._source = source
        self._limit = limit
        self._compress = compress
        self._pool = pool
        self._sharers = sharers
        self._answer_by: float | None = clock() + answer_timeout
        self._emit = emit
        self._clock = clock
        manifest = source.manifest
        self._proposal = ProposalMessage(
            transfer=entropy(TRANSFER_SIZE // 2).hex(),
            sender=sender[:MAX_SENDER_LENGTH],
            entries=len(manifest),
            files=manifest.files,
            bytes=manifest.bytes,
            digest=manifest.digest,
            holes=manifest.holes,
        )
        # What the connections so far have come to.
        self._selection: Selection | None = None
        self._reached = 0
        self._brought = 0
        self._moved = 0
        self._wire = 0
        self._digest: str | None = None
        self._reporter: Reporter | None = None
        self._is_over = False

    @property
    def is_over(self) -> bool:
        """Whether the receiver has confirmed everything, or wanted nothing."""
        return self._is_over

    @property
    def position(self) -> int:
        """A count that grows while it goes on: what ended connections have brought, in bytes."""
        return self._brought

    async def run(self, channels: Channels, *, payload_size: int) -> Done:
        """Return when the receiver has confirmed everything.

        Args:
            channels: Open ones.
            payload_size: Bytes in a frame at most, for this peer.

        Raises:
            ConnectionLost: The path is dead: call it again with new channels.
            RtcsendError: Whatever ended the transfer, on either side. The channels are then
                still open, so that the caller can say so to the other side.
        """
        machine = SenderMachine(
            self._proposal,
            self._source.manifest,
            selection=self._selection,
            reached=self._reached,
            limit=self._limit or 0,
            now=self._clock(),
        )
        over = _Connection(channels, machine, payload_size=payload_size, clock=self._clock)
        try:
            return await first_of(
                self._send(over),
                self._unless_over(over.speak),
                self._unless_over(lambda: over.listen(lambda all_: self._take(over, all_))),
                self._unless_over(lambda: over.keep_time(lambda: self._take_events(over))),
            )
        finally:
            self._reached = machine.reached
            self._brought += over.brought
            self._moved += over.written

    async def _unless_over(self, watch: Callable[[], Awaitable[None]]) -> None:
        """Watch. Once the receiver has the file, nothing that it says or leaves out undoes it."""
        try:
            await watch()
        except RtcsendError:
            if not self._is_over:
                raise

    async def _send(self, over: "_Connection") -> Done:
        answer = await self._answer(over)
        if isinstance(answer, Skipped):
            await self._say_bye(over)
            return nothing_done()
        reporter = self._begin(answer, offered=over.machine.offered)
        await self._send_stream(over, answer, reporter)
        if self._digest is None:
            self._digest = await self._source.digest()
        over.machine.end(self._digest, sums=self._source.sums(), now=self._clock())
        over.flush()
        await over.completed.wait()
        moved, now = self._moved + over.machine.sent, self._clock()
        reporter.progress(over.machine.position, moved=moved, now=now)
        files, paths = answer.selection.layout.files, self._source.manifest.top
        done = reporter.done(
            files=files, digest=self._digest, paths=paths, wire=self._wire, now=now
        )
        await self._say_bye(over)
        return done

    async def _answer(self, over: "_Connection") -> Accepted | Skipped:
        try:
            async with asyncio.timeout_at(self._answer_by):
                return await over.answered
        except TimeoutError as exc:
            raise PeerNeverCame("The other side did not answer the proposal.") from exc

    def _begin(self, answer: Accepted, *, offered: int) -> Reporter:
        """Tell the user where it begins; return who tells the rest."""
        self._answer_by = None  # a person has answered: from now on it is programs that wait
        self._selection = answer.selection
        if self._reporter is None:
            layout = answer.selection.layout
            total = None if layout.is_open else layout.size
            self._reporter = Reporter(total, emit=self._emit, now=self._clock())
        self._reporter.connected(start=answer.start, offered=offered, now=self._clock())
        return self._reporter

    async def _send_stream(self, over: "_Connection", answer: Accepted, reporter: Reporter) -> None:
        machine, clock = over.machine, self._clock
        over.packer = self._make_packer(answer)
        limiter = None
        if answer.limit:  # the lowest of all limits, so a pool is not without one
            limiter = RateLimiter(answer.limit, now=clock(), pool=self._pool)
        pieces = self._source.blocks(answer.selection, start=answer.start)
        async with aclosing(pieces):
            async for _position, piece in pieces:
                rest = memoryview(piece)
                while rest:
                    while machine.awaits_digest:
                        await over.wait_for_change()
                    passed = machine.pass_over(rest, now=clock())
                    if passed:
                        over.flush()
                    rest = rest[passed:]
                    reporter.compared(machine.position, kept=machine.kept, now=clock())
                    if rest and not machine.awaits_digest:
                        size = machine.unsent(rest)
                        limit = answer.limit // self._sharers
                        await self._send_data(over, rest[:size], limiter, limit)
                        rest = rest[size:]

    def _make_packer(self, answer: Accepted) -> Packer | None:
        if self._compress is Compress.NEVER or not answer.zstd or not load():
            return None
        return Packer(self._compress, clock=self._clock)

    async def _send_data(
        self, over: "_Connection", rest: memoryview, limiter: RateLimiter | None, limit: int
    ) -> None:
        machine, clock = over.machine, self._clock
        frame_size = frame_size_for(limit, over.payload_size)
        while rest:
            packer = over.packer if over.packer and over.packer.is_packing else None
            size = min(len(rest), frame_size if limiter or packer else len(rest))
            if not machine.sent:
                size = min(size, over.first_payload)
            size = await self._room(over, size, frame_size)
            pack = packer.pack if packer else None
            frames = machine.frames(rest[:size], size=frame_size, pack=pack, now=clock())
            wire = sum(map(len, frames)) - len(frames) * FRAME_HEADER.size
            if limiter and (delay := limiter.delay(wire, now=clock())):
                await asyncio.sleep(delay)
            self._wire += wire  # also where the connection ends amid them: some may have gone
            await over.channels.send_frames(frames)
            if over.packer:
                over.packer.sent(size)
            rest = rest[size:]

    async def _room(self, over: "_Connection", wanted: int, frame_size: int) -> int:
        """Return how many of ``wanted`` bytes may go: whole frames, after a while."""
        while over.machine.sendable < min(wanted, frame_size):
            await over.wait_for_change()
        return min(wanted, max(over.machine.sendable // frame_size, 1) * frame_size)

    async def _say_bye(self, over: "_Connection") -> None:
        """Let the receiver close first: our own end would drop what it has not read yet."""
        over.machine.bye(now=self._clock())
        try:
            async with asyncio.timeout(CLOSE_TIMEOUT):
                over.flush()
                await over.channels.wait_closed()
        except (TimeoutError, RtcsendError):
            return  # it has confirmed everything: what is left is manners

    def _take(self, over: "_Connection", messages: Sequence[str | bytes]) -> None:
        for message in messages:
            # A receiver has nothing to say on the data channel: frames fail to parse as text.
            text = message if isinstance(message, str) else ""
            over.machine.receive_control_untrusted(text, now=self._clock())
            self._take_events(over)

    def _take_events(self, over: "_Connection") -> None:
        while event := over.machine.next_event():
            match event:
                case Accepted() | Skipped():
                    self._is_over = isinstance(event, Skipped)
                    if not over.answered.done():  # given up in the same instant
                        over.answered.set_result(event)
                case Written(bytes=count):
                    over.written = count
                    if over.packer:
                        over.packer.acknowledged(count)
                    over.changed.set()
                    position = over.machine.position - over.machine.in_flight
                    self._source.release(position)
                    if self._reporter is not None:
                        moved = self._moved + count
                        self._reporter.progress(position, moved=moved, now=self._clock())
                case DigestsCame():
                    over.changed.set()
                case Completed():
                    self._is_over = True
                    over.completed.set()
                case Stalled():
                    self._emit(event)


class _Connection(Exchange[SenderMachine]):
    """What belongs to one connection."""

    def __init__(
        self, channels: Channels, machine: SenderMachine, *, payload_size: int, clock: Clock
    ) -> None:
        super().__init__(channels, machine, clock=clock)
        self._largest = payload_size
        self.packer: Packer | None = None
        """Of frames, where the receiver takes that."""
        self.written = 0
        """Bytes of payload that it has brought to the disk."""
        loop = asyncio.get_running_loop()
        self.answered: asyncio.Future[Accepted | Skipped] = loop.create_future()
        self.changed = asyncio.Event()
        self.completed = asyncio.Event()

    @property
    def payload_size(self) -> int:
        """Bytes of payload of a frame; packets grow while the path is being measured."""
        return payload_filling(self.channels.packet_payload, largest=self._largest)

    @property
    def first_payload(self) -> int:
        """Bytes of payload of the first frame: one packet, which slow start does not hold up."""
        packet = self.channels.packet_payload
        return packet - FRAME_HEADER.size if packet else self._largest

    async def wait_for_change(self) -> None:
        """Return when the window has opened, or digests have come."""
        self.changed.clear()
        await self.changed.wait()
