"""File systems that fail: real ones, mounted here."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from blake3 import blake3

from rtcsend.blocks import BLOCK_SIZE
from rtcsend.errors import CannotWrite
from rtcsend.files import store as store_module
from rtcsend.files.opening import free_space
from rtcsend.files.positional import write_at
from rtcsend.files.sink import FileSink
from rtcsend.options import Conflict

pytestmark = pytest.mark.lab

DISK = 8 << 20  # bytes
CONTENT = os.urandom(12 * BLOCK_SIZE + 5)
SAMPLE = "5a" * 32
OURS = [".film.iso.rtcsend-journal", ".film.iso.rtcsend-partial"]


@pytest.fixture
def root() -> None:
    if os.geteuid() == 0:
        return
    if os.environ.get("CI") == "true":
        pytest.fail("these tests need root, and must not be left out here")
    pytest.skip("mounting needs root")


def run(*command: str | Path) -> None:
    subprocess.run(command, check=True, capture_output=True)


@pytest.fixture
def small_disk(root: None, tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "disk"
    folder.mkdir()
    run("mount", "-t", "tmpfs", "-o", f"size={DISK}", "rtcsend", folder)
    yield folder
    run("umount", folder)


@pytest.fixture
def ext4(root: None, tmp_path: Path) -> Iterator[Path]:
    """A file system of a kind that people have, in a file."""
    image, folder = tmp_path / "image", tmp_path / "ext4"
    folder.mkdir()
    image.write_bytes(b"")
    os.truncate(image, 4 * DISK)
    try:
        run("mkfs.ext4", "-q", "-F", "-m", "0", "-O", "^has_journal", image)
        run("mount", "-o", "loop", image, folder)
    except (OSError, subprocess.CalledProcessError) as exc:
        pytest.skip(f"no loop devices here: {exc}")
    (folder / "lost+found").rmdir()
    yield folder
    run("umount", folder)


async def create(folder: Path, conflict: Conflict = Conflict.ASK) -> FileSink:
    return await FileSink.create(
        folder, "film.iso", size=len(CONTENT), sample=SAMPLE, conflict=conflict
    )


async def write_all(sink: FileSink) -> None:
    for offset in range(0, len(CONTENT), 60_000):
        await sink.write(CONTENT[offset : offset + 60_000])
    await sink.finish(blake3(CONTENT).hexdigest())


async def write_until_it_fails(sink: FileSink) -> CannotWrite:
    with pytest.raises(CannotWrite) as caught:
        await write_all(sink)
    return caught.value


async def go_on(folder: Path, conflict: Conflict = Conflict.ASK) -> FileSink:
    """Keep all that is there, and write the rest."""
    sink = await create(folder, conflict)
    assert len(b"".join([page async for _, page in sink.survey(0)])) == 32 * sink.blocks
    await sink.keep(sink.blocks * BLOCK_SIZE)
    await sink.write(CONTENT[sink.written :])
    assert (await sink.finish(blake3(CONTENT).hexdigest()))[0].read_bytes() == CONTENT
    return sink


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("direct", [False, True])
@pytest.mark.parametrize("disk", ["small_disk", "ext4"])
async def test_a_full_disk_and_then_a_larger_one(
    disk: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, *, direct: bool
) -> None:
    folder: Path = request.getfixturevalue(disk)
    monkeypatch.setattr("rtcsend.files.sink.DIRECT_MINIMUM", 0 if direct else 1 << 60)
    (folder / "film.iso").write_text("old")
    filler = folder / "filler"
    free = await free_space(folder, "film.iso", size=len(CONTENT), sample=SAMPLE)
    assert free is not None
    filler.write_bytes(bytes(free - 5 * BLOCK_SIZE))
    sink = await create(folder, Conflict.OVERWRITE)
    error = await write_until_it_fails(sink)
    assert error.message == f"No space left for film.iso in {folder}."
    assert error.for_peer == "The receiver has no space left for film.iso."
    stored = sink.stored
    assert 3 * BLOCK_SIZE < stored <= 5 * BLOCK_SIZE
    await sink.abandon(keep_partial=True)
    assert names(folder) == [*OURS, "filler", "film.iso"]
    assert (folder / OURS[1]).read_bytes()[:stored] == CONTENT[:stored]
    assert (folder / "film.iso").read_text() == "old"

    needed = len(CONTENT) - stored
    free = await free_space(folder, "film.iso", size=len(CONTENT), sample=SAMPLE)
    assert free is not None
    assert free < needed + stored  # so it would be refused
    filler.unlink()
    if disk == "small_disk":
        run("mount", "-o", f"remount,size={3 * DISK}", folder)
    sink = await go_on(folder, Conflict.OVERWRITE)
    assert sink.stored <= needed + BLOCK_SIZE
    assert names(folder) == ["film.iso"]


async def test_a_full_disk_of_which_nothing_is_kept(small_disk: Path) -> None:
    sink = await create(small_disk)
    await write_until_it_fails(sink)
    await sink.abandon(keep_partial=False)
    assert names(small_disk) == []


async def test_a_disk_that_becomes_read_only(ext4: Path) -> None:
    sink = await create(ext4)
    await sink.write(CONTENT[: 3 * BLOCK_SIZE])
    await sink.abandon(keep_partial=True)
    run("mount", "-o", "remount,ro", ext4)
    with pytest.raises(CannotWrite, match="Read-only file system") as caught:
        await create(ext4)
    assert caught.value.for_peer == ("The receiver cannot write film.iso: Read-only file system.")
    run("mount", "-o", "remount,rw", ext4)
    sink = await go_on(ext4)
    assert sink.stored == len(CONTENT) - 3 * BLOCK_SIZE


async def test_a_disk_without_o_direct(small_disk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run("mount", "-o", f"remount,size={3 * DISK}", small_disk)
    monkeypatch.setattr("rtcsend.files.sink.DIRECT_MINIMUM", 0)
    refused: list[int] = []

    def refuse(fd: int, data: memoryview, position: int) -> int:
        if not refused:
            refused.append(fd)
            raise OSError(22, "Invalid argument")
        return write_at(fd, data, position)

    sink = await create(small_disk)
    monkeypatch.setattr(store_module, "write_at", refuse)
    await sink.write(CONTENT)
    assert (await sink.finish(blake3(CONTENT).hexdigest()))[0].read_bytes() == CONTENT
    assert len(refused) == 1
