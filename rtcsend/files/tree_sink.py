"""Writing many files safely: a staging folder, verified, synced, and only then renamed [shell].

The promise is that of :mod:`rtcsend.files.sink`: whoever looks under a final name finds nothing,
what was there before, or what arrived, whole and verified. What was there when a transfer ended
otherwise is kept, and the next one goes on with it.

::

    write ──▶ Writer ──▶ TreeWriter ──▶ staging folder ◀── TreeSurvey ──▶ digests of blocks
                                              └──▶ TreePublisher ──▶ final names

Place in the flow: the receiving session writes the payload of data frames here, and
acknowledges :attr:`TreeSink.stored`. One file alone has :mod:`rtcsend.files.sink`.
"""

import asyncio
import logging
import os
from array import array
from bisect import bisect_left
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from rtcsend.blocks import BLOCK_SIZE, Data
from rtcsend.errors import DigestMismatch, InternalError, PeerProtocolError
from rtcsend.files.disk_thread import DiskThread
from rtcsend.files.failures import cannot_write
from rtcsend.files.file_system import CAN_SYNC
from rtcsend.files.folder import Folder
from rtcsend.files.jobs import run_to_end
from rtcsend.files.permissions import Permissions
from rtcsend.files.proposed_tree import Place, PlacedSiblings, ProposedTree
from rtcsend.files.staging import Staging, claim_staging, purge
from rtcsend.files.tree_journal import TreeJournal
from rtcsend.files.tree_publisher import TreePublisher
from rtcsend.files.tree_survey import TreeSurvey
from rtcsend.files.tree_writer import TreeWriter
from rtcsend.files.writer import Writer
from rtcsend.manifest.selection import Selection
from rtcsend.options import Conflict

SYNC_EACH = 32  # entries; few fsyncs do not wait for what other programs have written
_KEEP_AT_ONCE = 64 << 20  # bytes read again in one job; a cancellation waits for it

logger = logging.getLogger("rtcsend.files")


@dataclass(frozen=True, slots=True, kw_only=True)
class TreeTarget:
    """Where a tree goes.

    Attributes:
        folder: An existing folder.
        tree: What was proposed, checked.
        selection: What of it is wanted; something.
        names: The final names of what is at the top, by its safe name; others keep that.
        conflict: What to do when a name is taken. With ASK nothing is replaced.
        preserve: Whether permissions are to be those of the sender, whatever the umask says.
        on_digest: Told the digest and the sender's path of each file, in a thread.
    """

    folder: Path
    tree: ProposedTree
    selection: Selection
    names: dict[str, str]
    conflict: Conflict
    preserve: bool = False
    on_digest: Callable[[str, str], None] | None = None

    def siblings(self) -> Iterator[PlacedSiblings]:
        """Yield what is wanted, in the order of the manifest, some at a time."""
        return self.tree.siblings(self.selection)

    def places(self) -> Iterator[Place]:
        """Yield what is wanted, one by one."""
        return self.tree.places(self.selection)

    def tops(self) -> Iterator[tuple[str, str]]:
        """Yield the safe and the final names of what is at the top."""
        seen = ""
        for placed in self.siblings():
            for name in placed.folder[:1] or placed.names:
                if name != seen:
                    seen = name
                    yield name, self.names.get(name, name)


