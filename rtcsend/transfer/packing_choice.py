"""Whether packing makes a transfer faster: by what arrives with it, and what without. Pure.

::

    packed, cheap ─(takes a fifth of the time)─▶ plain ─(tried, it is faster: 3 times)─▶ packed
                                                   ▲                                     │
                                                   ╰─────(tried, plain is as fast)───────╯

No figure of the sender alone says it. Packing may take half of the time and still win (a path of 50
MB/s), or a third and win nothing (two processes on one machine, where every cycle is one that the
others wait for). So both ways are tried: the rate of each is that at which its own bytes were
acknowledged, from when the first of them was to when the last of them was, whatever is queued.

- It begins with packing, which is cheap where it is worth most: as long as it takes little of the
  time it can cost no more than that. When it takes more it has to prove itself.
- A trial is short, and they become rare while they find nothing new. One that finds another winner,
  or a rate that has changed much since the last one, makes the next ones come soon.
- Packing must win clearly, and three times running, for on a busy machine any figure is doubtful;
  it keeps its place with less than it took to get there.

Place in the flow: held by :mod:`rtcsend.transfer.compression`.
"""

from collections import deque
from dataclasses import dataclass
from typing import Final, NamedTuple

from rtcsend.transfer.rate import METER_WINDOW, RateMeter

CHEAP_SHARE: Final = 1 / 5  # of the time: packing that takes less needs no trial
ALLOWANCE: Final = 0.03  # seconds of packing besides, to fill what is between here and the path
HOPELESS: Final = 1 / 2  # of the speed of packing: where more than that goes plain, none is tried
TO_PACK: Final = 1.5  # times as fast must it be to be taken up,
TO_STAY: Final = 1.25  # and to be kept
TRIAL_SECONDS: Final = 0.2  # of sending; and
TRIAL_BYTES: Final = 2 << 20  # at least: two acknowledgements
RATE_SECONDS: Final = 0.4  # over which the rate before a trial is taken, half of it at least:
# acknowledgements come in lumps where a process waits for its turn
SHORTEST_RATE: Final = 0.05  # seconds; over less it is none
CONFIRMATIONS: Final = 3  # trials running that packing must win to be taken up
CONFIRM_PAUSE: Final = 0.2  # seconds between them
FIRST_PAUSE: Final = 0.5  # seconds from one trial to the next,
LONGEST_PAUSE: Final = 32.0  # twice as many each time
CHANGED: Final = 2.0  # times as fast, or as slow, as it was at the last trial
USUAL_SPEED: Final = 200e6  # bytes per second that packing takes in, before any was timed
_SMOOTHING: Final = 1 / 8  # of each new figure in the average


class _Ack(NamedTuple):
    """So many bytes had arrived by then."""

    now: float
    bytes: int


@dataclass(slots=True)
class _Trial:
    """Of the other way than the usual one, over a stretch of what is sent."""

    begins: int
    began_at: float
    ends: int | None = None
    """None: what is sent now belongs to it."""
    first: _Ack | None = None
    """When its first byte was at its place."""


