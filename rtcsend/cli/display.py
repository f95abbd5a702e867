"""What people see of a transfer, on standard error; and what scripts read without --json.

::

    On the other machine, run:                  film.iso  4.4 GB  from ada-laptop
        rtcsend receive 7-guitar-velvet         Accept? [Y/n] y
    film.iso ━━━━━━ 4.4/4.4 GB 182 MB/s …       film.iso ━━━━━━ 4.4/4.4 GB 182 MB/s …
    Sent. Verified by the receiver.             Saved film.iso (BLAKE3 verified)

On a terminal that can redraw, a spinner and a progress line move (:mod:`rtcsend.cli.live`);
elsewhere every state is a line of its own, and so is progress, now and then
(:mod:`rtcsend.cli.plain`). Standard output gets the result for scripts, one line: the code
(send), the path (receive).

Does not: ask (:mod:`rtcsend.cli.questions`). Every text from outside is escaped here.
Place in the flow: one of the two receivers of events, beside :mod:`rtcsend.cli.json_output`.
"""

import shlex
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Final, Literal, Protocol

from rtcsend.cli.figures import (
    TransferState,
    format_rate,
    format_size,
)
from rtcsend.cli.interruptions import Interruption, Interruptions, Words
from rtcsend.cli.proposal_view import count, made_safe, proposal_name
from rtcsend.cli.results import ResultLines
from rtcsend.cli.route_words import route_column, route_line
from rtcsend.cli.terminal import escape, say
from rtcsend.events import (
    Checking,
    CodeReady,
    Connected,
    Done,
    Event,
    LeftOut,
    Paired,
    Progress,
    Proposal,
    Reconnecting,
    Resumed,
    Route,
    RouteChanged,
    Scanning,
    Stalled,
    Waiting,
)
from rtcsend.options import STDOUT

if TYPE_CHECKING:
    from collections.abc import Callable

    from rtcsend.cli.live import LiveView
    from rtcsend.cli.visits_table import VisitRow

    View = LiveView | VisitRow

Role = Literal["send", "receive"]

_MAX_SAVED: Final = 10  # lines of what is saved; scripts get all of them
_WAITING = "Waiting for the other side…"
_OTHER_DOES: Final[dict[Role, str]] = {"send": "receive", "receive": "send"}
_CONNECTING = "Connecting…"
_ASKING = "Waiting for the receiver to accept…"
_GOING_ON = "Connected again. Going on…"


class Output(Protocol):
    """Whoever is told what happens: people or programs."""

    def emit(self, event: Event) -> None:
        """Show an event; called on the event loop, and returns at once."""
        ...

    def tell(self, text: str) -> None:
        """Say something harmless to people, if people are listening."""
        ...

    def clear(self) -> None:
        """Take what moves off the screen: an error comes."""
        ...

    def hold(self) -> None:
        """Leave the screen to a question, until :meth:`go_on`."""
        ...

    def go_on(self) -> None:
        """The question is answered, or gone."""
        ...

    def close(self) -> None:
        """End: clear, and write what is still to be written."""
        ...


