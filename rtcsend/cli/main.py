"""The program: commands, and every end mapped to two sentences and an exit code.

::

    rtcsend: “guitarr” is not a code word; did you mean “guitar”?
    Type the code as it is shown on the other side.

An error goes to standard error in two lines; with ``--json`` standard output gets it as
its last line too. What is raised on purpose is an :class:`~rtcsend.errors.RtcsendError`
with its exit code; what typer finds in the command line is exit 2; Ctrl-C outside a
transfer is exit 130; everything else is a bug, exit 1, and its traceback goes to the log.

Imports stay light here, since the code must be on the screen within half a second: a command is
loaded when it is run (:mod:`rtcsend.cli.commands`), and loads the engine, rich and the server when
it needs them.
"""

import contextlib
import errno
import logging
import os
import sys
from collections.abc import Sequence
from itertools import pairwise
from typing import Annotated, Final, NoReturn, TextIO

import typer
from typer.main import get_command

from rtcsend import __version__
from rtcsend.cli.commands import LateGroup
from rtcsend.cli.config_file import CONFIGURABLE, config_path, defaults_for, read_config
from rtcsend.cli.lean import import_less
from rtcsend.cli.results import write_all
from rtcsend.cli.terminal import escape, say
from rtcsend.cli.transfer import OutputGone
from rtcsend.errors import CannotWrite, InternalError, Interrupted, RtcsendError, UsageError
from rtcsend.events import Error

logger = logging.getLogger("rtcsend.cli")
_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT})

app = typer.Typer(
    name="rtcsend",
    cls=LateGroup,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # plain help: rich would take longer to import than the rest to run
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _show_version(value: bool) -> None:
    if value:
        print(f"rtcsend {__version__}")
        raise typer.Exit


@app.callback()
def _common(
    ctx: typer.Context,
    *,
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_show_version, is_eager=True, help="Show the version, and exit."
        ),
    ] = False,
) -> None:
    """Move files straight between two machines with one short code."""
    command = ctx.invoked_subcommand or ""
    if command in CONFIGURABLE:
        values = read_config(config_path(os.environ))
        ctx.default_map = {command: defaults_for(command, values, os.environ)}


def run() -> NoReturn:
    """Run the command line, and exit the process with its code."""
    import_less()
    _leave(main(sys.argv[1:]))


def _leave(status: int) -> NoReturn:
    """End the process without taking apart, object by object, what it has imported.

    That takes a fifth as long as importing it. Where somebody watches the end, it is done: a
    profiler, a tracer, whoever asked for warnings, and ``multiprocessing``, which tidies up.
    """
    is_watched = sys.getprofile() or sys.gettrace() or sys.flags.dev_mode or sys.warnoptions
    if not is_watched and "multiprocessing" not in sys.modules:
        with contextlib.suppress(OSError, ValueError):  # else the interpreter says it, as ever
            logging.shutdown()
            for stream in filter(None, (sys.stdout, sys.stderr)):  # None: closed from the start
                stream.flush()
            os._exit(status)
    sys.exit(status)


def main(arguments: Sequence[str]) -> int:
    """Run the command line.

    Args:
        arguments: Without the program's name.

    Returns:
        The exit code.
    """
    error: RtcsendError
    try:
        status = get_command(app).main(
            list(arguments) or ["--help"], prog_name="rtcsend", standalone_mode=False
        )
    except OutputGone as exc:
        return exc.exit_code
    except BrokenPipeError:  # as when a shell gives a completion up
        return OutputGone.exit_code
    except SystemExit as exc:
        if isinstance(exc.__context__, BrokenPipeError):  # typer has caught it: `--help | head -1`
            return OutputGone.exit_code
        raise
    except RtcsendError as exc:
        error = exc
    except Exception as exc:  # the border: everything has an exit code
        error = _translate(exc, arguments)
    else:
        if status != Interrupted.exit_code:
            return status if isinstance(status, int) else 0
        error = Interrupted("Stopped by Ctrl-C.")  # typer has caught a KeyboardInterrupt
    options = _before_dashes(arguments)
    stream = sys.stderr if _data_on_stdout(options) else sys.stdout
    report(error, json_to=stream if "--json" in options else None)
    return error.exit_code


def report(error: RtcsendError, *, json_to: TextIO | None) -> None:
    """Say what happened and what to do: to people, and to a program that reads JSON."""
    say(f"rtcsend: {escape(error.message)}\n{escape(error.hint)}")
    if json_to is None:
        return
    event = Error(code=error.slug, exit=error.exit_code, message=error.message, hint=error.hint)
    try:
        write_all(json_to.fileno(), os.fsencode(event.to_json() + "\n"))
    except (OSError, ValueError, AttributeError):  # nobody reads it, or there is none
        return


def _translate(exc: Exception, arguments: Sequence[str]) -> RtcsendError:
    """Return our error for somebody else's exception."""
    # typer has carried its own click since 0.26, and imported it before: what their errors
    # have in common, in every version, is this method.
    format_message = getattr(exc, "format_message", None)
    if callable(format_message):
        message = str(format_message())
        context = getattr(exc, "ctx", None)
        command = context.command_path if context is not None else _command(arguments)
        return UsageError(
            message if message.endswith((".", "?", "!")) else f"{message}.",
            hint=f"Try “{command} --help”.",
        )
    if isinstance(exc, typer.Abort):
        return Interrupted("Stopped by the end of input.")
    if isinstance(exc, OSError) and exc.errno in _FULL:  # what print() writes to
        return CannotWrite(
            f"Standard output cannot be written: {exc.strerror}.",
            hint="Check where it goes, and run the command again.",
        )
    logger.info("An unexpected error", exc_info=exc)
    return InternalError(
        f"Something in rtcsend itself is wrong ({type(exc).__name__}).",
        hint="Run it again with -v to see where, and report it.",
    )


def _command(arguments: Sequence[str]) -> str:
    """Return the command that was meant, where a value is missing: the parser does not say."""
    first = next((word for word in arguments if not word.startswith("-")), "")
    return f"rtcsend {first}".rstrip()


def _data_on_stdout(options: Sequence[str]) -> bool:
    """Return whether standard output is for a file (``-o -``); a usage error cannot tell."""
    pairs = pairwise(options)
    return (
        "--output=-" in options
        or "-o-" in options
        or any(name in ("-o", "--output") and value == "-" for name, value in pairs)
    )


def _before_dashes(arguments: Sequence[str]) -> Sequence[str]:
    """Return the arguments that can be options; a usage error has no parsed ones."""
    return arguments[: arguments.index("--")] if "--" in arguments else arguments
