"""How long to wait before the next attempt to meet again. Pure.

Short at first: the goal is that data flows within three seconds after a link has healed, so the
pause stays at a second for as long as links usually heal in. Then longer, since a crowd of
clients must not drown a server that is down for the evening.
"""

from typing import Final

FIRST: Final = 0.2  # seconds
PATIENT_AFTER: Final = 120.0  # seconds since the loss; lifts, tunnels and reboots are over by then
LONGEST_AT_FIRST: Final = 1.0  # seconds
LONGEST: Final = 5.0  # seconds
JITTER: Final = 0.5  # of a pause is drawn, so that two sides, or a crowd, do not move in step


def pause_before(attempt: int, *, lost_for: float, draw: float) -> float:
    """Return the seconds to wait before an attempt.

    Args:
        attempt: Counted from 1; the first follows the loss at once.
        lost_for: Seconds since the loss.
        draw: A number drawn from 0 to 1.
    """
    if attempt <= 1:
        return 0.0
    longest = LONGEST_AT_FIRST if lost_for < PATIENT_AFTER else LONGEST
    doublings = min(attempt - 2, 10)  # enough for the longest; no giant numbers
    return min(FIRST * 2.0**doublings, longest) * (1 - JITTER * draw)