class TreeSink:
    """An arriving tree. Made by :meth:`create`; ended by :meth:`finish` or :meth:`abandon`.

    One call at a time, but for :meth:`survey`. A call that is cancelled leaves it usable, and
    what :meth:`write` was given is taken. After an error only :meth:`abandon` makes sense.
    """

    is_held = False
    """Nobody takes anything from a disk."""

    def __init__(
        self,
        target: TreeTarget,
        parent: Folder,
        staging: Staging,
        tops: Sequence[tuple[str, str]],
    ) -> None:
        self.selection = target.selection
        self.name = tops[0][1]
        """Of the first thing at the top."""
        self._target = target
        self._tops = tops
        self._parent = parent
        self._staging = staging
        permissions = Permissions(mask=staging.mask, preserve=target.preserve)
        layout = target.selection.layout
        sync_each = not CAN_SYNC or target.selection.entries <= SYNC_EACH
        self._size = layout.size
        self._tree = TreeWriter(
            staging.folder,
            target.siblings(),
            permissions=permissions,
            is_fresh=staging.is_fresh,
            sync_each=sync_each,
            on_digest=target.on_digest,
        )
        self._publisher = TreePublisher(
            staging.folder,
            parent,
            partial(target.tree.places, target.selection, files=False),
            target_of=target.tree.target_of,
            permissions=permissions,
            sync_each=sync_each,
        )
        self._survey = TreeSurvey(staging.folder, target.places(), layout)
        self._thread = DiskThread("rtcsend-sink")
        self._writer = Writer(self._tree.write, thread=self._thread)
        self._open = True
        self._usable = True  # until the end has begun
        self._ending = asyncio.Lock()

    @classmethod
    async def create(cls, target: TreeTarget) -> "TreeSink":
        """Open the folder, and in it what an earlier run has left, or a new staging folder.

        Raises:
            CannotWrite: The folder is missing or cannot be written.
        """

        async def opened_sink() -> "TreeSink":
            try:
                parent, staging, tops = await asyncio.to_thread(_prepare, target)
            except (OSError, ValueError) as exc:  # ValueError: a folder with NUL in its path
                raise cannot_write(exc, name="What arrives", folder=target.folder) from exc
            return cls(target, parent, staging, tops)

        return await run_to_end(opened_sink(), discard=lambda sink: sink.abandon(keep_partial=True))

    @property
    def written(self) -> int:
        """Position before which everything is in place: kept, or with the operating system."""
        return self._writer.written

    @property
    def stored(self) -> int:
        """Bytes that came by :meth:`write` and are with the operating system."""
        return self._writer.stored

    @property
    def blocks(self) -> int:
        """End of the blocks of which an earlier run may have left any."""
        return 0 if self._staging.is_fresh else self.selection.layout.blocks

    def survey(self, first: int) -> AsyncGenerator[tuple[int, bytes], None]:
        """Yield (block, digests) of those blocks from ``first`` on."""
        return self._survey.pages(first)

    async def write(self, data: Data) -> None:
        """Append; taken at once, written behind.

        Raises:
            PeerProtocolError: It would be more than was proposed.
            CannotWrite: The disk is full, or fails.
            InternalError: The sink has ended.
        """
        self._check_open()
        length = data.nbytes if isinstance(data, memoryview) else len(data)
        if self._writer.taken + length > self._size:
            raise PeerProtocolError("The sender sent more than it proposed.")
        with self._saying():
            await self._writer.write(data)

    async def keep(self, position: int) -> None:
        """Take everything up to ``position`` for right as it is; what was taken is stored first.

        Args:
            position: The end of a block that was given out by :meth:`survey`.

        Raises:
            CannotWrite: The disk is full, or fails.
            InternalError: The sink has ended, or the position lies behind.
        """
        await self.flush()
        if not self.written <= position <= self._size:
            raise InternalError("What is not there was to be kept.")
        with self._saying():
            while self.written < position:
                step = min(position, self.written + _KEEP_AT_ONCE)
                await run_to_end(self._keep(step))

    async def _keep(self, position: int) -> None:
        length = position - self.written
        await self._thread.submit(partial(self._tree.keep, length, self._survey.digest_of))
        self._writer.move(position)

    async def flush(self) -> None:
        """Return when everything that was taken is with the operating system.

        Raises:
            CannotWrite: The disk is full, or fails.
            InternalError: The sink has ended.
        """
        self._check_open()
        with self._saying():
            await self._writer.flush()

    async def watch(self) -> None:
        """Return: nothing is known before it is tried."""

    async def finish(self, expected_digest: str) -> Sequence[Path]:
        """Verify, sync and rename. When cancelled after it is verified, it is carried out.

        Args:
            expected_digest: From the sender.

        Returns:
            The paths of what is at the top.

        Raises:
            PeerProtocolError: Less arrived than was proposed.
            DigestMismatch: The bytes are not the sender's; see :meth:`abandon`.
            TargetExists: A name was taken meanwhile; the staging folder is still there.
            CannotWrite: The disk is full or fails.
            InternalError: The sink has ended.
        """
        await self.flush()
        if self.written != self._size:
            raise PeerProtocolError("The sender sent less than it proposed.")
        with self._saying():
            await run_to_end(_awaited(self._thread.submit(self._tree.complete)))
        if self._tree.digest.hexdigest() != expected_digest:
            await self.abandon(keep_partial=False)
            raise DigestMismatch("What arrived is damaged: the digest of the list is wrong.")
        self._usable = False
        return await run_to_end(self._finish())

    async def _finish(self) -> Sequence[Path]:
        async with self._ending:
            with self._saying():
                names = await asyncio.to_thread(self._publish)
            self._open = False
            await self._release()
        return [self._parent.path / name for name in names]

    def _publish(self) -> list[str]:
        self._survey.close()
        self._tree.close()
        self._publisher.dress()
        names = self._publisher.publish(self._tops, self._target.conflict)
        self._remove_staging()
        return names

    async def abandon(self, *, keep_partial: bool) -> None:
        """Close everything; the staging folder goes, or stays when there is something in it.

        Args:
            keep_partial: False: what came in this run is worth nothing. What an earlier run had
                left stays: no block is ever trusted before it was compared with the sender's.

        After :meth:`finish` has succeeded, or again: does nothing.
        """
        await run_to_end(self._abandon(keep_partial=keep_partial))

    async def _abandon(self, *, keep_partial: bool) -> None:
        async with self._ending:
            if not self._open:
                return
            self._open = False
            if keep_partial:
                with suppress(OSError):  # known already, or not worth more than a try
                    await self._writer.flush()
            await self._writer.settle()
            keep = not self._staging.is_fresh or (keep_partial and self.stored > 0)
            await asyncio.to_thread(self._put_away, keep=keep)
            await self._release()

    def _put_away(self, *, keep: bool) -> None:
        self._survey.close()
        self._tree.close()
        if not keep:
            self._remove_staging()

    def _remove_staging(self) -> None:
        try:
            self._staging.remove()
        except OSError as exc:
            logger.warning("! a staging folder could not be removed: %s", exc.strerror)

    async def _release(self) -> None:
        await self._thread.aclose()
        self._staging.close()
        self._parent.close()

    def _check_open(self) -> None:
        if not (self._open and self._usable):
            raise InternalError("A sink was used after it had ended.")

    @contextmanager
    def _saying(self) -> Iterator[None]:
        """Put into words what the disk says.

        Raises:
            CannotWrite: For each OSError.
        """
        try:
            yield
        except OSError as exc:
            raise cannot_write(exc, name=self.name, folder=self._parent.path) from exc


