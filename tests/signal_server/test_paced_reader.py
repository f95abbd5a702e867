"""A connection is read in small pieces, and rests when its source has said too much."""

import asyncio

from signal_server.paced_reader import PIECE, SMALL, UNITS, PacedReader
from tests.signal_server.loopback import until


class Reading(asyncio.Transport):
    """Remembers whether it is read."""

    def __init__(self) -> None:
        super().__init__()
        self.is_read = True

    def pause_reading(self) -> None:
        self.is_read = False

    def resume_reading(self) -> None:
        self.is_read = True


class World:
    """A reader, what it has handed on, and what its source may say."""

    def __init__(self, *, frames: int = 0) -> None:
        self.taken: list[bytes] = []
        self.spent: list[int] = []
        self.wait = 0.0
        self.holds = False
        self.frames = frames
        self.transport = Reading()
        self.reader = PacedReader(take=self.take, spend=self.spend)
        self.reader.attach(self.transport)

    def take(self, data: bytes) -> int:
        self.taken.append(data)
        if self.holds:
            self.reader.hold()
        return self.frames

    def spend(self, units: int) -> float:
        self.spent.append(units)
        return self.wait


async def test_little_is_counted_together() -> None:
    world = World(frames=1)
    for _ in range(UNITS - 1):
        world.reader.feed(b"x")
    assert world.spent == []
    world.reader.feed(b"y")
    assert world.taken == [b"x"] * (UNITS - 1) + [b"y"]
    assert world.spent == [UNITS]
    assert world.transport.is_read


async def test_much_is_taken_in_pieces_and_others_have_their_turn() -> None:
    world = World()
    data = bytes(range(256)) * (3 * PIECE // 256) + b"end"
    world.reader.feed(data)
    assert world.taken == [data[:PIECE]]
    assert not world.transport.is_read
    await until(lambda: world.transport.is_read)
    assert b"".join(world.taken) == data
    assert max(map(len, world.taken)) == PIECE


async def test_who_says_too_much_is_not_read_for_a_while() -> None:
    world = World(frames=1_000)
    world.wait = 0.01
    world.reader.feed(b"many")
    assert (world.taken, world.spent) == ([b"many"], [1_000])
    assert not world.transport.is_read
    world.reader.feed(b"more")  # TLS had it already
    assert world.taken == [b"many"]
    world.wait = 0.0
    await until(lambda: world.transport.is_read)
    assert world.taken == [b"many", b"more"]


async def test_much_at_once_is_not_taken_while_the_source_owes() -> None:
    world = World()
    world.wait = 0.005
    data = b"x" * (SMALL + 1)
    world.reader.feed(data)
    await until(lambda: len(world.spent) > 2)
    assert (world.taken, set(world.spent)) == ([], {0})
    world.wait = 0.0
    await until(lambda: world.transport.is_read)
    assert world.taken == [data]


async def test_who_is_held_back_is_not_read_in_between() -> None:
    world = World()
    world.holds = True
    world.reader.hold()
    world.reader.feed(b"x" * 2 * PIECE)
    assert world.taken == []
    for pieces in (1, 2):
        world.reader.release()
        await until(lambda wanted=pieces: len(world.taken) == wanted)  # type: ignore[misc]
        assert not world.transport.is_read
    world.reader.release()
    await until(lambda: world.transport.is_read)


async def test_nothing_is_taken_after_the_end() -> None:
    world = World()
    world.reader.feed(b"x" * 2 * PIECE)
    world.reader.stop()
    world.reader.release()
    for _ in range(3):
        await asyncio.sleep(0)
    assert len(world.taken) == 1
