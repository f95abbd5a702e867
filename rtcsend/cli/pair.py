"""``rtcsend pair NAME [CODE]``: two machines get to know each other, once.

::

    $ rtcsend pair laptop                           $ rtcsend pair desktop 7-guitar-velvet
    On the other machine, run:                      desktop is known from now on.
        rtcsend pair desktop 7-guitar-velvet          its key       03b7 5cd1 …
    laptop is known from now on. …                    this machine  9f1c 22ab …

Place in the flow: options in, :func:`rtcsend.meeting.introducing.introduce` called.
Contract: docs/cli.md.
"""

import os
import platform
import shlex
import sys
import time
from importlib import import_module
from pathlib import Path
from typing import Annotated

import typer

from rtcsend.cli import options as opt
from rtcsend.cli.code_input import ENVIRONMENT, code_for_receive
from rtcsend.cli.display import Output
from rtcsend.cli.json_output import JsonOutput
from rtcsend.cli.results import ResultLines
from rtcsend.cli.signals import Stopper
from rtcsend.cli.terminal import escape, is_terminal, restore, say
from rtcsend.cli.transfer import OutputGone
from rtcsend.events import CodeReady, Event, Known, Stalled
from rtcsend.known.names import check_name, suggested_name
from rtcsend.options import DEFAULT_TIMEOUT, DEFAULT_WORDS, PairOptions

ASK = "-"

Name = Annotated[
    str, typer.Argument(metavar="NAME", help="What to call the other machine from now on.")
]
Code = Annotated[
    str | None,
    typer.Argument(
        metavar="CODE",
        help="The code that the other machine shows; without it, this one shows one. "
        "- asks for it, or reads a line of standard input.",
    ),
]
Replace = Annotated[
    bool, typer.Option("--replace", help="Know it in the place of the one of that name.")
]


def pair(
    ctx: typer.Context,
    *,
    name: Name,
    code: Code = None,
    code_file: opt.CodeFile = None,
    replace: Replace = False,
    words: opt.Words = DEFAULT_WORDS,
    server: opt.Server = None,
    timeout: opt.Timeout = DEFAULT_TIMEOUT,
    json: opt.Json = False,
    quiet: opt.Quiet = False,
    verbose: opt.Verbose = 0,
) -> None:
    """Get to know another machine, so that it needs no codes from now on."""
    opt.set_up_logging(verbose)
    checked = check_name(name)
    common = opt.common_values(
        server=server,
        ice=None,
        relay_only=False,
        direct_only=False,
        timeout=timeout,
        verify=False,
        limit=None,
    )
    options = PairOptions(
        name=checked,
        code=_code(code, code_file),
        may_replace=replace,
        words=words,
        token=opt.token_of(os.environ),
        **common,
    )
    opt.check_words(ctx, is_drawn=options.code is None)
    stopper = Stopper(restore=restore, hint="Run both commands again.")
    output = _make_output(json=json, quiet=quiet, server=server, stopper=stopper)
    try:
        engine = import_module("rtcsend.meeting.introducing")
        stopper.run(engine.introduce(options, emit=output.emit))
    finally:
        output.close()


def _code(argument: str | None, code_file: Path | None) -> str | None:
    """Return the code of the other machine; None: this one is to show one."""
    if argument is None and code_file is None and not os.environ.get(ENVIRONMENT):
        return None
    asked = None if argument == ASK else argument
    environment = {} if argument == ASK else os.environ
    return code_for_receive(argument=asked, code_file=code_file, environment=environment)


def _make_output(*, json: bool, quiet: bool, server: str | None, stopper: Stopper) -> Output:
    def make_results() -> ResultLines:
        return ResultLines(on_broken=lambda: stopper.stop(OutputGone("Nobody reads.")))

    if json:
        return JsonOutput(results=make_results(), clock=time.monotonic)
    on_screen = is_terminal(sys.stdout) and is_terminal(sys.stderr)
    told = on_screen and not quiet
    return PairOutput(results=None if told else make_results(), quiet=quiet, server=server)


class PairOutput:
    """Shows a pairing to people; standard output gets the code, for scripts.

    Args:
        results: Standard output; None: it is the same terminal.
        quiet: Say nothing but what ``results`` gets.
        server: The ``--server`` that the printed command must repeat.
    """

    def __init__(self, *, results: ResultLines | None, quiet: bool, server: str | None) -> None:
        self._results = results
        self._quiet = quiet
        self._server = server

    def emit(self, event: Event) -> None:
        """Show ``event``."""
        match event:
            case CodeReady(code=code):
                self.tell("On the other machine, run:")
                self.tell(f"    {pair_command(code, server=self._server)}")
                self.tell("Waiting for the other side…")
                if self._results is not None:
                    self._results.put(code)
            case Known():
                self.tell(f"{event.machine} is known from now on.")
                self.tell(f"  its key       {event.fingerprint}")
                self.tell(f"  this machine  {event.own_fingerprint}")
                self.tell(f"To send to it:       rtcsend send --to {event.machine} FILE")
                self.tell(f"To receive from it:  rtcsend receive --from {event.machine}")
            case Stalled(seconds=seconds, reason=reason):
                self.tell(f"Nothing moves for {seconds} s. {reason}")
            case _:
                return

    def tell(self, text: str) -> None:
        """Print a harmless line to people, unless they want quiet."""
        if not self._quiet:
            say(text)

    def clear(self) -> None:
        """Do nothing: nothing moves."""

    def hold(self) -> None:
        """Do nothing: nothing is asked."""

    def go_on(self) -> None:
        """Do nothing."""

    def close(self) -> None:
        """Wait until the results are written."""
        if self._results is not None:
            self._results.close()


def pair_command(code: str, *, server: str | None) -> str:
    """Return what to type on the other machine, with a name for this one."""
    command = f"rtcsend pair {suggested_name(platform.node())} {code}"
    return f"{command} --server {shlex.quote(escape(server))}" if server else command
