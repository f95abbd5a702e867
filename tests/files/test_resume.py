# ruff: noqa: ASYNC240 -- nothing else runs on the loop of a test while it looks at a file
"""A sink that goes on with what an earlier one has left."""

import asyncio
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from blake3 import blake3
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rtcsend.blocks import BLOCK_SIZE, DIGEST_BYTES, block_digest
from rtcsend.errors import CannotWrite, DigestMismatch, InternalError, RtcsendError
from rtcsend.files import sink as sink_module
from rtcsend.files import survey as survey_module
from rtcsend.files.opening import free_space
from rtcsend.files.positional import read_whole
from rtcsend.files.sink import FileSink
from rtcsend.files.survey import whole_blocks
from rtcsend.options import Conflict

BLOCKS = 6
CONTENT = os.urandom(BLOCKS * BLOCK_SIZE - 1000)
SAMPLE, OTHER = "5a" * 32, "a5" * 32
PARTIAL = ".film.iso.rtcsend-partial"


def block(number: int, content: bytes = CONTENT) -> bytes:
    return content[number * BLOCK_SIZE : (number + 1) * BLOCK_SIZE]


def end_of(number: int) -> int:
    return min((number + 1) * BLOCK_SIZE, len(CONTENT))


async def create(folder: Path, name: str = "film.iso", sample: str = SAMPLE) -> FileSink:
    return await FileSink.create(
        folder, name, size=len(CONTENT), sample=sample, conflict=Conflict.ASK
    )


async def leave(folder: Path, length: int, name: str = "film.iso") -> Path:
    """Leave so much of the file; return where it is."""
    sink = await create(folder, name)
    await sink.write(CONTENT[:length])
    await sink.abandon(keep_partial=True)
    return folder / f".{name}.rtcsend-partial"


async def walk(sink: FileSink, content: bytes = CONTENT) -> list[int]:
    """Do what a sender does: keep the blocks that are equal; return the numbers of the others."""
    have = b"".join([page async for _, page in sink.survey(0)])
    assert len(have) == sink.blocks * DIGEST_BYTES
    sent = []
    for number in range(BLOCKS):
        digest = have[number * DIGEST_BYTES : (number + 1) * DIGEST_BYTES]
        if digest == block_digest(block(number, content)):
            await sink.keep(end_of(number))
        else:
            await sink.write(block(number, content))
            sent.append(number)
    return sent


