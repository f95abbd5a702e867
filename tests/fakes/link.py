"""A lane of a network: ordered, reliable, late. Pure; time comes in as ``now``.

Two lanes know nothing of each other, as two DataChannels: what was sent on one may be
overtaken by what was sent later on the other.
"""

from collections import deque
from typing import Generic, TypeVar

T = TypeVar("T")


class Lane(Generic[T]):
    """Things on their way in one direction."""

    def __init__(self) -> None:
        self._on_the_way: deque[tuple[float, T]] = deque()
        self._last_arrival = float("-inf")

    def __len__(self) -> int:
        return len(self._on_the_way)

    def put(self, thing: T, *, arrival: float) -> float:
        """Send a thing; return when it arrives: never before the one sent before it."""
        self._last_arrival = max(arrival, self._last_arrival)
        self._on_the_way.append((self._last_arrival, thing))
        return self._last_arrival

    def take(self) -> T | None:
        """Return the next thing, whether or not its time has come."""
        return self._on_the_way.popleft()[1] if self._on_the_way else None

    def take_due(self, *, now: float) -> T | None:
        """Return the next thing that has arrived."""
        if not self._on_the_way or self._on_the_way[0][0] > now:
            return None
        return self.take()

    def clear(self) -> None:
        """Lose everything that is on its way."""
        self._on_the_way.clear()
