"""Which store an address means.

Shell.
"""

import asyncio

from rtcsend.errors import UsageError
from signal_server.store.base import Store
from signal_server.store.memory import MemoryStore

MEMORY = "memory"
SCHEMES = ("redis://", "rediss://", "unix://")


def check_store(address: str) -> None:
    """Check an address as far as that goes without connecting.

    Raises:
        UsageError: It names no store, or the package for it is not installed.
    """
    if address == MEMORY:
        return
    if not address.startswith(SCHEMES):
        raise UsageError(
            "This is no store.",
            hint="Give memory, redis://HOST:PORT/0, rediss://… or unix:///path.",
        )


def open_store(address: str = MEMORY) -> Store:
    """Return the store; called where the event loop runs.

    Raises:
        UsageError: As :func:`check_store`.
    """
    check_store(address)
    return MemoryStore(asyncio.get_running_loop().time)