@pytest.fixture
def reread(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Counts what is read once more for the digest of the whole file."""
    counts: list[int] = []

    def spy(fd: int, count: int, offset: int) -> bytes:
        counts.append(count)
        return read_whole(fd, count, offset)

    monkeypatch.setattr(sink_module, "read_whole", spy)
    return counts


@pytest.mark.parametrize(
    ("length", "blocks"),
    [
        (BLOCK_SIZE, 1),
        (3 * BLOCK_SIZE - 1, 2),
        (3 * BLOCK_SIZE, 3),
        (5 * BLOCK_SIZE + 7, 5),
        (len(CONTENT) - 1, 5),
        (len(CONTENT), 6),
    ],
)
async def test_only_what_is_missing_is_sent(
    tmp_path: Path, length: int, blocks: int, reread: list[int]
) -> None:
    await leave(tmp_path, length)
    sink = await create(tmp_path)
    assert sink.blocks == blocks
    assert await walk(sink) == list(range(blocks, BLOCKS))
    path = (await sink.finish(blake3(CONTENT).hexdigest()))[0]
    assert path.read_bytes() == CONTENT
    assert sink.stored == len(CONTENT) - min(blocks * BLOCK_SIZE, len(CONTENT))
    assert [path.name for path in tmp_path.iterdir()] == ["film.iso"]
    # All that is read twice is the first block that came.
    assert sum(reread) <= BLOCK_SIZE


async def test_under_another_name(tmp_path: Path) -> None:
    await leave(tmp_path, 3 * BLOCK_SIZE, "holiday.iso")
    sink = await create(tmp_path)
    assert await walk(sink) == [3, 4, 5]
    await sink.finish(blake3(CONTENT).hexdigest())
    assert [path.name for path in tmp_path.iterdir()] == ["film.iso"]


async def test_an_altered_block_is_sent_again(tmp_path: Path) -> None:
    partial = await leave(tmp_path, 5 * BLOCK_SIZE)
    with partial.open("r+b") as file:
        file.seek(2 * BLOCK_SIZE + 77)
        file.write(b"torn")
    sink = await create(tmp_path)
    assert await walk(sink) == [2, 5]
    assert (await sink.finish(blake3(CONTENT).hexdigest()))[0].read_bytes() == CONTENT


async def test_a_file_that_changed_in_places_between_two_runs(tmp_path: Path) -> None:
    await leave(tmp_path, len(CONTENT))
    changed = bytearray(CONTENT)
    changed[0] ^= 1
    changed[4 * BLOCK_SIZE] ^= 1
    sink = await create(tmp_path, sample=OTHER)
    assert await walk(sink, bytes(changed)) == [0, 4]
    assert (await sink.finish(blake3(changed).hexdigest()))[0].read_bytes() == changed


async def test_a_block_that_the_disk_cannot_read_is_sent_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await leave(tmp_path, 4 * BLOCK_SIZE)

    def bad_sector(fd: int, count: int, offset: int) -> bytes:
        if offset == BLOCK_SIZE:
            raise OSError(5, "Input/output error")
        return read_whole(fd, count, offset)

    monkeypatch.setattr(survey_module, "read_whole", bad_sector)
    sink = await create(tmp_path)
    assert await walk(sink) == [1, 4, 5]
    await sink.finish(blake3(CONTENT).hexdigest())


@given(data=st.data())
@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_whatever_is_there(data: st.DataObject, tmp_path: Path) -> None:
    """Any length, any blocks altered: what differs is sent, and the result is the file."""
    length = data.draw(st.integers(BLOCK_SIZE, len(CONTENT)))
    altered = data.draw(st.sets(st.integers(0, BLOCKS - 1)))

    async def main() -> None:
        partial = await leave(tmp_path, length)
        with partial.open("r+b") as file:
            for number in altered:
                if number * BLOCK_SIZE < length:
                    file.seek(number * BLOCK_SIZE)
                    file.write(bytes([CONTENT[number * BLOCK_SIZE] ^ 1]))
        sink = await create(tmp_path)
        whole = BLOCKS if length == len(CONTENT) else length // BLOCK_SIZE
        wrong = {number for number in range(BLOCKS) if number in altered or number >= whole}
        assert set(await walk(sink)) == wrong
        path = (await sink.finish(blake3(CONTENT).hexdigest()))[0]
        assert path.read_bytes() == CONTENT
        path.unlink()

    asyncio.run(main())


async def test_the_survey_goes_on_where_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[int] = []

    def spy(fd: int, count: int, offset: int) -> bytes:
        read.append(offset // BLOCK_SIZE)
        return read_whole(fd, count, offset)

    await leave(tmp_path, 5 * BLOCK_SIZE)
    monkeypatch.setattr(survey_module, "read_whole", spy)
    monkeypatch.setattr(survey_module, "JOB_TIME", 0.0)  # each block is a job, and a page
    sink = await create(tmp_path)
    pages = sink.survey(0)
    first = [await anext(pages), await anext(pages)]
    assert [(number, len(page)) for number, page in first] == [(0, DIGEST_BYTES), (1, DIGEST_BYTES)]
    await pages.aclose()
    await sink.keep(BLOCK_SIZE)
    rest = b"".join([page async for _, page in sink.survey(1)])
    assert first[1][1] + rest[DIGEST_BYTES:] == rest
    assert rest == b"".join(block_digest(block(number)) for number in range(1, 5))
    assert read == [0, 1, 2, 3, 4]
    await sink.abandon(keep_partial=True)


async def test_a_survey_that_is_cancelled(tmp_path: Path) -> None:
    await leave(tmp_path, 5 * BLOCK_SIZE)
    sink = await create(tmp_path)
    pages = sink.survey(0)
    taking = asyncio.create_task(anext(pages))
    await asyncio.sleep(0)
    taking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await taking
    assert await walk(sink) == [5]
    await sink.finish(blake3(CONTENT).hexdigest())


async def test_marks_spare_reading_again_from_the_beginning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reread: list[int]
) -> None:
    monkeypatch.setattr(survey_module, "MARK_BLOCKS", 2)
    partial = await leave(tmp_path, 5 * BLOCK_SIZE)
    with partial.open("r+b") as file:
        file.seek(3 * BLOCK_SIZE)
        file.write(b"torn")
    sink = await create(tmp_path)
    assert await walk(sink) == [3, 5]
    await sink.finish(blake3(CONTENT).hexdigest())
    assert sum(reread) <= 4 * BLOCK_SIZE  # from the mark at 2 on


@pytest.mark.parametrize("position", [2 * BLOCK_SIZE + 1, len(CONTENT), 1 << 40])
async def test_what_is_not_there_cannot_be_kept(tmp_path: Path, position: int) -> None:
    await leave(tmp_path, 2 * BLOCK_SIZE)
    sink = await create(tmp_path)
    with pytest.raises(InternalError):
        await sink.keep(position)
    await sink.keep(BLOCK_SIZE)
    with pytest.raises(InternalError):
        await sink.keep(0)
    await sink.abandon(keep_partial=True)
    assert (tmp_path / PARTIAL).stat().st_size == 2 * BLOCK_SIZE


async def test_keeping_what_is_wrong_is_found_out(tmp_path: Path) -> None:
    partial = await leave(tmp_path, 3 * BLOCK_SIZE)
    with partial.open("r+b") as file:
        file.write(b"torn")
    sink = await create(tmp_path)
    await sink.keep(3 * BLOCK_SIZE)
    await sink.write(CONTENT[3 * BLOCK_SIZE :])
    with pytest.raises(DigestMismatch):
        await sink.finish(blake3(CONTENT).hexdigest())
    assert not (tmp_path / "film.iso").exists()
    assert (tmp_path / PARTIAL).stat().st_size == 3 * BLOCK_SIZE  # to be compared another time


def cut(path: Path) -> None:
    os.truncate(path, 10)


def remove(path: Path) -> None:
    path.unlink()


@pytest.mark.parametrize(("damage", "error"), [(cut, DigestMismatch), (remove, CannotWrite)])
async def test_somebody_damages_it_meanwhile(
    tmp_path: Path, damage: Callable[[Path], None], error: type[RtcsendError]
) -> None:
    partial = await leave(tmp_path, 3 * BLOCK_SIZE)
    sink = await create(tmp_path)
    damage(partial)
    await sink.keep(3 * BLOCK_SIZE)
    await sink.write(CONTENT[3 * BLOCK_SIZE :])
    with pytest.raises(error):
        await sink.finish(blake3(CONTENT).hexdigest())
    await sink.abandon(keep_partial=False)
    assert not (tmp_path / "film.iso").exists()


async def test_nothing_new_came(tmp_path: Path) -> None:
    """A run that ends before its first byte takes nothing away."""
    partial = await leave(tmp_path, 3 * BLOCK_SIZE)
    sink = await create(tmp_path)
    await sink.abandon(keep_partial=True)
    assert partial.read_bytes() == CONTENT[: 3 * BLOCK_SIZE]
    assert (await create_and_drop(tmp_path)) == 3


async def create_and_drop(folder: Path) -> int:
    sink = await create(folder)
    blocks = sink.blocks
    await sink.abandon(keep_partial=False)
    assert whole_blocks(len(CONTENT), (folder / PARTIAL).stat().st_size) == blocks
    return blocks


async def test_the_space_that_it_takes_is_not_asked_for_again(tmp_path: Path) -> None:
    async def free(sample: str) -> int:
        found = await free_space(tmp_path, "other", size=len(CONTENT), sample=sample)
        assert found is not None
        return found

    await leave(tmp_path, 5 * BLOCK_SIZE)
    # Others use the disk too: so much can hardly come between.
    assert await free(SAMPLE) - await free(OTHER) > BLOCK_SIZE


# Runs whose outcome is worth nothing


@pytest.mark.parametrize("ends", ["broken rules", "wrong digest"])
async def test_a_worthless_run_takes_nothing_of_an_earlier_one(tmp_path: Path, ends: str) -> None:
    partial = await leave(tmp_path, 3 * BLOCK_SIZE)
    sink = await create(tmp_path)
    await sink.keep(end_of(0))
    for number in range(1, BLOCKS):  # it replaces two blocks that were right, and adds others
        await sink.write(bytes(len(block(number))))
    if ends == "wrong digest":
        with pytest.raises(DigestMismatch):
            await sink.finish("00" * 32)
    else:
        await sink.abandon(keep_partial=False)
    assert partial.read_bytes() == block(0) + bytes(2 * BLOCK_SIZE)

    honest = await create(tmp_path)
    assert await walk(honest) == [1, 2, 3, 4, 5]
    await honest.finish(blake3(CONTENT).hexdigest())
    assert (tmp_path / "film.iso").read_bytes() == CONTENT
    assert not partial.exists()


async def test_a_worthless_run_that_began_anew_leaves_nothing(tmp_path: Path) -> None:
    sink = await create(tmp_path)
    await sink.write(CONTENT)
    await sink.abandon(keep_partial=False)
    assert list(tmp_path.iterdir()) == []
