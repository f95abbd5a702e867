"""The last steps of a tree: links, permissions and times, sync, and the final names [shell].

Everything is in the staging folder, verified. Links come last, when nothing is written any
more; then the folders get their times; then the disk is asked; and then each thing at the top is
moved into place by one rename, or, into a folder that is there already and to be added to, file
by file, each by one rename.

Plain blocking calls.
"""

import errno
import logging
import os
from array import array
from collections.abc import Callable, Iterable, Iterator
from typing import Final

from rtcsend.files.file_system import sync_file_system
from rtcsend.files.folder import Folder
from rtcsend.files.folder_trees import (
    facts_of,
    make_link,
    move_new,
    set_folder_mode,
    set_folder_times,
    set_link_times,
)
from rtcsend.files.open_folders import OpenFolders
from rtcsend.files.partial import MAX_NUMBER, already_there
from rtcsend.files.paths import numbered_name
from rtcsend.files.permissions import Permissions, while_open
from rtcsend.files.proposed_tree import Place
from rtcsend.options import Conflict

_NAMES_AT_ONCE: Final = 1 << 21  # of one folder; more than a manifest has

logger = logging.getLogger("rtcsend.files")


class TreePublisher:
    """Publishes the tree in a staging folder.

    Args:
        staging: Where it is.
        parent: Where it goes.
        specials: Yields the folders and links in it, in the order of the manifest; called
            several times.
        target_of: Returns where a link may point.
        permissions: What folders are to have.
        sync_each: Whether each folder is synced by itself, as the files were: they are few, or
            there is no way to sync all at once.
    """

    def __init__(
        self,
        staging: Folder,
        parent: Folder,
        specials: Callable[[], Iterable[Place]],
        *,
        target_of: Callable[[Place], str],
        permissions: Permissions,
        sync_each: bool,
    ) -> None:
        self._staging = staging
        self._parent = parent
        self._specials = specials
        self._target_of = target_of
        self._permissions = permissions
        self._sync_each = sync_each
        # Folders that would be closed to ourselves: numbers in the walk, and inodes.
        self._closed = array("Q")
        self._inodes = array("Q")

    def dress(self) -> None:
        """Make the links, and give the folders their permissions and times.

        Raises:
            OSError: The disk is full, or fails.
        """
        folders = OpenFolders(self._staging, create=False)
        try:
            for place in self._specials():
                if place.entry.kind == "link":
                    self._link(folders, place)
            for number, place in enumerate(self._specials()):
                if place.entry.kind == "directory":
                    self._dress_folder(folders.enter(place.components), number, place)
        finally:
            folders.close()

    def publish(self, tops: Iterable[tuple[str, str]], conflict: Conflict) -> list[str]:
        """Sync, and give everything its final name; return those at the top.

        Args:
            tops: For each thing at the top, its name in the staging folder, and the final one.
            conflict: What to do when a name is taken: OVERWRITE adds to folders that are there
                and replaces files; SKIP only adds; RENAME finds another name; with ASK it is an
                error.

        Raises:
            TargetExists: A name is taken.
            OSError: The disk fails, or a folder and a file have one name.
        """
        self._sync(self._staging)
        names = {name: self._move_top(name, final, conflict) for name, final in tops}
        self._close_folders(names)
        self._sync(self._parent)
        self._parent.sync()
        return list(names.values())

    def _link(self, folders: OpenFolders, place: Place) -> None:
        folder = folders.enter(place.components[:-1])
        name = place.components[-1]
        if not make_link(folder, name, self._target_of(place)):
            logger.warning("! no link can be made here: %s", place.path)
        elif place.entry.mtime_ns is not None:
            set_link_times(folder, name, place.entry.mtime_ns)

    def _dress_folder(self, folder: Folder, number: int, place: Place) -> None:
        mode = self._permissions.of_folder(place.entry.mode)
        if while_open(mode) != mode:
            self._closed.append(number)
            self._inodes.append(facts_of(folder).st_ino)
        set_folder_mode(folder, while_open(mode))
        if place.entry.mtime_ns is not None:
            set_folder_times(folder, place.entry.mtime_ns)
        if self._sync_each:
            folder.sync()

    def _move_top(self, name: str, final: str, conflict: Conflict) -> str:
        if conflict in {Conflict.OVERWRITE, Conflict.SKIP}:
            self._merge(self._staging, name, self._parent, final, replace=_replaces(conflict))
            return final
        for candidate in _candidates(final, conflict):
            if move_new(self._staging, name, self._parent, candidate):
                return candidate
        raise already_there(self._parent, final)

    def _merge(self, source: Folder, name: str, to: Folder, new: str, *, replace: bool) -> None:
        if move_new(source, name, to, new):
            return
        is_folder = source.is_folder(name)
        if is_folder != to.is_folder(new):
            number = errno.ENOTDIR if is_folder else errno.EISDIR
            raise OSError(number, os.strerror(number))
        if is_folder:
            with source.open_subfolder((name,)) as inner, to.open_subfolder((new,)) as there:
                for below in inner.names(limit=_NAMES_AT_ONCE):
                    self._merge(inner, below, there, below, replace=replace)
                if self._sync_each:
                    there.sync()
            source.remove_folder(name)
        elif replace:
            source.rename_over(name, new, to=to)

    def _close_folders(self, tops: dict[str, str]) -> None:
        """Take from ourselves what the permissions do not give, the innermost folders first."""
        if not self._closed:
            return
        wanted = set(self._closed)
        closed = [
            (number, place) for number, place in enumerate(self._specials()) if number in wanted
        ]
        inodes = dict(zip(self._closed, self._inodes, strict=True))
        folders = OpenFolders(self._parent, create=False)
        try:
            for number, (entry, components, _odd) in reversed(closed):
                folder = folders.enter((tops[components[0]], *components[1:]))
                if facts_of(folder).st_ino == inodes[number]:  # not one that was there before
                    set_folder_mode(folder, self._permissions.of_folder(entry.mode))
        finally:
            folders.close()

    def _sync(self, folder: Folder) -> None:
        if not self._sync_each and folder.dir_fd is not None:
            sync_file_system(folder.dir_fd)


def _replaces(conflict: Conflict) -> bool:
    return conflict is Conflict.OVERWRITE


def _candidates(final: str, conflict: Conflict) -> Iterator[str]:
    yield final
    if conflict is Conflict.RENAME:
        yield from (numbered_name(final, number) for number in range(1, MAX_NUMBER + 1))
