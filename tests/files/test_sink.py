# ruff: noqa: ASYNC240 -- nothing else runs on the loop of a test while it looks at a file

import asyncio
import errno
import os
import stat
import subprocess
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
from blake3 import blake3

from rtcsend.blocks import BLOCK_SIZE
from rtcsend.errors import (
    CannotWrite,
    DigestMismatch,
    InternalError,
    PeerProtocolError,
    TargetExists,
)
from rtcsend.files import sink as sink_module
from rtcsend.files import store as store_module
from rtcsend.files.opening import free_space, prepare, target_exists
from rtcsend.files.partial import seal
from rtcsend.files.positional import write_at
from rtcsend.files.ring import RING_SIZE
from rtcsend.files.sink import FileSink
from rtcsend.files.stdout_sink import StdoutSink
from rtcsend.options import Conflict
from rtcsend.transfer.ports import Sink
from tests.files.conftest import open_descriptors
from tests.files.gate import Gate

CONTENT = os.urandom(2 * BLOCK_SIZE + 12_345)
DIGEST = blake3(CONTENT).hexdigest()
PIECE = 1 << 16  # bytes; the payload of one frame
PARTIAL = ".film.iso.rtcsend-partial"
JOURNAL = ".film.iso.rtcsend-journal"
SAMPLE = "5a" * 32


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


async def create(
    folder: Path, *, size: int = len(CONTENT), conflict: Conflict = Conflict.ASK
) -> FileSink:
    return await FileSink.create(folder, "film.iso", size=size, sample=SAMPLE, conflict=conflict)


async def write(sink: Sink, content: bytes = CONTENT) -> None:
    view = memoryview(content)
    for start in range(0, len(content), PIECE):
        await sink.write(view[start : start + PIECE])


def test_both_sinks_have_one_interface() -> None:
    kinds: list[type[Sink]] = [FileSink, StdoutSink]
    assert kinds


async def test_a_whole_file(tmp_path: Path) -> None:
    before = open_descriptors()
    sink = await create(tmp_path)
    await write(sink)
    assert names(tmp_path) == [JOURNAL, PARTIAL]
    await sink.flush()
    assert (sink.written, sink.stored, sink.blocks) == (len(CONTENT), len(CONTENT), 0)
    path = (await sink.finish(DIGEST))[0]
    assert path == tmp_path / "film.iso"
    assert path.read_bytes() == CONTENT
    assert sink.written == len(CONTENT)
    assert names(tmp_path) == ["film.iso"]
    assert open_descriptors() == before


async def test_an_empty_file(tmp_path: Path) -> None:
    sink = await create(tmp_path, size=0)
    path = (await sink.finish(blake3(b"").hexdigest()))[0]
    assert path.read_bytes() == b""


async def test_the_permissions_are_those_of_any_new_file(tmp_path: Path) -> None:
    (tmp_path / "plain").touch()
    sink = await create(tmp_path)
    assert stat.S_IMODE((tmp_path / PARTIAL).stat().st_mode) == 0o600
    await write(sink)
    path = (await sink.finish(DIGEST))[0]
    assert path.stat().st_mode == (tmp_path / "plain").stat().st_mode


async def test_permissions_can_be_given(tmp_path: Path) -> None:
    sink = await FileSink.create(
        tmp_path, "run.sh", size=0, sample=SAMPLE, conflict=Conflict.ASK, mode=0o4755
    )
    path = (await sink.finish(blake3(b"").hexdigest()))[0]
    assert stat.S_IMODE(path.stat().st_mode) == 0o755


async def test_it_is_synced_before_it_has_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[str] = []
    fsync, link = os.fsync, os.link

    def spy_fsync(fd: int) -> None:
        steps.append("sync folder" if stat.S_ISDIR(os.fstat(fd).st_mode) else "sync file")
        fsync(fd)

    def spy_link(*args: str, **options: int) -> None:
        steps.append("name")
        link(*args, **options)  # type: ignore[arg-type]  # passed on as they came

    monkeypatch.setattr(os, "fsync", spy_fsync)
    monkeypatch.setattr(os, "link", spy_link)
    sink = await create(tmp_path)
    await write(sink)
    await sink.finish(DIGEST)
    assert steps == ["sync file", "name", "sync folder"]


