"""Several receivers as people see them: a line each while they are served, one when they end. Pure.

::

      1 ━━━━━━━━━━━━━              2.4/4.4 GB    62 MB/s     0:32 left direct
      2 Waiting for the receiver to accept…
      3 ━━━                        0.6/4.4 GB    60 MB/s     1:03 left relay
        3.0/8.8 GB  122 MB/s  1 done, waiting for 2 more

Every text that comes from outside is escaped here. Place in the flow: between the events and
:mod:`rtcsend.cli.several_display`, which has the terminal.
"""

from dataclasses import dataclass, field
from typing import Final

from rtcsend.cli.figures import (
    TransferState,
    format_duration,
    format_part,
    format_rate,
    format_size,
)
from rtcsend.cli.interruptions import Interruption, Interruptions, Words
from rtcsend.cli.route_words import route_column
from rtcsend.cli.rows import cut, progress_row
from rtcsend.cli.terminal import escape
from rtcsend.errors import PeerNeverCame, WrongCode
from rtcsend.events import (
    Checking,
    Connected,
    Done,
    Error,
    Event,
    Paired,
    Progress,
    Reconnecting,
    Resumed,
    Route,
    RouteChanged,
    Stalled,
)

_NUMBER: Final = 6  # cells in front: a number, and blanks around it
_CONNECTING: Final = "Connecting…"
_ASKING: Final = "Waiting for the receiver to accept…"
_GOING_ON: Final = "Connected again. Going on…"


@dataclass(slots=True)
class _Receiver:
    """One that has come with the right words, and has not ended."""

    status: str = _CONNECTING
    route: str = ""
    bytes: int = 0
    total: int = 0
    bytes_per_s: float = 0.0
    was_lost: bool = False
    interruptions: Interruptions = field(default_factory=Interruptions)

    def state(self) -> TransferState:
        return TransferState(
            name="",
            bytes=self.bytes,
            total=self.total,
            bytes_per_s=self.bytes_per_s,
            route=self.route,
        )


class ReceiversTable:
    """All that have come.

    Args:
        wanted: How many are to come; None: as many as like, for ever.
        verify: Show the verification strings.
    """

    def __init__(self, *, wanted: int | None, verify: bool = False) -> None:
        self._wanted = wanted
        self._verify = verify
        self._inside: dict[int, _Receiver] = {}
        self._done = 0
        self._failed = 0

    @property
    def is_idle(self) -> bool:
        """Whether nobody is served at present."""
        return not self._inside

    def observe(self, event: Event) -> Words:
        """Take note of an event about one receiver, and return what to show of it for good.

        Returns:
            ``line`` where a table is on the screen, ``log`` where nothing moves; either may be
            empty.
        """
        number = event.receiver
        assert number is not None, "of one receiver"
        if isinstance(event, Done | Error):
            return self._end(number, event)
        if isinstance(event, Paired):
            return self._paired(number, event)
        receiver = self._inside.get(number)
        if receiver is None:  # what was found while its folder was looked through, at most
            return Words()
        match event:
            case Connected() | RouteChanged():
                return _connected(number, receiver, event)
            case Progress():
                receiver.status = ""
                receiver.bytes, receiver.total = event.bytes, event.total or 0
                receiver.bytes_per_s = event.bytes_per_s
                receiver.interruptions.moved()
            case Reconnecting() | Resumed() | Checking() | Stalled():
                return _interrupted(number, receiver, event)
            case _:
                pass
        return Words()

    def _paired(self, number: int, event: Paired) -> Words:
        self._inside[number] = _Receiver()
        text = f"Receiver {number} has come."
        if self._verify:
            text = f"Receiver {number} has come: {escape(event.verification)}"
        return Words(line=text if self._verify else "", log=text)

    def _end(self, number: int, event: Done | Error) -> Words:
        receiver = self._inside.pop(number, None)
        if isinstance(event, Done):
            self._done += 1
            return _same(f"Receiver {number}: {_done(event, receiver)}")
        if receiver is None and event.code == PeerNeverCame.slug:
            return Words()  # the end of all together says who did not come
        self._failed += receiver is not None
        if receiver is None and event.code == WrongCode.slug:
            return _same(f"Somebody came with a wrong code ({number}).")
        if receiver is None:
            return _same(f"Somebody came, and did not prove the code ({number}).")
        return _same(f"Receiver {number}: {escape(event.message)}")

    def lines(self, *, width: int, height: int) -> list[str]:
        """Return the lines to draw, as many as fit: the receivers that are served, and the sum.

        Args:
            width: Cells of a line.
            height: Lines at most, two at least.
        """
        if not self._inside:
            return [cut(self._sum(), width=width)]
        room = max(height - 1, 1)
        shown = list(self._inside.items())
        if len(shown) > room:
            shown = shown[: room - 1]
        lines = [_line(number, receiver, width=width) for number, receiver in shown]
        more = len(self._inside) - len(shown)
        if more:
            lines.append(cut(f"{'':{_NUMBER}}… and {more} more", width=width))
        return [*lines, cut(f"{'':{_NUMBER}}{self._sum()}", width=width)]

    def _sum(self) -> str:
        moving = [receiver for receiver in self._inside.values() if receiver.total]
        parts = []
        if moving:
            done, total = (
                sum(receiver.bytes for receiver in moving),
                sum(receiver.total for receiver in moving),
            )
            rate = sum(receiver.bytes_per_s for receiver in moving if not receiver.status)
            parts += [f"{format_part(done, total)}  {format_rate(rate)}"]
        ends = [f"{self._done} done"] if self._done else []
        ends += [f"{self._failed} failed"] if self._failed else []
        if self._wanted is None:
            ends.append("waiting for more" if self._inside or ends else "Waiting for somebody…")
        elif left := self._wanted - self._done - self._failed - len(self._inside):
            ends.append(f"waiting for {left} more" if self._inside or ends else _waiting(left))
        return "  ".join([*parts, ", ".join(ends)]).rstrip()


def _waiting(left: int) -> str:
    return f"Waiting for {left} receivers…"


def _same(text: str) -> Words:
    return Words(line=text, log=text)


def _connected(number: int, receiver: _Receiver, event: Route) -> Words:
    receiver.route = route_column(event)
    if isinstance(event, Connected):
        receiver.status = _GOING_ON if receiver.was_lost else _ASKING
    what = "connected" if isinstance(event, Connected) else "better route"
    return Words(log=f"Receiver {number}: {what}, {receiver.route}.")


def _interrupted(number: int, receiver: _Receiver, event: Interruption) -> Words:
    receiver.was_lost = receiver.was_lost or isinstance(event, Reconnecting)
    words = receiver.interruptions.words(event)
    if words.status:
        receiver.status = words.status
    about = f"Receiver {number}: "
    return Words(
        line=about + words.line if words.line else "",
        log=about + words.log if words.log else "",
    )


def _done(event: Done, receiver: _Receiver | None) -> str:
    if not event.blake3:
        return "not sent, it has all of it already."
    rate = format_rate(event.moved / event.seconds if event.seconds > 0 else 0.0)
    route = receiver.route if receiver is not None else ""
    figures = f"{format_size(event.bytes)} in {format_duration(event.seconds)}, {rate}"
    return f"sent and verified. {figures}{', ' if route else ''}{route}."


def _line(number: int, receiver: _Receiver, *, width: int) -> str:
    front = f"{number:>{_NUMBER - 1}} "
    if receiver.status or not receiver.total:
        return cut(front + (receiver.status or _ASKING), width=width)
    return progress_row(front, receiver.state(), width=width)
