"""What is sent when it is not one file by its path: folders, or several things.

Place in the flow: loaded by :mod:`rtcsend.sources` where it is needed.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Final

from rtcsend.events import LeftOut, Scanning
from rtcsend.files.scan import Scan, ScanRules, name_of
from rtcsend.files.source import FileSource
from rtcsend.files.tree_source import TreeSource
from rtcsend.options import Emit, SendOptions
from rtcsend.transfer.ports import Source

SCANNING_INTERVAL: Final = 0.1  # seconds between two events
QUIET_TIME: Final = 0.5  # seconds of a scan of which nobody needs to hear


@asynccontextmanager
async def opened_tree(options: SendOptions, *, emit: Emit) -> AsyncIterator[Source]:
    """Within it, what is to be sent is open: the tree, or the one file that it comes to.

    Args:
        options: What the user asked for.
        emit: Told how a long scan goes, and what is left out.

    Raises:
        CannotRead: Something is missing, unreadable, or of a kind that cannot be sent.
        UsageError: Two of the paths have the same name, or a pattern means nothing.
    """
    paths = options.paths
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
