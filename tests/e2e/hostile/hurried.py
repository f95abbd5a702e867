"""``rtcsend`` with little patience: what else would cost a test two minutes.

python -m tests.e2e.hostile.hurried receive …
"""

import functools

from rtcsend.cli.main import run
from rtcsend.transfer import receiver, sender
from rtcsend.transfer.receiving import Receiving

PATIENCE = 2.5  # seconds; two looks of the machine, and some

if __name__ == "__main__":
    setattr(receiver, "CRAWL_TIME", PATIENCE)  # noqa: B010 - not exported from there
    setattr(sender, "CRAWL_TIME", PATIENCE)  # noqa: B010
    setattr(sender, "SYNC_LIMIT", PATIENCE)  # noqa: B010
    hurried = functools.partialmethod(Receiving.__init__, proposal_timeout=PATIENCE)
    Receiving.__init__ = hurried  # type: ignore[method-assign,assignment]  # on purpose
    run()
