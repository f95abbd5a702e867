"""``rtcsend send``: files and folders, a code, and the wait for the other side.

Place in the flow: options in, :func:`rtcsend.sending.send` called. Contract: docs/cli.md.
"""

import os
from typing import Annotated

import typer

from rtcsend.cli import engine
from rtcsend.cli import options as opt
from rtcsend.cli.code_input import code_for_send
from rtcsend.cli.code_sharing import Copy, Qr, check_sharing, sharing
from rtcsend.cli.known_options import To, check_to
from rtcsend.cli.questions import ScriptQuestions, TerminalQuestions
from rtcsend.cli.script_options import (
    ChecksumFile,
    IdleTimeout,
    ScriptOptions,
    run_script,
)
from rtcsend.cli.sendable import Name, Text, check_sendable
from rtcsend.cli.several_options import Forever, Receivers, audience_of, check_several
from rtcsend.cli.signals import SERVES_ON, Stopper
from rtcsend.cli.terminal import can_ask, restore
from rtcsend.cli.trace_file import traced
from rtcsend.cli.transfer import OutputOptions, make_output
from rtcsend.errors import UsageError
from rtcsend.options import DEFAULT_TIMEOUT, DEFAULT_WORDS, Compress, Links, SendOptions

Paths = Annotated[
    list[str] | None,
    # typer shows no sign of its own for "any number".
    typer.Argument(metavar="[PATH]...", help="Files and folders; - is standard input."),
]
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
HowCompress = Annotated[
    Compress,
    typer.Option(
        "--compress",
        help="Compress on the way: auto (where that is faster), never or always.",
    ),
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
    ctx: typer.Context,
    *,
    paths: Paths = None,
    text: Text = None,
    name: Name = None,
    exclude: Exclude = None,
    gitignore: Gitignore = False,
    links: HowLinks = Links.KEEP,
    compress: HowCompress = Compress.AUTO,
    skip_unreadable: SkipUnreadable = False,
    to: To = None,
    code: OwnCode = None,
    code_file: opt.CodeFile = None,
    words: opt.Words = DEFAULT_WORDS,
    receivers: Receivers = 1,
    forever: Forever = False,
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
    plain: opt.Plain = False,
    verbose: opt.Verbose = 0,
    trace: opt.Trace = None,
    trace_addresses: opt.TraceAddresses = False,
) -> None:
    """Send files, folders, a pipe or a text: prints a code, and waits for the other side."""
    opt.set_up_logging(verbose)
    script = ScriptOptions(idle_timeout=idle_timeout, checksums=checksums)
    sent = check_sendable(paths or [], text=text, name=name, code_file=code_file)
    check_to(
        to,
        code=code,
        code_file=code_file,
        qr=qr,
        copy=copy,
        receivers=receivers > 1,
        forever=forever,
        verify=verify,
    )
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
        paths=sent.paths,
        text=sent.text,
        name=sent.name,
        exclude=tuple(exclude or ()),
        gitignore=gitignore,
        links=links,
        compress=compress,
        skip_unreadable=skip_unreadable,
        code=None
        if to is not None
        else code_for_send(option=code, code_file=code_file, environment=os.environ),
        to=to,
        words=words,
        receivers=receivers,
        forever=forever,
        token=opt.token_of(os.environ),
        **common,
    )
    opt.check_words(ctx, is_drawn=to is None and options.code is None)
    check_several(options, checksums=checksums)
    asks = can_ask() and not sent.is_stdin
    if verify and not asks:
        raise UsageError(
            "There is no terminal to ask on, and --verify asks the sender.",
            hint="Run it on a terminal, or without --verify.",
        )
    stopper = Stopper(restore=restore, hint=SERVES_ON if forever else None)
    output = make_output(
        OutputOptions(json=json, quiet=quiet, no_progress=no_progress or sent.is_typed),
        role="send",
        name=sent.label,
        stopper=stopper,
        server_option=server,
        verify=verify,
        audience=audience_of(options),
    )
    questions = (
        TerminalQuestions(hold=output.hold, go_on=output.go_on)
        if asks
        else ScriptQuestions(tell=output.tell)
    )
    with traced(trace, addresses=trace_addresses, command="send", options=options) as recorder:
        sending = engine.load_sending()
        run_script(
            lambda wanted, emit: sending.send(
                wanted, questions=questions, emit=sharing(emit, output, qr=qr, copy=copy)
            ),
            options,
            script=script,
            output=output,
            stopper=stopper,
            recorder=recorder,
        )
