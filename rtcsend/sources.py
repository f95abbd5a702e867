"""What is sent: one file by itself, a tree, a stream or a text, whichever the options say.

Place in the flow: the first thing that :func:`rtcsend.sending.send` does.
"""

import asyncio
import os
import stat
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from typing import Final

from rtcsend.errors import UsageError
from rtcsend.files.source import FileSource
from rtcsend.files.stream_source import StreamSource
from rtcsend.files.text_source import DEFAULT_NAME, TextSource
from rtcsend.options import STDIN, Emit, SendOptions
from rtcsend.transfer.ports import Source

STDIN_NAME: Final = "stdin"  # of a stream, where nobody gives it another
_STDIN_FD: Final = 0  # POSIX <unistd.h>, STDIN_FILENO

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
        # Not for one receiver.
        from rtcsend.files.shared_source import SharedSource  # noqa: PLC0415
        from rtcsend.files.tree_source import TreeSource  # noqa: PLC0415

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
    # Looking through folders: most of what is sent is one file.
    from rtcsend.tree_sources import opened_tree  # noqa: PLC0415

    async with opened_tree(options, emit=emit) as tree_or_file:
        yield tree_or_file


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
