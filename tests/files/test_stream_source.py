import asyncio
import os
from collections.abc import Iterator
from contextlib import aclosing
from pathlib import Path

import pytest
from blake3 import blake3

from rtcsend.errors import CannotRead, PeerProtocolError
from rtcsend.files import stream_source
from rtcsend.files.stream_source import StreamSource
from rtcsend.manifest.entry import ManifestEntry
from rtcsend.manifest.selection import Selection

CONTENT = os.urandom(300_000)


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    """Reading end, writing end; a test may close the latter."""
    reading, writing = os.pipe()
    yield reading, writing
    os.close(reading)
    close(writing)


def close(fd: int) -> None:
    try:
        os.close(fd)
    except OSError:
        return


def source_of(fd: int) -> StreamSource:
    return StreamSource("x.tar", lambda: fd, shown="Standard input")


async def first(source: StreamSource, start: int = 0) -> bytes:
    async with aclosing(source.blocks(Selection(source.manifest), start=start)) as pieces:
        position, piece = await anext(pieces)
        assert position == start
        return bytes(piece)


async def rest(source: StreamSource, start: int = 0) -> bytes:
    found = b""
    async with aclosing(source.blocks(Selection(source.manifest), start=start)) as pieces:
        async for position, piece in pieces:
            assert position == start + len(found)
            found += piece
            source.release(position + len(piece))
    return found


async def test_what_is_proposed(pipe: tuple[int, int]) -> None:
    async with source_of(pipe[0]) as source:
        assert list(source.manifest.entries()) == [ManifestEntry(path="x.tar", kind="stream")]
        assert source.manifest.is_stream
        assert source.manifest.is_one_file
        assert (source.manifest.files, source.manifest.bytes) == (1, 0)


async def test_a_line_comes_at_once(pipe: tuple[int, int]) -> None:
    async with source_of(pipe[0]) as source:
        for line in (b"one\n", b"two\n", b""):
            start = source._ring.end
            os.write(pipe[1], line)
            if line:
                assert await first(source, start) == line
        os.close(pipe[1])
        assert await rest(source) == b"one\ntwo\n"
        assert await source.digest() == blake3(b"one\ntwo\n").hexdigest()


@pytest.mark.parametrize("blocking", [True, False])
async def test_all_of_a_pipe(pipe: tuple[int, int], blocking: bool) -> None:
    reading, writing = pipe
    os.set_blocking(reading, blocking)

    def write() -> None:
        with os.fdopen(writing, "wb") as file:
            file.write(CONTENT)

    writer = asyncio.create_task(asyncio.to_thread(write))
    async with source_of(reading) as source:
        assert await rest(source) == CONTENT
        assert await source.digest() == blake3(CONTENT).hexdigest()
    await writer
    assert os.get_blocking(reading) is blocking, "others have the pipe as well"


async def test_a_file_is_read_like_a_pipe(tmp_path: Path) -> None:
    path = tmp_path / "film.iso"
    path.write_bytes(CONTENT * 5)
    with path.open("rb") as file:
        async with source_of(file.fileno()) as source:
            assert await rest(source) == CONTENT * 5


async def test_nothing_at_all(pipe: tuple[int, int]) -> None:
    os.close(pipe[1])
    async with source_of(pipe[0]) as source:
        assert await rest(source) == b""
        assert await source.digest() == blake3(b"").hexdigest()


async def test_what_is_there_comes_together(pipe: tuple[int, int]) -> None:
    for _ in range(10):
        os.write(pipe[1], b"line\n")
    async with source_of(pipe[0]) as source:
        assert await first(source) == b"line\n" * 10


async def test_a_read_that_was_cancelled_loses_nothing(pipe: tuple[int, int]) -> None:
    async with source_of(pipe[0]) as source:
        waiting = asyncio.create_task(first(source))
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        os.write(pipe[1], b"one\n")
        assert await first(source) == b"one\n"


async def test_what_was_not_released_comes_again_and_no_more(pipe: tuple[int, int]) -> None:
    os.write(pipe[1], b"0123456789")
    async with source_of(pipe[0]) as source:
        assert await first(source) == b"0123456789"
        source.release(4)
        source.release(3)  # late news
        assert await first(source, 4) == b"456789"
        assert await first(source, 7) == b"789"
        with pytest.raises(PeerProtocolError, match="wants again"):
            await first(source, 3)


async def test_no_more_is_read_than_is_kept(
    pipe: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream_source, "KEPT_SIZE", 8_192)
    os.write(pipe[1], CONTENT[:20_000])
    async with source_of(pipe[0]) as source:
        assert await first(source) == CONTENT[:8_192]
        blocked = asyncio.create_task(first(source, 8_192))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert not blocked.done()
        assert source._reading is None
        source.release(5_000)
        assert await blocked == CONTENT[8_192:13_192][: 2 * 8_192 - 8_192]
        assert source._ring.end == 13_192


async def test_what_cannot_be_read(tmp_path: Path) -> None:
    folder = os.open(tmp_path, os.O_RDONLY)
    try:
        async with source_of(folder) as source:
            with pytest.raises(CannotRead, match="Standard input cannot be read: Is a directory"):
                await first(source)
    finally:
        os.close(folder)


async def test_it_is_opened_when_it_is_wanted(tmp_path: Path) -> None:
    """Opening a named pipe waits for whoever writes into it."""
    path = tmp_path / "fifo"
    os.mkfifo(path)
    opened: list[int] = []

    def open_it() -> int:
        opened.append(os.open(path, os.O_RDONLY))
        return opened[0]

    async with StreamSource("fifo", open_it, shown="fifo", owns=True) as source:
        assert not opened
        reading = asyncio.create_task(rest(source))
        writer = await asyncio.to_thread(os.open, path, os.O_WRONLY)
        os.write(writer, b"one\n")
        os.close(writer)
        assert await reading == b"one\n"
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(opened[0])


async def test_leaving_does_not_wait_for_whoever_never_writes(pipe: tuple[int, int]) -> None:
    async with source_of(pipe[0]) as source:
        waiting = asyncio.create_task(first(source))
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
    os.close(pipe[1])  # lets the thread end
    thread = source._thread._thread
    assert thread is not None
    assert thread.daemon
    await asyncio.to_thread(thread.join)
