"""The options by which known machines take the place of a code, and what they exclude.

Place in the flow: beside :mod:`rtcsend.cli.options`. Contract: docs/cli.md, "Known machines".
"""

from pathlib import Path
from typing import Annotated, Final

import typer

from rtcsend.cli.known_names import complete_names
from rtcsend.errors import UsageError
from rtcsend.options import STDOUT

To = Annotated[
    str | None,
    typer.Option(
        "--to",
        metavar="NAME",
        autocompletion=complete_names,
        help="Send to a known machine, without a code (rtcsend pair).",
    ),
]
From = Annotated[
    list[str] | None,
    typer.Option(
        "--from",
        metavar="NAME",
        autocompletion=complete_names,
        help="Receive from a known machine, without a code (repeatable).",
    ),
]
Listen = Annotated[
    bool,
    typer.Option("--listen", help="Receive from known machines again and again, until stopped."),
]

_EITHER: Final = "Give one of them: a known machine needs no code."


def check_to(to: str | None, **others: object) -> None:
    """Refuse what a code would have needed.

    Args:
        to: The known machine, if any.
        others: Options that are about a code, by their names; what is set is refused.

    Raises:
        UsageError: Both were given.
    """
    given = [name for name, value in others.items() if value]
    if to is not None and given:
        name = given[0].replace("_", "-")
        raise UsageError(f"--to and --{name} exclude each other.", hint=_EITHER)


def check_from(
    names: list[str] | None,
    *,
    code: str | None,
    code_file: Path | None,
    verify: bool,
) -> None:
    """Refuse a code beside known machines.

    Raises:
        UsageError: Both were given; or two people are to compare what keys have proven.
    """
    if code is not None or code_file is not None:
        what = "CODE" if code is not None else "--code-file"
        option = "--from" if names else "--listen"
        raise UsageError(f"{option} and {what} exclude each other.", hint=_EITHER)
    if verify:
        raise UsageError(
            "--verify is for codes.", hint="Known machines prove who they are by their keys."
        )


def check_listen(output: Path | None, **others: object) -> None:
    """Refuse what is for one transfer alone.

    Raises:
        UsageError: The output is no folder, or one of ``others`` is set.
    """
    if output == STDOUT or (output is not None and not output.is_dir()):
        raise UsageError(
            "--listen needs a folder to save to.",
            hint="Give one that exists: --into FOLDER.",
        )
    given = [name for name, value in others.items() if value]
    if given:
        name = given[0].replace("_", "-")
        raise UsageError(
            f"--{name} is for one transfer, and --listen for many.", hint="Leave out one of them."
        )
