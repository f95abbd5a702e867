"""``rtcsend`` that gives up a side that lives and does not go on after HURRY seconds, not 120.

HURRY=3 python -m tests.e2e.hurried send …
"""

import os

from rtcsend.cli.main import run
from rtcsend.transfer import receiver, sender

if __name__ == "__main__":
    for machine in (sender, receiver):
        machine.CRAWL_TIME = float(os.environ["HURRY"])  # type: ignore[attr-defined]  # on purpose
    run()
