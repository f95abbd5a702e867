"""Noticing that nothing moves, whoever it is that everything waits for.

Pure. A stall is told to the user within seconds, with what is known of its reason. And a side
that lives, answers pings, and could go on, but does not, is not waited for without an end.
Source: docs/transfer-protocol.md §8.
"""

from dataclasses import dataclass
from typing import Final

from rtcsend.errors import PeerProtocolError
from rtcsend.events import Stalled
from rtcsend.transfer.rate import SMALLEST_FRAME

CHECK_INTERVAL: Final = 1.0  # seconds between two looks; a stall is seen that much late at most
STALLED_AFTER: Final = 3.5  # seconds without a move: seen by the look after 4, told within 5
STALLED_EVERY: Final = 4.5  # seconds between two reminders: one at each fifth look
CRAWL_TIME: Final = 120.0  # seconds in which a side that could go on has to move something:
CRAWL_LEAST: Final = 16_384  # bytes; 137 a second, less than the slowest path that is any use
BLOCK_COUNTS: Final = 1_024  # bytes that a block counts which is compared and need not travel
RESTED: Final = 60.0  # seconds of life that are worth as much, where nothing has to move
SYNC_LIMIT: Final = 3_600.0  # seconds for the receiver to make the file last; disks are slow


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """What keeps the transfer from moving, if it does not move."""

    reason: str
    """One sentence for the user."""
    patience: float | None = None
    """Seconds that the other side, whose turn it is, may take for CRAWL_LEAST; None: not its turn.
    """
    is_chosen: bool = False
    """Whether somebody outside of both sides makes it wait, as long as he likes: a person who
    reads page by page, a program that has nothing to write."""


class Turns:
    """Counts how often all that was under way at one time has arrived. Pure.

    Who sends little, since there is little to send, can be acknowledged no more than that.
    """

    def __init__(self) -> None:
        self.count = 0
        self._mark: int | None = None  # what was sent when the turn began

    def sent(self, total: int) -> None:
        """So much was sent by now."""
        if self._mark is None:
            self._mark = total

    def arrived(self, total: int, *, sent: int) -> None:
        """So much has arrived by now, of what was sent."""
        if self._mark is not None and total >= self._mark:
            self.count += 1
            self._mark = sent if sent > total else None


class Movement:
    """Looks now and then at a count that only grows.

    Args:
        limit: Bytes per second that both sides have agreed on at most; 0 for no limit.
        now: Seconds.
    """

    def __init__(self, *, limit: int, now: float) -> None:
        self._least = min(CRAWL_LEAST, limit * CRAWL_TIME / 2) if limit else CRAWL_LEAST
        # At very low limits single frames are further apart than a stall is long.
        self._stalled_after = max(STALLED_AFTER, 3 * SMALLEST_FRAME / limit if limit else 0.0)
        self._total = 0
        self._moved_at = now
        self._looked_at = now
        self._told_at: float | None = None
        # How long it was the other side's turn, and the count at the beginning of that.
        self._their_time = 0.0
        self._their_first = 0

    def get_timer(self) -> float:
        """Return when to look again."""
        return self._looked_at + CHECK_INTERVAL

    def look(
        self, total: int, waiting: Waiting | None, *, heard_at: float, now: float
    ) -> Stalled | None:
        """Return what to tell the user, if something is wrong.

        Args:
            total: The count.
            waiting: What is waited for; None when nothing has to move at all.
            heard_at: When the other side was last heard, in seconds.
            now: Seconds.

        Raises:
            PeerProtocolError: It was the other side's turn for so long, and it hardly moved.
        """
        if total != self._total or waiting is None:
            self._total, self._moved_at = total, now
        self._judge(waiting, now=now)
        self._looked_at = now
        return self._stall(waiting, heard_at=heard_at, now=now)

    def _judge(self, waiting: Waiting | None, *, now: float) -> None:
        if waiting is None or waiting.patience is None:
            return  # time in which it cannot go on does not count against it
        self._their_time += now - self._looked_at
        if self._their_time < waiting.patience:
            return
        if self._total - self._their_first < self._least:
            raise PeerProtocolError(f"The other side lives, but does not go on. {waiting.reason}")
        self._their_time, self._their_first = 0.0, self._total

    def _stall(self, waiting: Waiting | None, *, heard_at: float, now: float) -> Stalled | None:
        if now - heard_at >= STALLED_AFTER:
            since, reason = heard_at, "Nothing comes from the other side."
        elif waiting is not None and now - self._moved_at >= self._stalled_after:
            since, reason = self._moved_at, waiting.reason
        else:
            self._told_at = None
            return None
        if self._told_at is not None and now - self._told_at < STALLED_EVERY:
            return None
        self._told_at = now
        return Stalled(seconds=round(now - since), reason=reason)
