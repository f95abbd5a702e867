"""Where an arriving tree goes: the receiver's decision about a proposal of many files.

In the same order as for one file, :mod:`rtcsend.target`: the names, the script's own limits, what
is there already, the space, the questions. Nothing is made before all of them have passed.
"""

import asyncio
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from rtcsend.acceptance import check_limits, check_name
from rtcsend.errors import CannotWrite, Declined, TargetExists
from rtcsend.events import MAX_LISTED_ENTRIES, Entry, Proposal
from rtcsend.files.failures import cannot_write
from rtcsend.files.jobs import run_to_end
from rtcsend.files.paths import Oddity
from rtcsend.files.proposed_tree import Place, ProposedTree
from rtcsend.files.tree_plan import (
    Existing,
    Outlook,
    Stop,
    free_for_tree,
    look_at_tree,
    look_for_existing,
)
from rtcsend.files.tree_sink import TreeSink
from rtcsend.files.tree_target import TreeTarget
from rtcsend.manifest.selection import Selection
from rtcsend.options import STDOUT, Conflict, Emit, Questions, ReceiveOptions
from rtcsend.transfer.ports import Offer

T = TypeVar("T")

_WORDS = {
    Oddity.CHANGED: "renamed",
    Oddity.CLASH: "renamed",
    Oddity.HIDDEN: "hidden",
    Oddity.DASH: "dash",
}
_EXECUTABLE = 0o111


class TreeDecision:
    """Decides once.

    Args:
        options: What the user asked for.
        questions: Whoever answers for the user.
        emit: Takes the proposal.
    """

    def __init__(self, options: ReceiveOptions, *, questions: Questions, emit: Emit) -> None:
        self._options = options
        self._questions = questions
        self._emit = emit

    async def decide(self, offer: Offer) -> TreeSink | None:
        """Return where the tree goes; None when all of it is there already and to be skipped.

        Raises:
            UnsafePath: A proposed path cannot be made safe.
            Declined: By the user, or by --max-size, --max-files or --accept-glob.
            CannotWrite: There is no space for it, no permission, or a file where a folder goes.
            TargetExists: It is there already, and nobody says what to do.
        """
        check_limits(self._options, files=offer.manifest.files, size=offer.manifest.bytes)
        folder = self._folder()
        accept = self._check_name if self._options.accept_glob else None
        outlook = await self._look(
            folder,
            lambda stop: look_at_tree(folder, offer.manifest, accept, is_stopped=stop),
        )
        # What takes no space takes a place in the file system all the same.
        places = offer.manifest.files + outlook.links + outlook.empty
        check_limits(self._options, files=places, size=0)
        folder, names = self._place(folder, outlook)
        existing = await self._look(
            folder, lambda stop: look_for_existing(folder, outlook, names, is_stopped=stop)
        )
        proposal = _proposal(outlook, existing, sender=offer.sender)
        self._emit(proposal)
        await self._check_space(folder, outlook)
        if not await self._questions.accept(proposal):
            raise Declined("The files were declined.", hint="Nothing was saved.")
        conflict = await self._resolve(existing)
        skipped = existing.ranges() if conflict is Conflict.SKIP else ()
        if conflict is Conflict.SKIP and not existing.missing:
            return None
        target = TreeTarget(
            folder=folder,
            tree=outlook.tree,
            selection=Selection(offer.manifest, skipped),
            names=names,
            conflict=conflict,
            preserve=self._options.preserve,
            on_digest=self._options.on_digest,
        )
        return await TreeSink.create(target)

    async def _look(self, folder: Path, look: Callable[[Stop], T]) -> T:
        """Return what a walk in a thread finds; it is stopped when nobody waits any more."""
        stopped = threading.Event()
        task = asyncio.create_task(run_to_end(asyncio.to_thread(look, stopped.is_set)))
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            stopped.set()
            await asyncio.gather(task, return_exceptions=True)
            raise
        except (OSError, ValueError) as exc:
            raise cannot_write(exc, name="What is proposed", folder=folder) from exc

    def _folder(self) -> Path:
        """Return the folder that is looked at first, as --output says."""
        output = self._options.output
        if output == STDOUT:
            raise CannotWrite(
                "Several files cannot be written to standard output.",
                for_peer="The receiver takes a single file only.",
                hint="Give a folder with --output.",
            )
        if output is None:
            return Path()
        return output if _is_folder(output) else output.parent

    def _place(self, folder: Path, outlook: Outlook) -> tuple[Path, dict[str, str]]:
        """Return the folder, and the final name of what has another one by --output."""
        output = self._options.output
        if output is None or folder == output:
            return folder, {}
        if len(outlook.tops) == 1:
            return folder, {outlook.tops[0]: output.name}
        raise CannotWrite(
            f"The folder {output} does not exist, and {len(outlook.tops)} things are proposed.",
            for_peer="The receiver has no folder for that many things.",
            hint="Make the folder, or give another --output.",
        )

    def _check_name(self, place: Place) -> None:
        if place.entry.kind != "directory":
            check_name(self._options, place.path, place.components[-1])

    async def _check_space(self, folder: Path, outlook: Outlook) -> None:
        size = outlook.tree.manifest.bytes - outlook.tree.manifest.holes
        free = await run_to_end(asyncio.to_thread(free_for_tree, folder, outlook))
        if free is not None and free < size:
            raise CannotWrite(
                f"No space left: what is proposed takes {size} bytes, and {free} are free.",
                for_peer="The receiver has no space left for it.",
            )

    async def _resolve(self, existing: Existing) -> Conflict:
        """Return what to do about what is there; ASK when nothing is."""
        conflict = self._options.conflict
        if not existing.tops:
            return Conflict.ASK if conflict in {Conflict.ASK, Conflict.SKIP} else conflict
        if conflict is Conflict.ASK:
            conflict = await self._questions.conflict(_several(existing.tops))
        if conflict is Conflict.ASK:
            raise TargetExists(f"{_several(existing.tops)} already exists.")
        if conflict is Conflict.OVERWRITE and existing.blocked:
            raise CannotWrite(
                f"{existing.blocked} is a folder here and a file there, or the other way round.",
                for_peer="The receiver has a file in the place of a folder.",
                hint="Move it away, or run it again with --rename or --skip.",
            )
        return conflict


def _proposal(outlook: Outlook, existing: Existing, *, sender: str) -> Proposal:
    manifest = outlook.tree.manifest
    return Proposal(
        files=manifest.files,
        bytes=manifest.bytes,
        entries=tuple(_entry(outlook.tree, place) for place in outlook.shown),
        sender=sender,
        tops=tuple(outlook.tops[:MAX_LISTED_ENTRIES]),
        directories=outlook.directories,
        links=outlook.links,
        executables=outlook.executables,
        renamed=outlook.renamed,
        existing=existing.files,
        existing_paths=tuple(existing.shown),
    )


def _entry(tree: ProposedTree, place: Place) -> Entry:
    entry = place.entry
    odd = sorted({_WORDS[oddity] for oddity in place.odd})
    if entry.kind == "link":
        odd += ["to", tree.target_of(place)]
    elif entry.kind == "file" and entry.mode is not None and entry.mode & _EXECUTABLE:
        odd.append("executable")
    return Entry(path=place.path, kind=entry.kind, bytes=entry.size, odd=tuple(odd))


def _several(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{names[0]} (and {len(names) - 1} more)"


def _is_folder(path: Path) -> bool:
    return os.path.isdir(path)  # noqa: PTH112 - Path.is_dir raises behind a closed folder
