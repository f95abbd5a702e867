"""Which pair of candidates is checked next, and which one carries the data.

Pure: pairs are keys, time comes in, and sockets are somewhere else. Three things differ from
what RFC 8445 has as its default, between our own two ends alone:

- The best pair of each kind has its turn before the second of any, so that a dozen addresses of
  dead networks do not stand before the one that works.
- The first pair that works is selected at once. Checks of better ones go on for IMPROVE_FOR
  seconds, and the controlling side nominates again when one of them works: renomination, after
  draft-thatcher-ice-renomination. The controlled side follows, and sends on what works until
  it has been told (RFC 8445 §12.1 allows that).
- Of equally good pairs the faster one is taken, if it is so by a clear margin.

To others a pair is nominated once, and a relay only after the direct ones had RELAY_PATIENCE
seconds.
"""

from collections import deque
from collections.abc import Hashable, Iterator
from dataclasses import dataclass
from enum import Enum, auto
from math import isfinite
from typing import Final, Generic, TypeVar

from rtcsend.peer.priorities import Grade

PACE: Final = 0.005  # seconds between two checks; RFC 8445 §14.2: Ta, at its least
MAX_PAIRS_OF_A_GRADE: Final = 32  # so that there are about the 100 of RFC 8445 §6.1.2.5 in all
MAX_SELECTIONS: Final = 32  # each gives lanes back and gets others; more is no search for a better
IMPROVE_FOR: Final = 15.0  # seconds from the first selection
RELAY_PATIENCE: Final = 0.4  # seconds; two round trips to the other end of the world
RETRY_AFTER: Final = 1.0  # seconds after which a better pair that has failed is tried again
SETTLE: Final = 1.0  # seconds in which an overtaken nomination of a worse pair may still come
SAMPLES: Final = 4  # round trips of a pair, before it is compared with another
SAMPLE_INTERVAL: Final = 0.05  # seconds between them
MARGIN: Final = 0.7  # of the round trip; less of a gain is not worth slow start
LEAST_GAIN: Final = 0.005  # seconds; a busy machine answers that much later now and then
HOPE: Final = 2.0  # seconds in which the other side may come from where nobody expects it

K = TypeVar("K", bound=Hashable)


class _State(Enum):
    WAITING = auto()
    CHECKING = auto()
    VALID = auto()
    FAILED = auto()


@dataclass(slots=True, eq=False)
class _Entry(Generic[K]):
    key: K
    grade: Grade
    priority: int
    state: _State = _State.WAITING
    samples: int = 0
    rtt: float = float("inf")
    """Seconds, the least of the samples: the way without the queues on it."""
    is_measuring: bool = False
    measured_at: float = 0.0
    failed_at: float = 0.0
    is_asked: bool = False
    """The controlling side has nominated it."""


