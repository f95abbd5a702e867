"""Whole transfers over a bad world, on virtual time: thousands of seeds.

The connection is cut at random moments, loudly or in silence; the receiver has some of the file
from an earlier run, parts of it altered; the disk, the person and the network take their time.
Whatever the seed: what the receiver has at the end is what the sender has, of one file or of
many of which some are wanted, and what was sent twice is what was in flight when a connection
was cut.
"""

import asyncio
import functools
import random
from collections.abc import AsyncGenerator, Container, Coroutine
from typing import Any

import pytest

from rtcsend import blocks
from rtcsend.blocks import Data
from rtcsend.errors import CannotRead, ConnectionLost, DigestMismatch, PeerAborted, RtcsendError
from rtcsend.events import Done, Event, Progress, Resumed
from rtcsend.manifest.selection import Selection
from rtcsend.transfer import receiver as receiver_module
from rtcsend.transfer.messages import MIN_WINDOW
from rtcsend.transfer.ports import Offer, Sink
from rtcsend.transfer.receiving import Receiving
from rtcsend.transfer.sending import Sending
from tests.fakes.channels import FakeChannels, Network, channel_pair
from tests.transfer.fakes import FakeSink, FakeSource, say_farewell, virtual, wanted_bytes

SEEDS = 300
BLOCK = 4_096
CONTENT = random.Random(7).randbytes(30 * BLOCK - 1_000)
MEETING = 0.3  # seconds until two sides that lost each other have met again


@pytest.fixture(autouse=True)
def _small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocks, "BLOCK_SIZE", BLOCK)
    monkeypatch.setattr(receiver_module, "RECEIVE_WINDOW", MIN_WINDOW)
    monkeypatch.setattr(receiver_module, "WRITTEN_STEP", 2 * BLOCK)


class World:
    """Two sides that meet again whenever they have lost each other."""

    def __init__(self, seed: int, source: FakeSource, sink: FakeSink | None) -> None:
        self.chance = chance = random.Random(seed)
        self.source = source
        self.sink = sink
        self.sent_events: list[Event] = []
        self.received_events: list[Event] = []
        self.connections: list[tuple[FakeChannels, FakeChannels]] = []
        self.asked = 0
        self.payload_size = chance.randint(100, 3_000)
        clock = asyncio.get_running_loop().time
        self.sending = Sending(
            source,
            sender="ada",
            limit=None,
            answer_timeout=3_600.0,
            emit=self.sent_events.append,
            clock=clock,
            entropy=chance.randbytes,
        )
        self.receiving = Receiving(
            decide=self._decide, limit=None, emit=self.received_events.append, clock=clock
        )

    @property
    def payload_sent(self) -> int:
        return sum(sender.payload_sent for sender, _ in self.connections)

    @property
    def sent_in_vain(self) -> int:
        return sum(one.payload_sent - two.payload_received for one, two in self.connections)

    async def run(self, *, cuts: int) -> list[Done | RtcsendError]:
        """Meet until both sides are at their end; the first ``cuts`` connections are cut."""
        for number in range(cuts + 1):
            results = await self._meet(is_cut=number < cuts)
            lost = [isinstance(result, ConnectionLost) for result in results]
            if self.receiving.is_over and self.sending.is_over:
                return results
            if not all(lost):
                await self.receiving.aclose()
                return results
            await asyncio.sleep(MEETING)
        raise AssertionError("nobody cut the last connection")

    async def _meet(self, *, is_cut: bool) -> list[Done | RtcsendError]:
        chance = self.chance
        network = Network(
            control_delay=chance.uniform(0, 0.05),
            data_delay=chance.uniform(0, 0.05),
            bytes_per_s=10 ** chance.uniform(5, 7),
        )
        ours, theirs = channel_pair(network)
        self.connections.append((ours, theirs))
        cutting = asyncio.create_task(self._cut(ours, theirs)) if is_cut else None
        results = await asyncio.gather(
            self._side(ours, self.sending.run(ours, payload_size=self.payload_size)),
            self._side(theirs, self.receiving.run(theirs)),
        )
        if cutting is not None:
            cutting.cancel()
            await asyncio.gather(cutting, return_exceptions=True)
        return list(results)

    async def _side(
        self, end: FakeChannels, running: Coroutine[Any, Any, Done]
    ) -> Done | RtcsendError:
        """Run one side over one connection; the other one hears how it ended."""
        try:
            return await running
        except ConnectionLost as exc:
            # By way of the rendezvous, where both sides still are.
            asyncio.get_running_loop().call_later(0.05, end.peer.fail)
            return exc
        except RtcsendError as exc:
            await say_farewell(end, exc)
            return exc
        finally:
            end.close()

    async def _cut(self, ours: FakeChannels, theirs: FakeChannels) -> None:
        await asyncio.sleep(self.chance.expovariate(1 / self.chance.choice([0.05, 0.2, 1.0])))
        match self.chance.randrange(4):
            case 0:
                ours.break_down()
            case 1:
                ours.cut()
            case 2:
                theirs.cut()
            case _:
                ours.cut()
                theirs.cut()

    async def _decide(self, offer: Offer) -> Sink | None:
        self.asked += 1
        assert offer.manifest.digest == self.source.manifest.digest
        if self.chance.random() < 0.3:
            await asyncio.sleep(self.chance.uniform(0, 2))
        return self.sink


def left_by_an_earlier_run(chance: random.Random, content: bytes = CONTENT) -> bytes:
    """Return some beginning of the stream, in which some blocks are altered or torn."""
    size = len(content)
    earlier = bytearray(content[: chance.choice([0, size, chance.randrange(size + 1)])])
    for _ in range(chance.choice([0, 0, 1, 5])):
        if earlier:
            earlier[chance.randrange(len(earlier))] ^= 1
    return bytes(earlier)


