"""Whether the path can still be alive, as far as this machine knows by itself.

Pure. A path dies silently: whoever only listens finds out after seconds. Three things are known
at once, and here each becomes a reason to give the path up: the machine has slept, so
that every timer and mapping on the way is stale; its address is gone; it has no way to the
other end any more.

Does not: look (:mod:`rtcsend.peer.path_watch`), or listen for the other side; that is
:mod:`rtcsend.transfer.liveness`.
"""

import errno
from typing import Final

POLL_INTERVAL: Final = 1.0  # seconds between two looks
MAX_SLEEP: Final = 5.0  # seconds; longer, and the other side may have given up
MAX_UNUSABLE: Final = 1.0  # seconds; an address that is renewed is gone for less

_REASONS: Final = {
    errno.EADDRNOTAVAIL: "This machine has lost the network address that it used.",
    errno.ENETUNREACH: "This machine has no way to the other side any more.",
    errno.EHOSTUNREACH: "This machine has no way to the other side any more.",
    errno.ENETDOWN: "The network of this machine is down.",
}


class PathHealth:
    """What is known of one path.

    Args:
        now: Seconds of a clock that stands still while the machine sleeps.
        uptime: Seconds of one that does not.
    """

    def __init__(self, *, now: float, uptime: float) -> None:
        self._now = now
        self._uptime = uptime
        self._unusable_since: float | None = None

    def maybe_lost(self, *, now: float, uptime: float, error: int | None) -> str | None:
        """Return the sentence that says why the path is lost, or None; ask every POLL_INTERVAL.

        Args:
            now: As before.
            uptime: As before.
            error: The error number with which the system refuses to send, None if it does not.
        """
        stood_still = now - self._now - POLL_INTERVAL
        slept = (uptime - self._uptime) - (now - self._now)
        self._now, self._uptime = now, uptime
        if max(stood_still, slept) > MAX_SLEEP:
            return f"This machine was asleep for {max(stood_still, slept):.0f} seconds."
        if error not in _REASONS:
            self._unusable_since = None
            return None
        if self._unusable_since is None:
            self._unusable_since = now
        return _REASONS[error] if now - self._unusable_since >= MAX_UNUSABLE else None
