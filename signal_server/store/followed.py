"""A room in Redis that this process follows, and how far it has come with that.

Shell by its lock alone. Place in the flow: kept by :mod:`signal_server.store.redis_store`.
"""

import asyncio

from signal_server.store.replica import Replica

MAX_HELD = 16  # entries; with more than that coming while one call is under way, the log is read


class Followed:
    """A room that this process follows, or is about to.

    Args:
        replica: The room, and how far its log is known.
        key: Of the log.

    Attributes:
        lock: Held by whoever appends to the log, or reads it.
        users: Commits that run or wait.
        held: What others have published while the lock was held: it may follow on an answer
            that has not been read yet.
        read: The whole log, as far as it was then, is known; not of one that is lost, nor while
            an append is not answered.
        behind: Something came that does not follow on what is known, or may be missing.
        catching_up: What is missing is being read.
    """

    def __init__(self, replica: Replica, key: str) -> None:
        self.replica = replica
        self.key = key
        self.lock = asyncio.Lock()
        self.users = 0
        self.held: list[bytes] = []
        self.read = False
        self.behind = False
        self.catching_up = False
