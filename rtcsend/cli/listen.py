"""``rtcsend receive --listen``: many visits, one screen, until somebody stops it.

::

    Waiting for desktop and ci. Ctrl-C ends it.
    desktop: film.iso  4.4 GB  from desktop
    desktop: Saved inbox/film.iso (BLAKE3 verified)
    ci: The connection was lost, … Run both commands again …

Every visit has the lines of a transfer, with the machine's name in front; nothing moves, since
several may be going on. Place in the flow: in the place of :mod:`rtcsend.cli.transfer`'s output.
"""

import sys
import time
from typing import TYPE_CHECKING, Any, NoReturn

from rtcsend.cli.display import HumanOutput, Output
from rtcsend.cli.json_output import JsonOutput
from rtcsend.cli.lean import leave_out_media
from rtcsend.cli.memory import tune_memory
from rtcsend.cli.results import ResultLines
from rtcsend.cli.signals import Stopper
from rtcsend.cli.terminal import escape, is_terminal, say
from rtcsend.cli.transfer import OutputGone, OutputOptions
from rtcsend.events import Done, Error, Event, Paired, Refusal, Waiting

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from rtcsend.options import Emit
    from rtcsend.trace import Recorder


def make_listen_output(options: OutputOptions, *, stopper: Stopper) -> Output:
    """Return whoever is to be told what happens."""

    def make_results() -> ResultLines:
        return ResultLines(on_broken=lambda: stopper.stop(OutputGone("Nobody reads.")))

    if options.json:
        return JsonOutput(results=make_results(), clock=time.monotonic)
    on_screen = is_terminal(sys.stdout) and is_terminal(sys.stderr) and not options.print_path
    return ListenOutput(results=None if on_screen else make_results(), quiet=options.quiet)


def run_listening(
    start: "Callable[[Emit], Coroutine[Any, Any, NoReturn]]",
    *,
    output: Output,
    stopper: Stopper,
    recorder: "Recorder | None",
) -> None:
    """Run the engine until it is stopped.

    Raises:
        RtcsendError: It was stopped, or nobody can come any more.
    """
    tune_memory()
    leave_out_media()

    def emit(event: Event) -> None:
        if recorder is not None:
            recorder.observe(event)
        output.emit(event)

    try:
        stopper.run(start(emit))
    finally:
        output.close()


class ListenOutput:
    """Shows visits to people; standard output gets the paths, for scripts.

    Args:
        results: Standard output; None: it is the same terminal.
        quiet: Say nothing but what ``results`` gets.
    """

    def __init__(self, *, results: ResultLines | None, quiet: bool) -> None:
        self._results = results
        self._quiet = quiet
        self._visits: dict[int, HumanOutput] = {}
        self._held: list[str] | None = None
        """What is to be said when a question is answered; None: nothing is asked."""

    def emit(self, event: Event) -> None:
        """Show ``event``."""
        match event:
            case Waiting():
                self.tell(f"Waiting for {_names(event.machines)}. Ctrl-C ends it.")
            case Refusal():
                self.tell(escape(event.reason))
            case Paired(visit=int(visit), machine=machine):
                self._visits[visit] = _VisitOutput(machine or "", self._results, self)
            case Error(visit=int(visit)):
                if output := self._visits.pop(visit, None):
                    output.tell(f"{escape(event.message)} {escape(event.hint)}")
            case _ if event.visit in self._visits:
                self._visits[event.visit].emit(event)
                if isinstance(event, Done):
                    del self._visits[event.visit]
            case _:
                return

    def tell(self, text: str) -> None:
        """Print a harmless line to people, unless they want quiet."""
        if self._quiet:
            return
        if self._held is not None:
            self._held.append(text)
        else:
            say(text)

    def clear(self) -> None:
        """Do nothing: nothing moves."""

    def hold(self) -> None:
        """Leave the screen to a question, until :meth:`go_on`."""
        self._held = []

    def go_on(self) -> None:
        """The question is answered, or gone: say what came meanwhile."""
        held, self._held = self._held or [], None
        for text in held:
            self.tell(text)

    def close(self) -> None:
        """Wait until the results are written."""
        if self._results is not None:
            self._results.close()


class _VisitOutput(HumanOutput):
    """The lines of one visit."""

    def __init__(self, machine: str, results: ResultLines | None, screen: ListenOutput) -> None:
        super().__init__(role="receive", name="", results=results, live=None, quiet=False)
        self._machine = machine
        self._screen = screen

    def tell(self, text: str) -> None:
        """Print a line with the machine's name in front."""
        self._screen.tell(f"{self._machine}: {text}")


def _names(names: tuple[str, ...]) -> str:
    if not names:
        return "machines that will be known (rtcsend pair NAME)"
    *others, last = names
    return f"{', '.join(others)} and {last}" if others else last
