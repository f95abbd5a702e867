"""Where a process of ours begins: what is imported first, and what is settled before the rest is.

Place in the flow: before the program, :mod:`rtcsend.cli.main`.
"""

from typing import NoReturn

from rtcsend.cli.memory import import_first


def run() -> NoReturn:
    """Run the command line, and exit the process with its code."""
    import_first()
    # Not before: looking for garbage is a tenth of importing it.
    from rtcsend.cli.main import run as run_program  # noqa: PLC0415

    run_program()
