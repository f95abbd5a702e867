"""``--json``: every event as one line of JSON on standard output.

The form of the lines is :meth:`rtcsend.events.Event.to_json`; docs/cli.md shows all of
them. Progress comes at most four times a second. Place in the flow: one of the two
receivers of events, beside :mod:`rtcsend.cli.display`.
"""

from collections.abc import Callable
from typing import Final

from rtcsend.cli.results import ResultLines
from rtcsend.events import Checking, Done, Error, Event, Progress, Reconnecting, Stalled

PROGRESS_INTERVAL: Final = 0.25  # seconds; what people's eyes and log files bear


class JsonOutput:
    """Prints events for programs; says nothing to people.

    Args:
        results: Where lines go.
        clock: Monotonic seconds.
    """

    def __init__(self, *, results: ResultLines, clock: Callable[[], float]) -> None:
        self._results = results
        self._clock = clock
        self._next_progress: dict[int | None, float] = {}  # of each of several

    def emit(self, event: Event) -> None:
        """Print ``event``; progress only when some time has passed, and when it is complete."""
        if isinstance(event, Reconnecting | Stalled):
            # There may be thousands of them; that the path is lost is told in any case.
            is_first = isinstance(event, Reconnecting) and event.attempt == 1
            self._results.put(event.to_json(), droppable=not is_first)
            return
        if not isinstance(event, Progress | Checking):
            if isinstance(event, Done | Error):
                self._next_progress.pop(event.receiver or event.visit, None)
            self._results.put(event.to_json())
            return
        now, which = self._clock(), event.receiver or event.visit
        is_last = event.total is not None and event.bytes >= event.total
        if now < self._next_progress.get(which, now) and not is_last:
            return
        self._next_progress[which] = now + PROGRESS_INTERVAL
        self._results.put(event.to_json(), droppable=not is_last)

    def tell(self, text: str) -> None:
        """Drop ``text``: it is for people."""

    def clear(self) -> None:
        """Do nothing: there is nothing on the screen."""

    def hold(self) -> None:
        """Do nothing: the question is on standard error."""

    def go_on(self) -> None:
        """Do nothing."""

    def close(self) -> None:
        """Wait until all lines are written."""
        self._results.close()
