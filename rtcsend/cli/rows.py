"""One transfer of several in one line of a terminal: what it is, a bar, figures. Pure.

Place in the flow: used by the tables, :mod:`rtcsend.cli.receivers_table` and
:mod:`rtcsend.cli.visits_table`.
"""

from typing import Final

from rtcsend.cli.figures import TransferState

FIGURES: Final = 47  # cells: "99.9/99.9 GB 99.9 MB/s 99:59:59 left relay/tcp"
FEW_FIGURES: Final = 23  # cells: "99.9/99.9 GB 99.9 MB/s"
_BAR: Final = 26  # cells, where there is room
_GAPS: Final = 3  # cells


def progress_row(front: str, state: TransferState, *, width: int) -> str:
    """Return a line for how far it is; where there is little room, with fewer figures.

    Args:
        front: What stands before the bar, with its blank.
        state: How far it is.
        width: Cells of the terminal.
    """
    figures = state.figures()
    text = f"{figures['size']:>12} {figures['rate']:>10}"
    spare = width - len(front) - FIGURES - _GAPS
    if spare < 0:
        return cut(front + text, width=width)
    text += f" {figures['time']:>13} {figures['route']}"
    bar = min(spare, _BAR)
    filled = bar * min(state.bytes, state.total) // state.total if state.total else 0
    return cut(f"{front}{'━' * filled:<{bar}} {text}", width=width)


def cut(text: str, *, width: int) -> str:
    """Return a line that surely stays one: the last cell of a terminal is left free."""
    return text if len(text) < width else text[: max(width - 2, 0)] + "…"
