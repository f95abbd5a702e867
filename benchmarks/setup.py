"""How long it takes until bytes flow, from ``rtcsend receive CODE`` on.

Three moments: the channels are open; the first byte of the file has come; the user sees the
first progress. Cold: a process that is started for it. Warm: a process
that has received before, so that everything is imported and only the network's turns count.
"""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from benchmarks.commands import Command, random_file, sender
from benchmarks.figures import Figure, figure

MOMENTS = {
    "connected": "channels open",
    "first-byte": "first byte",
    "progress": "first progress event",
}


def measure(folder: Path, *, runs: int) -> Iterator[Figure]:
    """Measure both."""
    source = random_file(folder / "setup.bin", 200_000)
    yield from _figures("cold", [_cold(source, folder) for _ in range(runs)], goal="< 1")
    yield from _figures("warm", _warm(source, folder, runs=runs), goal="< 0.25")


def _figures(kind: str, samples: list[dict[str, float]], *, goal: str) -> Iterator[Figure]:
    for moment, title in MOMENTS.items():
        yield figure(
            "setup",
            f"{kind}: {title}",
            "s",
            [sample[moment] for sample in samples],
            goal=goal if moment == "progress" else "",
        )


def _cold(source: Path, folder: Path) -> dict[str, float]:
    with ExitStack() as stack:
        sending, code = stack.enter_context(sender(source, folder=folder))
        receiver = stack.enter_context(
            Command("-m", "benchmarks.receiver", "cold", code, folder, folder=folder)
        )
        moments = receiver.wait_for("moments")
        receiver.finish()
        sending.finish()
    return {moment: _number(moments, moment) - receiver.started_at for moment in MOMENTS}


def _warm(source: Path, folder: Path, *, runs: int) -> list[dict[str, float]]:
    samples = []
    command = Command("-m", "benchmarks.receiver", "warm", folder, folder=folder, stdin=True)
    with command as receiver:
        for _ in range(runs + 1):
            with sender(source, folder=folder) as (sending, code):
                receiver.write_line(code)
                moments = receiver.wait_for("moments")
                sending.finish()
            called_at = _number(moments, "called")
            samples.append({moment: _number(moments, moment) - called_at for moment in MOMENTS})
    return samples[1:]  # the first one warmed it


def _number(moments: dict[str, Any], name: str) -> float:
    return float(moments[name])
