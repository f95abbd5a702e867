"""What people are told when a transfer does not just go on: lost, stalled, checked, resumed.

Pure. Two forms: a status for the moving line, which the next one replaces, and a line that
stays. Where nothing moves on the screen (a log, a pipe) only the lines are seen, so repeated
news become rarer and rarer there: the 1st, 2nd, 4th, 8th time. Everything is harmless text.

Place in the flow: used by :mod:`rtcsend.cli.display`.
"""

from dataclasses import dataclass

from rtcsend.cli.figures import format_part, format_size
from rtcsend.cli.terminal import escape
from rtcsend.events import Checking, Reconnecting, Resumed, Stalled

Interruption = Reconnecting | Resumed | Checking | Stalled


@dataclass(frozen=True, slots=True, kw_only=True)
class Words:
    """What to show of one event.

    Attributes:
        status: For the moving line; empty: it stays as it is.
        line: To stay on the screen, also where a status is shown; empty: nothing.
        log: To stay where nothing moves; empty: nothing.
    """

    status: str = ""
    line: str = ""
    log: str = ""


class Interruptions:
    """Finds the words, and remembers what was said already."""

    def __init__(self) -> None:
        self._stalls = 0
        self._is_checking = False

    def words(self, event: Interruption) -> Words:
        """Return what to show of ``event``."""
        match event:
            case Reconnecting():
                return self._reconnecting(event)
            case Resumed(bytes=count):
                self._is_checking = False
                line = f"Going on: {format_size(count)} need not be sent again." if count else ""
                return Words(line=line, log=line)
            case Checking(bytes=count, total=total):
                text = f"Checking what is there: {format_part(count, total)}…"
                log = "" if self._is_checking else "Checking what is there already…"
                self._is_checking = True
                return Words(status=text, log=log)
            case Stalled(seconds=seconds, reason=reason):
                self._stalls += 1
                text = f"Nothing moves for {seconds} s. {escape(reason)}"
                return Words(status=text, log=text if _is_rare(self._stalls) else "")

    def moved(self) -> None:
        """It goes on: the next stall is a new one."""
        self._stalls = 0

    def _reconnecting(self, event: Reconnecting) -> Words:
        self._stalls = 0
        reason = escape(event.reason)
        status = f"Reconnecting (attempt {event.attempt})… {reason if event.attempt > 1 else ''}"
        if event.attempt == 1:
            return Words(status=status.rstrip(), line=reason, log=f"{reason} Reconnecting…")
        log = f"Reconnecting (attempt {event.attempt}): {reason}" if _is_rare(event.attempt) else ""
        return Words(status=status, log=log)


def _is_rare(count: int) -> bool:
    """Return whether it is the 1st, 2nd, 4th, 8th, … time."""
    return count & (count - 1) == 0
