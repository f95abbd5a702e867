"""``rtcsend receive --listen``: many visits, one screen, until somebody stops it.

::

    Waiting for desktop and ci. Ctrl-C ends it.
    desktop: film.iso  4.4 GB  from desktop
    desktop: Saved inbox/film.iso (BLAKE3 verified)
    ci: The connection was lost, … Run both commands again …

Every visit has the lines of a transfer, with the machine's name in front. On a terminal that can
redraw, those that are under way move below (:mod:`rtcsend.cli.visits_table`); elsewhere every state
is a line of its own, and so is progress, now and then. Place in the flow: in the place of
:mod:`rtcsend.cli.transfer`'s output.
"""

import sys
import time
from typing import TYPE_CHECKING, Any, NoReturn

from rtcsend.cli.display import HumanOutput, Output
from rtcsend.cli.json_output import JsonOutput
from rtcsend.cli.memory import tune_memory
from rtcsend.cli.results import ResultLines
from rtcsend.cli.signals import Stopper
from rtcsend.cli.terminal import can_redraw, escape, is_terminal, say
from rtcsend.cli.transfer import (
    OutputGone,
    OutputOptions,
    make_live_lines,
    make_plain_progress,
)
from rtcsend.cli.visits_table import VisitRow, VisitsTable
from rtcsend.events import Done, Error, Event, Paired, Refusal, Waiting

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from rtcsend.cli.figures import TransferState
    from rtcsend.cli.live_lines import Lines, LiveLines
    from rtcsend.options import Emit
    from rtcsend.trace import Recorder


def make_listen_output(options: OutputOptions, *, stopper: Stopper) -> Output:
    """Return whoever is to be told what happens."""

    def make_results() -> ResultLines:
        return ResultLines(on_broken=lambda: stopper.stop(OutputGone("Nobody reads.")))

    if options.json:
        return JsonOutput(results=make_results(), clock=time.monotonic)
    on_screen = is_terminal(sys.stdout) and is_terminal(sys.stderr) and not options.print_path
    moves = can_redraw(sys.stderr) and not options.no_progress
    return ListenOutput(
        results=None if on_screen else make_results(),
        live=make_live_lines if moves else None,
        make_plain=None if moves or options.no_progress else make_plain_progress,
        quiet=options.quiet,
    )


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
        live: Makes what moves, given the lines; None: a line for every state.
        make_plain: Makes, for a visit, what makes the line for how far it is, where nothing moves;
            None: there is none.
        quiet: Say nothing but what ``results`` gets.
    """

    def __init__(
        self,
        *,
        results: ResultLines | None,
        quiet: bool,
        live: "Callable[[Lines], LiveLines] | None" = None,
        make_plain: "Callable[[], Callable[[TransferState], str]] | None" = None,
    ) -> None:
        self._results = results
        self._quiet = quiet
        self._make_view = None if quiet else live
        self._view: LiveLines | None = None
        self._make_plain = make_plain
        self._table = VisitsTable()
        self._visits: dict[int, HumanOutput] = {}
        self._held: list[str] | None = None
        """What is to be said when a question is answered; None: nothing is asked."""

    def emit(self, event: Event) -> None:
        """Show ``event``."""
        match event:
            case Waiting():
                self._on_waiting(f"Waiting for {_names(event.machines)}. Ctrl-C ends it.")
            case Refusal():
                self.tell(escape(event.reason))
            case Paired(visit=int(visit), machine=machine):
                self._visits[visit] = self._output_of(visit, machine or "")
            case Error(visit=int(visit)):
                if output := self._visits.get(visit):
                    output.tell(f"{escape(event.message)} {escape(event.hint)}")
                    self._end(visit)
            case _ if event.visit in self._visits:
                self._visits[event.visit].emit(event)
                if isinstance(event, Done):
                    self._end(event.visit)
            case _:
                return
        self._draw()

    def tell(self, text: str) -> None:
        """Print a harmless line to people, unless they want quiet."""
        if self._quiet:
            return
        if self._held is not None:
            self._held.append(text)
        else:
            self.clear()
            say(text)

    def clear(self) -> None:
        """Take what moves off the screen, until the next event."""
        if self._view is not None:
            self._view.clear()

    def hold(self) -> None:
        """Leave the screen to a question, until :meth:`go_on`."""
        self.clear()
        self._held = []

    def go_on(self) -> None:
        """The question is answered, or gone: say what came meanwhile."""
        held, self._held = self._held or [], None
        for text in held:
            self.tell(text)
        self._draw()

    def close(self) -> None:
        """Take what moves off the screen, and wait until the results are written."""
        self._make_view = None
        self.clear()
        if self._results is not None:
            self._results.close()

    def _on_waiting(self, text: str) -> None:
        self._table.waiting = text
        if self._make_view is None:
            self.tell(text)

    def _output_of(self, visit: int, machine: str) -> HumanOutput:
        plain = None if self._make_plain is None else self._make_plain()
        output = _VisitOutput(machine, self._results, self, plain=plain)
        if self._make_view is not None:
            row = VisitRow(machine, output.tell)
            output.draw_into(row)
            self._table.add(visit, row)
        return output

    def _end(self, visit: int) -> None:
        del self._visits[visit]
        self._table.remove(visit)

    def _draw(self) -> None:
        if self._make_view is None or self._held is not None:
            return
        if self._view is None:
            self._view = self._make_view(self._table.lines)
        self._view.show(is_still=self._table.is_idle)


class _VisitOutput(HumanOutput):
    """The lines of one visit."""

    def __init__(
        self,
        machine: str,
        results: ResultLines | None,
        screen: ListenOutput,
        *,
        plain: "Callable[[TransferState], str] | None",
    ) -> None:
        super().__init__(
            role="receive", name="", results=results, live=None, plain=plain, quiet=False
        )
        self._machine = machine
        self._screen = screen

    def draw_into(self, row: VisitRow) -> None:
        """Have what moves in a line of a table."""
        self._make_view = lambda: row
        row.show_status("Connecting…")

    def tell(self, text: str) -> None:
        """Print a line with the machine's name in front."""
        self._screen.tell(f"{self._machine}: {text}")


def _names(names: tuple[str, ...]) -> str:
    if not names:
        return "machines that will be known (rtcsend pair NAME)"
    *others, last = names
    return f"{', '.join(others)} and {last}" if others else last