class CheckList(Generic[K]):
    """The pairs of one connection.

    Args:
        is_controlling: This side decides.

    Attributes:
        is_controlling: As it is now; a role conflict changes it.
        may_move: The other side is our own: the selected pair may change.
        selected: What carries the data, None before there is one.
        selections: How often it has changed.
    """

    def __init__(self, *, is_controlling: bool) -> None:
        self.is_controlling = is_controlling
        self.may_move = False
        self.selected: K | None = None
        self.selections = 0
        self._entries: dict[K, _Entry[K]] = {}
        self._triggered: deque[_Entry[K]] = deque()
        self._turn: int = max(Grade) + 1
        self._next_at = 0.0
        self._selected_at = 0.0
        self._first_selected_at: float | None = None
        self._first_valid_at: float | None = None
        self._started_at: float | None = None

    # What there is

    def put(self, key: K, *, grade: Grade, priority: int) -> None:
        """Add a pair, or learn what it is really worth; of too many of a grade the best stay."""
        known = self._entries.get(key)
        if known is not None:
            known.grade, known.priority = grade, priority
            return
        same = [entry for entry in self._entries.values() if entry.grade is grade]
        if len(same) >= MAX_PAIRS_OF_A_GRADE:
            waiting = [entry for entry in same if entry.state is _State.WAITING]
            worst = min(waiting, key=lambda entry: entry.priority, default=None)
            if worst is None or worst.priority >= priority:
                return
            del self._entries[worst.key]
        self._entries[key] = _Entry(key, grade, priority)

    def pending(self) -> int:
        """Return how many pairs wait for a check, or for its answer."""
        states = (_State.WAITING, _State.CHECKING)
        return sum(entry.state in states for entry in self._entries.values())

    def rtt_of(self, key: K) -> float | None:
        """Return the least round trip of a pair in seconds, None if it is not known."""
        entry = self._entries.get(key)
        return entry.rtt if entry is not None and isfinite(entry.rtt) else None

    def is_wanted(self, key: K) -> bool:
        """Return whether it still matters if a pair works."""
        entry = self._entries.get(key)
        return entry is not None and (key == self.selected or self._is_wanted(entry))

    # What happens

    def trigger(self, key: K) -> bool:
        """The other side has checked a pair: so this side does, before all others.

        Returns:
            True if a check is under way that should be sent again now.
        """
        entry = self._entries.get(key)
        if entry is None:
            return False
        if entry.state in (_State.WAITING, _State.FAILED):
            entry.state = _State.WAITING
            if entry not in self._triggered:
                self._triggered.append(entry)
        return entry.state is _State.CHECKING

    def on_answer(self, key: K, *, rtt: float, now: float) -> None:
        """A check was answered, ``rtt`` seconds after it was sent."""
        entry = self._entries.get(key)
        if entry is None:
            return
        entry.samples += 1
        entry.rtt = min(entry.rtt, rtt)
        entry.state, entry.is_measuring = _State.VALID, False
        if self._first_valid_at is None:
            self._first_valid_at = now
        self._consider(entry, now=now)

    def on_silence(self, key: K, *, now: float) -> None:
        """A check was not answered; one of a better pair than the selected is tried again later."""
        entry = self._entries.get(key)
        if entry is None:
            return
        if entry.is_measuring:
            entry.is_measuring = False  # it has worked; consent is another matter
            entry.samples = max(entry.samples, SAMPLES)
        elif entry.state is _State.CHECKING:
            entry.state, entry.failed_at = _State.FAILED, now

    def on_nomination(self, key: K, *, now: float) -> None:
        """The controlling side has nominated a pair."""
        entry = self._entries.get(key)
        if entry is None or self.is_controlling:
            return
        entry.is_asked = True
        if entry.state is _State.VALID:
            self._obey(entry, now=now)

    # What to do

    def next_check(self, *, now: float) -> K | None:
        """Return the pair to check now; it counts as under way."""
        if self._started_at is None:
            self._started_at = now
        self._choose_for_others(now=now)
        if now < self._next_at:
            return None
        entry = self._next_entry(now=now)
        if entry is None:
            return None
        self._next_at = now + PACE
        if entry.state is _State.VALID:
            entry.is_measuring, entry.measured_at = True, now
        else:
            entry.state = _State.CHECKING
        return entry.key

    def get_timer(self, *, now: float) -> float | None:
        """Return when to call :meth:`next_check` again, if nothing happens before."""
        times = []
        if self._triggered or any(self._waiting(now=now)):
            times.append(self._next_at)
        if self.is_improving(now=now):
            times += [entry.failed_at + RETRY_AFTER for entry in self._to_retry()]
        times += [entry.measured_at + SAMPLE_INTERVAL for entry in self._to_measure(now=now)]
        if self.selected is None:
            for since, wait in ((self._first_valid_at, RELAY_PATIENCE), (self._started_at, HOPE)):
                if since is not None and since + wait > now:
                    times.append(since + wait)
        elif self.is_improving(now=now) and self._first_selected_at is not None:
            times.append(self._first_selected_at + IMPROVE_FOR)
        return max(now, min(times)) if times else None

    def is_improving(self, *, now: float) -> bool:
        """Return whether a better pair would still be taken."""
        since = self._first_selected_at
        return self.may_move and (since is None or now < since + IMPROVE_FOR)

    def is_hopeless(self, *, now: float, is_complete: bool) -> bool:
        """Return whether nothing can work any more.

        Args:
            now: Seconds.
            is_complete: Neither side will have another candidate.
        """
        if not is_complete or self.selected is not None or self._started_at is None:
            return False
        if self._entries and now < self._started_at + HOPE:
            return False
        return all(entry.state is _State.FAILED for entry in self._entries.values())

    # Selection

    def _consider(self, entry: _Entry[K], *, now: float) -> None:
        """Select a pair that has just been answered, where it is better."""
        if not self.is_controlling and entry.is_asked:
            self._obey(entry, now=now)
        elif self.selected is None:
            if self.may_move or not self.is_controlling:
                self._select(entry, now=now)
            else:
                self._choose_for_others(now=now)
        elif self.is_improving(now=now):
            better = filter(self._is_better, self._entries.values())
            if best := max(better, key=lambda e: (e.grade, -e.rtt), default=None):
                self._select(best, now=now)

    def _is_better(self, entry: _Entry[K]) -> bool:
        selected = self._entries[self._selected_key()]
        if selected.is_asked or entry.state is not _State.VALID:
            return False  # the other side has decided, and decides again
        if entry.grade is not selected.grade or not self.is_controlling:
            return entry.grade > selected.grade
        if entry is selected or min(entry.samples, selected.samples) < SAMPLES:
            return False
        gain = selected.rtt - entry.rtt
        return isfinite(gain) and gain > max(LEAST_GAIN, (1 - MARGIN) * selected.rtt)

    def _obey(self, entry: _Entry[K], *, now: float) -> None:
        """Select what the controlling side has nominated, unless that was overtaken by a better."""
        if self.selected is not None:
            selected = self._entries[self._selected_key()]
            overtaken = selected.is_asked and now < self._selected_at + SETTLE
            if overtaken and entry.grade < selected.grade:
                return
        for other in self._entries.values():
            other.is_asked = other is entry
        self._select(entry, now=now)

    def _choose_for_others(self, *, now: float) -> None:
        """Select, once, for a controlled side that is not our own."""
        if self.selected is not None or self.may_move or not self.is_controlling:
            return
        valid = [entry for entry in self._entries.values() if entry.state is _State.VALID]
        if not valid or self._first_valid_at is None:
            return
        best = max(valid, key=lambda entry: (entry.grade, entry.priority))
        pending = (_State.WAITING, _State.CHECKING)
        hopes = any(e.state in pending and not e.grade.is_relayed for e in self._entries.values())
        if best.grade.is_relayed and hopes and now < self._first_valid_at + RELAY_PATIENCE:
            return
        self._select(best, now=now)

    def _select(self, entry: _Entry[K], *, now: float) -> None:
        if entry.key == self.selected or self.selections >= MAX_SELECTIONS:
            return
        self.selected = entry.key
        self.selections += 1
        self._selected_at = now
        if self._first_selected_at is None:
            self._first_selected_at = now

    def _selected_key(self) -> K:
        assert self.selected is not None, "asked of a selected pair only"
        return self.selected

    # Order

    def _next_entry(self, *, now: float) -> _Entry[K] | None:
        while self._triggered:
            entry = self._triggered.popleft()
            if entry.state is _State.WAITING:
                return entry
        waiting = list(self._waiting(now=now))
        if waiting:
            # The kind below the one that had its turn, or the best again.
            below = [entry for entry in waiting if entry.grade < self._turn] or waiting
            best = max(below, key=lambda entry: (entry.grade, entry.priority))
            self._turn = best.grade
            return best
        due = (e for e in self._to_measure(now=now) if e.measured_at + SAMPLE_INTERVAL <= now)
        return next(due, None)

    def _waiting(self, *, now: float) -> Iterator[_Entry[K]]:
        """Return what is to be checked, for the first time or again."""
        if self.selected is not None and not self.is_improving(now=now):
            return
        retried = [e for e in self._to_retry() if e.failed_at + RETRY_AFTER <= now]
        for entry in self._entries.values():
            again = entry in retried
            if (entry.state is _State.WAITING and self._is_wanted(entry)) or again:
                yield entry

    def _to_retry(self) -> list[_Entry[K]]:
        """Return the pairs that have failed, and would be better than the selected one."""
        if self.selected is None or not self.may_move:
            return []
        least = self._entries[self.selected].grade
        failed = _State.FAILED
        return [e for e in self._entries.values() if e.state is failed and e.grade > least]

    def _is_wanted(self, entry: _Entry[K]) -> bool:
        if self.selected is None:
            return True
        if not self.is_controlling and not self._entries[self.selected].is_asked:
            return True  # any of them may be nominated yet
        return self.may_move and entry.grade >= self._entries[self.selected].grade

    def _to_measure(self, *, now: float) -> list[_Entry[K]]:
        """Return the pairs that are as good as the selected one, and not measured yet."""
        if self.selected is None or not self.is_controlling or not self.is_improving(now=now):
            return []
        grade = self._entries[self.selected].grade
        equals = [
            entry
            for entry in self._entries.values()
            if entry.state is _State.VALID and entry.grade is grade
        ]
        if len(equals) == 1:
            return []
        return [e for e in equals if e.samples < SAMPLES and not e.is_measuring]