# The target


@pytest.mark.parametrize("conflict", [Conflict.ASK, Conflict.SKIP])
async def test_an_existing_target_is_an_error_at_once(tmp_path: Path, conflict: Conflict) -> None:
    (tmp_path / "film.iso").symlink_to("nowhere")
    with pytest.raises(TargetExists, match=r"^film\.iso already exists in ") as caught:
        await create(tmp_path, conflict=conflict)
    assert caught.value.for_peer == "The receiver has a file film.iso already."
    assert names(tmp_path) == ["film.iso"]


async def test_a_target_that_appears_meanwhile(tmp_path: Path) -> None:
    sink = await create(tmp_path)
    await write(sink)
    (tmp_path / "film.iso").write_text("faster")
    with pytest.raises(TargetExists):
        await sink.finish(DIGEST)
    assert (tmp_path / "film.iso").read_text() == "faster"
    with pytest.raises(InternalError):
        await sink.finish(DIGEST)
    await sink.abandon(keep_partial=False)
    assert names(tmp_path) == ["film.iso"]


async def test_rename_counts_up(tmp_path: Path) -> None:
    (tmp_path / "film.iso").write_text("first")
    sink = await create(tmp_path, conflict=Conflict.RENAME)
    await write(sink)
    (tmp_path / "film (1).iso").write_text("second")
    path = (await sink.finish(DIGEST))[0]
    assert path == tmp_path / "film (2).iso"
    assert path.read_bytes() == CONTENT
    assert (tmp_path / "film.iso").read_text() == "first"
    assert (tmp_path / "film (1).iso").read_text() == "second"


async def test_overwriting_leaves_the_old_file_until_the_end(tmp_path: Path) -> None:
    old = tmp_path / "film.iso"
    old.write_text("old")
    sink = await create(tmp_path, conflict=Conflict.OVERWRITE)
    await write(sink)
    await sink.flush()
    assert old.read_text() == "old"
    await sink.finish(DIGEST)
    assert old.read_bytes() == CONTENT
    assert names(tmp_path) == ["film.iso"]


async def test_overwriting_a_link_leaves_what_it_points_to(tmp_path: Path) -> None:
    folder = tmp_path / "downloads"
    folder.mkdir()
    victim = tmp_path / "victim"
    victim.write_text("precious")
    (folder / "film.iso").symlink_to(victim)
    sink = await create(folder, conflict=Conflict.OVERWRITE)
    await write(sink)
    path = (await sink.finish(DIGEST))[0]
    assert victim.read_text() == "precious"
    assert not path.is_symlink()
    assert path.read_bytes() == CONTENT


async def test_a_folder_is_never_overwritten(tmp_path: Path) -> None:
    (tmp_path / "film.iso").mkdir()
    with pytest.raises(CannotWrite, match="a folder has that name"):
        await create(tmp_path, conflict=Conflict.OVERWRITE)
    assert names(tmp_path) == ["film.iso"]
    (tmp_path / "film.iso").rmdir()
    sink = await create(tmp_path, conflict=Conflict.OVERWRITE)
    await write(sink)
    (tmp_path / "film.iso").mkdir()
    with pytest.raises(CannotWrite, match="a folder has that name"):
        await sink.finish(DIGEST)
    await sink.abandon(keep_partial=False)
    assert names(tmp_path) == ["film.iso"]


async def test_a_planted_partial_file_is_not_followed(tmp_path: Path) -> None:
    folder = tmp_path / "downloads"
    folder.mkdir()
    victim = tmp_path / "victim"
    victim.write_text("precious")
    (folder / PARTIAL).symlink_to(victim)
    sink = await create(folder)
    await write(sink)
    assert (await sink.finish(DIGEST))[0].read_bytes() == CONTENT
    assert victim.read_text() == "precious"


