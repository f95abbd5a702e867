"""How far a transfer is, where nothing moves on the screen: a line now and then.

For screen readers, which read each line aloud, and for logs, which keep each: the first after a few
seconds, then rarer and rarer, those of an hour some fifty. Pure: time comes in as ``now``.

Place in the flow: used by :mod:`rtcsend.cli.display`.
"""

from typing import Final

from rtcsend.cli.figures import TransferState, format_rate

INTERVAL: Final = 5.0  # seconds between two lines, at least; a short transfer has none
RARER: Final = 0.1  # of the time that it has taken so far, when that is more


class PlainProgress:
    """Says when a line is due, and what is in it."""

    def __init__(self) -> None:
        self._started: float | None = None
        self._told = 0.0

    def line(self, state: TransferState, *, now: float) -> str:
        """Return what to say; empty: nothing, it is too early or it is about to end."""
        if self._started is None:
            self._started = self._told = now
        pause = max(INTERVAL, RARER * (now - self._started))
        if now - self._told < pause or state.bytes == state.total:
            return ""
        self._told = now
        figures = (*_share(state), format_rate(state.bytes_per_s), state.time())
        return ", ".join(filter(None, figures))


def _share(state: TransferState) -> tuple[str, ...]:
    size = str(state.figures()["size"])
    return (f"{state.bytes * 100 // state.total} %", size) if state.total else (size,)