async def _awaited(done: "asyncio.Future[None]") -> None:
    await done


def _prepare(target: TreeTarget) -> tuple[Folder, Staging, Sequence[tuple[str, str]]]:
    """Open the folder, and in it a staging folder, with nothing in it but what belongs there."""
    parent = Folder(target.folder)
    try:
        tops = list(target.tops())
        name = tops[0][0]
        journal = TreeJournal(
            manifest=target.selection.manifest.digest,
            name=name,
            tops=len(tops),
            files=target.selection.layout.files,
            bytes=target.selection.layout.size,
            time=int(datetime.now(UTC).timestamp()),
        )
        staging = claim_staging(parent, name, journal)
        if not staging.is_fresh:
            keys = partial(_key, is_same=staging.is_same)
            wanted = array("q", sorted(map(keys, target.places())))  # 8 bytes an entry
            purge(staging.folder, partial(_is_among, wanted))
    except BaseException:
        parent.close()
        raise
    return parent, staging, tops


def _is_among(wanted: "array[int]", path: str, facts: os.stat_result) -> bool:
    for key in (hash(path), hash((path, facts.st_size, facts.st_mtime_ns))):
        at = bisect_left(wanted, key)
        if at < len(wanted) and wanted[at] == key:
            return True
    return False


def _key(place: Place, *, is_same: bool) -> int:
    """Return what tells something in the staging folder from all else, in little memory.

    What is left of another manifest may be somebody else's, and whoever is told the digest of a
    small file can try what it is. So such a file counts only for a sender who knows its size and
    time as well, to the nanosecond. It is dated when it is whole.
    """
    path, entry = place.path, place.entry
    if entry.kind == "directory":
        return hash(f"{path}/")
    if entry.kind != "file":
        return 0
    if is_same or entry.size >= BLOCK_SIZE:
        return hash(path)
    return hash((path, entry.size, entry.mtime_ns))
