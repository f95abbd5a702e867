"""``rtcsend doctor``: what this network allows, found out by asking, and what would help.

::

    TURN turn:relay.example:3478?transport=udp
      ok      allocation   relays at 203.0.113.10:65145, for 600 s             43 ms
      ok      throughput   at least 4.0 MB/s

    Direct connections will work with most peers; symmetric NATs will be relayed.
    Nothing needs to be done.

This is the command; :mod:`rtcsend.doctor.run` checks, :mod:`rtcsend.cli.doctor_report` is the
text for people. With ``--json`` each finding is a line as soon as it is there.
Place in the flow: above everything, like a user. Contract: docs/cli.md, docs/troubleshooting.md.
"""

import math
import os
import sys
from typing import TYPE_CHECKING, Annotated, Final

import typer

from rtcsend.cli import options as opt
from rtcsend.cli.doctor_report import progress_text, report
from rtcsend.cli.results import ResultLines
from rtcsend.cli.signals import Stopper
from rtcsend.cli.terminal import can_redraw, restore
from rtcsend.cli.transfer import OutputGone
from rtcsend.doctor.findings import Check, Conclusion
from rtcsend.errors import UsageError

if TYPE_CHECKING:
    from rtcsend.cli.live import LiveView
    from rtcsend.doctor.run import DoctorOptions

_TIMEOUT: Final = 10.0  # seconds; what somebody who has a problem waits without another one
_LONGEST: Final = 600.0  # seconds; nothing here takes as long

Seconds = Annotated[
    float, typer.Option("--timeout", metavar="SECONDS", help="How long it may take, in all.")
]
NoThroughput = Annotated[
    bool, typer.Option("--no-throughput", help="Do not measure how fast TURN servers are.")
]


def doctor(
    *,
    server: opt.Server = None,
    ice: opt.Ice = None,
    timeout: Seconds = _TIMEOUT,
    no_throughput: NoThroughput = False,
    json: opt.Json = False,
) -> None:
    """Say what this network allows: rendezvous, NAT, relays, and what would help."""
    if not 0 < timeout <= _LONGEST or math.isnan(timeout):
        raise UsageError(
            "--timeout takes a number over 0, and 600 at most.", hint="Leave it out for 10 seconds."
        )
    from rtcsend.doctor.run import DoctorOptions  # noqa: PLC0415 - imports aioice

    options = DoctorOptions(
        server=server or os.environ.get(opt.SERVER_ENVIRONMENT) or None,
        ice=tuple(ice or ()),
        throughput=not no_throughput,
        timeout=timeout,
    )
    conclusion = _Run(options, json=json).run()
    if conclusion.exit:
        raise typer.Exit(conclusion.exit)


class _Run:
    """One run, and who is told of it."""

    def __init__(self, options: "DoctorOptions", *, json: bool) -> None:
        self._options, self._json = options, json
        self._checks: list[Check] = []
        self._view: LiveView | None = None
        self._stopper = Stopper(restore=restore, hint="Run it again.")

    def run(self) -> Conclusion:
        """Examine, and show what was found.

        Raises:
            UsageError: An address cannot be understood.
            StoppedByUser: Ctrl-C or SIGTERM, or nobody reads standard output.
        """
        from rtcsend.doctor.run import examine  # noqa: PLC0415 - imports aioice

        self._results = ResultLines(
            on_broken=lambda: self._stopper.stop(OutputGone("Nobody reads standard output."))
        )
        try:
            if can_redraw(sys.stderr) and not self._json:
                from rtcsend.cli.live import LiveView  # noqa: PLC0415 - imports rich

                self._view = LiveView(sys.stderr)
            self._show_progress()
            conclusion = self._stopper.run(examine(self._options, emit=self._emit))
            self._clear()
            text = conclusion.to_json() if self._json else report(self._checks, conclusion)
            self._results.put(text)
            return conclusion
        finally:
            self._clear()
            self._results.close()

    def _emit(self, check: Check) -> None:
        if self._json:
            self._results.put(check.to_json())
        self._checks.append(check)
        self._show_progress()

    def _show_progress(self) -> None:
        if self._view is not None:
            self._view.show_status(progress_text(self._checks))

    def _clear(self) -> None:
        if self._view is not None:
            self._view.clear()
