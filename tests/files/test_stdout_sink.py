# ruff: noqa: ASYNC230 -- nothing else runs on the loop of a test while it looks at a file

import asyncio
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from blake3 import blake3

from rtcsend.blocks import BLOCK_SIZE
from rtcsend.errors import (
    CannotWrite,
    Declined,
    DigestMismatch,
    InternalError,
    PeerProtocolError,
)
from rtcsend.files import stdout_sink
from rtcsend.files.stdout_sink import StdoutSink
from rtcsend.options import STDOUT

CONTENT = os.urandom(BLOCK_SIZE + 100)
DIGEST = blake3(CONTENT).hexdigest()


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    """Reading end, writing end; a test may close either."""
    ends = os.pipe()
    yield ends
    for end in ends:
        try:
            os.close(end)
        except OSError:
            continue


def read_all(fd: int) -> bytes:
    with open(fd, "rb", closefd=False) as file:
        return file.read()


def stdout_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "rtcsend-stdout"]


async def give_up(sink: StdoutSink) -> None:
    """Abandon, and wait for the thread: nobody else does."""
    await sink.abandon(keep_partial=False)
    for thread in stdout_threads():
        await asyncio.to_thread(thread.join)


@pytest.mark.parametrize("blocking", [True, False])
async def test_a_pipe_gets_every_byte(pipe: tuple[int, int], blocking: bool) -> None:
    reading, writing = pipe
    os.set_blocking(writing, blocking)
    reader = asyncio.create_task(asyncio.to_thread(read_all, reading))
    sink = StdoutSink(name="film.iso", size=len(CONTENT), fd=writing)
    try:
        await sink.write(CONTENT[:BLOCK_SIZE])
        await sink.flush()
        assert sink.written == BLOCK_SIZE
        await sink.write(CONTENT[BLOCK_SIZE:])
        assert await sink.finish(DIGEST) == (STDOUT,) == (Path("-"),)
    finally:
        os.close(writing)  # also ends the reader
    assert await reader == CONTENT


async def test_a_file_gets_every_byte_and_stays_open(tmp_path: Path) -> None:
    with (tmp_path / "out").open("wb") as out:
        sink = StdoutSink(name="film.iso", size=len(CONTENT), fd=out.fileno())
        await sink.write(CONTENT)
        await sink.finish(DIGEST)
        out.write(b"more")
    assert (tmp_path / "out").read_bytes() == CONTENT + b"more"


async def test_a_reader_that_went_away(pipe: tuple[int, int]) -> None:
    reading, writing = pipe
    os.close(reading)
    sink = StdoutSink(name="film.iso", size=len(CONTENT), fd=writing)
    await sink.write(CONTENT)
    with pytest.raises(CannotWrite, match="whoever read standard output closed it"):
        await sink.flush()
    await give_up(sink)


async def test_a_full_disk_behind_it() -> None:
    with Path("/dev/full").open("wb") as out:
        sink = StdoutSink(name="film.iso", size=len(CONTENT), fd=out.fileno())
        await sink.write(CONTENT)
        with pytest.raises(CannotWrite, match=r"to standard output: No space left on device\."):
            await sink.flush()
    await give_up(sink)


async def test_damaged_and_short(tmp_path: Path) -> None:
    with (tmp_path / "out").open("wb") as out:
        sink = StdoutSink(name="film.iso", size=5, fd=out.fileno())
        await sink.write(b"hallo")
        with pytest.raises(DigestMismatch):
            await sink.finish(blake3(b"hello").hexdigest())
        short = StdoutSink(name="film.iso", size=6, fd=out.fileno())
        await short.write(b"hallo")
        with pytest.raises(PeerProtocolError):
            await short.finish(blake3(b"hallo").hexdigest())
        await sink.abandon(keep_partial=False)
        await give_up(short)


async def test_a_line_of_a_stream_goes_out_at_once(pipe: tuple[int, int]) -> None:
    reading, writing = pipe
    sink = StdoutSink(name="x.tar", size=None, fd=writing)
    assert sink.selection.layout.is_open
    for line in (b"one\n", b"two\n"):
        await sink.write(line)
        assert os.read(reading, 100) == line
    await sink.flush()
    assert sink.written == 8
    assert await sink.finish(blake3(b"one\ntwo\n").hexdigest()) == (STDOUT,)


async def test_no_more_of_a_stream_than_the_limit(pipe: tuple[int, int]) -> None:
    sink = StdoutSink(name="x.tar", size=None, limit=5, fd=pipe[1])
    await sink.write(b"12345")
    with pytest.raises(Declined, match="more than the 5 bytes"):
        await sink.write(b"6")
    await give_up(sink)


