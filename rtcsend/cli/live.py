"""The moving part of the screen: a spinner while something is awaited, then a progress line.

Everything here is drawn by rich, which takes a tenth of a second to import: so this file is
imported when there is something to draw, and never before the code is on the screen.

One line at most is alive at any time. :meth:`LiveView.clear` takes it off the screen as if
it had never been there (a question comes, an error, or Ctrl-C), :meth:`LiveView.keep`
leaves it behind as the record of what was transferred. Both show the cursor again.

Does not: escape (its caller does), nor know of events. Place in the flow: used by
:mod:`rtcsend.cli.display` and :mod:`rtcsend.cli.demo`.
"""

from dataclasses import dataclass
from typing import IO, Final

from rich.cells import cell_len, set_cell_size
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn
from rich.status import Status
from rich.table import Column
from rich.text import Text

from rtcsend.cli.figures import TransferState

_MAX_NAME_WIDTH: Final = 32  # cells
_MIN_NAME_WIDTH: Final = 12  # cells; enough to tell files apart
_BAR_WIDTH: Final = 24  # cells, where there is room
_MIN_BAR_WIDTH: Final = 6  # cells; less tells nothing, and is left out
_FIGURES_WIDTH: Final = 49  # "99.9/99.9 GB 99.9 MB/s 99:59:59 left relay/tcp", gaps, one spare
_FEW_FIGURES_WIDTH: Final = 24  # cells: "99.9/99.9 GB 99.9 MB/s", gaps, one spare
_REFRESH_PER_S: Final = 8  # times a second; progress comes no faster, and eyes want no more


class LiveView:
    """One line of a terminal, drawn over and over.

    Args:
        stream: The terminal.
        width: Cells; None: asks the terminal.
    """

    def __init__(self, stream: IO[str], *, width: int | None = None) -> None:
        self._console = Console(
            file=stream, width=width, highlight=False, markup=False, emoji=False, soft_wrap=False
        )
        self._status: Status | None = None
        self._progress: Progress | None = None
        self._task = TaskID(0)

    def show_status(self, text: str) -> None:
        """Show a spinner and what is awaited."""
        line = Text(text, no_wrap=True, overflow="ellipsis")
        if self._status is not None:
            self._status.update(line)
            return
        self.clear()
        spinner = "dots" if self._console.encoding.startswith("utf") else "line"
        self._status = Status(line, console=self._console, spinner=spinner)
        self._status.start()

    def show_progress(self, state: TransferState) -> None:
        """Show how far it is."""
        if self._progress is None:
            self.clear()
            self._progress = self._make_progress()
            # Without a total the bar is full, and something runs along it.
            self._task = self._progress.add_task("", total=None if state.total is None else 1)
            self._update(self._progress, state)
            self._progress.start()
        else:
            self._update(self._progress, state)

    def keep(self, state: TransferState) -> None:
        """Show the end of the transfer, and leave the line on the screen."""
        self.show_progress(state)
        if self._progress is not None:
            self._progress.stop()
        self._progress = None

    def clear(self) -> None:
        """Take the line off the screen, and show the cursor."""
        if self._status is not None:
            self._status.stop()
        if self._progress is not None:
            self._progress.live.transient = True
            self._progress.stop()
        self._status = self._progress = None

    def _make_progress(self) -> Progress:
        layout = Layout.for_width(self._console.width)
        bar = [BarColumn(bar_width=layout.bar)] if layout.bar else []
        return Progress(
            _text("name"),
            *bar,
            *(_text(name) for name in layout.figures),
            console=self._console,
            refresh_per_second=_REFRESH_PER_S,
        )

    def _update(self, progress: Progress, state: TransferState) -> None:
        layout = Layout.for_width(self._console.width)
        progress.update(
            self._task,
            # An empty file is complete from the start, and 0 of 0 would be drawn as nothing.
            total=None if state.total is None else max(state.total, 1),
            completed=1 if state.total == 0 else state.bytes,
            name=shorten(state.name, width=layout.name),
            **state.figures(),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """How the cells of a line are shared out.

    Attributes:
        name: Cells for the name, at most.
        bar: Cells for the bar; 0: none.
        figures: Which figures follow.
    """

    name: int
    bar: int
    figures: tuple[str, ...]

    @classmethod
    def for_width(cls, width: int) -> "Layout":
        """Return what fits into ``width`` cells: first the figures, then name and bar."""
        spare = width - _FIGURES_WIDTH
        if spare < _MIN_NAME_WIDTH:
            room = max(1, min(width - _FEW_FIGURES_WIDTH, _MAX_NAME_WIDTH))
            return cls(name=room, bar=0, figures=("size", "rate"))
        bar = min(spare * 2 // 5, _BAR_WIDTH)
        if spare - bar < _MIN_NAME_WIDTH or bar < _MIN_BAR_WIDTH:
            bar = 0
        name = min(spare - bar, _MAX_NAME_WIDTH)
        return cls(name=name, bar=bar, figures=("size", "rate", "time", "route"))


def shorten(name: str, *, width: int) -> str:
    """Return ``name`` in at most ``width`` cells, the middle left out: its end says what it is."""
    if cell_len(name) <= width:
        return name
    head = width // 2
    tail = name[-width:]  # more characters than that take more cells, combining marks apart
    while cell_len(tail) > width - head - 1:
        tail = tail[1:]
    return f"{set_cell_size(name, head).rstrip()}…{tail}"


def _text(field: str) -> TextColumn:
    # A name with braces or brackets in it is a value of the format, and never markup.
    return TextColumn(f"{{task.fields[{field}]}}", markup=False, table_column=Column(no_wrap=True))
