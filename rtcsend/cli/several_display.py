"""What people see of a transfer to several receivers; beside :mod:`rtcsend.cli.display`.

On a terminal that can redraw, a line for each receiver moves, with the sum below; who ends
leaves a line behind. Elsewhere every state is a line of its own. Standard output gets the code.

Place in the flow: one of those that are told of events.
"""

import threading
from typing import TYPE_CHECKING

from rtcsend.cli.display import receive_command
from rtcsend.cli.figures import format_size
from rtcsend.cli.receivers_table import ReceiversTable
from rtcsend.cli.results import ResultLines
from rtcsend.cli.terminal import escape, say
from rtcsend.events import Closed, CodeReady, Done, Event, LeftOut

if TYPE_CHECKING:
    from collections.abc import Callable

    from rtcsend.cli.live_lines import Lines, LiveLines


class SeveralOutput:
    """Shows a transfer to several receivers to people.

    Args:
        wanted: How many are to come; None: as many as like, for ever.
        results: Standard output, for scripts; None: people have seen the code.
        live: Makes what moves, given the lines; None: a line for every state.
        quiet: Say nothing but what ``results`` gets.
        server_option: The ``--server`` that the printed command must repeat.
        verify: Show the verification strings.
    """

    def __init__(
        self,
        *,
        wanted: int | None,
        results: ResultLines | None,
        live: "Callable[[Lines], LiveLines] | None",
        quiet: bool,
        server_option: str | None = None,
        verify: bool = False,
    ) -> None:
        self._wanted = wanted
        self._results = results
        self._make_view = None if quiet else live
        self._view: LiveLines | None = None
        self._quiet = quiet
        self._server_option = server_option
        self._table = ReceiversTable(wanted=wanted, verify=verify)
        self._lock = threading.Lock()  # what moves is drawn by a thread of rich
        self._is_held = False
        self._missed: list[str] = []  # a few lines for each receiver
        self._has_code = False

    def emit(self, event: Event) -> None:
        """Show ``event``."""
        if event.receiver is not None:
            with self._lock:
                words = self._table.observe(event)
            self._show(words.log if self._make_view is None else words.line)
            return
        match event:
            case LeftOut():
                what = (
                    f"{escape(event.path)} ({event.reason})"
                    if event.path
                    else f"{event.more:,} more"
                )
                self.tell(f"Left out: {what}")
            case CodeReady():
                self._on_code(event)
            case Closed():
                self._show(f"Nobody else can come for {event.seconds} s: {escape(event.reason)}")
            case Done():
                self.tell(
                    f"Sent to all {self._wanted}, and verified by each. "
                    f"{format_size(event.moved)} in all."
                )
            case _:
                return

    def tell(self, text: str) -> None:
        """Print a harmless line to people, unless they want quiet."""
        if not self._quiet:
            self.clear()
            say(text)

    def clear(self) -> None:
        """Take what moves off the screen."""
        if self._view is not None:
            self._view.clear()

    def hold(self) -> None:
        """Leave the screen to a question, until :meth:`go_on`."""
        self.clear()
        self._is_held = True

    def go_on(self) -> None:
        """The question is answered, or gone: say what came meanwhile."""
        self._is_held = False
        missed, self._missed = self._missed, []
        self._show("\n".join(missed))

    def close(self) -> None:
        """Take what moves off the screen, and wait until the results are written."""
        self.clear()
        if self._results is not None:
            self._results.close()

    def _on_code(self, event: CodeReady) -> None:
        if self._has_code:
            self.tell("That code was guessed at too often. From now on it is another one:")
        elif self._wanted is None:
            self.tell("On the other machines, run:")
        else:
            self.tell(f"On each of the {self._wanted} other machines, run:")
        self._has_code = True
        self.tell(f"    {receive_command(event.code, server=self._server_option)}")
        if self._results is not None:
            self._results.put(event.code)
        self._show("" if self._make_view else "Waiting for the receivers…")

    def _show(self, text: str) -> None:
        """Say something, and draw what moves below it."""
        if self._is_held:
            self._missed += [text] if text else []
            return
        if text:
            self.tell(text)
        if self._make_view is None:
            return
        if self._view is None:
            self._view = self._make_view(self._lines)
        self._view.show(is_still=self._table.is_idle)

    def _lines(self, width: int, height: int) -> list[str]:
        with self._lock:
            return self._table.lines(width=width, height=height)