class PackingChoice:
    """Tells for one connection, and any moment, whether to pack. Counts are of plain bytes.

    Args:
        now: Seconds; when the first byte may go.
    """

    def __init__(self, *, now: float) -> None:
        self.is_packing = True
        """Whether to pack what is sent next."""
        self._usual = True  # what is done when nothing is being tried
        self._proven = False  # whether packing has won
        self._began_at = now
        self._sent = 0
        # How dear packing is.
        self._speed = USUAL_SPEED
        self._packed_for = 0.0  # seconds
        self._share = RateMeter()  # in microseconds of packing: so it is millionths of the time
        self._share.update(0, now=now)
        self._cheap = True
        # What arrives.
        self._acks: deque[_Ack] = deque()  # of what went in the usual way
        self._since = 0  # where that begins
        self._compared: float | None = None  # bytes per second of the winner, last time
        self._trial: _Trial | None = None
        self._wins = 0  # running
        self._pause = FIRST_PAUSE
        self._next_at = now

    def timed(self, size: int, seconds: float) -> None:
        """Note that so many bytes were packed in so many seconds."""
        self._packed_for += seconds
        if seconds > 0:
            self._speed += (size / seconds - self._speed) * _SMOOTHING

    def sent(self, size: int, *, now: float) -> None:
        """Note that the channel has taken so many bytes more."""
        self._sent += size
        share = self._share.update(int(self._packed_for * 1e6), now=now) / 1e6
        seconds = min(now - self._began_at, METER_WINDOW)  # that the share is of
        self._cheap = share * seconds <= CHEAP_SHARE * seconds + ALLOWANCE
        trial = self._trial
        if trial is None:
            self._consider(now)
        elif (
            trial.ends is None
            and self._sent - trial.begins >= TRIAL_BYTES
            and now - trial.began_at >= TRIAL_SECONDS
        ):
            trial.ends, self.is_packing = self._sent, self._usual

    def acknowledged(self, count: int, *, now: float) -> None:
        """Note that so many bytes, in all, are at their place."""
        ack, trial = _Ack(now, count), self._trial
        if trial is None:
            if count < self._since:
                return
            self._acks.append(ack)
            while len(self._acks) > 1 and now - self._acks[1].now >= RATE_SECONDS:
                self._acks.popleft()
        elif trial.first is None:
            trial.first = ack if count >= trial.begins else None
        elif trial.ends is not None and count >= trial.ends:
            self._conclude(_rate(trial.first, ack), now=now)

    def _consider(self, now: float) -> None:
        """Begin a trial of the other way, if it is time, and may come to something."""
        if self._usual and not self._proven and not self._cheap:
            self._go_on(packing=False, pause=CONFIRM_PAUSE, now=now)
        before = self._rate_before()
        if before is None:
            return
        if self._cheap if self._usual else before > self._speed * HOPELESS:
            return
        if self._has_changed(before):
            self._pause, self._compared = FIRST_PAUSE, before
            self._next_at = min(self._next_at, now + FIRST_PAUSE)
        if now >= self._next_at:
            self._trial = _Trial(self._sent, now)
            self.is_packing = not self._usual

    def _has_changed(self, rate: float) -> bool:
        last = self._compared
        return last is not None and not last / CHANGED <= rate <= last * CHANGED

    def _rate_before(self) -> float | None:
        """Return the bytes per second lately; None: there are none yet."""
        if not self._acks or self._acks[-1].now - self._acks[0].now < RATE_SECONDS / 2:
            return None
        return _rate(self._acks[0], self._acks[-1])

    def _conclude(self, tried: float | None, *, now: float) -> None:
        """Go on with the faster way; None: the trial has told nothing, as if it had not been."""
        before = self._rate_before()
        self._trial = None
        self._acks.clear()
        if tried is None or before is None:
            self._next_at = now + self._pause
        elif tried * TO_STAY > before if self._usual else tried > before * TO_PACK:
            self._won(tried, now=now)
        else:
            self._wins, self._compared = 0, before
            self._pause = min(2 * self._pause, LONGEST_PAUSE)
            self._next_at = now + self._pause

    def _won(self, tried: float, *, now: float) -> None:
        self._wins += 1
        if not self._usual and self._wins < CONFIRMATIONS:
            self._next_at = now + CONFIRM_PAUSE
            return
        self._compared, self._proven = tried, True
        self._go_on(packing=not self._usual, pause=FIRST_PAUSE, now=now)

    def _go_on(self, *, packing: bool, pause: float, now: float) -> None:
        """From now on, another way is the usual one."""
        self._usual = self.is_packing = packing
        self._since = self._sent
        self._wins, self._pause, self._next_at = 0, FIRST_PAUSE, now + pause
        self._acks.clear()


def _rate(first: _Ack, last: _Ack) -> float | None:
    """Return the bytes per second in between; None: too soon to tell."""
    seconds = last.now - first.now
    return (last.bytes - first.bytes) / seconds if seconds >= SHORTEST_RATE else None
