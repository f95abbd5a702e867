"""What the paths of the command line come to: see rtcsend/sources.py."""

import asyncio
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

from rtcsend.events import Event, LeftOut
from rtcsend.files.source import FileSource
from rtcsend.files.tree_source import TreeSource
from rtcsend.options import SendOptions
from rtcsend.sources import opened_source


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
