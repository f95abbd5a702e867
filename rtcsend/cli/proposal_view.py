"""What is proposed, as people see it before they accept it.

::

    photos  1,234 files  4.4 GB  from ada-laptop
      photos/
        2024/
          beach.jpg  3.1 MB
          run.sh  2 kB  (program)
        latest -> 2024/beach.jpg
      … and 1,230 more
    Look twice: 1 program, 1 link, 3 names made safe.
      photos/old/setup.exe  20 kB  (name made safe)
    12 files here will be replaced: photos/2024/beach.jpg, photos/notes.md, …

Every text from outside is escaped here, and cut at the width of the terminal: one line is one
entry, whatever its name is. Place in the flow: :mod:`rtcsend.cli.questions` shows it.
"""

import shutil
from collections.abc import Iterator
from typing import Final

from rtcsend.cli.figures import format_size
from rtcsend.cli.terminal import escape
from rtcsend.events import Entry, Proposal
from rtcsend.options import Conflict

MAX_LINES: Final = 12  # of the tree; a person reads no more before deciding
_MAX_SENDER_LENGTH: Final = 64  # characters of a host name that anybody wants to read
_MIN_WIDTH: Final = 20  # cells
_MAX_DEPTH: Final = 5  # folders that indent; of deeper ones the last is named
_MAX_EXISTING: Final = 3  # paths that are named
_MAX_ODD: Final = 3  # entries that are to be looked at twice, and that the tree does not show
_FATES: Final = {
    Conflict.ASK: ("is here already", "are here already"),
    Conflict.OVERWRITE: ("here will be replaced",) * 2,
    Conflict.RENAME: ("here will stay",) * 2,
    Conflict.SKIP: ("here will be skipped",) * 2,
}
_ODD_WORDS: Final = {"renamed": "name made safe", "executable": "program"}
_TO: Final = "to"


def proposal_name(proposal: Proposal) -> str:
    """Return what to call the things proposed, harmless."""
    if is_text(proposal):
        return "a text message"
    if len(proposal.tops) == 1:
        return escape(proposal.tops[0])
    if proposal.files == 1 and len(proposal.entries) == 1:
        return escape(proposal.entries[0].path)
    return count(proposal.files, "file") if proposal.files else count(len(proposal.tops), "folder")


def describe(proposal: Proposal) -> str:
    """Return the line over ``Accept?``, harmless: ``film.iso  4.4 GB  from ada-laptop``."""
    size = "of unknown length" if proposal.bytes is None else format_size(proposal.bytes)
    parts = [proposal_name(proposal), size]
    if _is_tree(proposal) and len(proposal.tops) == 1:
        parts.insert(1, count(proposal.files, "file"))
    if proposal.sender:
        parts.append(f"from {escape(proposal.sender[:_MAX_SENDER_LENGTH])}")
    return "  ".join(parts)


def describe_fully(proposal: Proposal, *, conflict: Conflict = Conflict.ASK) -> str:
    """Return the same with a tree of the first entries, and all that is to be looked at twice.

    Args:
        proposal: What is offered.
        conflict: What becomes of files that are here already, if that was said.
    """
    width = shutil.get_terminal_size().columns
    lines = [describe(proposal)]
    if _is_tree(proposal):
        lines += _tree(proposal, width)
    return "\n".join((*lines, *_warnings(proposal, width), *_existing(proposal, conflict, width)))


def is_text(proposal: Proposal) -> bool:
    """Return whether a text is proposed."""
    return len(proposal.entries) == 1 and proposal.entries[0].kind == "text"


def count(number: int, name: str) -> str:
    """Return a number and what is counted: ``1 file``, ``1,234 files``."""
    return f"{number:,} {name}{'' if number == 1 else 's'}"


def made_safe(number: int) -> str:
    """Return the words for names that could not stay as they were, to end a sentence."""
    return f"{number:,} {'name was' if number == 1 else 'names were'} made safe"


def _is_tree(proposal: Proposal) -> bool:
    return len(proposal.entries) != 1 or proposal.entries[0].kind in {"directory", "link"}


def _tree(proposal: Proposal, width: int) -> Iterator[str]:
    listed = proposal.entries[:MAX_LINES]
    for entry in listed:
        yield _cut(_line(entry), width)
    more = proposal.files + proposal.directories + proposal.links - len(listed)
    if more > 0:
        yield f"  … and {more:,} more"


def _cut(line: str, width: int) -> str:
    from rtcsend.cli.live import shorten  # noqa: PLC0415 - imports rich

    return shorten(line, width=max(width - 1, _MIN_WIDTH))


def _line(entry: Entry) -> str:
    *folders, name = entry.path.split("/")
    if len(folders) > _MAX_DEPTH:
        name = f"…/{folders[-1]}/{name}"
    return "  " * (1 + min(len(folders), _MAX_DEPTH)) + _shown(entry, name)


def _shown(entry: Entry, name: str) -> str:
    if entry.kind == "directory":
        return f"{escape(name)}/{_odd(entry)}"
    if entry.kind == "link":
        return f"{escape(name)} -> {escape(''.join(entry.odd[-1:]))}"
    return f"{escape(name)}  {format_size(entry.bytes or 0)}{_odd(entry)}"


def _odd(entry: Entry) -> str:
    words = [_ODD_WORDS[odd] for odd in entry.odd if odd in _ODD_WORDS]
    return f"  ({', '.join(words)})" if words else ""


def _warnings(proposal: Proposal, width: int) -> Iterator[str]:
    odd = [
        count(number, name)
        for number, name in ((proposal.executables, "program"), (proposal.links, "link"))
        if number
    ]
    if proposal.renamed:
        odd.append(f"{count(proposal.renamed, 'name')} made safe")
    if odd:
        yield f"Look twice: {', '.join(odd)}."
        unseen = [entry for entry in proposal.entries[MAX_LINES:] if _is_odd(entry)]
        for entry in sorted(unseen, key=_is_no_program)[:_MAX_ODD]:
            yield _cut(f"  {_shown(entry, entry.path)}", width)


def _is_odd(entry: Entry) -> bool:
    return entry.kind == "link" or not _ODD_WORDS.keys().isdisjoint(entry.odd)


def _is_no_program(entry: Entry) -> bool:
    return "executable" not in entry.odd


def _existing(proposal: Proposal, conflict: Conflict, width: int) -> Iterator[str]:
    if proposal.existing and _is_tree(proposal):
        files, fate = count(proposal.existing, "file"), _FATES[conflict][proposal.existing > 1]
        if proposal.links and proposal.existing > 1:
            files += " and links"
        shown = ", ".join(escape(path) for path in proposal.existing_paths[:_MAX_EXISTING])
        more = ", …" if proposal.existing > _MAX_EXISTING else ""
        yield _cut(f"{files} {fate}: {shown}{more}", width)
