"""Whole numbers as ranges: what has arrived, while something before it is missing.

Pure. The sending half notes in it what gap blocks have acknowledged, the receiving half what
waits out of order. Numbers only grow, and do not wrap: whoever has TSNs counts from somewhere.
A range costs a binary search to find, and is looked at once more when it is swallowed: so the
work is in proportion to what is added, whatever a peer makes of the order.
"""

from bisect import bisect_left, bisect_right


class Ranges:
    """A set of numbers, as sorted ranges that neither overlap nor touch."""

    __slots__ = ("_firsts", "_lasts")

    def __init__(self) -> None:
        self._firsts: list[int] = []
        self._lasts: list[int] = []

    def __len__(self) -> int:
        return len(self._firsts)

    def add(self, first: int, last: int) -> list[tuple[int, int]]:
        """Add all from ``first`` to ``last``; return the ranges that are new, in order."""
        firsts, lasts = self._firsts, self._lasts
        if not lasts or first > lasts[-1] + 1:
            firsts.append(first)
            lasts.append(last)
            return [(first, last)]
        if first == lasts[-1] + 1:  # most often
            lasts[-1] = last
            return [(first, last)]
        # Those from start to stop overlap or touch it.
        start = bisect_left(lasts, first - 1)
        if firsts[start] <= first and last <= lasts[start]:
            return []
        stop = bisect_right(firsts, last + 1)
        new, at = [], first
        for known_first, known_last in zip(firsts[start:stop], lasts[start:stop], strict=True):
            if at < known_first:
                new.append((at, known_first - 1))
            at = known_last + 1
        if at <= last:
            new.append((at, last))
        if start < stop:
            first, last = min(first, firsts[start]), max(last, lasts[stop - 1])
        firsts[start:stop] = [first]
        lasts[start:stop] = [last]
        return new

    def drop_to(self, last: int) -> list[tuple[int, int]]:
        """Forget all numbers up to ``last``; return the ranges that they were."""
        firsts, lasts = self._firsts, self._lasts
        if not firsts or firsts[0] > last:
            return []
        count = bisect_right(firsts, last)
        gone = list(zip(firsts[:count], lasts[:count], strict=True))
        if gone[-1][1] > last:
            count -= 1
            firsts[count] = last + 1
            gone[-1] = (gone[-1][0], last)
        del firsts[:count]
        del lasts[:count]
        return gone

    def head(self, count: int) -> list[tuple[int, int]]:
        """Return the first ``count`` ranges, or as many as there are."""
        return list(zip(self._firsts[:count], self._lasts[:count], strict=True))

    def clear(self) -> None:
        """Forget everything."""
        self._firsts.clear()
        self._lasts.clear()
