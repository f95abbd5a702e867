"""``send --receivers`` and ``--forever``: the options, and what does not go with them.

Place in the flow: beside :mod:`rtcsend.cli.send`. Contract: docs/cli.md, "Several receivers".
"""

from pathlib import Path
from typing import Annotated

import typer

from rtcsend.cli.transfer import Audience
from rtcsend.errors import UsageError
from rtcsend.options import MAX_RECEIVERS, STDIN, SendOptions

Receivers = Annotated[
    int,
    typer.Option(
        "--receivers",
        metavar="N",
        min=1,
        max=MAX_RECEIVERS,
        help="How many get it, with one code; with --forever: how many at a time.",
    ),
]
Forever = Annotated[
    bool, typer.Option("--forever", help="Send to whoever comes with the code, until stopped.")
]


def check_several(options: SendOptions, *, checksums: Path | None) -> None:
    """Refuse what only one receiver can have.

    Raises:
        UsageError: It is for several.
    """
    if not options.is_for_several:
        return
    if options.paths == (STDIN,):
        raise UsageError(
            "Standard input is there once, and goes to one receiver alone.",
            hint="Write it to a file, and send that.",
        )
    if checksums is not None:
        raise UsageError(
            "--checksums goes with one receiver: each may take other files.",
            hint="Give it to the receivers.",
        )


def audience_of(options: SendOptions) -> Audience | None:
    """Return how many are to be shown; None for one receiver alone."""
    if not options.is_for_several:
        return None
    return Audience(None if options.forever else options.receivers)