class HumanOutput:
    """Shows a transfer to people.

    Args:
        role: Which side this is.
        name: What is sent, as far as it is known before the proposal.
        results: Standard output, for scripts; None: it is the same terminal, and people
            have seen it all.
        live: Makes the view that moves, when there is first something to draw: making it
            imports rich. None: a line for every state.
        plain: Makes the line for how far it is, where nothing moves; None: there is none.
        quiet: Say nothing but what ``results`` gets.
        server_option: The ``--server`` that the printed command must repeat.
        verify: Show the verification string.
    """

    def __init__(
        self,
        *,
        role: Role,
        name: str,
        results: ResultLines | None,
        live: "Callable[[], View] | None",
        plain: "Callable[[TransferState], str] | None" = None,
        quiet: bool,
        server_option: str | None = None,
        verify: bool = False,
    ) -> None:
        self._role = role
        self._name = escape(name)
        self._results = results
        self._make_view = None if quiet else live
        self._view: View | None = None
        self._plain = plain
        self._quiet = quiet
        self._server_option = server_option
        self._verify = verify
        self._route = ""
        self._renamed = 0
        self._interruptions = Interruptions()
        self._was_lost = False
        self._is_held = False
        self._missed = Words()

    def emit(self, event: Event) -> None:
        """Show ``event``."""
        match event:
            case Scanning() | LeftOut():
                self._on_scan(event)
            case CodeReady() | Waiting():
                self._on_waiting(event)
            case Paired():
                self._on_paired(event)
            case Connected():
                self._on_connected(event)
            case RouteChanged():
                self._on_route(event)
            case Proposal():
                self._on_proposal(event)
            case Progress():
                self._on_progress(event)
            case Reconnecting() | Resumed() | Checking() | Stalled():
                self._on_interruption(event)
            case Done():
                self._on_done(event)
            case _:  # an event of a later version
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
        self._missed = Words()

    def go_on(self) -> None:
        """The question is answered, or gone: show what came meanwhile."""
        self._is_held = False
        self._show(self._missed)

    def close(self) -> None:
        """Take what moves off the screen, and wait until the results are written."""
        self.clear()
        if self._results is not None:
            self._results.close()

    def _on_scan(self, event: Scanning | LeftOut) -> None:
        if isinstance(event, LeftOut):
            what = (
                f"{escape(event.path)} ({event.reason})" if event.path else f"{event.more:,} more"
            )
            self.tell(f"Left out: {what}")
        elif view := self._live_view():
            found = f"{event.entries:,} files and folders, {format_size(event.bytes)}"
            view.show_status(f"Looking through what is to be sent: {found}…")

    def _on_waiting(self, event: CodeReady | Waiting) -> None:
        if isinstance(event, Waiting):
            names = " or ".join(event.machines)
            self._state(f"Waiting for {names} to {_OTHER_DOES[self._role]}…")
            return
        self.tell("On the other machine, run:")
        self.tell(f"    {receive_command(event.code, server=self._server_option)}")
        if self._results is not None:
            self._results.put(event.code)
        self._state(_WAITING)

    def _on_paired(self, event: Paired) -> None:
        # The sender's question shows the string; the receiver only compares.
        if self._verify and self._role == "receive":
            self.tell(f"Verification: {escape(event.verification)}")
        self._state(_CONNECTING)

    def _on_route(self, event: Route) -> None:
        """Note how the bytes go; where nothing moves on the screen, say so."""
        self._route = route_column(event)
        if self._make_view is None:
            what = "Connected" if isinstance(event, Connected) else "Better route"
            self.tell(f"{what}: {route_line(event)}.")

    def _on_connected(self, event: Connected) -> None:
        self._on_route(event)
        if self._was_lost:
            self._state(_GOING_ON)
        elif self._role == "send":
            self._state(_ASKING)

    def _on_proposal(self, event: Proposal) -> None:
        if self._role == "receive":
            self._name = proposal_name(event)
            self._renamed = event.renamed
            self.clear()

    def _on_interruption(self, event: Interruption) -> None:
        self._was_lost = self._was_lost or isinstance(event, Reconnecting)
        self._show(self._interruptions.words(event))

    def _show(self, words: Words) -> None:
        if self._is_held:
            self._missed = words
        elif view := self._live_view():
            if words.line:
                self.tell(words.line)
            if words.status:
                view.show_status(words.status)
        elif words.log:
            self.tell(words.log)

    def _on_progress(self, event: Progress) -> None:
        self._interruptions.moved()
        state = TransferState(
            name=self._name,
            bytes=event.bytes,
            total=event.total,
            bytes_per_s=event.bytes_per_s,
            route=self._route,
        )
        if view := self._live_view():
            view.show_progress(state)
        elif self._plain is not None and (text := self._plain(state)):
            self.tell(text)

    def _on_done(self, event: Done) -> None:
        if event.blake3 and event.text is None:
            self._show_figures(event)
        for line in self._done_lines(event):
            self.tell(line)
        if self._results is not None and self._role == "receive":
            for path in event.paths:
                self._results.put(path)

    def _show_figures(self, event: Done) -> None:
        if len(event.paths) > 1 and event.files:
            self._name = count(event.files, "file")  # the same on both sides
        state = TransferState(
            name=self._name,
            bytes=event.bytes,
            total=event.bytes,
            bytes_per_s=event.moved / event.seconds if event.seconds > 0 else 0.0,
            seconds=event.seconds,
            route=self._route,
        )
        if view := self._live_view():
            view.keep(state)
        else:
            rate = format_rate(state.bytes_per_s)
            self.tell(
                f"{self._name}  {format_size(state.bytes)}  {rate}  {state.time()}  {state.route}"
            )

    def _done_lines(self, event: Done) -> list[str]:
        if self._role == "send":
            return [
                "Sent. Verified by the receiver."
                if event.blake3
                else "Not sent: the receiver has all of it already, and skipped it."
            ]
        if event.text is not None:
            return ["Text received (BLAKE3 verified)."]
        if not event.blake3:
            return [f"Skipped {self._name}: it is there already."]
        lines = [_saved(path) for path in event.paths[:_MAX_SAVED]]
        more = len(event.paths) - len(lines)
        if more:
            lines.append(f"… and {more:,} more")
        return [*lines, f"{made_safe(self._renamed)}."] if self._renamed else lines

    def _state(self, text: str) -> None:
        if self._is_held:
            self._missed = Words(status=text, log=text)
        elif view := self._live_view():
            view.show_status(text)
        else:
            self.tell(text)

    def _live_view(self) -> "View | None":
        if self._view is None and self._make_view is not None:
            self._view = self._make_view()
        return self._view


def receive_command(code: str, *, server: str | None) -> str:
    """Return what to type on the other machine, ready for its shell."""
    command = f"rtcsend receive {code}"
    return f"{command} --server {shlex.quote(escape(server))}" if server else command


def _saved(path: str) -> str:
    if path == str(STDOUT):
        return "Written to standard output (BLAKE3 verified)"
    return f"Saved {escape(_shown_path(path))} (BLAKE3 verified)"


def _shown_path(path: str) -> str:
    """Return a path as people want it: relative where it is below the current folder."""
    try:
        return str(PurePath(path).relative_to(Path.cwd()))
    except (ValueError, OSError):  # elsewhere; or the current folder is gone
        return path
