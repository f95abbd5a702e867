"""``rtcsend receive``: a code in, files and folders out.

Place in the flow: options in, :func:`rtcsend.receiving.receive` called. Contract: docs/cli.md.
"""

import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from rtcsend.cli import engine
from rtcsend.cli import options as opt
from rtcsend.cli.code_completion import complete_code
from rtcsend.cli.code_input import code_for_receive
from rtcsend.cli.figures import parse_size
from rtcsend.cli.known_options import From, Listen, check_from, check_listen
from rtcsend.cli.listen import make_listen_output, run_listening
from rtcsend.cli.paths import output_path
from rtcsend.cli.questions import ScriptQuestions, TerminalQuestions
from rtcsend.cli.script_options import (
    ChecksumFile,
    IdleTimeout,
    PrintPath,
    ScriptOptions,
    Wait,
    run_script,
)
from rtcsend.cli.signals import SERVES_ON, Stopper
from rtcsend.cli.terminal import can_ask, restore
from rtcsend.cli.text_output import text_shower
from rtcsend.cli.trace_file import traced
from rtcsend.cli.transfer import OutputOptions, make_output
from rtcsend.errors import UsageError
from rtcsend.options import DEFAULT_TIMEOUT, STDOUT, ReceiveOptions

Code = Annotated[
    str | None,
    typer.Argument(
        metavar="CODE",
        help="The code that the sender shows; asked for if missing.",
        autocompletion=complete_code,
    ),
]
Output = Annotated[
    Path | None,
    typer.Option(
        "--output",
        "-o",
        "--into",
        metavar="PATH",
        parser=output_path,
        help="Folder, or name, to save to; - is standard output.",
    ),
]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Accept without asking.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace a file that exists.")]
Rename = Annotated[bool, typer.Option("--rename", help="Save beside a file that exists.")]
Skip = Annotated[bool, typer.Option("--skip", help="Leave a file that exists, receive nothing.")]
AcceptGlob = Annotated[
    list[str] | None,
    typer.Option(
        "--accept-glob",
        metavar="GLOB",
        help="Decline files whose name or path matches no such pattern (repeatable).",
    ),
]
MaxSize = Annotated[
    str | None,
    typer.Option("--max-size", metavar="SIZE", help="Decline more than this, like 500M or 10G."),
]
MaxFiles = Annotated[
    int | None, typer.Option("--max-files", metavar="N", min=0, help="Decline more files.")
]
Preserve = Annotated[
    bool, typer.Option("--preserve", help="Keep the sender's permissions, whatever the umask says.")
]


def receive(
    *,
    code: Code = None,
    code_file: opt.CodeFile = None,
    from_: From = None,
    listen: Listen = False,
    output: Output = None,
    yes: Yes = False,
    overwrite: Overwrite = False,
    rename: Rename = False,
    skip: Skip = False,
    accept_glob: AcceptGlob = None,
    max_size: MaxSize = None,
    max_files: MaxFiles = None,
    preserve: Preserve = False,
    server: opt.Server = None,
    ice: opt.Ice = None,
    relay_only: opt.RelayOnly = False,
    direct_only: opt.DirectOnly = False,
    verify: opt.Verify = False,
    timeout: opt.Timeout = DEFAULT_TIMEOUT,
    wait: Wait = 0.0,
    idle_timeout: IdleTimeout = None,
    limit: opt.Limit = None,
    checksums: ChecksumFile = None,
    print_path: PrintPath = False,
    json: opt.Json = False,
    quiet: opt.Quiet = False,
    no_progress: opt.NoProgress = False,
    plain: opt.Plain = False,
    verbose: opt.Verbose = 0,
    trace: opt.Trace = None,
    trace_addresses: opt.TraceAddresses = False,
) -> None:
    """Receive what is sent: takes the code that the sender shows, asks, and saves."""
    opt.set_up_logging(verbose)
    is_known = listen or bool(from_)
    if is_known:
        check_from(from_, code=code, code_file=code_file, verify=verify)
    if listen:
        check_listen(output, checksums=checksums, wait=wait)
    script = ScriptOptions(
        idle_timeout=idle_timeout, wait=0.0 if is_known else wait, checksums=checksums
    )
    common = opt.common_values(
        server=server,
        ice=ice,
        relay_only=relay_only,
        direct_only=direct_only,
        timeout=timeout,
        verify=verify,
        limit=limit,
    )
    conflict = opt.conflict_policy(overwrite=overwrite, rename=rename, skip=skip)
    size_limit = None if max_size is None else parse_size(max_size, option="--max-size")
    if output == STDOUT and (sys.stdout is None or sys.stdout.isatty()):
        raise UsageError(
            "Standard output is a terminal.", hint="Redirect it, or give another --output."
        )
    if print_path and (json or output == STDOUT):
        raise UsageError(
            "--print-path goes neither with --json nor with --output -.",
            hint="Standard output is for one of them; paths are in the done event, too.",
        )
    if not yes and not can_ask():
        raise UsageError(
            "There is no terminal to ask on whether to accept.", hint="Pass -y to accept."
        )
    options = ReceiveOptions(
        code=""
        if is_known
        else code_for_receive(argument=code, code_file=code_file, environment=os.environ),
        from_machines=tuple(from_ or ()),
        patience=wait or None,
        token=opt.token_of(os.environ) if is_known else None,
        output=output,
        conflict=conflict,
        max_size=size_limit,
        max_files=max_files,
        preserve=preserve,
        accept_glob=tuple(accept_glob or ()),
        **common,
    )
    stopper = Stopper(restore=restore, hint=SERVES_ON if listen else None)
    wanted_output = OutputOptions(
        json=json,
        quiet=quiet,
        no_progress=no_progress,
        data_on_stdout=output == STDOUT,
        print_path=print_path,
    )
    shown = (
        make_listen_output(wanted_output, stopper=stopper)
        if listen
        else make_output(wanted_output, role="receive", stopper=stopper, verify=verify)
    )
    questions = (
        TerminalQuestions(
            hold=shown.hold,
            go_on=shown.go_on,
            accept_all=yes,
            accept_text=output is None,
            conflict=conflict,
        )
        if can_ask()
        else ScriptQuestions(tell=shown.tell)
    )
    show_text = None if json else text_shower(shown.clear)
    with traced(trace, addresses=trace_addresses, command="receive", options=options) as recorder:
        if listen:
            listening = engine.load_listening()
            to_all = replace(options, show_text=show_text)
            run_listening(
                lambda emit: listening.listen(to_all, questions=questions, emit=emit),
                output=shown,
                stopper=stopper,
                recorder=recorder,
            )
            return
        receiving = engine.load_receiving()
        run_script(
            lambda wanted, emit: receiving.receive(
                replace(wanted, show_text=show_text), questions=questions, emit=emit
            ),
            options,
            script=script,
            output=shown,
            stopper=stopper,
            recorder=recorder,
        )
