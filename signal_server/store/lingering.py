"""What still counts for a source when no socket of this process is left in a mailbox.

The log of such a mailbox stays in Redis for some minutes, whether anybody is at another process or
nobody is anywhere. If it did not count, a source could have as many of them as it opens meanwhile.

Shell, thin. Place in the flow: kept by :mod:`signal_server.store.redis_store`, asked by
:mod:`signal_server.directory`.
"""

import asyncio
from collections.abc import Callable

from signal_server.storage import Name

Free = Callable[[], None]


class Lingering:
    """What is freed after some time, or when somebody comes back.

    Args:
        seconds: That time.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._frees: dict[Name, list[Free]] = {}

    def keep(self, name: Name, free: Free) -> None:
        """Call ``free`` once, in time: a mailbox of that name has been let go of."""
        self._frees.setdefault(name, []).append(free)
        asyncio.get_running_loop().call_later(self._seconds, self._end, name, free)

    def came_back(self, name: Name) -> None:
        """Free one mailbox of that name now, if there is any: it is held anew."""
        frees = self._frees.get(name)
        if frees:
            self._end(name, frees[0])

    def close(self) -> None:
        """Free nothing any more."""
        self._frees.clear()

    def _end(self, name: Name, free: Free) -> None:
        frees = self._frees.get(name, [])
        if free not in frees:
            return
        frees.remove(free)
        if not frees:
            del self._frees[name]
        free()
