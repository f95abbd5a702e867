"""What comes to ``receive --listen``, as it moves: a line for each visit, and the waiting. Pure.

::

    desktop: film.iso     ━━━━━━━      2.4/4.4 GB    62 MB/s     0:32 left direct
    ci: Connecting…
    Waiting for desktop and ci. Ctrl-C ends it.

Each visit's own output draws into its line here as into a line of its own
(:mod:`rtcsend.cli.display`); what it is drawn by is :mod:`rtcsend.cli.live_lines`.
"""

import threading
from collections.abc import Callable
from typing import Final

from rtcsend.cli.figures import TransferState, format_rate, format_size
from rtcsend.cli.rows import FEW_FIGURES, FIGURES, cut, progress_row

_SHORTEST_BAR: Final = 8  # cells; names get what is over that
_SHORTEST_NAME: Final = 8  # cells
_GAPS: Final = 4  # cells


class VisitRow:
    """The line of one visit, drawn into like :class:`rtcsend.cli.live.LiveView`.

    Args:
        machine: Its name, harmless.
        tell: Says what is to stay on the screen.
    """

    def __init__(self, machine: str, tell: Callable[[str], None]) -> None:
        self._machine = machine
        self._tell = tell
        self._status = ""
        self._state: TransferState | None = None

    @property
    def title(self) -> str:
        """Whose it is, and what."""
        name = self._state.name if self._state is not None else ""
        return f"{self._machine}: {name}" if name else self._machine

    def show_status(self, text: str) -> None:
        """Show what is awaited."""
        self._status = text

    def show_progress(self, state: TransferState) -> None:
        """Show how far it is."""
        self._status, self._state = "", state

    def keep(self, state: TransferState) -> None:
        """Show the end of the transfer, and leave the line on the screen."""
        self._tell(
            f"{state.name}  {format_size(state.bytes)}  {format_rate(state.bytes_per_s)}  "
            f"{state.time()}  {state.route}"
        )

    def clear(self) -> None:
        """Forget what is awaited."""
        self._status = ""

    def line(self, *, title: int, width: int) -> str:
        """Return it in ``width`` cells, with the title in ``title`` of them."""
        if self._status or self._state is None:
            return cut(f"{self._machine}: {self._status or '…'}", width=width)
        front = cut(self.title, width=title + 1)
        return progress_row(f"{front:<{title}} ", self._state, width=width)


class VisitsTable:
    """All visits that are under way; lines may be asked for by another thread."""

    def __init__(self) -> None:
        self.waiting = ""
        """What is said below them."""
        self._rows: dict[int, VisitRow] = {}
        self._lock = threading.Lock()

    @property
    def is_idle(self) -> bool:
        """Whether nothing is under way at present."""
        return not self._rows

    def add(self, visit: int, row: VisitRow) -> None:
        """Show one more."""
        with self._lock:
            self._rows[visit] = row

    def remove(self, visit: int) -> None:
        """Show it no more."""
        with self._lock:
            self._rows.pop(visit, None)

    def lines(self, width: int, height: int) -> list[str]:
        """Return the lines to draw, as many as fit.

        Args:
            width: Cells of a line.
            height: Lines at most, two at least.
        """
        with self._lock:
            rows = list(self._rows.values())
        room = height - 1
        shown = rows if len(rows) <= room else rows[: room - 1]
        spare = width - FIGURES - _GAPS - _SHORTEST_BAR
        if spare < _SHORTEST_NAME:
            spare = max(width - FEW_FIGURES - _GAPS, 1)
        title = min(spare, max((len(row.title) for row in shown), default=0))
        lines = [row.line(title=title, width=width) for row in shown]
        if more := len(rows) - len(shown):
            lines.append(cut(f"… and {more} more", width=width))
        return [*lines, cut(self.waiting, width=width)]