async def test_two_transfers_of_one_name_do_not_touch_each_other(tmp_path: Path) -> None:
    first = await create(tmp_path)
    second = await create(tmp_path, size=3, conflict=Conflict.RENAME)
    await write(first)
    await second.write(b"two")
    assert (await first.finish(DIGEST))[0].read_bytes() == CONTENT
    assert (await second.finish(blake3(b"two").hexdigest()))[0].name == "film (1).iso"
    assert names(tmp_path) == ["film (1).iso", "film.iso"]


@pytest.mark.parametrize("name", ["", ".", "..", "../x", "a/b", "/etc/passwd", "a\0"])
async def test_an_unsafe_name_does_not_come_this_far(tmp_path: Path, name: str) -> None:
    with pytest.raises(InternalError):
        await FileSink.create(tmp_path, name, size=0, sample=SAMPLE, conflict=Conflict.OVERWRITE)


# What is verified


async def test_damaged_bytes_never_get_the_name(tmp_path: Path) -> None:
    (tmp_path / "film.iso").write_text("old")
    before = open_descriptors()
    sink = await create(tmp_path, conflict=Conflict.OVERWRITE)
    await write(sink, CONTENT[:-1] + bytes([CONTENT[-1] ^ 1]))
    with pytest.raises(DigestMismatch):
        await sink.finish(DIGEST)
    assert names(tmp_path) == ["film.iso"]
    assert (tmp_path / "film.iso").read_text() == "old"
    assert open_descriptors() == before
    await sink.abandon(keep_partial=True)


async def test_too_few_and_too_many_bytes(tmp_path: Path) -> None:
    sink = await create(tmp_path)
    await write(sink, CONTENT[:-1])
    with pytest.raises(PeerProtocolError):
        await sink.write(b"xx")
    with pytest.raises(PeerProtocolError):
        await sink.finish(DIGEST)
    await sink.abandon(keep_partial=False)
    assert names(tmp_path) == []


# Giving up


@pytest.mark.parametrize("keep_partial", [True, False])
async def test_abandon(tmp_path: Path, keep_partial: bool) -> None:
    before = open_descriptors()
    sink = await create(tmp_path)
    await write(sink)
    for _ in range(2):
        await sink.abandon(keep_partial=keep_partial)
    assert open_descriptors() == before
    assert names(tmp_path) == ([JOURNAL, PARTIAL] if keep_partial else [])
    if keep_partial:
        assert (tmp_path / PARTIAL).read_bytes() == CONTENT
    with pytest.raises(InternalError):
        await sink.write(b"")


async def test_abandon_after_the_end_does_nothing(tmp_path: Path) -> None:
    sink = await create(tmp_path)
    await write(sink)
    await sink.finish(DIGEST)
    (tmp_path / PARTIAL).write_text("the next transfer's")
    await sink.abandon(keep_partial=False)
    assert names(tmp_path) == [PARTIAL, "film.iso"]


@pytest.mark.parametrize("size", [0, BLOCK_SIZE - 1])
async def test_what_has_no_whole_block_is_not_kept(tmp_path: Path, size: int) -> None:
    sink = await create(tmp_path)
    await write(sink, CONTENT[:size])
    await sink.abandon(keep_partial=True)
    assert names(tmp_path) == []


# What the disk says


@pytest.mark.parametrize(
    ("number", "message"),
    [
        (errno.ENOSPC, "No space left for film.iso in {}."),
        (errno.EDQUOT, "No space left for film.iso in {}: the disk quota is used up."),
        (errno.EFBIG, "film.iso is larger than a file in {} may be."),
        (errno.EIO, "film.iso cannot be written in {}: Input/output error."),
        (errno.EROFS, "film.iso cannot be written in {}: Read-only file system."),
    ],
)
async def test_the_sentences(
    tmp_path: Path, number: int, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_fd: int, data: memoryview, position: int) -> int:
        if position:
            raise OSError(number, os.strerror(number))
        return len(data) - 1

    sink = await create(tmp_path)
    await sink.write(CONTENT[:BLOCK_SIZE])
    await sink.flush()
    monkeypatch.setattr(store_module, "write_at", fail)
    await sink.write(b"x")
    with pytest.raises(CannotWrite) as caught:
        await sink.flush()
    assert caught.value.message == message.format(tmp_path)
    assert str(tmp_path) not in caught.value.for_peer  # a private matter
    assert "film.iso" in caught.value.for_peer
    with pytest.raises(CannotWrite):  # it stays so
        await sink.write(b"x")
    await sink.abandon(keep_partial=True)
    assert names(tmp_path) == [JOURNAL, PARTIAL]


