import asyncio
import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from rtcsend.files import checkpoints as checkpoints_module
from rtcsend.files.checkpoints import SYNC_BYTES, SYNC_TIME, Checkpoints
from rtcsend.files.folder import Folder
from rtcsend.files.journal import Journal
from rtcsend.files.journal_file import JournalFile, read_journal
from rtcsend.files.positional import sync_data
from tests.files.gate import Gate

PARTIAL = ".film.iso.rtcsend-partial"
HEADER = Journal(size=1 << 40, sample="5a" * 32, name="film.iso", time=1)


class Scene:
    def __init__(self, folder: Folder) -> None:
        self.folder = folder
        self.now = 100.0
        self.fd = folder.open(PARTIAL, os.O_RDWR | os.O_CREAT)
        self.journal = JournalFile(folder, PARTIAL, HEADER)
        self.checkpoints = Checkpoints(self.fd, journal=self.journal, clock=lambda: self.now)

    @property
    def synced(self) -> int | None:
        journal = read_journal(self.folder, PARTIAL)
        return None if journal is None else journal.synced


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    with Folder(tmp_path) as folder:
        scene = Scene(folder)
        yield scene
        scene.journal.close()
        os.close(scene.fd)


async def test_by_bytes_and_by_time(scene: Scene) -> None:
    for position, seconds, synced in (
        (1, 0.0, 0),
        (SYNC_BYTES - 1, 0.1, 0),
        (SYNC_BYTES, 0.1, SYNC_BYTES),
        (SYNC_BYTES + 5, SYNC_TIME - 0.1, SYNC_BYTES),
        (SYNC_BYTES + 6, 0.2, SYNC_BYTES + 6),
    ):
        scene.now += seconds
        scene.checkpoints.written(position)
        await scene.checkpoints.settle()
        await asyncio.sleep(0)  # for what follows the end of a task
        assert scene.synced == synced


async def test_one_at_a_time_and_nothing_is_noted_before(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = Gate()
    monkeypatch.setattr(checkpoints_module, "sync_data", gate.before(sync_data))
    scene.checkpoints.written(SYNC_BYTES)
    await gate.reached.wait()
    scene.checkpoints.written(3 * SYNC_BYTES)
    assert scene.synced == 0
    gate.open()
    await scene.checkpoints.settle()
    assert scene.synced == SYNC_BYTES


async def test_what_the_disk_says_is_not_lost(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_fd: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "fdatasync", fail)
    scene.checkpoints.check()
    scene.checkpoints.written(SYNC_BYTES)
    await scene.checkpoints.settle()
    for _ in range(2):
        with pytest.raises(OSError, match="Input/output error"):
            scene.checkpoints.check()
    scene.checkpoints.written(5 * SYNC_BYTES)
    assert scene.synced == 0


@pytest.mark.parametrize("number", [errno.EINVAL, errno.ENOTSUP, errno.ENOSYS])
async def test_a_file_system_that_cannot_sync(
    scene: Scene, number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_fd: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fdatasync", refuse)
    scene.checkpoints.written(SYNC_BYTES)
    await scene.checkpoints.settle()
    scene.checkpoints.check()
