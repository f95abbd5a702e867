"""``python -m tests.lab matrix``: what NATs and relays do to a transfer, as a table.

A cell has how many of the runs went as expected, the median and the slowest time to the first byte,
or to the end, and in bold what is not as it should be: another route, or slower than the goal.
Other programs on the machine make it slower; the routes must be right all the same.
"""

import argparse
import queue
import statistics
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

from tests.lab.lab import Lab
from tests.lab.matrix import ROWS, RTT, Happened, Matrix, Route, Row
from tests.lab.required import missing

MB = 1_000_000  # bytes


def main(arguments: Sequence[str]) -> int:
    """Print the table; return 1 if something went another way than expected."""
    parser = argparse.ArgumentParser(prog="python -m tests.lab", description=__doc__)
    parser.add_argument("what", choices=["matrix"])
    parser.add_argument("--size", type=int, default=32, help="of the file, in MB (32)")
    parser.add_argument("--rows", default="", help="only rows with this text in their title")
    parser.add_argument("--runs", type=int, default=1, help="of each (1)")
    parser.add_argument("--lanes", type=int, default=1, help="laboratories side by side (1)")
    options = parser.parse_args(arguments)
    if (reason := missing()) is not None:
        print(reason, file=sys.stderr)
        return 1
    rows = [row for row in ROWS if options.rows in row.title]
    print("| sender / receiver | with STUN | with STUN and TURN |\n|---|---|---|", flush=True)
    surprises = 0
    with ExitStack() as stack:
        matrices: queue.SimpleQueue[Matrix] = queue.SimpleQueue()
        for _ in range(options.lanes):
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="rtcsend-matrix-"))
            lab = stack.enter_context(Lab(ipv6=True))
            matrices.put(Matrix(lab, Path(folder), size=options.size * MB))

        def attempt(row: Row) -> tuple[list[Happened], list[Happened]]:
            matrix = matrices.get()
            try:
                stun, turn = (
                    [matrix.attempt(row, with_turn=with_turn) for _ in range(options.runs)]
                    for with_turn in (False, True)
                )
            finally:
                matrices.put(matrix)
            return stun, turn

        pool = ThreadPoolExecutor(options.lanes)
        stack.callback(pool.shutdown, cancel_futures=True)
        for row, (stun, turn) in zip(rows, pool.map(attempt, rows), strict=True):
            cells = (_cell(row, stun, row.stun), _cell(row, turn, row.turn))
            print(f"| {row.title} | {' | '.join(cells)} |", flush=True)
            surprises += sum(not run.is_expected(row, row.stun) for run in stun)
            surprises += sum(not run.is_expected(row, row.turn) for run in turn)
    print(f"\n{surprises} of {2 * options.runs * len(rows)} went another way than expected.")
    return min(surprises, 1)


def _cell(row: Row, runs: list[Happened], expected: Route) -> str:
    right = [run for run in runs if run.is_expected(row, expected)]
    parts = [f"{len(right)} of {len(runs)} {expected}"]
    if right:
        by = {" and ".join(filter(None, sorted(set(run.reached)))) for run in right} - {""}
        parts[0] += f" by {', '.join(sorted(by))}" if by and expected == "relay" else ""
        times = sorted(run.first_byte for run in right)
        goal = row.goal(expected)
        parts.append(_times(statistics.median(times), times[-1], goal, expected))
    others = {f"{run.route} {run.reached}, exit {run.exit}" for run in runs if run not in right}
    return "; ".join([*parts, *(f"**{other}**" for other in sorted(others))])


def _times(median: float, slowest: float, goal: float, expected: Route) -> str:
    if expected == "none":
        text = f"{median:.1f} s, slowest {slowest:.1f}"
    else:
        trips = [1000 * seconds / RTT for seconds in (median, slowest)]
        text = f"{median:.2f} s = {trips[0]:.1f} RTT, slowest {trips[1]:.1f}"
    return text if median <= goal else f"**{text}** (goal {goal:.2f} s)"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