async def test_a_sync_that_fails_is_not_a_saved_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_fd: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    sink = await create(tmp_path)
    await write(sink)
    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(CannotWrite, match="Input/output error"):
        await sink.finish(DIGEST)
    assert names(tmp_path) == [JOURNAL, PARTIAL]
    await sink.abandon(keep_partial=False)


async def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for name, message in (
        ("missing", "film.iso cannot be written: {} does not exist."),
        ("file", "film.iso cannot be written: {} is not a folder."),
        ("nul\0", "film.iso cannot be written in {}: embedded null byte."),
    ):
        with pytest.raises(CannotWrite) as caught:
            await create(tmp_path / name)
        assert caught.value.message == message.format(tmp_path / name)
        assert str(tmp_path) not in caught.value.for_peer


async def test_the_current_folder_has_a_name_in_errors(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    sink = await create(Path())
    await write(sink)
    assert await sink.finish(DIGEST) == (Path("film.iso"),)
    with pytest.raises(TargetExists, match=r"^film\.iso already exists in the current folder\.$"):
        await create(Path())


async def test_a_folder_that_vanishes(tmp_path: Path) -> None:
    folder = tmp_path / "downloads"
    folder.mkdir()
    sink = await create(folder)
    await write(sink)
    await sink.flush()
    for name in (PARTIAL, JOURNAL):
        (folder / name).unlink()
    folder.rmdir()
    with pytest.raises(CannotWrite, match="removed or replaced"):
        await sink.finish(DIGEST)
    await sink.abandon(keep_partial=False)
    assert names(tmp_path) == []


async def test_a_folder_that_is_swapped_for_a_link(tmp_path: Path) -> None:
    folder, elsewhere = tmp_path / "downloads", tmp_path / "elsewhere"
    folder.mkdir()
    elsewhere.mkdir()
    sink = await create(folder)
    await write(sink)
    folder.rename(tmp_path / "moved")
    folder.symlink_to(elsewhere)
    await sink.finish(DIGEST)
    assert names(elsewhere) == []
    assert names(tmp_path / "moved") == ["film.iso"]


async def test_a_folder_without_permission(
    public_folder: Path, unprivileged: Callable[[], AbstractContextManager[None]]
) -> None:
    public_folder.chmod(0o555)
    before = open_descriptors()
    with unprivileged(), pytest.raises(CannotWrite, match="Permission denied"):
        await create(public_folder)
    assert open_descriptors() == before
    public_folder.chmod(0o755)


LIMITED = """
import asyncio, resource, sys
from pathlib import Path
from rtcsend.errors import CannotWrite
from rtcsend.files.ring import RING_SIZE
from rtcsend.files.sink import FileSink
from rtcsend.options import Conflict
from rtcsend.transfer.ports import Sink

async def main() -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_100_000, 1_100_000))
    sink = await FileSink.create(
        Path(sys.argv[1]), "film.iso", size=1 << 21, sample="5a" * 32, conflict=Conflict.ASK
    )
    try:
        await sink.write(b"x" * (1 << 21))
        await sink.flush()
    except CannotWrite as exc:
        print(exc.message, sink.written)
    await sink.abandon(keep_partial=True)

asyncio.run(main())
"""


def test_a_limit_in_the_middle_of_a_block(tmp_path: Path) -> None:
    """A real one: the first write is short, the second says why."""
    ran = subprocess.run(
        [sys.executable, "-W", "error", "-c", LIMITED, str(tmp_path)],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[2],
    )
    assert ran.stdout == f"film.iso is larger than a file in {tmp_path} may be. 1100000\n"
    assert ran.stderr == ""
    assert (tmp_path / PARTIAL).stat().st_size == 1_100_000


# Cancellation


async def test_a_cancelled_call_has_given_its_bytes_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = os.urandom(3 * RING_SIZE)
    sink = await create(tmp_path, size=len(content))
    gate = Gate()
    with monkeypatch.context() as patch:
        patch.setattr(store_module, "write_at", gate.before(write_at))
        writing = asyncio.create_task(sink.write(content[: 2 * RING_SIZE]))  # more than it holds
        await gate.reached.wait()
        writing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await writing
        flushing = asyncio.create_task(sink.flush())
        await asyncio.sleep(0)
        flushing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await flushing
        assert sink.stored == 0
    gate.open()
    await sink.write(content[2 * RING_SIZE :])
    path = (await sink.finish(blake3(content).hexdigest()))[0]
    assert path.read_bytes() == content


async def test_abandoning_waits_for_the_thread(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, tasks = open_descriptors(), asyncio.all_tasks()
    gate = Gate()
    sink = await create(tmp_path)
    monkeypatch.setattr(store_module, "write_at", gate.before(write_at))
    await write(sink)
    await gate.reached.wait()
    abandoning = asyncio.create_task(sink.abandon(keep_partial=True))
    await asyncio.sleep(0)
    abandoning.cancel()
    done, _ = await asyncio.wait([abandoning], timeout=0)
    assert not done  # the thread still has the file
    gate.open()
    with pytest.raises(asyncio.CancelledError):
        await abandoning
    assert (tmp_path / PARTIAL).read_bytes() == CONTENT
    assert open_descriptors() == before
    assert asyncio.all_tasks() == tasks


async def test_a_cancelled_finish_is_carried_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = open_descriptors()
    gate = Gate()
    sink = await create(tmp_path)
    await write(sink)
    monkeypatch.setattr(sink_module, "seal", gate.before(seal))
    finishing = asyncio.create_task(sink.finish(DIGEST))
    await gate.reached.wait()
    finishing.cancel()
    gate.open()
    with pytest.raises(asyncio.CancelledError):
        await finishing
    await sink.abandon(keep_partial=False)
    assert names(tmp_path) == ["film.iso"]
    assert open_descriptors() == before


async def test_a_cancelled_create_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = open_descriptors()
    gate = Gate()
    monkeypatch.setattr(sink_module, "prepare", gate.before(prepare))
    creating = asyncio.create_task(create(tmp_path))
    await gate.reached.wait()
    creating.cancel()
    gate.open()
    with pytest.raises(asyncio.CancelledError):
        await creating
    assert names(tmp_path) == []
    assert open_descriptors() == before


async def test_where_open_files_cannot_be_renamed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on Windows: the file is closed before it is renamed or removed."""
    monkeypatch.setattr(sink_module, "KEEPS_OPEN_FILES", True)
    monkeypatch.setattr("rtcsend.files.partial.KEEPS_OPEN_FILES", True)
    monkeypatch.setattr("rtcsend.files.journal_file.KEEPS_OPEN_FILES", True)
    sink = await create(tmp_path)
    await write(sink)
    assert (await sink.finish(DIGEST))[0].read_bytes() == CONTENT
    sink = await create(tmp_path, conflict=Conflict.OVERWRITE)
    await sink.abandon(keep_partial=False)
    assert names(tmp_path) == ["film.iso"]


# Looking beforehand


async def test_free_space(tmp_path: Path) -> None:
    async def free(folder: Path) -> int | None:
        return await free_space(folder, "film.iso", size=len(CONTENT), sample=SAMPLE)

    before = await free(tmp_path)
    assert before is not None
    assert before > 0
    assert await free(tmp_path / "missing") is None
    assert await free(Path("nul\0")) is None


def test_target_exists(tmp_path: Path) -> None:
    assert not target_exists(tmp_path, "film.iso")
    (tmp_path / "film.iso").symlink_to("nowhere")
    assert target_exists(tmp_path, "film.iso")
