"""Writing many files safely: a staging folder, verified, synced, and only then renamed.

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
from collections.abc import AsyncGenerator, Sequence
from functools import partial
from pathlib import Path

from rtcsend.blocks import Data
from rtcsend.errors import InternalError
from rtcsend.files.arrival import Arrival, ArrivingSink, open_sink
from rtcsend.files.checks import check_room, check_whole
from rtcsend.files.failures import cannot_write
from rtcsend.files.file_system import CAN_SYNC
from rtcsend.files.folder import Folder
from rtcsend.files.permissions import Permissions
from rtcsend.files.staging import Staging
from rtcsend.files.tree_damage import Damage, find_damage, remove_damaged
from rtcsend.files.tree_publisher import TreePublisher
from rtcsend.files.tree_survey import TreeSurvey
from rtcsend.files.tree_target import TreeTarget, prepare_tree
from rtcsend.files.tree_writer import TreeWriter
from rtcsend.manifest.sums import FileSums

SYNC_EACH = 32  # entries; few fsyncs do not wait for what other programs have written
_KEEP_AT_ONCE = 64 << 20  # bytes read again in one job; a cancellation waits for it

logger = logging.getLogger("rtcsend.files")


class TreeSink(ArrivingSink):
    """An arriving tree. Made by :meth:`create`; ended by :meth:`finish` or :meth:`abandon`."""

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
        arrival = Arrival(
            self._tree.write,
            thread="rtcsend-sink",
            in_words=partial(cannot_write, name=self.name, folder=parent.path),
            close=self._close,
        )
        super().__init__(arrival)

    @classmethod
    async def create(cls, target: TreeTarget) -> "TreeSink":
        """Open the folder, and in it what an earlier run has left, or a new staging folder.

        Raises:
            CannotWrite: The folder is missing or cannot be written.
        """
        return await open_sink(
            partial(prepare_tree, target),
            lambda opened: cls(target, *opened),
            name="What arrives",
            folder=target.folder,
        )

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
        check_room(self._arrival.end_of(data), size=self._size)
        with self._arrival.in_words():
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
        while self.written < position:
            end = min(position, self.written + _KEEP_AT_ONCE)
            keep = partial(self._tree.keep, end - self.written, self._survey.digest_of)
            await self._arrival.run(keep, then=partial(self._writer.move, end))

    async def finish(self, expected_digest: str, sums: FileSums | None = None) -> Sequence[Path]:
        """Verify, sync and rename. When cancelled after it is verified, it is carried out.

        Args:
            expected_digest: From the sender.
            sums: Of its files, if it says them: they tell which of these are damaged.

        Returns:
            The paths of what is at the top.

        Raises:
            PeerProtocolError: Less arrived than was proposed.
            DigestMismatch: The bytes are not the sender's. A staging folder that this run made
                is removed, or loses what is damaged, if that is known and not all.
            TargetExists: A name was taken meanwhile; the staging folder is still there.
            CannotWrite: The disk is full or fails.
            InternalError: The sink has ended.
        """
        await self.flush()
        check_whole(self.written, size=self._size)
        await self._arrival.run(self._tree.complete)
        if self._tree.digest.hexdigest() != expected_digest:
            damage = await asyncio.to_thread(find_damage, self._target, self._tree.digest, sums)
            await self._arrival.abandon(partial(self._take_away, damage), flush=False)
            raise damage.error()
        names = await self._arrival.finish(self._publish)
        return [self._parent.path / name for name in names]

    def _publish(self) -> list[str]:
        self._close_files()
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
        put_away = partial(self._put_away, keep_partial=keep_partial)
        await self._arrival.abandon(put_away, flush=keep_partial)

    def _put_away(self, *, keep_partial: bool) -> None:
        self._close_files()
        if self._staging.is_fresh and not (keep_partial and self.stored > 0):
            self._remove_staging()

    def _take_away(self, damage: Damage) -> None:
        self._close_files()
        if self._staging.is_fresh and damage.spared:
            remove_damaged(self._staging.folder, self._target, damage)
        elif self._staging.is_fresh:
            self._remove_staging()

    def _close_files(self) -> None:
        self._survey.close()
        self._tree.close()

    def _remove_staging(self) -> None:
        try:
            self._staging.remove()
        except OSError as exc:
            logger.warning("! a staging folder could not be removed: %s", exc.strerror)

    def _close(self) -> None:
        self._staging.close()
        self._parent.close()