async def test_a_reader_that_goes_while_nothing_comes(
    pipe: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stdout_sink, "HANGUP_GRACE", 0.01)
    reading, writing = pipe
    sink = StdoutSink(name="x.tar", size=None, fd=writing)
    watching = asyncio.create_task(sink.watch())
    await sink.write(b"one\n")
    assert not watching.done()
    os.close(reading)
    with pytest.raises(CannotWrite, match="whoever read standard output closed it"):
        await watching
    await give_up(sink)


async def test_what_cannot_hang_up_is_not_watched(pipe: tuple[int, int], tmp_path: Path) -> None:
    await StdoutSink(name="film.iso", size=5, fd=pipe[1]).watch()
    with (tmp_path / "out").open("wb") as out:
        await StdoutSink(name="x.tar", size=None, fd=out.fileno()).watch()


async def test_who_stops_watching_leaves_nothing(pipe: tuple[int, int]) -> None:
    sink = StdoutSink(name="x.tar", size=None, fd=pipe[1])
    watching = asyncio.create_task(sink.watch())
    await asyncio.sleep(0)
    watching.cancel()
    await asyncio.gather(watching, return_exceptions=True)
    assert not asyncio.get_running_loop().remove_reader(pipe[1])


async def test_the_end_is_the_end(tmp_path: Path) -> None:
    with (tmp_path / "out").open("wb") as out:
        sink = StdoutSink(name="film.iso", size=0, fd=out.fileno())
        await sink.finish(blake3(b"").hexdigest())
        with pytest.raises(InternalError):
            await sink.write(b"")


async def test_nothing_of_it_is_there_before(pipe: tuple[int, int]) -> None:
    sink = StdoutSink(name="film.iso", size=5, fd=pipe[1])
    assert sink.blocks == 0
    assert [page async for _, page in sink.survey(0)] == []
    await sink.keep(0)
    with pytest.raises(InternalError):
        await sink.keep(5)


async def test_a_reader_who_stands_still_is_told_apart_from_a_disk(
    pipe: tuple[int, int], tmp_path: Path
) -> None:
    reading, writing = pipe
    os.set_blocking(writing, False)
    before = os.write(writing, bytes(1 << 20))  # all that there is room for
    os.set_blocking(writing, True)
    sink = StdoutSink(name="film.iso", size=len(CONTENT), fd=writing)
    held = [sink.is_held]
    await sink.write(CONTENT)
    held.append(sink.is_held)
    reader = asyncio.create_task(asyncio.to_thread(read_all, reading))
    await sink.finish(DIGEST)
    held.append(sink.is_held)
    assert held == [False, True, False], "before anything waits, meanwhile, and after"
    os.close(writing)
    assert await reader == bytes(before) + CONTENT
    with (tmp_path / "out").open("wb") as out:
        sink = StdoutSink(name="film.iso", size=len(CONTENT), fd=out.fileno())
        await sink.write(CONTENT)
        assert not sink.is_held, "whatever the disk does"
        await sink.finish(DIGEST)


async def test_a_pipe_that_nobody_reads_does_not_hold_up_a_cancellation(
    pipe: tuple[int, int], caplog: pytest.LogCaptureFixture
) -> None:
    reading, writing = pipe
    sink = StdoutSink(name="film.iso", size=len(CONTENT), fd=writing)
    await sink.write(CONTENT)
    task = asyncio.create_task(sink.flush())
    await asyncio.to_thread(os.read, reading, 1)  # now the thread is in the middle
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await sink.abandon(keep_partial=False)
    threads = stdout_threads()
    assert len(threads) == 1
    assert threads[0].daemon
    os.close(reading)  # the write ends, its error has nowhere to go
    await give_up(sink)
    await asyncio.sleep(0)  # for what the thread left to the loop
    assert caplog.messages == []


async def test_a_cancelled_call_loses_nothing(pipe: tuple[int, int]) -> None:
    reading, writing = pipe
    sink = StdoutSink(name="film.iso", size=len(CONTENT), fd=writing)
    await sink.write(CONTENT[:BLOCK_SIZE])
    task = asyncio.create_task(sink.flush())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    reader = asyncio.create_task(asyncio.to_thread(read_all, reading))
    await sink.write(CONTENT[BLOCK_SIZE:])
    await sink.finish(DIGEST)
    os.close(writing)
    assert await reader == CONTENT


def test_a_loop_that_is_gone(pipe: tuple[int, int]) -> None:
    reading, writing = pipe

    async def main() -> None:
        sink = StdoutSink(name="film.iso", size=len(CONTENT), fd=writing)
        await sink.write(CONTENT)
        await asyncio.to_thread(os.read, reading, 1)
        await sink.abandon(keep_partial=False)

    asyncio.run(main())
    threads = stdout_threads()
    os.close(reading)
    for thread in threads:
        thread.join()
    assert threads
