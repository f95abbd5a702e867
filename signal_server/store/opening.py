"""Which store an address means.

Shell.
"""

import asyncio
import importlib.util
from urllib.parse import urlsplit

from rtcsend.errors import UsageError
from signal_server.limits import Limits
from signal_server.store.base import Store
from signal_server.store.memory import MemoryStore

MEMORY = "memory"
SCHEMES = ("redis://", "rediss://", "unix://")
PACKAGES = ("redis", "hiredis")


def check_store(address: str) -> None:
    """Check an address as far as that goes without connecting.

    Raises:
        UsageError: It names no store, cannot be understood, or its packages are not installed.
    """
    if address == MEMORY:
        return
    if not address.startswith(SCHEMES):
        raise UsageError(
            "This is no store for mailboxes.",
            hint="Give memory, redis://HOST:PORT/0, rediss://HOST:PORT/0 or unix:///PATH.",
        )
    if any(importlib.util.find_spec(package) is None for package in PACKAGES):
        raise UsageError(
            "A store in Redis needs the packages redis and hiredis.",
            hint="Install rtcsend with it: pip install 'rtcsend[redis]'.",
        )
    _check_redis_address(address)


def open_store(address: str, limits: Limits) -> Store:
    """Return the store; called where the event loop runs, and entered before it is used.

    Args:
        address: Of the store.
        limits: Of mailboxes.

    Raises:
        UsageError: As :func:`check_store`.
    """
    check_store(address)
    if address == MEMORY:
        return MemoryStore(asyncio.get_running_loop().time)
    from signal_server.store.redis_store import RedisStore  # noqa: PLC0415 - an optional package

    return RedisStore(address, absent_seconds=limits.absent_seconds)


def _check_redis_address(address: str) -> None:
    """Refuse what the package cannot parse, or passes over: a database that is no number."""
    from signal_server.store.redis_connection import (  # noqa: PLC0415 - needs optional packages
        RedisAddress,
    )

    try:
        RedisAddress(address)
        database = urlsplit(address).path.strip("/")
        understood = address.startswith("unix:") or not database or database.isdecimal()
    except ValueError:
        understood = False
    if not understood:
        raise UsageError(
            "The address of the store cannot be understood.",
            hint="Give redis://USER:PASSWORD@HOST:PORT/DATABASE, percent-encoded.",
        )
