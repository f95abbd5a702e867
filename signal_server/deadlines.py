"""Many deadlines, one timer: which key is due, and when to look again.

Pure. A heap whose outdated entries are skipped when they come up, and swept out when they
are the majority: setting, clearing and taking each cost O(log n).
"""

import heapq
import itertools
from collections.abc import Callable
from typing import Generic, TypeVar

_K = TypeVar("_K")

_SLACK = 64  # outdated entries that are not worth a sweep


class Deadlines(Generic[_K]):
    """A deadline for each key, in seconds on the caller's clock.

    Args:
        on_nearer: Called when the earliest deadline may have come nearer.
    """

    def __init__(self, on_nearer: Callable[[], None] = lambda: None) -> None:
        self._on_nearer = on_nearer
        self._current: dict[_K, tuple[float, int]] = {}  # key -> (when, ticket)
        self._heap: list[tuple[float, int, _K]] = []
        self._tickets = itertools.count()  # unique, so that keys are never compared

    def set(self, key: _K, when: float | None) -> None:
        """Give ``key`` the deadline ``when`` instead of its old one; None clears it."""
        old = self._current.pop(key, None)
        if when is None:
            self._sweep()
            return
        if old is not None and old[0] == when:
            self._current[key] = old
            return
        ticket = next(self._tickets)
        self._current[key] = (when, ticket)
        heapq.heappush(self._heap, (when, ticket, key))
        self._sweep()
        if self._heap[0][1] == ticket:
            self._on_nearer()

    def next(self) -> float | None:
        """Return the earliest deadline, or None."""
        while self._heap and not self._is_current(self._heap[0]):
            heapq.heappop(self._heap)
        return self._heap[0][0] if self._heap else None

    def pop_due(self, *, now: float) -> _K | None:
        """Return a key whose deadline has come, and clear it; None when there is none."""
        when = self.next()
        if when is None or when > now:
            return None
        key = heapq.heappop(self._heap)[2]
        del self._current[key]
        return key

    def _is_current(self, entry: tuple[float, int, _K]) -> bool:
        when, ticket, key = entry
        return self._current.get(key) == (when, ticket)

    def _sweep(self) -> None:
        if len(self._heap) > 2 * len(self._current) + _SLACK:
            self._heap = [entry for entry in self._heap if self._is_current(entry)]
            heapq.heapify(self._heap)
