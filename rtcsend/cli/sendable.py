"""What ``rtcsend send`` is to send: paths, standard input, or a text; checked before all else.

Place in the flow: from the command line to :class:`rtcsend.options.SendOptions`.
"""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final

import typer

from rtcsend.cli.terminal import escape, is_terminal, say
from rtcsend.errors import CannotRead, UsageError
from rtcsend.options import STDIN

Text = Annotated[
    str | None,
    typer.Option("--text", metavar="TEXT", help="Send a message instead, shown by the receiver."),
]
Name = Annotated[
    str | None,
    typer.Option("--name", metavar="NAME", help="What to call what comes from standard input."),
]

_NOT_NAMES: Final = frozenset({"", ".", ".."})
_MAX_NAME: Final = 255  # characters; of a file on most systems
_TYPING: Final = "Reading from the terminal: what you type is sent line by line; Ctrl-D ends it."


@dataclass(frozen=True, slots=True, kw_only=True)
class Sendable:
    """What to send, and what people see of it.

    Attributes:
        paths: As for ``SendOptions``.
        text: As for ``SendOptions``.
        name: As for ``SendOptions``.
        label: For the progress line.
    """

    paths: tuple[Path, ...]
    text: str | None
    name: str | None
    label: str

    @property
    def is_typed(self) -> bool:
        """Whether a person types it on the terminal, where nothing should move then."""
        return self.is_stdin and is_terminal(sys.stdin)

    @property
    def is_stdin(self) -> bool:
        """Whether standard input is what is sent, so that no question can be asked there."""
        return self.paths == (STDIN,)


def check_sendable(
    paths: list[str], *, text: str | None, name: str | None, code_file: Path | None
) -> Sendable:
    """Return what can be sent, as far as a look at each path tells.

    Raises:
        UsageError: It is nothing, or several things that exclude each other.
        CannotRead: A path does not exist, or there is no standard input.
    """
    if name is not None and (name in _NOT_NAMES or not _is_bare(name)):
        raise UsageError(
            f"{escape(name)!r} cannot be a name.", hint="Give --name a name without a folder."
        )
    if text is not None:
        if paths:
            raise UsageError(
                "--text and paths exclude each other.", hint="Send one, then the other."
            )
        return Sendable(paths=(), text=text, name=name, label="a text message")
    if not paths:
        raise UsageError(
            "There is nothing to send.", hint="Name files or folders, - or --text: see --help."
        )
    if "-" in paths:
        return _standard_input(paths, name=name, code_file=code_file)
    checked = tuple(map(_checked, paths))
    if name is not None and not (len(checked) == 1 and checked[0].is_fifo()):
        raise UsageError(
            "--name is for what comes from standard input.", hint="Files go under their own names."
        )
    first = name or checked[0].name
    label = first if len(checked) == 1 else f"{first} and {len(checked) - 1} more"
    return Sendable(paths=checked, text=None, name=name, label=label)


def _standard_input(paths: list[str], *, name: str | None, code_file: Path | None) -> Sendable:
    if len(paths) > 1:
        raise UsageError(
            "Standard input goes alone: - and other paths exclude each other.",
            hint="Send one, then the other.",
        )
    if code_file == STDIN:
        raise UsageError(
            "Standard input cannot be both the code and what is sent.",
            hint="Give the code by RTCSEND_CODE or in a file.",
        )
    if sys.stdin is None:
        raise CannotRead("There is no standard input.", hint="Do not close it: give it a file.")
    if is_terminal(sys.stdin):
        say(_TYPING)
    return Sendable(paths=(STDIN,), text=None, name=name, label=name or "standard input")


def _is_bare(name: str) -> bool:
    has_folder = "/" in name or "\0" in name or Path(name).name != name
    return not has_folder and len(name) <= _MAX_NAME


def _checked(text: str) -> Path:
    if not text:  # Path("") is the current folder, and "$UNSET" no wish to send it
        raise UsageError("A path is empty.", hint="Write . to send the folder that you are in.")
    path = Path(text)
    try:
        path.stat()
    except FileNotFoundError as exc:
        raise CannotRead(
            f"There is no file {escape(text)}.", hint="Check the path, and send again."
        ) from exc
    except (OSError, ValueError) as exc:
        reason = exc.strerror if isinstance(exc, OSError) else exc
        raise CannotRead(f"{escape(text)} cannot be read: {reason}.") from exc
    return path
