"""Extremes over a sliding window of virtual time, in bounded memory.

Virtual time is an integer that the owner advances: a round, a cycle, or a slice of wall
time (``rtt.MinRtt``). Only the best value of each tick that can still become the extreme is
kept, so the memory is at most one pair a tick of the window, and an update costs amortised
constant time. It never looks at a clock.

Source: the filters of draft-ietf-ccwg-bbr §5.5.3 and §5.5.9; the method is the monotonic
queue, exact where the three-sample filter that the draft names is an approximation.
"""

from collections import deque


class WindowedMax:
    """The largest value of the last ``length`` ticks.

    Attributes:
        length: Ticks in the window, the current one included; may be changed between updates.
        value: The extreme as of the last update; the start value before the first.
    """

    __slots__ = ("_entries", "length", "value")

    def __init__(self, length: int, *, start: float = 0.0) -> None:
        """Start empty.

        Args:
            length: Ticks in the window, at least 1.
            start: What ``value`` is before the first update.
        """
        self.length = length
        self.value = start
        # (tick, value): ticks rise, values fall; the front is the answer.
        self._entries: deque[tuple[int, float]] = deque()

    def update(self, value: float, *, at: int) -> float:
        """Take in a value of tick ``at`` (never earlier than the one before).

        Returns:
            The extreme over the window that ends with ``at``.
        """
        entries = self._entries
        while entries and entries[-1][1] <= value:
            entries.pop()
        if not entries or entries[-1][0] != at:  # a tick keeps its best value only
            entries.append((at, value))
        return self.advance(at=at)

    def advance(self, *, at: int) -> float:
        """Move to tick ``at`` without a new value; the last value never expires that way.

        Returns:
            The extreme over the window that ends with ``at``.
        """
        entries = self._entries
        oldest = at - self.length + 1
        while len(entries) > 1 and entries[0][0] < oldest:
            entries.popleft()
        if entries:
            self.value = entries[0][1]
        return self.value

    def __len__(self) -> int:
        return len(self._entries)


class WindowedMin:
    """The smallest value of the last ``length`` ticks: ``WindowedMax`` of the negatives.

    Attributes:
        value: The extreme as of the last update; infinite before the first.
    """

    __slots__ = ("_max", "value")

    def __init__(self, length: int) -> None:
        """Start empty, with ``length`` ticks in the window."""
        self._max = WindowedMax(length, start=float("-inf"))
        self.value = float("inf")

    def update(self, value: float, *, at: int) -> float:
        """Take in a value of tick ``at``; return the smallest of the window."""
        self.value = -self._max.update(-value, at=at)
        return self.value

    def __len__(self) -> int:
        return len(self._max)
