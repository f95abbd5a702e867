"""Which server processes live, as far as one of them can tell.

Each process says every few seconds that it is there. One that has not been heard of for some
time is dead, and its sockets with it; but only who has been in touch with the store for all of
that time may say so, since after an outage everybody seems to have been silent.

Pure: the clock comes in.
"""

from typing import NamedTuple

HEARTBEAT_SECONDS = 2.0
LEASE_SECONDS = 8.0  # of silence, after which a process is dead; four heartbeats
FORGET_SECONDS = 86_400  # after which a dead one is not listed any more; no log lives so long


class Seen(NamedTuple):
    """What is known of a process."""

    silent: float
    """Seconds since its last heartbeat, when it was asked."""
    live: int
    """Its mailboxes."""


class Processes:
    """The processes of a store, this one among them.

    Args:
        own: The name of this one.
    """

    def __init__(self, own: str) -> None:
        self._own = own
        self._seen: dict[str, Seen] = {}
        self._in_touch_since: float | None = None
        self._unknown: dict[str, float] = {}  # met in a log, not listed; since when

    @property
    def live(self) -> int:
        """Mailboxes of all that live; one with sockets at two of them counts twice."""
        return sum(seen.live for seen in self._seen.values() if seen.silent < LEASE_SECONDS)

    def heard(self, seen: dict[str, Seen], *, now: float) -> None:
        """Take the answer to a heartbeat."""
        if self._in_touch_since is None:
            self._in_touch_since = now
        self._seen = seen
        self._unknown = {name: at for name, at in self._unknown.items() if name not in seen}

    def lost_touch(self) -> None:
        """Take note that the store did not answer."""
        self._in_touch_since = None
        self._unknown.clear()

    def is_alive(self, process: str, *, now: float) -> bool:
        """Return whether a process lives, in doubt True."""
        since = self._in_touch_since
        if process == self._own or since is None or now - since < LEASE_SECONDS:
            return True
        seen = self._seen.get(process)
        if seen is not None:
            return seen.silent < LEASE_SECONDS
        met = self._unknown.setdefault(process, now)
        return now - met < LEASE_SECONDS


def parse_heartbeat(answer: list[bytes | int]) -> tuple[float, dict[str, Seen]]:
    """Return the server's time in seconds, and what it says of each process."""
    seconds = int(answer[0]) + int(answer[1]) / 1e6
    listed = zip(answer[2::3], answer[3::3], answer[4::3], strict=True)
    return seconds, {
        name.decode() if isinstance(name, bytes) else str(name): Seen(int(age) / 1000, int(live))
        for name, age, live in listed
    }
