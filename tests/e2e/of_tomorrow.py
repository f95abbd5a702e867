"""``rtcsend`` as a later version may be: it speaks other protocols than today's.

python -m tests.e2e.of_tomorrow rendezvous send …     another rendezvous protocol
python -m tests.e2e.of_tomorrow transfer receive …    another transfer protocol
"""

import functools
import sys

from rtcsend.cli.main import run
from rtcsend.peer.signals import Hello
from rtcsend.rendezvous import keeper, machine, server_url

if __name__ == "__main__":
    if sys.argv.pop(1) == "rendezvous":
        server_url.PATH = "/v2"
        keeper.PROTOCOL = machine.PROTOCOL = 2  # type: ignore[attr-defined]  # on purpose
    else:
        later = functools.partialmethod(Hello.__init__, protocols=(2, 3))
        Hello.__init__ = later  # type: ignore[method-assign,assignment]  # on purpose
    run()
