"""``rtcsend`` with shorter patience, or without names: what else would cost a test a minute.

python -m tests.e2e.impatient send …
python -m tests.e2e.impatient --no-names send …
"""

import functools
import socket
import sys
from typing import NoReturn

from rtcsend.cli.main import run
from rtcsend.rendezvous.client import RendezvousClient


def no_names(host: object, *_arguments: object, **_options: object) -> NoReturn:
    raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")


if __name__ == "__main__":
    if sys.argv[1] == "--no-names":
        del sys.argv[1]
        socket.getaddrinfo = no_names
    impatient = functools.partialmethod(RendezvousClient.__init__, retry_for=1.0)
    RendezvousClient.__init__ = impatient  # type: ignore[method-assign,assignment]  # on purpose
    run()
