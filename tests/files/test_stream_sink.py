import os
from pathlib import Path

import pytest
from blake3 import blake3

from rtcsend.errors import CannotWrite, Declined, DigestMismatch, InternalError, TargetExists
from rtcsend.files.stream_sink import StreamSink
from rtcsend.options import Conflict

CONTENT = os.urandom(3_000_000)
DIGEST = blake3(CONTENT).hexdigest()


async def sink_in(
    folder: Path, *, conflict: Conflict = Conflict.ASK, limit: int | None = None
) -> StreamSink:
    return await StreamSink.create(folder, "x.tar", conflict=conflict, limit=limit)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


async def test_a_stream_has_its_name_when_it_is_whole(tmp_path: Path) -> None:
    sink = await sink_in(tmp_path)
    for at in range(0, len(CONTENT), 70_000):
        await sink.write(CONTENT[at : at + 70_000])
    await sink.flush()
    assert sink.written == sink.stored == len(CONTENT)
    assert names(tmp_path) == [".x.tar.rtcsend-partial"]
    assert (tmp_path / ".x.tar.rtcsend-partial").stat().st_mode & 0o077 == 0
    assert await sink.finish(DIGEST) == (tmp_path / "x.tar",)
    assert names(tmp_path) == ["x.tar"]
    assert (tmp_path / "x.tar").read_bytes() == CONTENT
    await sink.abandon(keep_partial=True)
    assert names(tmp_path) == ["x.tar"]


async def test_an_empty_one(tmp_path: Path) -> None:
    sink = await sink_in(tmp_path)
    await sink.finish(blake3(b"").hexdigest())
    assert (tmp_path / "x.tar").read_bytes() == b""


@pytest.mark.parametrize("keep_partial", [True, False])
async def test_of_what_broke_off_nothing_is_left(tmp_path: Path, keep_partial: bool) -> None:
    sink = await sink_in(tmp_path)
    await sink.write(CONTENT)
    await sink.abandon(keep_partial=keep_partial)
    await sink.abandon(keep_partial=keep_partial)
    assert names(tmp_path) == []
    with pytest.raises(InternalError):
        await sink.write(b"more")


async def test_a_wrong_digest_has_no_name(tmp_path: Path) -> None:
    sink = await sink_in(tmp_path)
    await sink.write(CONTENT)
    with pytest.raises(DigestMismatch, match=r"x\.tar arrived damaged"):
        await sink.finish("00" * 32)
    await sink.abandon(keep_partial=False)
    assert names(tmp_path) == []


async def test_no_more_than_the_limit(tmp_path: Path) -> None:
    sink = await sink_in(tmp_path, limit=10)
    await sink.write(b"0123456789")
    with pytest.raises(Declined, match=r"x\.tar has more than the 10 bytes"):
        await sink.write(b"x")
    await sink.abandon(keep_partial=True)
    assert names(tmp_path) == []


async def test_what_is_there(tmp_path: Path) -> None:
    (tmp_path / "x.tar").write_bytes(b"old")
    with pytest.raises(TargetExists):
        await sink_in(tmp_path)
    sink = await sink_in(tmp_path, conflict=Conflict.RENAME)
    await sink.write(CONTENT)
    assert await sink.finish(DIGEST) == (tmp_path / "x (1).tar",)
    sink = await sink_in(tmp_path, conflict=Conflict.OVERWRITE)
    await sink.write(CONTENT)
    assert await sink.finish(DIGEST) == (tmp_path / "x.tar",)
    assert (tmp_path / "x.tar").read_bytes() == CONTENT


async def test_the_name_was_taken_meanwhile(tmp_path: Path) -> None:
    sink = await sink_in(tmp_path)
    await sink.write(CONTENT)
    (tmp_path / "x.tar").write_bytes(b"new")
    with pytest.raises(TargetExists):
        await sink.finish(DIGEST)
    await sink.abandon(keep_partial=True)
    assert names(tmp_path) == ["x.tar"]
    assert (tmp_path / "x.tar").read_bytes() == b"new"


async def test_two_at_once_do_not_meet(tmp_path: Path) -> None:
    sinks = [await sink_in(tmp_path, conflict=Conflict.RENAME) for _ in range(2)]
    for sink in sinks:
        await sink.write(CONTENT)
        await sink.finish(DIGEST)
    assert names(tmp_path) == ["x (1).tar", "x.tar"]


async def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(CannotWrite, match="does not exist"):
        await sink_in(tmp_path / "none")


async def test_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sink = await sink_in(tmp_path)
    os.close(sink._partial.fd)
    full = os.open("/dev/full", os.O_RDWR)
    assert full == sink._partial.fd, "the lowest number that is free"
    await sink.write(CONTENT[:1000])
    with pytest.raises(CannotWrite, match=r"No space left for x\.tar"):
        await sink.flush()
    await sink.abandon(keep_partial=True)
