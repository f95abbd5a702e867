"""Which store an address means.

Shell.
"""

import asyncio
import importlib.util

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
            "This is no store for mailboxes.",
            hint="Give memory, redis://HOST:PORT/0, rediss://HOST:PORT/0 or unix:///PATH.",
        )
    if importlib.util.find_spec("redis") is None:
        raise UsageError(
            "A store in Redis needs the package redis.",
            hint="Install rtcsend with it: pip install 'rtcsend[redis]'.",
        )


def open_store(address: str = MEMORY) -> Store:
    """Return the store; called where the event loop runs, and entered before it is used.

    Raises:
        UsageError: As :func:`check_store`, or the address cannot be understood.
    """
    check_store(address)
    if address == MEMORY:
        return MemoryStore(asyncio.get_running_loop().time)
    from signal_server.store.redis_store import RedisStore  # noqa: PLC0415 - an optional package

    try:
        return RedisStore(address)
    except ValueError as exc:
        raise UsageError(
            "The address of the store cannot be understood.",
            hint="Give redis://USER:PASSWORD@HOST:PORT/DATABASE, percent-encoded.",
        ) from exc
