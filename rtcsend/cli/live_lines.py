"""A few lines of a terminal, drawn over and over; gone when they are cleared.

Drawn by rich, so imported when there is something to draw. Does not: escape, nor know of events.
Place in the flow: used by :mod:`rtcsend.cli.several_display`.
"""

from collections.abc import Callable
from typing import IO, Final

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

_REFRESH_PER_S: Final = 8  # times a second; eyes want no more
_KEPT_FREE: Final = 3  # lines of the terminal: what was said last stays in sight

Lines = Callable[[int, int], list[str]]
"""Returns the lines for so many cells and so many lines at most."""


class LiveLines:
    """Lines at the bottom of a terminal.

    Args:
        stream: The terminal.
        lines: Asked for the lines whenever they are drawn.
        width: Cells; None: asks the terminal.
        height: Lines; None: asks the terminal.
    """

    def __init__(
        self, stream: IO[str], lines: Lines, *, width: int | None = None, height: int | None = None
    ) -> None:
        self._console = Console(
            file=stream,
            width=width,
            height=height,
            highlight=False,
            markup=False,
            emoji=False,
            soft_wrap=False,
        )
        self._lines = lines
        self._live: Live | None = None
        self._is_still = False

    def show(self, *, is_still: bool = False) -> None:
        """Draw, and go on drawing.

        Args:
            is_still: Nothing moves: draw once, for nobody looks at a screen that waits for days.
        """
        if self._live is not None and self._is_still is not is_still:
            self.clear()
        self._is_still = is_still
        if self._live is None:
            self._live = Live(
                console=self._console,
                get_renderable=self._render,
                transient=True,
                auto_refresh=not is_still,
                refresh_per_second=_REFRESH_PER_S,
                vertical_overflow="crop",
                redirect_stdout=False,
                redirect_stderr=False,
            )
            self._live.start(refresh=True)
        elif is_still:
            self._live.refresh()

    def clear(self) -> None:
        """Take the lines off the screen, and show the cursor."""
        live, self._live = self._live, None
        if live is not None:
            live.stop()

    def _render(self) -> Group:
        width, height = self._console.size
        lines = self._lines(width, max(height - _KEPT_FREE, 2))
        return Group(*(Text(line, no_wrap=True, overflow="crop") for line in lines))
