"""Which files of a tree arrived damaged: what is said of them, and what is taken away [shell].

The digest of a tree says that something is wrong, the sums beside it what that is; see
:mod:`rtcsend.manifest.sums`. What is not damaged is worth keeping: the next run compares its
blocks with the sender's, as those of any tree that was interrupted, and sends the rest.

Plain blocking calls.
"""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from rtcsend.errors import DigestMismatch, UnsafePath
from rtcsend.files.folder import Folder
from rtcsend.files.open_folders import OpenFolders
from rtcsend.files.proposed_tree import PlacedSiblings
from rtcsend.files.tree_digest import TreeDigest
from rtcsend.files.tree_target import TreeTarget
from rtcsend.manifest.entry import path_bytes
from rtcsend.manifest.sums import FileSums

_SHOWN: Final = 200  # characters of a path in a sentence
_HINT: Final = (
    "Run both commands again: what arrived whole need not travel again; "
    "check memory and disks if it comes back."
)

logger = logging.getLogger("rtcsend.files")


@dataclass(frozen=True, slots=True, kw_only=True)
class Damage:
    """What is wrong with a tree whose digest is wrong.

    Attributes:
        files: Numbers in the stream of those that may be damaged; none: nobody knows.
        is_certain: Whether all of these are.
        theirs: The path of the first of them at the sender.
        here: Its path here, in the staging folder.
        spared: Bytes of the files that arrived whole.
    """

    files: Sequence[int] = ()
    is_certain: bool = False
    theirs: str = ""
    here: str = ""
    spared: int = 0

    def error(self) -> DigestMismatch:
        """Return how the transfer ends."""
        if not self.files:
            return DigestMismatch("What arrived is damaged: the digest of the list is wrong.")
        message, for_peer = self._sentence(self.here), self._sentence(self.theirs)
        hint = _HINT if self.spared else None
        return DigestMismatch(message, hint=hint, for_peer=for_peer)

    def _sentence(self, path: str) -> str:
        name, others = _shown(path), len(self.files) - 1
        if not others:
            return f"{name} arrived damaged: its BLAKE3 digest is wrong."
        plural = "other files" if others > 1 else "other file"
        which = f"{name} and {others} {plural}"
        if not self.is_certain:
            which = f"Some of {which}"
        return f"{which} arrived damaged: their BLAKE3 digests are wrong."


def find_damage(target: TreeTarget, digest: TreeDigest, sums: FileSums | None) -> Damage:
    """Return what is damaged, as far as the sums tell.

    Args:
        target: What arrived.
        digest: Of all of it.
        sums: The sender's; None: it says none.
    """
    found = None if sums is None else digest.differing(sums)
    if found is None or not found.files:
        return Damage()
    placed, at = next(_places(target, found.files))
    lost = sum(placed.group.sizes[at] for placed, at in _places(target, found.files))
    return Damage(
        files=found.files,
        is_certain=found.is_certain,
        theirs=placed.group.prefix + placed.group.names[at],
        here=placed.prefix + placed.names[at],
        spared=target.selection.layout.size - lost,
    )


def remove_damaged(staging: Folder, target: TreeTarget, damage: Damage) -> None:
    """Remove the files that may be damaged. What cannot be removed stays, and is compared."""
    folders = OpenFolders(staging, create=False)
    try:
        for placed, at in _places(target, damage.files):
            folders.enter(placed.folder).unlink(placed.names[at])
    except (OSError, UnsafePath) as exc:
        logger.warning("! a damaged file could not be removed: %s", exc)
    finally:
        folders.close()


def _places(target: TreeTarget, files: Sequence[int]) -> Iterator[tuple[PlacedSiblings, int]]:
    """Yield the siblings of each of some files, and which of them it is."""
    coming = iter(files)
    wanted, end = next(coming, None), 0
    for placed in target.siblings():
        if wanted is None:
            return
        if placed.group.kind != "file":
            continue
        first, end = end, end + len(placed.names)
        while wanted is not None and wanted < end:
            yield placed, wanted - first
            wanted = next(coming, None)


def _shown(path: str) -> str:
    """Return a path for a sentence: of any length, and with valid Unicode in it."""
    text = path_bytes(path).decode("utf-8", "replace")
    return text if len(text) <= _SHOWN else f"…{text[1 - _SHOWN :]}"