def same_blocks(sink: FakeSink, earlier: bytes, content: bytes = CONTENT) -> int:
    """Return the bytes of the whole blocks that need not travel."""
    layout = sink.selection.layout
    blocks = [block for block in range(sink.blocks) if block not in sink.gaps]
    ranges = [slice(layout.block_start(block), layout.block_end(block)) for block in blocks]
    return sum(len(content[at]) for at in ranges if earlier[at] == content[at])


def new_sink(
    chance: random.Random,
    earlier: bytes,
    *,
    selection: Selection | None = None,
    gaps: Container[int] = (),
) -> FakeSink:
    return FakeSink(
        size=len(CONTENT),
        selection=selection,
        earlier=earlier,
        gaps=gaps,
        bytes_per_s=10 ** chance.uniform(5, 8),
        finish_takes=chance.choice([0.0, 0.0, 1.0, 20.0]),
        page=chance.choice([1, 3, 1_024]),
    )


@pytest.mark.parametrize("batch", range(10))
def test_nothing_is_lost_and_nothing_mixed(batch: int) -> None:
    for seed in range(batch * SEEDS // 10, (batch + 1) * SEEDS // 10):
        virtual(functools.partial(one_transfer, seed))


async def one_transfer(seed: int) -> None:
    chance = random.Random(seed)
    earlier = left_by_an_earlier_run(chance)
    source, sink = FakeSource(CONTENT), new_sink(chance, earlier)
    await check_transfer(seed, chance, source, sink, earlier=earlier, content=CONTENT)


@pytest.mark.parametrize("batch", range(5))
def test_nor_of_many_files(batch: int) -> None:
    for seed in range(batch * SEEDS // 10, (batch + 1) * SEEDS // 10):
        virtual(functools.partial(one_transfer_of_many, seed))


async def one_transfer_of_many(seed: int) -> None:
    chance = random.Random(seed)
    sizes = [
        chance.choice([0, 1, 77, BLOCK - 1, BLOCK, BLOCK + 1, 3 * BLOCK + 5])
        for _ in range(chance.choice([1, 2, 5, 30]))
    ]
    everything = (CONTENT * 2)[: sum(sizes)]
    source = FakeSource(everything, sizes=sizes, piece=chance.choice([1, 2 * BLOCK, 1 << 20]))
    skipped = [(at, at + 1) for at in range(1, len(sizes)) if chance.random() < 0.2]
    selection = Selection(source.manifest, skipped)
    content = wanted_bytes(everything, selection)
    earlier = left_by_an_earlier_run(chance, content)
    gaps = {block for block in range(selection.layout.blocks) if chance.random() < 0.3}
    sink = new_sink(chance, earlier, selection=selection, gaps=gaps)
    await check_transfer(seed, chance, source, sink, earlier=earlier, content=content)


async def check_transfer(
    seed: int,
    chance: random.Random,
    source: FakeSource,
    sink: FakeSink,
    *,
    earlier: bytes,
    content: bytes,
) -> None:
    kept = same_blocks(sink, earlier, content)
    world = World(seed, source, sink)
    cuts = chance.choice([0, 1, 1, 2, 5])
    results = await world.run(cuts=cuts)
    assert sink.is_finished, (seed, results)
    assert sink.content == content, seed
    assert world.asked == 1, seed
    cut = len(world.connections) - 1
    twice = world.payload_sent - (len(content) - kept)
    assert 0 <= twice <= world.sent_in_vain + cut * BLOCK, (seed, twice, world.sent_in_vain, cut)
    check_events(world, seed, size=len(content))


def check_events(world: World, seed: int, *, size: int) -> None:
    for events in (world.sent_events, world.received_events):
        progress = [event.bytes for event in events if isinstance(event, Progress)]
        assert progress == sorted(progress), seed
        assert progress[-1] == size, seed
        resumed = [event.bytes for event in events if isinstance(event, Resumed)]
        assert all(0 < count <= size for count in resumed), seed
    done = world.receiving.done
    assert done is not None, seed
    assert done.bytes == size, seed


class ChangingSource(FakeSource):
    """A file that is another one from a moment on, and a reader that may not notice."""

    def __init__(self, *, changes_at: int, is_noticed: bool) -> None:
        super().__init__(CONTENT)
        self._changes_at = changes_at
        self._is_noticed = is_noticed

    async def blocks(
        self, selection: Selection, *, start: int
    ) -> AsyncGenerator[tuple[int, Data], None]:
        async for offset, data in super().blocks(selection, start=start):
            if self.taken > self._changes_at:
                if self._is_noticed:
                    raise CannotRead("film.iso changed while it was sent.")
                self._content = self._wanted = CONTENT[::-1]
            yield offset, data


def test_a_changed_source_is_never_mixed() -> None:
    ends = set()
    for seed in range(300):
        ends |= virtual(functools.partial(one_changed_transfer, seed))
    assert ends >= {Done, CannotRead, DigestMismatch, PeerAborted}


async def one_changed_transfer(seed: int) -> set[type]:
    chance = random.Random(seed)
    earlier = left_by_an_earlier_run(chance)
    changes_at = chance.randrange(2 * len(CONTENT))
    source = ChangingSource(changes_at=changes_at, is_noticed=chance.random() < 0.5)
    sink = new_sink(chance, earlier)
    world = World(seed, source, sink)
    results = await world.run(cuts=chance.choice([0, 1, 3]))
    if sink.is_finished:
        assert sink.content in (CONTENT, CONTENT[::-1]), seed
    else:
        assert all(isinstance(result, RtcsendError) for result in results), seed
    return {type(result) for result in results}
