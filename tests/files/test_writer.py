import asyncio
import os
from collections.abc import AsyncIterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rtcsend.errors import InternalError
from rtcsend.files import ring as ring_module
from rtcsend.files import writer as writer_module
from rtcsend.files.disk_thread import DiskThread
from rtcsend.files.ring import RING_SIZE, Ring, as_bytes
from rtcsend.files.writer import JOB_SIZE, MAX_JOB, Writer
from tests.files.gate import Gate


class Disk:
    """Takes what is written, up to a size; remembers the jobs."""

    def __init__(self, size: int = 1 << 40) -> None:
        self.content = bytearray()
        self.jobs: list[tuple[int, int]] = []
        self._size = size

    def store(self, data: memoryview, position: int) -> tuple[int, OSError | None]:
        assert position == len(self.content)
        self.jobs.append((position, len(data)))
        count = min(len(data), self._size - position)
        self.content += data[:count]
        return count, None if count == len(data) else OSError(28, "No space left on device")


@pytest.fixture
async def thread() -> AsyncIterator[DiskThread]:
    thread = DiskThread("test")
    yield thread
    await thread.aclose()


async def test_what_is_little_waits_for_more(thread: DiskThread) -> None:
    disk = Disk()
    writer = Writer(disk.store, thread=thread)
    await writer.write(bytes(JOB_SIZE - 1))
    assert disk.jobs == []
    assert (writer.written, writer.taken) == (0, JOB_SIZE - 1)
    await writer.write(bytes(10))
    await writer.flush()
    assert disk.jobs == [(0, JOB_SIZE), (JOB_SIZE, 9)]
    assert (writer.written, writer.stored, writer.taken) == (JOB_SIZE + 9,) * 3
    await writer.flush()  # nothing to do
    await writer.write(bytes(2 * JOB_SIZE))  # and then it is aligned again
    await writer.flush()
    assert disk.jobs[2] == (JOB_SIZE + 9, 2 * JOB_SIZE - 9)


async def test_whoever_writes_waits_when_the_ring_is_full(thread: DiskThread) -> None:
    disk, gate = Disk(), Gate()
    writer = Writer(gate.before(disk.store), thread=thread)
    content = os.urandom(2 * RING_SIZE)
    await writer.write(content[:RING_SIZE])
    await writer.write(b"")
    writing = asyncio.create_task(writer.write(content[RING_SIZE:]))
    done, _ = await asyncio.wait([writing], timeout=0)
    assert not done
    gate.open()
    await writing
    await writer.flush()
    assert disk.content == content
    assert max(length for _, length in disk.jobs) <= MAX_JOB


async def test_a_failure_counts_what_was_written_and_stays(thread: DiskThread) -> None:
    disk = Disk(size=JOB_SIZE + 77)
    writer = Writer(disk.store, thread=thread)
    with pytest.raises(OSError, match="No space left"):
        await writer.write(bytes(2 * RING_SIZE))
    assert (writer.written, writer.stored) == (JOB_SIZE + 77,) * 2
    with pytest.raises(OSError, match="No space left"):
        await writer.flush()
    await writer.settle()


async def test_when_it_is_given_up(thread: DiskThread, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer_module, "MAX_JOB", JOB_SIZE)
    disk, gate = Disk(), Gate()
    writer = Writer(gate.before(disk.store), thread=thread)
    await writer.write(bytes(RING_SIZE))
    settling = asyncio.create_task(writer.settle())
    done, _ = await asyncio.wait([settling], timeout=0)
    assert not done
    gate.open()
    await settling
    assert len(disk.content) == writer_module.MAX_JOBS * JOB_SIZE
    with pytest.raises(InternalError):
        await writer.flush()


async def test_going_on_elsewhere(thread: DiskThread) -> None:
    disk = Disk()
    writer = Writer(disk.store, thread=thread)
    await writer.write(b"12345")
    with pytest.raises(InternalError):
        writer.move(RING_SIZE + 3)
    await writer.flush()
    writer.move(RING_SIZE + 3)
    disk.content += bytes(RING_SIZE + 3 - 5)
    await writer.write(b"67890")
    await writer.flush()
    assert disk.jobs == [(0, 5), (RING_SIZE + 3, 5)]
    assert (writer.stored, writer.written) == (10, RING_SIZE + 8)
    assert disk.content[-5:] == b"67890"


@settings(deadline=None, max_examples=60)
@given(st.lists(st.tuples(st.integers(0, 900), st.sampled_from(["", "flush", "cancel"]))))
def test_any_pieces(pieces: list[tuple[int, str]]) -> None:
    """In a small ring, with flushes and cancellations: all arrives, in order, once."""

    async def main() -> None:
        disk, thread = Disk(), DiskThread("test")
        writer = Writer(disk.store, thread=thread)
        sent = bytearray()
        for length, then in pieces:
            piece = os.urandom(length)
            sent += piece
            writing = asyncio.create_task(writer.write(piece))
            await asyncio.sleep(0)
            if then == "cancel":
                writing.cancel()
            await asyncio.wait([writing])
            if then == "flush":
                await writer.flush()
                assert disk.content == sent
        await writer.flush()
        assert disk.content == sent
        await thread.aclose()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ring_module, "RING_SIZE", 256)
        patch.setattr(writer_module, "JOB_SIZE", 32)
        patch.setattr(writer_module, "MAX_JOB", 128)
        asyncio.run(main())


def test_the_ring() -> None:
    ring = Ring(RING_SIZE - 3)
    assert ring.put(memoryview(b"abcdef")) == 6
    assert bytes(ring.view(RING_SIZE - 3, RING_SIZE + 3)) == b"abc"  # to the end of the memory
    assert bytes(ring.view(RING_SIZE, RING_SIZE + 3)) == b"def"
    assert ring.put(memoryview(bytes(RING_SIZE))) == RING_SIZE - 6
    assert ring.put(memoryview(b"x")) == 0


def test_any_buffer_as_bytes() -> None:
    for data in (b"12345678", bytearray(b"12345678"), memoryview(b"12345678").cast("I")):
        assert bytes(as_bytes(data)) == b"12345678"
