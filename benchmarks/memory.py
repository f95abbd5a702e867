"""How much memory each side takes at most, for a file that is larger than any buffer.

The file is of random bytes, written and read for real; the peaks are those that the
operating system kept of the two processes.
"""

from collections.abc import Iterator
from pathlib import Path

from benchmarks.commands import Command
from benchmarks.figures import Figure, figure

SMALL = 1_000_000  # bytes; what the processes take anyway


def measure(folder: Path, *, size: int) -> Iterator[Figure]:
    """Measure a small file, and one of ``size`` bytes."""
    for count, goal in ((SMALL, ""), (size, "< 150")):
        command = ("-m", "rtcsend", "demo", "--json", "--size", str(count))
        with Command(*command, folder=folder) as demo:
            done = demo.wait_for("demo")
        for side in ("sender", "receiver"):
            peak = done[f"{side}_peak_bytes"]
            if peak is not None:
                name = f"{side}, {count // 1_000_000} MB"
                yield figure("memory", name, "MB", [peak / 1e6], goal=goal)
        yield figure(
            "memory", f"rate of these {count // 1_000_000} MB", "MB/s", [done["bytes_per_s"] / 1e6]
        )
