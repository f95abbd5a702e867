"""What is sent: one file by itself, a tree, a stream or a text, whichever the options say.

Place in the flow: the first thing that :func:`rtcsend.session.send` does.
"""

import asyncio
import os
import stat
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from typing import Final

from rtcsend.errors import UsageError
from rtcsend.events import LeftOut, Scanning
from rtcsend.files.scan import Scan, ScanRules, name_of
from rtcsend.files.shared_source import SharedSource
from rtcsend.files.source import FileSource
from rtcsend.files.stream_source import StreamSource
from rtcsend.files.text_source import DEFAULT_NAME, TextSource
from rtcsend.files.tree_source import TreeSource
from rtcsend.options import STDIN, Emit, SendOptions
from rtcsend.transfer.ports import Source

SCANNING_INTERVAL: Final = 0.1  # seconds between two events
STDIN_NAME: Final = "stdin"  # of a stream, where nobody gives it another
_STDIN_FD: Final = 0  # POSIX <unistd.h>, STDIN_FILENO
QUIET_TIME: Final = 0.5  # seconds of a scan of which nobody needs to hear

Opener = Callable[[Emit], AbstractAsyncContextManager[Source]]
"""Opens what one receiver gets; told where the events about that receiver go."""


@asynccontextmanager
async def source_for_each(options: SendOptions, *, emit: Emit) -> AsyncIterator[Opener]:
    """Within it, each receiver can have a source.

    All share one, which is read once. For ever it is opened anew for each who comes: he gets what
    is there by then.

    Args:
        options: What the user asked for.
        emit: Told how a long scan goes, and what is left out.

    Raises:
        CannotRead: Something is missing, unreadable, or of a kind that cannot be sent.
        UsageError: Two of the paths have the same name, a pattern means nothing, or a stream is
            for several receivers.
    """
    async with opened_source(options, emit=emit) as source:
        if not options.is_for_several:
            yield lambda _emit: nullcontext(source)
            return
        if isinstance(source, StreamSource):
            raise UsageError(
                "A stream is there once, and goes to one receiver alone.",
                hint="Write it to a file, and send that.",
            )
        if isinstance(source, FileSource | TreeSource) and not options.forever:
            async with SharedSource(source) as shared:
                yield lambda _emit: nullcontext(shared.view())
            return
    yield lambda emit: opened_source(options, emit=emit)


@asynccontextmanager
async def opened_source(options: SendOptions, *, emit: Emit) -> AsyncIterator[Source]:
    """Within it, what is to be sent is open.

    Args:
        options: What the user asked for.
        emit: Told how a long scan goes, and what is left out.

    Raises:
        CannotRead: Something is missing, unreadable, or of a kind that cannot be sent.
        UsageError: Two of the paths have the same name, or a pattern means nothing.
    """
    paths = options.paths
    if options.text is not None:
        yield TextSource(options.text, name=options.name or DEFAULT_NAME)
        return
    if len(paths) == 1 and (stream := await asyncio.to_thread(maybe_stream, options)):
        async with stream:
            yield stream
        return
    if len(paths) == 1 and not await asyncio.to_thread(os.path.isdir, paths[0]):
        async with await FileSource.open(paths[0]) as file:
            yield file
        return
    rules = ScanRules(
        links=options.links,
        exclude=options.exclude,
        gitignore=options.gitignore,
        skip_unreadable=options.skip_unreadable,
    )
    async with await TreeSource.open(
        paths, rules, on_entry=_teller(emit), on_digest=options.on_digest
    ) as tree:
        _tell_what_is_left_out(tree.scan, emit)
        if tree.manifest.is_one_file:
            # The receiver takes it for what it is: with the digest and the sample of a file.
            (entry,) = tree.manifest.entries()
            (path,) = (path for path in paths if name_of(path) == entry.path)
            async with await FileSource.open(path) as file:
                yield file
            return
        yield tree


def maybe_stream(options: SendOptions) -> StreamSource | None:
    """Return the stream that the one path stands for: standard input, or a named pipe.

    Returns:
        None: It is something else, or not there.
    """
    (path,) = options.paths
    if path == STDIN:
        return StreamSource(options.name or STDIN_NAME, lambda: _STDIN_FD, shown="Standard input")
    try:
        is_pipe = stat.S_ISFIFO(path.stat().st_mode)
    except (OSError, ValueError):
        return None
    if not is_pipe:
        return None
    # What a shell makes of <(...) has a number for a name.
    name = options.name or (STDIN_NAME if path.name.isdigit() else path.name)
    return StreamSource(name, lambda: os.open(path, os.O_RDONLY), shown=str(path), owns=True)


def _teller(emit: Emit) -> Callable[[int, int], None]:
    """Return what tells of a scan, from its thread, now and then."""
    loop = asyncio.get_running_loop()
    due = time.monotonic() + QUIET_TIME

    def tell(entries: int, size: int) -> None:
        nonlocal due
        now = time.monotonic()
        if now >= due:
            due = now + SCANNING_INTERVAL
            loop.call_soon_threadsafe(emit, Scanning(entries=entries, bytes=size))

    return tell


def _tell_what_is_left_out(scan: Scan, emit: Emit) -> None:
    for left in scan.left_out:
        emit(LeftOut(path=left.path, reason=left.reason))
    more = scan.left_out_count - len(scan.left_out)
    if more:
        emit(LeftOut(path="", reason="", more=more))
