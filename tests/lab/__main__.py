"""``python -m tests.lab matrix``: what NATs and relays do to a transfer, as a table."""

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tests.lab.lab import Lab
from tests.lab.matrix import ROWS, Happened, Matrix, Route
from tests.lab.required import missing

MB = 1_000_000  # bytes


def main(arguments: Sequence[str]) -> int:
    """Print the table; return 1 if something was not as expected."""
    parser = argparse.ArgumentParser(prog="python -m tests.lab", description=__doc__)
    parser.add_argument("what", choices=["matrix"])
    parser.add_argument("--size", type=int, default=32, help="of the file, in MB (32)")
    parser.add_argument("--rows", default="", help="only rows with this text in their title")
    parser.add_argument(
        "--runs", type=int, default=1, help="of each; the table has the slowest (1)"
    )
    options = parser.parse_args(arguments)
    if (reason := missing()) is not None:
        print(reason, file=sys.stderr)
        return 1
    surprises = 0
    print("| sender / receiver | with STUN | with STUN and TURN |\n|---|---|---|")
    with Lab() as lab, tempfile.TemporaryDirectory(prefix="rtcsend-matrix-") as folder:
        matrix = Matrix(lab, Path(folder), size=options.size * MB)
        for row in ROWS:
            if options.rows not in row.title:
                continue
            cells = [row.title]
            for expected, with_turn in ((row.stun, False), (row.turn, True)):
                runs = [matrix.attempt(row, with_turn=with_turn) for _ in range(options.runs)]
                others = [run for run in runs if run.route != expected]
                surprises += len(others)
                slowest = max(others or runs, key=lambda run: (run.first_byte, run.whole))
                cells.append(_cell(slowest, expected))
            print("| " + " | ".join(cells) + " |", flush=True)
    return min(surprises, 1)


def _cell(happened: Happened, expected: Route) -> str:
    reached = f" by {happened.reached}" if happened.reached else ""
    text = f"{happened.route}{reached}, {happened.first_byte:.2f} s, {happened.round_trips:.0f} RTT"
    if happened.route == "none":
        text = f"exit {happened.exit}, {happened.whole:.1f} s"
    return text if happened.route == expected else f"**{text}** (expected: {expected})"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
