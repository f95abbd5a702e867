import asyncio
import os
from pathlib import Path

import pytest
from blake3 import blake3
from hypothesis import given
from hypothesis import strategies as st

from rtcsend.errors import CannotWrite, DigestMismatch, InternalError, PeerProtocolError
from rtcsend.files.block_sink import BLOCK_SIZE, BlockSink


class MemorySink(BlockSink):
    """Keeps the blocks, or fails."""

    def __init__(self, *, size: int, fails: bool = False) -> None:
        super().__init__(name="film.iso", size=size)
        self.blocks: list[bytes] = []
        self.fails = fails

    async def finish(self, expected_digest: str) -> Path:
        await self._verify(expected_digest)
        return Path("memory")

    async def _store(self, block: bytearray) -> None:
        if self.fails:
            raise OSError(5, "Input/output error")
        self.blocks.append(bytes(block))
        self._written += len(block)

    def _cannot_write(self, exc: OSError) -> CannotWrite:
        return CannotWrite(f"{self.name}: {exc.strerror}.")


@given(st.lists(st.binary(max_size=50)))
def test_the_pieces_come_out_in_order_and_verified(pieces: list[bytes]) -> None:
    async def main() -> None:
        content = b"".join(pieces)
        sink = MemorySink(size=len(content))
        for piece in pieces:
            await sink.write(piece)
        await sink.finish(blake3(content).hexdigest())
        assert b"".join(sink.blocks) == content
        assert sink.written == len(content)

    asyncio.run(main())


async def test_pieces_are_collected_into_blocks() -> None:
    sink = MemorySink(size=3 * BLOCK_SIZE)
    piece = os.urandom(BLOCK_SIZE // 4)
    for number in range(1, 10):
        await sink.write(piece)
        assert len(sink.blocks) == number // 4
        assert sink.written == number // 4 * BLOCK_SIZE
    await sink.flush()
    assert sink.written == 9 * len(piece)
    assert len(sink.blocks) == 3
    await sink.flush()  # nothing to do
    assert len(sink.blocks) == 3


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
async def test_every_kind_of_buffer(kind: type[bytes | bytearray | memoryview]) -> None:
    sink = MemorySink(size=5)
    await sink.write(kind(b"hello"))
    await sink.finish(blake3(b"hello").hexdigest())


async def test_a_copy_is_kept() -> None:
    sink = MemorySink(size=5)
    frame = bytearray(b"hello")
    await sink.write(memoryview(frame))
    frame[:] = b"XXXXX"
    await sink.flush()
    assert sink.blocks == [b"hello"]


async def test_a_buffer_of_wide_items_is_counted_in_bytes() -> None:
    sink = MemorySink(size=7)
    with pytest.raises(PeerProtocolError):
        await sink.write(memoryview(b"12345678").cast("I"))


async def test_more_than_was_proposed() -> None:
    sink = MemorySink(size=10)
    await sink.write(b"123456")
    await sink.flush()
    await sink.write(b"7890")
    with pytest.raises(PeerProtocolError, match=r"more of film\.iso than it proposed"):
        await sink.write(b"x")
    await sink.finish(blake3(b"1234567890").hexdigest())  # the surplus was not taken


async def test_less_than_was_proposed() -> None:
    sink = MemorySink(size=10)
    await sink.write(b"123456789")
    with pytest.raises(PeerProtocolError, match=r"less of film\.iso than it proposed"):
        await sink.finish(blake3(b"123456789").hexdigest())


async def test_other_bytes_than_were_sent() -> None:
    sink = MemorySink(size=5)
    await sink.write(b"hallo")
    with pytest.raises(DigestMismatch, match=r"film\.iso arrived damaged"):
        await sink.finish(blake3(b"hello").hexdigest())


async def test_after_an_error_it_is_over() -> None:
    sink = MemorySink(size=10, fails=True)
    await sink.write(b"12345")
    with pytest.raises(CannotWrite, match="Input/output error"):
        await sink.flush()
    sink.fails = False
    with pytest.raises(InternalError):
        await sink.write(b"67890")
    with pytest.raises(InternalError):
        await sink.flush()
    with pytest.raises(InternalError):
        await sink.finish("")
    assert sink.written == 0
