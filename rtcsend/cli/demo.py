"""``rtcsend demo``: a real transfer between two processes on this machine, with its figures.

::

    random file ──▶ rtcsend send ═══ rendezvous, DTLS, SCTP ═══▶ rtcsend receive ──▶ copy
         └── BLAKE3 ───────────────── compared ──────────────────────────── BLAKE3 ──┘

The sender runs the rendezvous, and the receiver finds it as it would for a user: in a
runtime folder of their own, so that the demo meets nobody else. What they report is not
believed: the copy's digest is computed here. Everything is in one temporary folder, which
is gone afterwards, also after Ctrl-C; the two children are ended by their process ids.

This is the command, its report and its signals; :mod:`rtcsend.cli.demo_run` is the transfer.
Place in the flow: above everything, like a user. Contract: docs/cli.md.
"""

import contextlib
import os
import signal
import sys
from collections.abc import Iterator
from types import FrameType
from typing import TYPE_CHECKING, Annotated

import typer

from rtcsend.cli import options as opt
from rtcsend.cli.figures import format_rate, format_size, parse_size
from rtcsend.cli.results import write_all
from rtcsend.cli.signals import SIGNALS, stopped_by
from rtcsend.cli.terminal import can_redraw

if TYPE_CHECKING:
    from rtcsend.cli.demo_run import DemoDone
    from rtcsend.errors import StoppedByUser

Size = Annotated[
    str, typer.Option("--size", metavar="SIZE", help="How much to transfer, like 256M or 4G.")
]


def demo(
    *, size: Size = "256M", json: opt.Json = False, no_progress: opt.NoProgress = False
) -> None:
    """Transfer a random file between two processes here, verify it, show the figures."""
    from rtcsend.cli.demo_run import Demo, temporary_folder  # noqa: PLC0415 - imports blake3

    count = parse_size(size, option="--size")
    view = None
    if can_redraw(sys.stderr) and not no_progress and not json:
        from rtcsend.cli.live import LiveView  # noqa: PLC0415 - imports rich

        view = LiveView(sys.stderr)
    stop = Stop()
    with stop.installed(), temporary_folder(count) as folder:
        try:
            done = Demo(folder, size=count, view=view, forward=json, check=stop.check).run()
        finally:
            if view is not None:
                view.clear()
    text = done.to_json() if json else _report(done)
    with contextlib.suppress(OSError):  # nobody reads it
        write_all(sys.stdout.fileno(), os.fsencode(text + "\n"))


def _report(done: "DemoDone") -> str:
    """Return the figures for people."""
    sender, receiver = (
        "unknown" if peak is None else format_size(peak)
        for peak in (done.sender_peak_bytes, done.receiver_peak_bytes)
    )
    return "\n".join(
        (
            f"{format_size(done.bytes)} went from one process to another, and arrived whole.",
            f"  rate         {format_rate(done.bytes_per_s)}",
            f"  set-up       {done.setup_seconds:.2f} s from receive's start to its first byte",
            f"  route        {done.route}",
            f"  peak memory  sender {sender}, receiver {receiver}",
            f"  BLAKE3       {done.blake3}",
        )
    )


class Stop:
    """Remembers the first signal until somebody asks.

    A handler that raised an exception of its own would do so anywhere: between the start of
    a child, say, and the line that remembers to end it.
    """

    def __init__(self) -> None:
        self._reason: StoppedByUser | None = None

    def check(self) -> None:
        """Raise if a signal came.

        Raises:
            Interrupted: SIGINT.
            Terminated: SIGTERM or SIGHUP.
        """
        if self._reason is not None:
            self._reason.hint = "Nothing is left of it; run it again."
            raise self._reason

    @contextlib.contextmanager
    def installed(self) -> Iterator[None]:
        """Hear signals."""
        before = {number: signal.signal(number, self._on_signal) for number in SIGNALS}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        self._reason = self._reason or stopped_by(number)
