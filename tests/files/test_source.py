# ruff: noqa: ASYNC240 -- nothing else runs on the loop of a test while it looks at a file

import asyncio
import os
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractContextManager, aclosing
from pathlib import Path

import pytest
from blake3 import blake3

from rtcsend.blocks import BLOCK_SIZE, Data
from rtcsend.errors import CannotRead, InternalError
from rtcsend.files import read_ahead as read_ahead_module
from rtcsend.files import source as source_module
from rtcsend.files.positional import read_whole
from rtcsend.files.read_ahead import BATCH, JOBS
from rtcsend.files.sample import SAMPLE_BYTES, SAMPLES
from rtcsend.files.source import FileSource
from rtcsend.manifest import layout as layout_module
from rtcsend.manifest.selection import Selection
from tests.files.conftest import open_descriptors
from tests.files.gate import Gate

SMALL = 1000  # bytes of a block in tests that need many


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layout_module, "block_size_for", lambda _: SMALL)


@pytest.fixture(params=["memory", "disk"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both ways of reading: what the system has in memory at once, all else in the thread."""
    if request.param == "disk":

        def nothing_in_memory(*_: object) -> int:
            raise BlockingIOError

        monkeypatch.setattr(os, "preadv", nothing_in_memory)


pytestmark = pytest.mark.usefixtures("way")


def blocks_of(source: FileSource, *, start: int = 0) -> AsyncGenerator[tuple[int, Data], None]:
    return source.blocks(Selection(source.manifest), start=start)


async def content_of(source: FileSource, start: int = 0) -> bytes:
    return b"".join([bytes(block) async for _, block in blocks_of(source, start=start)])


@pytest.fixture
def film(tmp_path: Path) -> Path:
    path = tmp_path / "film.iso"
    path.write_bytes(os.urandom(4 * SMALL))
    return path


@pytest.mark.parametrize(
    "size", [0, 1, BLOCK_SIZE - 1, BLOCK_SIZE, BLOCK_SIZE + 1, 9 * BLOCK_SIZE + 17]
)
async def test_the_blocks_are_the_file_in_order(tmp_path: Path, size: int) -> None:
    content = os.urandom(size)
    path = tmp_path / "film.iso"
    path.write_bytes(content)
    async with await FileSource.open(path) as source:
        blocks = [(offset, bytes(block)) async for offset, block in blocks_of(source)]
        digest = await source.digest()
    assert b"".join(block for _, block in blocks) == content
    assert [offset for offset, _ in blocks] == list(range(0, size, BLOCK_SIZE))
    assert all(len(block) == BLOCK_SIZE for _, block in blocks[:-1])
    assert digest == blake3(content).hexdigest()


async def test_what_it_says_of_the_file(film: Path) -> None:
    film.chmod(0o640)
    os.utime(film, ns=(1, 1_700_000_000_123_456_789))
    async with await FileSource.open(film) as source:
        assert (source.path, source.name, source.size) == (film, "film.iso", 4 * SMALL)
        assert (source.mode, source.mtime_ns) == (0o640, 1_700_000_000_123_456_789)


async def test_a_link_is_followed_and_gives_its_own_name(film: Path, tmp_path: Path) -> None:
    (tmp_path / "link.iso").symlink_to(film)
    async with await FileSource.open(tmp_path / "link.iso") as source:
        assert source.name == "link.iso"
        assert await content_of(source) == film.read_bytes()


async def test_a_name_that_is_not_unicode_becomes_one_that_can_be_sent(tmp_path: Path) -> None:
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/t\xeate.txt"))
    path.write_bytes(b"x")
    async with await FileSource.open(path) as source:
        assert source.name == "t\ufffdte.txt"
        assert await content_of(source) == b"x"


async def test_what_is_read_ahead_is_bounded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "film.iso"
    path.write_bytes(bytes(6 * BATCH))
    read: list[int] = []
    monkeypatch.setattr(os, "preadv", None)  # also where there is no such call
    monkeypatch.setattr("rtcsend.files.read_ahead._NOWAIT", 0)

    def spy(fd: int, count: int, offset: int) -> bytes:
        read.append(offset)
        return read_whole(fd, count, offset)

    monkeypatch.setattr(read_ahead_module, "read_whole", spy)
    async with await FileSource.open(path) as source, aclosing(blocks_of(source)) as blocks:
        await anext(blocks)
        await source._thread.submit(lambda: None)  # behind all that was ordered
        assert read == [BATCH * number for number in range(1 + JOBS)]


async def test_what_was_read_once_is_not_hashed_again(
    film: Path, small_blocks: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    hashed: list[int] = []

    class Spy:
        def __init__(self) -> None:
            self._hash = blake3()

        def update(self, data: Data) -> None:
            hashed.append(len(data))
            self._hash.update(data)

        def hexdigest(self) -> str:
            return self._hash.hexdigest()

    monkeypatch.setattr(source_module, "blake3", Spy)
    content = film.read_bytes()
    async with await FileSource.open(film) as source:
        async with aclosing(blocks_of(source)) as blocks:
            for _ in range(3):
                await anext(blocks)
        start = 2 * SMALL - 100
        again = [(offset, bytes(block)) async for offset, block in blocks_of(source, start=start)]
        assert [offset for offset, _ in again] == [start, 2 * SMALL, 3 * SMALL]
        assert b"".join(block for _, block in again) == content[start:]
        assert [block async for block in blocks_of(source, start=len(content))] == []
        assert await content_of(source) == content
        assert await source.digest() == blake3(content).hexdigest()
    assert sum(hashed) == len(content)


async def test_it_cannot_begin_beyond_what_was_given(film: Path) -> None:
    async with await FileSource.open(film) as source:
        with pytest.raises(InternalError):
            await anext(blocks_of(source, start=1))


async def test_the_sample_is_of_the_content_and_not_of_the_name(tmp_path: Path) -> None:
    content = bytearray(os.urandom(SAMPLES * SAMPLE_BYTES * 2))

    async def sample() -> str:
        path = tmp_path / f"{len(list(tmp_path.iterdir()))}.iso"
        path.write_bytes(content)
        async with await FileSource.open(path) as source:
            return source.sample

    first = await sample()
    assert len(first) == 64
    assert await sample() == first
    content[-1] ^= 1  # in the last of them
    assert await sample() != first


# What cannot be opened


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("missing.iso", "missing.iso does not exist."),
        ("folder", "folder is a directory; sending folders is not supported yet."),
        ("fifo", "fifo is not a regular file."),
        ("film.iso/x", "film.iso/x cannot be read: Not a directory."),
        ("nul\0", "nul\0 cannot be read: embedded null byte."),
        ("loop", "loop cannot be read: Too many levels of symbolic links."),
    ],
)
async def test_what_cannot_be_sent(film: Path, name: str, message: str) -> None:
    folder = film.parent
    (folder / "folder").mkdir()
    os.mkfifo(folder / "fifo")
    (folder / "loop").symlink_to("loop")
    before = open_descriptors()
    with pytest.raises(CannotRead) as caught:
        await FileSource.open(folder / name)
    assert caught.value.message == f"{folder}/{message}"
    assert open_descriptors() == before


async def test_a_device_is_not_read() -> None:
    with pytest.raises(CannotRead, match="not a regular file"):
        await FileSource.open(Path("/dev/zero"))


async def test_the_hint_for_a_directory_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(CannotRead) as caught:
        await FileSource.open(tmp_path)
    assert "tar or zip" in caught.value.hint


async def test_a_directory_where_the_system_does_not_open_directories(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path) -> int:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(source_module, "_open_regular", refuse)
    with pytest.raises(CannotRead, match="is a directory"):
        await FileSource.open(tmp_path)


async def test_without_permission(
    public_folder: Path, unprivileged: Callable[[], AbstractContextManager[None]]
) -> None:
    secret = public_folder / "secret"
    secret.write_bytes(b"x")
    secret.chmod(0)
    hidden = public_folder / "hidden"
    hidden.mkdir()
    with unprivileged(), pytest.raises(CannotRead, match="secret cannot be read: Permission"):
        await FileSource.open(secret)
    hidden.chmod(0)
    with unprivileged(), pytest.raises(CannotRead, match=r"film\.iso cannot be read: Permission"):
        await FileSource.open(hidden / "film.iso")
    hidden.chmod(0o700)


# What happens to the file while it is sent


def grow(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b"more")


def shrink(path: Path) -> None:
    os.truncate(path, SMALL)


def rewrite(path: Path) -> None:
    with path.open("r+b") as file:
        file.write(b"other")
    os.utime(path, ns=(1, 1))  # on a coarse clock it may be the same moment still


def replace(path: Path) -> None:
    other = path.with_suffix(".new")
    other.write_bytes(path.read_bytes())
    facts = path.stat()
    os.utime(other, ns=(facts.st_atime_ns, facts.st_mtime_ns))
    other.rename(path)


def remove(path: Path) -> None:
    path.unlink()


@pytest.mark.parametrize("change", [grow, shrink, rewrite, replace, remove])
@pytest.mark.parametrize("after", [1, 2, 3])
async def test_a_change_is_noticed(
    film: Path, small_blocks: None, change: Callable[[Path], None], after: int
) -> None:
    async with await FileSource.open(film) as source:
        blocks = blocks_of(source)
        for _ in range(after):
            await anext(blocks)
        change(film)
        with pytest.raises(CannotRead, match=r"^film\.iso changed while it was sent\.$"):
            # What was read before the change may still come.
            _ = [block async for block in blocks]
        with pytest.raises(InternalError):
            await source.digest()


async def test_a_change_before_the_first_block_is_noticed(film: Path) -> None:
    async with await FileSource.open(film) as source:
        grow(film)
        with pytest.raises(CannotRead, match="changed"):
            await anext(blocks_of(source))


async def test_growth_is_noticed_at_once_also_with_the_old_time(
    film: Path, small_blocks: None
) -> None:
    async with await FileSource.open(film) as source:
        grow(film)
        os.utime(film, ns=(source.mtime_ns, source.mtime_ns))
        with pytest.raises(CannotRead, match="changed"):
            await anext(blocks_of(source))


async def test_an_empty_file_that_grows(tmp_path: Path) -> None:
    path = tmp_path / "empty"
    path.touch()
    async with await FileSource.open(path) as source:
        grow(path)
        with pytest.raises(CannotRead, match="changed"):
            await anext(blocks_of(source))


async def test_a_file_that_lies_about_its_size() -> None:
    # Files of /proc have size 0, and content.
    async with await FileSource.open(Path("/proc/self/status")) as source:
        with pytest.raises(CannotRead, match="changed"):
            await anext(blocks_of(source))


async def test_a_disk_that_fails(film: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with await FileSource.open(film) as source:

        def fail() -> os.stat_result:
            raise OSError(5, "Input/output error")

        with monkeypatch.context() as patch:
            patch.setattr(type(film), "stat", lambda _: fail())
            with pytest.raises(CannotRead, match=r"film\.iso cannot be read: Input/output error\."):
                await anext(blocks_of(source))


# Misuse, cancellation, and what is left behind


async def test_the_digest_waits_for_the_last_block(film: Path, small_blocks: None) -> None:
    async with await FileSource.open(film) as source:
        with pytest.raises(InternalError):
            await source.digest()
        async with aclosing(blocks_of(source)) as blocks:
            for _ in range(4):
                await anext(blocks)
            with pytest.raises(InternalError):
                await source.digest()
            with pytest.raises(StopAsyncIteration):
                await anext(blocks)
        assert await source.digest() == blake3(film.read_bytes()).hexdigest()


async def test_closed_means_closed(film: Path, small_blocks: None) -> None:
    before = open_descriptors()
    source = await FileSource.open(film)
    blocks = blocks_of(source)
    await anext(blocks)
    await source.aclose()
    await source.aclose()
    assert open_descriptors() == before
    with pytest.raises(InternalError):
        await anext(blocks)
    with pytest.raises(InternalError):
        await anext(blocks_of(source))


async def test_a_cancelled_consumer_leaves_nothing_and_may_be_followed(
    film: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, tasks = open_descriptors(), asyncio.all_tasks()
    monkeypatch.setattr("rtcsend.files.read_ahead._NOWAIT", 0)
    async with await FileSource.open(film) as source:
        gate = Gate()
        with monkeypatch.context() as patch:
            patch.setattr(source, "_check_unchanged", gate.before(source._check_unchanged))
            consumer = asyncio.create_task(content_of(source))
            await gate.reached.wait()
            consumer.cancel()
            with pytest.raises(asyncio.CancelledError):
                await consumer
        gate.open()
        assert await content_of(source) == film.read_bytes()
    assert open_descriptors() == before
    assert asyncio.all_tasks() == tasks


async def test_closing_waits_for_the_thread(film: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rtcsend.files.read_ahead._NOWAIT", 0)
    source = await FileSource.open(film)
    gate = Gate()
    monkeypatch.setattr(source, "_check_unchanged", gate.before(source._check_unchanged))
    consumer = asyncio.create_task(content_of(source))
    await gate.reached.wait()
    consumer.cancel()
    closing = asyncio.create_task(source.aclose())
    await asyncio.sleep(0)
    closing.cancel()
    done, _ = await asyncio.wait([closing], timeout=0)
    assert not done  # the thread still has the file
    gate.open()
    await asyncio.wait([closing, consumer])
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(source._fd)


async def test_the_error_of_a_block_that_nobody_wants_is_dropped(
    film: Path, small_blocks: None
) -> None:
    async with await FileSource.open(film) as source, aclosing(blocks_of(source)) as blocks:
        await anext(blocks)
        film.unlink()


async def test_a_cancelled_open_leaves_nothing(film: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = open_descriptors()
    gate = Gate()
    opener = gate.before(source_module._open_regular)
    monkeypatch.setattr(source_module, "_open_regular", opener)
    opening = asyncio.create_task(FileSource.open(film))
    await gate.reached.wait()
    opening.cancel()
    gate.open()
    with pytest.raises(asyncio.CancelledError):
        await opening
    assert open_descriptors() == before
