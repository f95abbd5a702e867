"""Files to send, a place to put it, and both shells over a connection in memory.

All of it on virtual time: a slow disk sleeps, and costs a test nothing.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable, Container, Coroutine, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeVar

from blake3 import blake3

from rtcsend.blocks import BLOCK_SIZE, Data, block_digest
from rtcsend.errors import CannotRead, ConnectionLost, DigestMismatch, RtcsendError
from rtcsend.events import Done, Event, Progress
from rtcsend.manifest.manifest import Manifest
from rtcsend.manifest.selection import Selection
from rtcsend.manifest.sums import FileSums
from rtcsend.transfer.frames import MAX_PAYLOAD
from rtcsend.transfer.messages import AbortMessage, serialize_control
from rtcsend.transfer.ports import Decide, Offer, Sink
from rtcsend.transfer.receiving import Receiving
from rtcsend.transfer.sending import Sending
from tests.fakes.channels import FakeChannels, Network, channel_pair
from tests.fakes.clock import run_virtual
from tests.transfer.wire import file, listed

T = TypeVar("T")

PATIENCE = 1.5  # virtual seconds for the other side to see how this one ended


def manifest_of_sizes(sizes: Sequence[int]) -> Manifest:
    """Return the list of files of these sizes: one is ``film.iso``, many have numbers."""
    names = ["film.iso"] if len(sizes) == 1 else [f"{number:06}" for number in range(len(sizes))]
    return listed(*(file(size, name) for size, name in zip(sizes, names, strict=True)))


class FakeSource:
    """Files in memory, or a huge one whose blocks are all the same object.

    Args:
        content: Of all files in a row.
        sizes: Of the files; None: there is one.
        size: Of a huge file.
        piece: Bytes of a piece at least, but for the last one.
    """

    def __init__(
        self,
        content: bytes = b"",
        *,
        sizes: Sequence[int] | None = None,
        size: int | None = None,
        piece: int = 1,
        fails_at: int | None = None,
        stands_still_at: int | None = None,
    ) -> None:
        self.size = len(content) if size is None else size
        self.manifest = manifest_of_sizes([self.size] if sizes is None else sizes)
        self.says_sums: FileSums | None = None
        self.taken = 0
        """Bytes that were read, those of repeated walks too."""
        self._is_sparse = size is not None
        self._content = bytes(BLOCK_SIZE) if self._is_sparse else content
        self._wanted = self._content
        self._piece = piece
        self._fails_at = fails_at
        self._stands_still_at = stands_still_at
        self._reached = 0

    async def blocks(
        self, selection: Selection, *, start: int
    ) -> AsyncGenerator[tuple[int, Data], None]:
        assert start <= self._reached
        layout = selection.layout
        if not self._is_sparse:
            self._wanted = wanted_bytes(self._content, selection)
        while start < layout.size:
            await asyncio.sleep(0)
            if self._fails_at is not None and start >= self._fails_at:
                raise CannotRead("film.iso changed while it was sent.")
            if self._stands_still_at is not None and start >= self._stands_still_at:
                await asyncio.Event().wait()
            end = start
            while end < layout.size and end - start < self._piece:
                end = layout.block_end(layout.block_at(end))
            self._reached = max(self._reached, end)
            self.taken += end - start
            at = 0 if self._is_sparse else start
            yield start, memoryview(self._wanted)[at : at + end - start]
            start = end

    def release(self, position: int) -> None:
        assert position <= self._reached

    async def digest(self) -> str:
        return "00" * 32 if self._is_sparse else blake3(self._wanted).hexdigest()

    def sums(self) -> FileSums | None:
        return self.says_sums


def wanted_bytes(content: bytes, selection: Selection) -> bytes:
    """Return what of the content of all files is wanted."""
    pieces, at = [], 0
    for number, size in enumerate(selection.manifest.sizes()):
        if selection.is_wanted(number):
            pieces.append(content[at : at + size])
        at += size
    return b"".join(pieces)


class FakeSink:
    """A disk: collects a block, then takes its time.

    Args:
        size: Of the file, when ``earlier`` is given.
        selection: Of files, instead of one of ``size``.
        earlier: What an earlier run has left: whole blocks, and at the end perhaps a part.
        gaps: Blocks of it that are not there.
        bytes_per_s: How fast it is, when written and when surveyed.
        keeps: Whether the content is kept and verified; else it is only counted.
        fails_at: Bytes after which writing raises ``failure``.
        blocks_at: Bytes after which one write takes ``blocks_for`` seconds more.
        holds: Whether that write waits for who takes what is written, and for no disk.
        finish_takes: Seconds for syncing.
        page: Blocks in a page of a survey.
    """

    def __init__(
        self,
        *,
        size: int = 0,
        selection: Selection | None = None,
        earlier: bytes = b"",
        gaps: Container[int] = (),
        bytes_per_s: float = 1e9,
        keeps: bool = True,
        fails_at: int | None = None,
        failure: Exception | None = None,
        blocks_at: int | None = None,
        blocks_for: float = 60.0,
        holds: bool = False,
        finish_takes: float = 0.0,
        page: int = 4,
    ) -> None:
        self.content = bytearray()
        self.is_finished = False
        self.heard_sums: FileSums | None = None
        self.is_held = False
        self.surveyed = 0
        """Blocks whose digests were given out."""
        self.selection = selection or Selection(manifest_of_sizes([size]))
        self._earlier = earlier
        self._layout = layout = self.selection.layout
        self.gaps = gaps
        # The last one may be torn.
        self._blocks = layout.block_at(min(len(earlier), layout.size))
        self._bytes_per_s = bytes_per_s
        self._keeps = keeps
        self._fails_at = fails_at
        self._failure = failure
        self._blocks_at = blocks_at
        self._blocks_for = blocks_for
        self._holds = holds
        self._finish_takes = finish_takes
        self._page = page
        self._collected = 0
        self._stored = 0
        self._written = 0
        self._is_busy = False

    def expects(self, manifest: Manifest) -> None:
        """Take all of what is proposed, unless it was said before what comes."""
        if self._layout.size == 0:
            self.selection = Selection(manifest)
            self._layout = self.selection.layout

    @property
    def written(self) -> int:
        return self._written

    @property
    def stored(self) -> int:
        return self._stored

    @property
    def blocks(self) -> int:
        return self._blocks

    async def survey(self, first: int) -> AsyncGenerator[tuple[int, bytes], None]:
        while first < self._blocks:
            if first in self.gaps:
                first += 1
                continue
            last = first + 1
            while last < min(first + self._page, self._blocks) and last not in self.gaps:
                last += 1
            at = [self._layout.block_start(block) for block in range(first, last + 1)]
            parts = [self._earlier[one:other] for one, other in pairwise(at)]
            await asyncio.sleep(sum(map(len, parts)) / self._bytes_per_s)
            self.surveyed += len(parts)
            yield first, b"".join(map(block_digest, parts))
            first = last

    async def write(self, data: Data) -> None:
        self._enter()
        if self._keeps:
            self.content += data
        self._collected += len(data)
        self._is_busy = False
        if self._collected >= BLOCK_SIZE:
            await self.flush()

    async def keep(self, position: int) -> None:
        await self.flush()
        assert position >= self._written
        if self._keeps:
            self.content += self._earlier[self._written : position]
        self._written = position

    async def flush(self) -> None:
        """Store; when cancelled, it is in its place all the same."""
        self._enter()
        collected, self._collected = self._collected, 0
        total = self._written + collected
        if self._failure is not None and self._fails_at is not None and total > self._fails_at:
            raise self._failure
        try:
            if self._blocks_at is not None and total > self._blocks_at:
                self._blocks_at = None
                self.is_held = self._holds
                await asyncio.sleep(self._blocks_for)
            await asyncio.sleep(collected / self._bytes_per_s)
        finally:
            self._written, self._stored = total, self._stored + collected
            self._is_busy = self.is_held = False

    async def watch(self) -> None:
        return

    async def finish(self, expected_digest: str, sums: FileSums | None = None) -> list[Path]:
        self.heard_sums = sums
        await self.flush()
        await asyncio.sleep(self._finish_takes)
        if self._keeps and blake3(self.content).hexdigest() != expected_digest:
            raise DigestMismatch("film.iso arrived damaged.")
        self.is_finished = True
        return [Path("/downloads") / name for name in self.selection.manifest.top]

    def _enter(self) -> None:
        assert not self._is_busy, "one call at a time"
        self._is_busy = True


@dataclass
class Side:
    """How one side ended, and what it told its user."""

    result: Done | RtcsendError | None = None
    ended_at: float = -1.0
    events: list[Event] = field(default_factory=list)

    @property
    def done(self) -> Done:
        assert isinstance(self.result, Done), repr(self.result)
        return self.result

    @property
    def error(self) -> RtcsendError:
        assert isinstance(self.result, RtcsendError), repr(self.result)
        return self.result

    @property
    def progress(self) -> list[int]:
        return [event.bytes for event in self.events if isinstance(event, Progress)]


class Pair:
    """Both shells over one connection; made on a running loop on virtual time."""

    def __init__(
        self,
        source: FakeSource,
        sink: FakeSink | None,
        *,
        network: Network | None = None,
        payload_size: int = MAX_PAYLOAD,
        sender_limit: int | None = None,
        receiver_limit: int | None = None,
        decides: Decide | None = None,
        answer_timeout: float = 3600.0,
    ) -> None:
        self.sink = sink
        self.sender, self.receiver = Side(), Side()
        self.sender_end, self.receiver_end = channel_pair(network)
        self.offers: list[Offer] = []
        self.peak_waiting = 0
        self.receiver_end.on_arrival = self._measure
        clock = asyncio.get_running_loop().time
        self.payload_size = payload_size
        self.sending = Sending(
            source,
            sender="ada-laptop",
            limit=sender_limit,
            answer_timeout=answer_timeout,
            emit=self.sender.events.append,
            clock=clock,
            entropy=lambda size: bytes(range(size)),
        )
        self.receiving = Receiving(
            decide=decides or self._decide,
            limit=receiver_limit,
            emit=self.receiver.events.append,
            clock=clock,
        )

    async def run(self) -> None:
        """Run both sides to their ends, and see that no task is left."""
        await asyncio.gather(
            run_side(self.sender, self.sender_end, self.send()),
            run_side(self.receiver, self.receiver_end, self.receive()),
        )

    async def send(self) -> Done:
        return await self.sending.run(self.sender_end, payload_size=self.payload_size)

    async def receive(self) -> Done:
        return await receive_once(self.receiving, self.receiver_end)

    async def _decide(self, offer: Offer) -> Sink | None:
        self.offers.append(offer)
        if self.sink is not None:
            self.sink.expects(offer.manifest)
        return self.sink

    def _measure(self) -> None:
        """Note how much has come and is not with the disk yet."""
        if self.sink is not None:
            waiting = self.receiver_end.payload_received - self.sink.stored
            self.peak_waiting = max(self.peak_waiting, waiting)


async def receive_once(receiving: Receiving, channels: FakeChannels) -> Done:
    """Receive as a session does that does not meet the other side again."""
    try:
        return await receiving.run(channels)
    except ConnectionLost:
        await receiving.aclose()
        if receiving.done is None:
            raise
        return receiving.done


async def run_side(side: Side, channels: FakeChannels, work: Coroutine[Any, Any, Done]) -> None:
    """Run a shell as a session does: an error is told to the other side, then all is closed."""
    try:
        side.result = await work
    except RtcsendError as exc:
        side.result = exc
        await say_farewell(channels, exc)
    finally:
        side.ended_at = asyncio.get_running_loop().time()
        channels.close()


async def say_farewell(channels: FakeChannels, error: RtcsendError) -> None:
    """Tell the other side how this one ended, and wait a little until it has read that."""
    if error.told_by_peer:
        return
    with suppress(TimeoutError, RtcsendError):
        async with asyncio.timeout(PATIENCE):
            await channels.send_control(serialize_control(AbortMessage(error)))
            await channels.wait_closed()


def virtual(main: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Run a test on virtual time; every task that it started must have ended with it."""

    async def watched() -> T:
        result = await main()
        assert asyncio.all_tasks() == {asyncio.current_task()}
        return result

    return run_virtual(watched)


def transfer(make: Callable[[], Pair]) -> Pair:
    """Run a whole transfer on virtual time; return what became of it."""

    async def main() -> Pair:
        pair = make()
        await pair.run()
        return pair

    return virtual(main)
