"""Holding a thread job in the middle, until the test lets it go on."""

import asyncio
import threading
from collections.abc import Callable
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")

PATIENCE = 90.0  # seconds until a held thread gives up, so that a broken test ends


class Gate:
    """Wraps blocking functions: each call stops at the gate while it is shut."""

    def __init__(self) -> None:
        self.reached = asyncio.Event()
        self._open = threading.Event()
        self._loop = asyncio.get_running_loop()

    def open(self) -> None:
        self._open.set()

    def before(self, function: Callable[P, R]) -> Callable[P, R]:
        def gated(*args: P.args, **kwargs: P.kwargs) -> R:
            self._loop.call_soon_threadsafe(self.reached.set)
            assert self._open.wait(PATIENCE), "nobody opened the gate"
            return function(*args, **kwargs)

        return gated
