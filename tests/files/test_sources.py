"""What the paths of the command line come to: see rtcsend/sources.py."""

import asyncio
import os
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from rtcsend.errors import CannotRead, UsageError
from rtcsend.events import Event, LeftOut
from rtcsend.files.shared_source import View
from rtcsend.files.source import FileSource
from rtcsend.files.tree_source import TreeSource
from rtcsend.options import SendOptions
from rtcsend.sources import opened_source, source_for_each


async def test_one_file_that_is_left_is_sent_as_one(
    public_folder: Path, unprivileged: Callable[[], AbstractContextManager[None]]
) -> None:
    open_file, closed_file = public_folder / "open", public_folder / "closed"
    open_file.write_bytes(b"content")
    closed_file.touch(mode=0)
    events: list[Event] = []
    options = SendOptions(paths=(open_file, closed_file), skip_unreadable=True)
    await asyncio.to_thread(int)  # loads what nobody else may read
    with unprivileged():
        async with opened_source(options, emit=events.append) as source:
            assert isinstance(source, FileSource)
            (entry,) = source.manifest.entries()
    assert (entry.path, entry.size) == ("open", 7)
    assert entry.sample
    assert [event.path for event in events if isinstance(event, LeftOut)] == ["closed"]


async def test_a_file_in_a_folder_stays_in_it(tmp_path: Path) -> None:
    (tmp_path / "top").mkdir()
    (tmp_path / "top" / "file").touch()
    options = SendOptions(paths=(tmp_path / "top",))
    async with opened_source(options, emit=lambda _event: None) as source:
        assert isinstance(source, TreeSource)


async def test_several_share_one_source(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"content")
    options = SendOptions(paths=(tmp_path / "x",), receivers=2)
    async with source_for_each(options, emit=ignore) as open_source:
        async with open_source(ignore) as one, open_source(ignore) as two:
            assert isinstance(one, View)
            assert isinstance(two, View)
            assert one is not two
            assert one.manifest is two.manifest


async def test_for_ever_each_gets_what_is_there_by_then(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(b"one")
    options = SendOptions(paths=(path,), forever=True)
    async with source_for_each(options, emit=ignore) as open_source:
        await asyncio.to_thread(path.write_bytes, b"another")
        async with open_source(ignore) as source:
            assert source.manifest.bytes == 7
        await asyncio.to_thread(path.unlink)
        with pytest.raises(CannotRead):
            async with open_source(ignore):
                pass


async def test_a_text_is_there_for_each(tmp_path: Path) -> None:
    options = SendOptions(paths=(), text="the key", receivers=2)
    async with source_for_each(options, emit=ignore) as open_source:
        async with open_source(ignore) as one, open_source(ignore) as two:
            assert one is not two
            assert one.manifest.digest == two.manifest.digest


async def test_a_pipe_is_there_for_one(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    options = SendOptions(paths=(tmp_path / "pipe",), receivers=2)
    with pytest.raises(UsageError, match="goes to one receiver alone"):
        async with source_for_each(options, emit=ignore):
            pass


def ignore(_event: Event) -> None:
    pass
