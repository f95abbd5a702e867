"""How full a Redis is, by what it says itself.

A full one takes nothing more, of nobody. So those who say much are refused before it is full, and
the rest is left to pairings, which take little.

Pure. Place in the flow: used by :mod:`signal_server.store.redis_link`. Source: Redis, INFO
memory.
"""

import math
import re
from typing import Final

CROWDED: Final = 0.75  # of maxmemory; what is left holds 60,000 pairings in 512 MB
_FIELD: Final = re.compile(r"^(used_memory|maxmemory):(\d{1,18})\r?$", re.MULTILINE | re.ASCII)


def room_untrusted(memory: str) -> float:
    """Return how many bytes a Redis takes until it is nearly full; one without a limit any number.

    Args:
        memory: What it answers to INFO memory; empty if it does not tell.
    """
    fields = {name: int(value) for name, value in _FIELD.findall(memory)}
    most = fields.get("maxmemory", 0)
    return CROWDED * most - fields.get("used_memory", 0) if most else math.inf
