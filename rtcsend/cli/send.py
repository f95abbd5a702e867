"""``rtcsend send``: files and folders, a code, and the wait for the other side.

Place in the flow: options in, :func:`rtcsend.session.send` called. Contract: docs/cli.md.
"""

import os
from pathlib import Path
from typing import Annotated

import typer

from rtcsend.cli import engine
from rtcsend.cli import options as opt
from rtcsend.cli.code_input import code_for_send
from rtcsend.cli.code_sharing import Copy, Qr, check_sharing, sharing
from rtcsend.cli.questions import ScriptQuestions, TerminalQuestions
from rtcsend.cli.script_options import (
    ChecksumFile,
    IdleTimeout,
    ScriptOptions,
    run_script,
)
from rtcsend.cli.signals import Stopper
from rtcsend.cli.terminal import can_ask, escape, restore
from rtcsend.cli.trace_file import traced
from rtcsend.cli.transfer import OutputOptions, make_output
from rtcsend.errors import CannotRead, UsageError
from rtcsend.options import DEFAULT_TIMEOUT, DEFAULT_WORDS, Links, SendOptions

Paths = Annotated[list[str], typer.Argument(metavar="PATH", help="The files and folders to send.")]
Exclude = Annotated[
    list[str] | None,
    typer.Option(
        "--exclude",
        metavar="GLOB",
        help="Leave out what matches, in folders; as in a .gitignore file (repeatable).",
    ),
]
Gitignore = Annotated[
    bool, typer.Option("--gitignore", help="Leave out what .gitignore files in the folders say.")
]
HowLinks = Annotated[
    Links,
    typer.Option("--links", help="Symbolic links in folders: keep, follow, or skip them."),
]
SkipUnreadable = Annotated[
    bool, typer.Option("--skip-unreadable", help="Leave out what cannot be read.")
]
OwnCode = Annotated[
    str | None,
    typer.Option(
        "--code", metavar="CODE", help="A code of your own, instead of one drawn at random."
    ),
]


def send(
    *,
    paths: Paths,
    exclude: Exclude = None,
    gitignore: Gitignore = False,
    links: HowLinks = Links.KEEP,
    skip_unreadable: SkipUnreadable = False,
    code: OwnCode = None,
    code_file: opt.CodeFile = None,
    words: opt.Words = DEFAULT_WORDS,
    qr: Qr = False,
    copy: Copy = False,
    server: opt.Server = None,
    ice: opt.Ice = None,
    relay_only: opt.RelayOnly = False,
    direct_only: opt.DirectOnly = False,
    verify: opt.Verify = False,
    timeout: opt.Timeout = DEFAULT_TIMEOUT,
    idle_timeout: IdleTimeout = None,
    limit: opt.Limit = None,
    checksums: ChecksumFile = None,
    json: opt.Json = False,
    quiet: opt.Quiet = False,
    no_progress: opt.NoProgress = False,
    verbose: opt.Verbose = 0,
    trace: opt.Trace = None,
    trace_addresses: opt.TraceAddresses = False,
) -> None:
    """Send files and folders: prints a code, and waits for the other side to type it."""
    opt.set_up_logging(verbose)
    script = ScriptOptions(idle_timeout=idle_timeout, checksums=checksums)
    sent = _check_paths(paths)
    check_sharing(qr=qr, copy=copy, silent=json or quiet)
    common = opt.common_values(
        server=server,
        ice=ice,
        relay_only=relay_only,
        direct_only=direct_only,
        timeout=timeout,
        verify=verify,
        limit=limit,
    )
    options = SendOptions(
        paths=sent,
        exclude=tuple(exclude or ()),
        gitignore=gitignore,
        links=links,
        skip_unreadable=skip_unreadable,
        code=code_for_send(option=code, code_file=code_file, environment=os.environ),
        words=words,
        token=opt.token_of(os.environ),
        **common,
    )
    if verify and not can_ask():
        raise UsageError(
            "There is no terminal to ask on, and --verify asks the sender.",
            hint="Run it on a terminal, or without --verify.",
        )
    stopper = Stopper(restore=restore)
    output = make_output(
        OutputOptions(json=json, quiet=quiet, no_progress=no_progress),
        role="send",
        name=sent[0].name if len(sent) == 1 else f"{sent[0].name} and {len(sent) - 1} more",
        stopper=stopper,
        server_option=server,
    )
    questions = (
        TerminalQuestions(hold=output.hold, go_on=output.go_on)
        if can_ask()
        else ScriptQuestions(tell=output.tell)
    )
    with traced(trace, addresses=trace_addresses, command="send", options=options) as recorder:
        files = engine.load_engine()
        run_script(
            lambda wanted, emit: files.send(
                wanted, questions=questions, emit=sharing(emit, output, qr=qr, copy=copy)
            ),
            options,
            script=script,
            output=output,
            stopper=stopper,
            recorder=recorder,
        )


def _check_paths(paths: list[str]) -> tuple[Path, ...]:
    """Return what can be sent, as far as a look at each tells.

    Raises:
        UsageError: Standard input is among them.
        CannotRead: One does not exist.
    """
    if "-" in paths:
        raise UsageError(
            "Standard input cannot be sent yet.", hint="Write it to a file, and send that."
        )
    for path in map(Path, paths):
        try:
            path.stat()
        except FileNotFoundError as exc:
            raise CannotRead(
                f"There is no file {escape(str(path))}.", hint="Check the path, and send again."
            ) from exc
        except (OSError, ValueError) as exc:
            reason = exc.strerror if isinstance(exc, OSError) else exc
            raise CannotRead(f"{escape(str(path))} cannot be read: {reason}.") from exc
    return tuple(map(Path, paths))
