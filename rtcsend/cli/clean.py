"""``rtcsend clean``: what interrupted transfers have left in a folder, listed and removed.

::

    removed  film.iso    1.2/4.7 GB    3 days old
    in use   notes.tar   0.3/0.9 GB    1 minute old
    1.2 GB freed.

A leftover is a hidden file, or for many files a hidden folder, beside where the target would be,
by which the next run of the same transfer goes on. Nothing else is touched: the names are ours
alone, links are not followed, and what a running transfer holds stays. Place in the flow: beside
everything. Contract: docs/cli.md.
"""

import contextlib
import os
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar, Final, Literal

import typer

from rtcsend.cli import options as opt
from rtcsend.cli.figures import format_part, format_size
from rtcsend.cli.paths import path_for
from rtcsend.cli.results import write_all
from rtcsend.cli.terminal import escape
from rtcsend.errors import CannotWrite, UsageError
from rtcsend.events import Event

if TYPE_CHECKING:
    from rtcsend.files.folder import Folder
    from rtcsend.files.leftover_trees import LeftoverTree
    from rtcsend.files.leftovers import Leftover

    AnyLeftover = Leftover | LeftoverTree

_AGE = re.compile(r"([0-9]{1,6})\s*([smhdw])", re.ASCII)
_UNITS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}  # seconds
_NAMES: Final = (("day", 86400), ("hour", 3600), ("minute", 60), ("second", 1))  # seconds

Fate = Literal["removed", "would-remove", "in-use", "kept", "failed"]

