"""One request over UDP or a stream: when it is sent again, and when it is given up.

RFC 8489 §6.2.1 goes on for 39.5 seconds. Here a server that does not answer is a finding of
its own, to be had soon: it is given up after three seconds, which four losses in a row or a
round trip of more than a second look the same as.

Pure. Place in the flow: what :mod:`~rtcsend.doctor.nat` and its neighbours are made of.
"""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """When a request is sent, in seconds after its beginning, and when it is given up."""

    sends: tuple[float, ...]
    give_up: float


UDP: Final = Schedule(sends=(0.0, 0.5, 1.0, 2.0), give_up=3.0)  # seconds; see above
STREAM: Final = Schedule(sends=(0.0,), give_up=4.0)  # seconds; TCP sends again by itself
_LEAST_RTO: Final = 0.15  # seconds; a busy machine or a Wi-Fi asleep takes a tenth
_SENDS: Final = 4


def schedule_for(rtt: float) -> Schedule:
    """Return the schedule where the round trip is known.

    That no answer comes is an answer here (it was filtered), and each is waited for.
    """
    rto = max(_LEAST_RTO, 2 * rtt)
    return Schedule(sends=tuple(n * rto for n in range(_SENDS)), give_up=(_SENDS + 0.5) * rto)


class Transaction:
    """A request that waits for its answer.

    Args:
        data: The message.
        now: Seconds.
        schedule: When to send it.

    Attributes:
        rtt: Seconds until the answer; None while there is none. From the first sending, as
            nobody can tell which of them was answered.
        silent: It was given up.
    """

    def __init__(self, data: bytes, *, now: float, schedule: Schedule = UDP) -> None:
        self.rtt: float | None = None
        self.silent = False
        self._data, self._started, self._schedule, self._sent = data, now, schedule, 0

    @property
    def settled(self) -> bool:
        """Whether there is nothing more to wait for."""
        return self.silent or self.rtt is not None

    def maybe_data(self, *, now: float) -> bytes | None:
        """Return what is to be sent now."""
        timer = self.get_timer()
        if timer is None or now < timer:
            return None
        if self._sent == len(self._schedule.sends):
            self.silent = True
            return None
        # After a pause of the whole machine all of them are due: once is enough.
        while self._sent < len(self._schedule.sends) and now >= self._at(self._sent):
            self._sent += 1
        return self._data

    def on_answer(self, *, now: float) -> None:
        """Take note of the answer; only the first counts."""
        if not self.settled:
            self.rtt = now - self._started

    def get_timer(self) -> float | None:
        """Return when to call :meth:`maybe_data` next."""
        if self.settled:
            return None
        if self._sent < len(self._schedule.sends):
            return self._at(self._sent)
        return self._started + self._schedule.give_up

    def _at(self, number: int) -> float:
        return self._started + self._schedule.sends[number]


def earliest(*timers: float | None) -> float | None:
    """Return the first of some timers; None where there is none."""
    return min((timer for timer in timers if timer is not None), default=None)
