"""One run of the engine: with its output, its questions, its signals, and its end.

What send and receive have in common once their options are known. Whatever way a transfer
ends, the screen is in order and all results are written before the error leaves here.

Place in the flow: between the commands and the engine.
"""

import sys
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from rtcsend.cli.display import HumanOutput, Output, Role
from rtcsend.cli.figures import TransferState
from rtcsend.cli.json_output import JsonOutput
from rtcsend.cli.memory import tune_memory
from rtcsend.cli.plain import PlainProgress
from rtcsend.cli.results import ResultLines
from rtcsend.cli.several_display import SeveralOutput
from rtcsend.cli.signals import Stopper
from rtcsend.cli.terminal import can_redraw, is_terminal
from rtcsend.errors import GO_ON, RtcsendError, Terminated
from rtcsend.events import Done, Event, Progress
from rtcsend.options import Emit
from rtcsend.trace import Recorder

if TYPE_CHECKING:
    from rtcsend.cli.live import LiveView
    from rtcsend.cli.live_lines import Lines, LiveLines


_NO_STREAM_GOES_ON: Final = (
    "Nobody can go on with a stream: run both commands again, from its beginning."
)


class OutputGone(Terminated):
    """Nobody reads standard output any more; ends like SIGTERM, and without a word."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OutputOptions:
    """How to show a transfer.

    Attributes:
        json: Events as JSON lines.
        quiet: Results and errors only.
        no_progress: No progress line.
        data_on_stdout: Standard output carries the file (``-o -``).
        print_path: Results go to standard output also where people see it.
    """

    json: bool
    quiet: bool
    no_progress: bool
    data_on_stdout: bool = False
    print_path: bool = False


@dataclass(frozen=True, slots=True)
class Audience:
    """More than one receiver; ``wanted`` is None when it is for ever."""

    wanted: int | None


def make_output(
    options: OutputOptions,
    *,
    role: Role,
    name: str = "",
    stopper: Stopper,
    server_option: str | None = None,
    verify: bool = False,
    audience: Audience | None = None,
) -> Output:
    """Return whoever is to be told what happens."""

    def make_results() -> ResultLines:
        return ResultLines(
            on_broken=lambda: stopper.stop(OutputGone("Nobody reads standard output.")),
            to_stderr=options.data_on_stdout,
        )

    if options.json:
        return JsonOutput(results=make_results(), clock=time.monotonic)
    # Where people see both streams on one screen, the result is in what they are told; a
    # quiet sender still has to show its code.
    on_screen = is_terminal(sys.stdout) and is_terminal(sys.stderr)
    told = options.data_on_stdout or (on_screen and (role == "receive" or not options.quiet))
    told = told and not options.print_path
    moves = can_redraw(sys.stderr) and not options.no_progress
    if audience is not None:
        return SeveralOutput(
            wanted=audience.wanted,
            results=None if told else make_results(),
            live=make_live_lines if moves else None,
            quiet=options.quiet,
            server_option=server_option,
            verify=verify,
        )
    return HumanOutput(
        role=role,
        name=name,
        results=None if told else make_results(),
        live=_make_live_view if moves else None,
        plain=None if moves or options.no_progress else make_plain_progress(),
        quiet=options.quiet,
        server_option=server_option,
        verify=verify,
    )


def run_transfer(
    start: Callable[[Emit], Coroutine[Any, Any, Done]],
    *,
    output: Output,
    stopper: Stopper,
    recorder: Recorder | None = None,
) -> None:
    """Run the engine to its end.

    Args:
        start: Makes the engine's coroutine, given where events go.
        output: Closed when this returns, or raises.
        stopper: Ends it on a signal.
        recorder: Of the trace, if there is one.

    Raises:
        RtcsendError: Every end but success.
    """
    tune_memory()
    shown: list[Done] = []
    is_stream = False

    def emit(event: Event) -> None:
        nonlocal is_stream
        if isinstance(event, Done):
            shown.append(event)
        if isinstance(event, Progress) and event.total is None:
            is_stream = True
        if recorder is not None:
            recorder.observe(event)
        output.emit(event)

    try:
        done = stopper.run(start(emit))
        if not shown:  # the engine may return it, emit it, or both
            output.emit(done)
    except RtcsendError as exc:
        if is_stream and GO_ON in exc.hint:
            exc.hint = _NO_STREAM_GOES_ON
        raise
    finally:
        output.close()


def make_live_lines(lines: "Lines") -> "LiveLines":
    """Return what draws these lines on standard error."""
    from rtcsend.cli.live_lines import LiveLines  # noqa: PLC0415 - imports rich

    return LiveLines(sys.stderr, lines)


def make_plain_progress() -> Callable[[TransferState], str]:
    """Return what makes, now and then, a line of how far one transfer is."""
    progress = PlainProgress()
    return lambda state: progress.line(state, now=time.monotonic())


def _make_live_view() -> "LiveView":
    from rtcsend.cli.live import LiveView  # noqa: PLC0415 - imports rich

    return LiveView(sys.stderr)