FolderArgument = Annotated[
    Path,
    typer.Argument(
        metavar="FOLDER",
        parser=path_for("clean", hint="Write . for the folder that you are in."),
        help="Where to look; without it, here.",
    ),
]
OlderThan = Annotated[
    str | None,
    typer.Option("--older-than", metavar="AGE", help="Leave what is younger, like 7d, 12h or 30m."),
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would go, and remove nothing.")]


@dataclass(frozen=True, slots=True, kw_only=True)
class LeftoverFound(Event):
    """Something that an interrupted transfer has left."""

    name: ClassVar[str] = "leftover"
    path: str
    """Of the hidden file."""
    target: str
    """The name that the file would have had, as far as it is known."""
    bytes: int
    """That have arrived."""
    total: int | None
    """Of the whole file; null where nobody knows."""
    seconds: int
    """Since it was last written."""
    fate: Fate


@dataclass(frozen=True, slots=True, kw_only=True)
class Cleaned(Event):
    """The end of ``rtcsend clean``."""

    name: ClassVar[str] = "cleaned"
    files: int
    """Leftovers removed, or with ``--dry-run`` to be removed."""
    bytes: int
    """Of the disk that are free now, or would be."""


def clean(
    folder: FolderArgument = Path(),
    *,
    older_than: OlderThan = None,
    dry_run: DryRun = False,
    json: opt.Json = False,
) -> None:
    """Remove what interrupted transfers have left in a folder."""
    age = parse_age(older_than) if older_than is not None else 0
    found, cleaned = clean_folder(folder, older_than=age, dry_run=dry_run)
    if json:
        text = "".join(event.to_json() + "\n" for event in (*found, cleaned))
    else:
        text = _report(found, cleaned, folder=folder, dry_run=dry_run)
    with contextlib.suppress(OSError):  # nobody reads it
        write_all(sys.stdout.fileno(), os.fsencode(text))
    if any(event.fate == "failed" for event in found):
        raise CannotWrite(
            f"Not everything could be removed from {folder}.",
            hint="Check the permissions of the folder.",
        )


def clean_folder(
    folder: Path, *, older_than: int, dry_run: bool
) -> tuple[list[LeftoverFound], Cleaned]:
    """Look through a folder, and remove what may go.

    Args:
        folder: Not what is below it.
        older_than: Seconds since it was last written, at least.
        dry_run: Whether to remove nothing.

    Raises:
        CannotWrite: The folder cannot be read.
    """
    # Imported only now: the other commands do not wait for it.
    from rtcsend.files.folder import Folder  # noqa: PLC0415
    from rtcsend.files.leftover_trees import leftover_trees  # noqa: PLC0415
    from rtcsend.files.leftovers import leftovers  # noqa: PLC0415

    found: list[LeftoverFound] = []
    freed = 0
    now = datetime.now(UTC).timestamp()
    try:
        with Folder(folder) as opened:
            there: list[AnyLeftover] = [*leftovers(opened), *leftover_trees(opened)]
            for leftover in there:
                seconds = max(0, int(now - leftover.modified))
                fate = _decide(opened, leftover, keep=seconds < older_than, dry_run=dry_run)
                found.append(_event(folder, leftover, seconds=seconds, fate=fate))
                if fate in ("removed", "would-remove"):
                    freed += leftover.allocated
    except (OSError, ValueError) as exc:
        reason = (exc.strerror if isinstance(exc, OSError) else None) or str(exc)
        raise CannotWrite(
            f"The folder {folder} cannot be looked through: {reason}.",
            hint="Check the path and its permissions.",
        ) from exc
    gone = sum(event.fate in ("removed", "would-remove") for event in found)
    return found, Cleaned(files=gone, bytes=freed)


def parse_age(text: str) -> int:
    """Read an age in seconds: ``45s``, ``30m``, ``12h``, ``7d``, ``2w``.

    Raises:
        UsageError: It is none.
    """
    match = _AGE.fullmatch(text.strip())
    if match is None:
        raise UsageError(
            f"--older-than takes an age, and “{text[:32]}” is none.",
            hint="Write it like 7d, 12h or 30m.",
        )
    return int(match[1]) * _UNITS[match[2]]


def _decide(folder: "Folder", leftover: "AnyLeftover", *, keep: bool, dry_run: bool) -> Fate:
    from rtcsend.files.leftover_trees import LeftoverTree, remove_leftover_tree  # noqa: PLC0415
    from rtcsend.files.leftovers import remove_leftover  # noqa: PLC0415 - see above

    if keep:
        return "kept"
    try:
        if isinstance(leftover, LeftoverTree):
            is_gone = remove_leftover_tree(folder, leftover, dry_run=dry_run)
        else:
            is_gone = remove_leftover(folder, leftover, dry_run=dry_run)
        if not is_gone:
            return "in-use"
    except OSError:
        return "failed"
    return "would-remove" if dry_run else "removed"


def _event(folder: Path, leftover: "AnyLeftover", *, seconds: int, fate: Fate) -> LeftoverFound:
    total = _total(leftover)
    journal = leftover.journal
    return LeftoverFound(
        path=str(folder / leftover.name),
        target=journal.name if journal else leftover.name.removeprefix(".").rpartition(".")[0],
        bytes=leftover.length if total is None else min(leftover.length, total),
        total=total,
        seconds=seconds,
        fate=fate,
    )


def _total(leftover: "AnyLeftover") -> int | None:
    """Return the bytes of all that was to come, as far as it is known."""
    from rtcsend.files.leftover_trees import LeftoverTree  # noqa: PLC0415 - see above

    if isinstance(leftover, LeftoverTree):
        return leftover.journal.bytes
    return leftover.journal.size if leftover.journal else None


_WORDS: Final[dict[Fate, str]] = {
    "removed": "removed",
    "would-remove": "would go",
    "in-use": "in use",
    "kept": "kept",
    "failed": "cannot be removed",
}


def _report(found: list[LeftoverFound], cleaned: Cleaned, *, folder: Path, dry_run: bool) -> str:
    """Return the text for people."""
    if not found:
        where = "the current folder" if folder == Path() else escape(str(folder))
        return f"Interrupted transfers have left nothing in {where}.\n"
    end = "would be freed" if dry_run else "freed"
    return "\n".join((*_table(found), f"{format_size(cleaned.bytes)} {end}.", ""))


def _table(found: list[LeftoverFound]) -> Iterator[str]:
    rows = [
        (
            _WORDS[event.fate],
            escape(event.target),
            format_size(event.bytes)
            if event.total is None
            else format_part(event.bytes, event.total),
            _age(event.seconds),
        )
        for event in found
    ]
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        yield "  ".join(cells).rstrip()


def _age(seconds: int) -> str:
    for name, unit in _NAMES:
        if seconds >= unit:
            count = seconds // unit
            return f"{count} {name}{'' if count == 1 else 's'} old"
    return "just written"
