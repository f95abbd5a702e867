"""``rtcsend`` that tries for SECONDS to meet again, and waits for the other side as long as ever.

``--timeout`` would be both: a test that has little time for the one would have it for the other.

SECONDS=6 python -m tests.e2e.soon_lost send …
"""

import functools
import os

from rtcsend.cli.main import run
from rtcsend.reconnecting import Link

if __name__ == "__main__":
    soon = functools.partialmethod(Link.meet_again, timeout=float(os.environ["SECONDS"]))
    Link.meet_again = soon  # type: ignore[method-assign,assignment]  # on purpose
    run()
