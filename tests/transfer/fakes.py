"""A file to send, a place to put it, and both shells over a connection in memory.

All of it on virtual time: a slow disk sleeps, and costs a test nothing.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from blake3 import blake3

from rtcsend.errors import CannotRead, DigestMismatch, RtcsendError
from rtcsend.events import Done, Event, Progress
from rtcsend.transfer.frames import MAX_PAYLOAD
from rtcsend.transfer.messages import AbortMessage, ProposalMessage, serialize_control
from rtcsend.transfer.ports import Sink
from rtcsend.transfer.receiving import Receiving
from rtcsend.transfer.sending import Sending
from tests.fakes.channels import FakeChannels, Network, channel_pair
from tests.fakes.clock import run_virtual

T = TypeVar("T")

BLOCK = 1 << 20
PATIENCE = 1.5  # virtual seconds for the other side to see how this one ended


class FakeSource:
    """A file in memory, or a huge one whose blocks are all the same object."""

    def __init__(
        self,
        content: bytes = b"",
        *,
        size: int | None = None,
        fails_at: int | None = None,
        block_size: int = BLOCK,
    ) -> None:
        self.name = "film.iso"
        self.size = len(content) if size is None else size
        self._is_sparse = size is not None
        self._content = bytes(block_size) if self._is_sparse else content
        self._block_size = block_size
        self._fails_at = fails_at

    async def blocks(self) -> AsyncIterator[bytes]:
        for offset in range(0, self.size, self._block_size):
            if self._fails_at is not None and offset >= self._fails_at:
                raise CannotRead("film.iso changed while it was sent.")
            size = min(self._block_size, self.size - offset)
            start = 0 if self._is_sparse else offset
            yield self._content[start : start + size]

    async def digest(self) -> str:
        return "00" * 32 if self._is_sparse else blake3(self._content).hexdigest()


class FakeSink:
    """A disk: collects a block, then takes its time.

    Args:
        bytes_per_s: How fast it is.
        keeps: Whether the content is kept and verified; else it is only counted.
        fails_at: Bytes after which writing raises ``failure``.
        blocks_at: Bytes after which one write takes ``blocks_for`` seconds more.
        finish_takes: Seconds for syncing.
    """

    def __init__(
        self,
        *,
        bytes_per_s: float = 1e9,
        keeps: bool = True,
        fails_at: int | None = None,
        failure: Exception | None = None,
        blocks_at: int | None = None,
        blocks_for: float = 60.0,
        finish_takes: float = 0.0,
    ) -> None:
        self.content = bytearray()
        self.is_finished = False
        self._bytes_per_s = bytes_per_s
        self._keeps = keeps
        self._fails_at = fails_at
        self._failure = failure
        self._blocks_at = blocks_at
        self._blocks_for = blocks_for
        self._finish_takes = finish_takes
        self._collected = 0
        self._written = 0

    @property
    def written(self) -> int:
        return self._written

    async def write(self, data: memoryview) -> None:
        if self._keeps:
            self.content += data
        self._collected += len(data)
        if self._collected >= BLOCK:
            await self.flush()

    async def flush(self) -> None:
        total = self._written + self._collected
        if self._failure is not None and self._fails_at is not None and total > self._fails_at:
            raise self._failure
        if self._blocks_at is not None and total > self._blocks_at:
            self._blocks_at = None
            await asyncio.sleep(self._blocks_for)
        await asyncio.sleep(self._collected / self._bytes_per_s)
        self._written, self._collected = total, 0

    async def finish(self, expected_digest: str) -> Path:
        await self.flush()
        await asyncio.sleep(self._finish_takes)
        if self._keeps and blake3(self.content).hexdigest() != expected_digest:
            raise DigestMismatch("film.iso arrived damaged.")
        self.is_finished = True
        return Path("/downloads/film.iso")


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
        decides: Callable[[ProposalMessage], Awaitable[Sink | None]] | None = None,
        answer_timeout: float = 3600.0,
    ) -> None:
        self.sink = sink
        self.sender, self.receiver = Side(), Side()
        self.sender_end, self.receiver_end = channel_pair(network)
        self.proposals: list[ProposalMessage] = []
        self.peak_waiting = 0
        self.receiver_end.on_arrival = self._measure
        clock = asyncio.get_running_loop().time
        self.sending = Sending(
            self.sender_end,
            source,
            sender="ada-laptop",
            payload_size=payload_size,
            limit=sender_limit,
            answer_timeout=answer_timeout,
            emit=self.sender.events.append,
            clock=clock,
        )
        self.receiving = Receiving(
            self.receiver_end,
            decide=decides or self._decide,
            limit=receiver_limit,
            emit=self.receiver.events.append,
            clock=clock,
        )

    async def run(self) -> None:
        """Run both sides to their ends, and see that no task is left."""
        await asyncio.gather(
            run_side(self.sender, self.sender_end, self.sending.run()),
            run_side(self.receiver, self.receiver_end, self.receiving.run()),
        )

    async def _decide(self, proposal: ProposalMessage) -> Sink | None:
        self.proposals.append(proposal)
        return self.sink

    def _measure(self) -> None:
        """Note how much has come and is not with the disk yet."""
        if self.sink is not None:
            waiting = self.receiver_end.payload_received - self.sink.written
            self.peak_waiting = max(self.peak_waiting, waiting)


async def run_side(side: Side, channels: FakeChannels, work: Coroutine[Any, Any, Done]) -> None:
    """Run a shell as a session does: an error is told to the other side, then all is closed."""
    try:
        side.result = await work
    except RtcsendError as exc:
        side.result = exc
        if not exc.told_by_peer:
            with suppress(TimeoutError, RtcsendError):
                async with asyncio.timeout(PATIENCE):
                    await channels.send_control(serialize_control(AbortMessage(exc)))
                    await channels.wait_closed()
    finally:
        side.ended_at = asyncio.get_running_loop().time()
        channels.close()


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
