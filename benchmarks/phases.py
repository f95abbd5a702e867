"""Where the seconds of a whole command go, from its start to the end of both processes.

The sender is as ready as it is for a person. The moments are the receiver's events, so the
parts add up to what a user waits: start and pairing, the connection, until the first byte is
reported, the bytes, verification with sync and rename, and the end of the processes. The same
three times: to a folder on the disk, to one in memory (where there is ``/dev/shm``), and to
standard output, where nothing is written at all: what the disk costs is their difference.

    python -m benchmarks.phases [--size 1G] [--transfers 3]
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

from benchmarks.commands import environment, random_file, sender
from benchmarks.figures import Figure, as_text, figure
from benchmarks.machine import this_machine
from rtcsend.cli.figures import parse_size

MEMORY = Path("/dev/shm")
PHASES = {
    "paired": "start, to the pairing",
    "connected": "to the open channels",
    "progress": "to the first progress",
    "last": "the bytes",
    "done": "verified, synced, renamed",
    "end": "the end of both processes",
}


def measure(folder: Path, *, size: int, runs: int) -> Iterator[Figure]:
    """Measure transfers of ``size`` bytes."""
    source = random_file(folder / "phases.bin", size)
    outputs = {"disk": str(folder / "phases.copy"), "standard output": "-"}
    if MEMORY.is_dir() and shutil.disk_usage(MEMORY).free > 2 * size:
        outputs["memory"] = str(MEMORY / f"rtcsend-phases-{os.getpid()}")
    samples: dict[str, list[dict[str, float]]] = {name: [] for name in outputs}
    try:
        for _ in range(runs):
            for name, output in outputs.items():
                samples[name].append(_transfer(source, output, folder))
    finally:
        Path(outputs.get("memory", folder / "none")).unlink(missing_ok=True)
    for name, each in samples.items():
        for phase, title in PHASES.items():
            yield figure("phases", f"{name}: {title}", "s", [one[phase] for one in each])
        whole = [sum(one[phase] for phase in PHASES) for one in each]
        rates = [size / 1e6 / seconds for seconds in whole]
        yield figure("phases", f"{name}: whole command", "MB/s", rates)
        cpu = [one["cpu"] / size * 1e9 for one in each]
        yield figure("phases", f"{name}: CPU of the receiver", "s/GB", cpu)


def _transfer(source: Path, output: str, folder: Path) -> dict[str, float]:
    """Return the seconds of each phase, and of CPU."""
    with sender(source, folder=folder) as (sending, code):
        options = ["--json", "--yes", "--overwrite", "--output", output, code]
        is_stdout = output == "-"  # then events are on standard error
        started = time.monotonic()
        process = subprocess.Popen(
            [sys.executable, "-m", "rtcsend", "receive", *options],
            env=environment(folder),
            cwd=Path(__file__).parents[1],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL if is_stdout else subprocess.PIPE,
            stderr=subprocess.PIPE if is_stdout else subprocess.DEVNULL,
            text=True,
        )
        events = process.stderr if is_stdout else process.stdout
        assert events is not None, "it was started with a pipe"
        moments = {"start": started}
        with events:
            for line in events:
                name = str(json.loads(line)["event"])
                moments["last" if name == "progress" and name in moments else name] = (
                    time.monotonic()
                )
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            raise RuntimeError(f"receive ended with {process.returncode}")
        sending.finish()
        moments["end"] = time.monotonic()
    seconds = {
        phase: moments[phase] - moments[before] for before, phase in pairwise(["start", *PHASES])
    }
    return {**seconds, "cpu": usage.ru_utime + usage.ru_stime}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", default="1G")
    parser.add_argument("--transfers", type=int, default=3)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="rtcsend-benchmarks-") as folder:
        size = parse_size(args.size, option="--size")
        figures = list(measure(Path(folder), size=size, runs=args.transfers))
    print(as_text(this_machine(), figures))


if __name__ == "__main__":
    main()
