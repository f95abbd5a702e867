"""The options for scripts: how long to wait for what, and what to leave behind.

The transfer in the middle is the same; these are wrapped around it, in :func:`run_script`. Place in
the flow: between the commands and :mod:`rtcsend.cli.transfer`. Contract: docs/cli.md, docs/ci.md.
"""

import math
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Final, TypeVar

import typer

from rtcsend.cli.checksums import checksums_in
from rtcsend.cli.display import Output
from rtcsend.cli.idle import end_when_idle
from rtcsend.cli.options import MAX_TIMEOUT
from rtcsend.cli.paths import path_for
from rtcsend.cli.signals import Stopper
from rtcsend.cli.transfer import run_transfer
from rtcsend.cli.waiting import wait_for_code
from rtcsend.errors import UsageError
from rtcsend.events import Done, Event
from rtcsend.options import CommonOptions, Emit
from rtcsend.trace import Recorder

IdleTimeout = Annotated[
    float | None,
    typer.Option(
        "--idle-timeout",
        metavar="SECONDS",
        help="End when nothing has moved for so long, while something should.",
    ),
]
Wait = Annotated[
    float,
    typer.Option(
        "--wait", metavar="SECONDS", help="How long to wait for a code that does not exist yet."
    ),
]
ChecksumFile = Annotated[
    Path | None,
    typer.Option(
        "--checksums",
        metavar="FILE",
        parser=path_for("--checksums"),
        help="Write the BLAKE3 of each file to FILE, as b3sum --check reads it.",
    ),
]
PrintPath = Annotated[
    bool,
    typer.Option("--print-path", help="Print where things are saved to standard output, always."),
]

_WAITING: Final = "There is no such code yet. Looking again…"
Options = TypeVar("Options", bound=CommonOptions)


@dataclass(frozen=True, slots=True, kw_only=True)
class ScriptOptions:
    """What is wrapped around a transfer.

    Attributes:
        idle_timeout: Seconds without a move; None: as long as it takes.
        wait: Seconds to look again for a code that does not exist yet.
        checksums: The file for the digests.
    """

    idle_timeout: float | None = None
    wait: float = 0.0
    checksums: Path | None = None

    def __post_init__(self) -> None:
        """Refuse what is no time.

        Raises:
            UsageError: Something is out of range.
        """
        idle = self.idle_timeout
        if idle is not None and not 0 < idle <= MAX_TIMEOUT:  # also what is no number
            raise UsageError(
                f"--idle-timeout takes more than 0 seconds and at most 30 days, not {idle:g}.",
                hint="Write it in seconds, like 60.",
            )
        if not 0 <= self.wait <= MAX_TIMEOUT or math.isnan(self.wait):
            raise UsageError(
                f"--wait takes 0 to 30 days in seconds, not {self.wait:g}.",
                hint="Write it in seconds, like 600.",
            )


def run_script(
    start: Callable[[Options, Emit], Coroutine[Any, Any, Done]],
    options: Options,
    *,
    script: ScriptOptions,
    output: Output,
    stopper: Stopper,
    recorder: Recorder | None,
) -> None:
    """Run a transfer to its end, with what scripts want around it.

    Args:
        start: Makes the engine's coroutine.
        options: For the engine.
        script: What is wanted around it.
        output: Closed when this returns, or raises.
        stopper: Ends it on a signal.
        recorder: Of the trace, if there is one.

    Raises:
        RtcsendError: Every end but success.
    """
    with checksums_in(script.checksums) as sums:
        wanted = options if sums is None else replace(options, on_digest=sums.add)

        async def run(emit: Emit) -> Done:
            def observe(event: Event) -> None:
                if sums is not None:
                    sums.observe(event)
                emit(event)

            def attempt() -> Coroutine[Any, Any, Done]:
                if script.idle_timeout is None:
                    return start(wanted, observe)
                return end_when_idle(
                    lambda inner: start(wanted, inner), observe, limit=script.idle_timeout
                )

            return await wait_for_code(
                attempt,
                seconds=script.wait,
                near=options.server is None,
                on_wait=lambda: output.tell(_WAITING),
            )

        run_transfer(run, output=output, stopper=stopper, recorder=recorder)
