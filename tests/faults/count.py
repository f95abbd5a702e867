"""``python -m tests.faults count``: how much of what is hostile or broken is tried, by the code.

docs/reliability.md has the same as a table, and a test that it claims no more than this.
"""

import subprocess
import sys
from pathlib import Path
from typing import Final

from tests.datapath.sctp.test_pairs import SEEDS as ASSOCIATIONS
from tests.e2e.hostile.sender_tricks import NAMES
from tests.e2e.test_hostile_silence import RECEIVERS, SENDERS
from tests.fuzz.decoders import DECODERS
from tests.fuzz.test_decoders import DRAWN, EXAMPLES, SIZES, blown_up
from tests.transfer.test_world import SEEDS as TRANSFERS

ROOT: Final = Path(__file__).parents[2]
PAGE: Final = ROOT / "docs" / "reliability.md"
HOSTILE_PEERS: Final = ("senders", "receivers", "resume")
_FAR_TOO_LARGE: Final = 3  # inputs of a million bytes to a decoder


def counts() -> dict[str, int]:
    """Return what is tried, and how often. Takes some seconds."""
    rendezvous, *peers = _collected("rendezvous", *HOSTILE_PEERS)
    return {
        "faults of real commands, as in the tables above": sum(faults_of(PAGE.read_text("utf-8"))),
        "tricks of a hostile sender or receiver, over a real DataChannel": (
            sum(peers) + len(SENDERS) + len(RECEIVERS)
        ),
        "names of files among them": len(NAMES),
        "tricks of a hostile rendezvous": rendezvous,
        "decoders that take any bytes": len(DECODERS),
        "inputs to them, each time": sum(
            EXAMPLES[decoder.is_slow]
            + (DRAWN + _FAR_TOO_LARGE if decoder.errors else 0)
            + sum(len(blown_up(decoder, size)) for size in (*SIZES, SIZES[-1]))
            for decoder in DECODERS
        ),
        "seeds of two SCTP associations over a bad link": ASSOCIATIONS,
        "seeds of a transfer whose sides, connections and sources fail": TRANSFERS,
    }


def faults_of(page: str) -> list[int]:
    """Return the second cells of all rows of tables that have “times” there."""
    found = []
    counting = False
    for line in page.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if not line.startswith("|"):
            counting = False
        elif cells[1] == "times":
            counting = True
        elif counting and cells[1].isdecimal():
            found.append(int(cells[1]))
    return found


def table(counted: dict[str, int]) -> str:
    """Return it as Markdown."""
    rows = [f"| {what} | {count:,} |" for what, count in counted.items()]
    return "\n".join(["| what is tried | how many |", "|---|---|", *rows])


def _collected(*names: str) -> list[int]:
    """Return how many tests each of the hostile suites has."""
    paths = [f"tests/e2e/test_hostile_{name}.py" for name in names]
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider"]
    ended = subprocess.run(
        [*command, *paths], cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True
    )
    lines = ended.stdout.splitlines()
    return [sum(line.startswith(f"{path}::") for line in lines) for path in paths]
