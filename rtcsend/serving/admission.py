"""Who may still come to one code, and how often it may be guessed at. Pure.

::

                      ╭──▶ proven: a receiver, until it has left
    open ─ came ─▶ pending
                      ╰──▶ failed: counts as a wrong guess, whatever the reason

Everybody who comes to the nameplate can test one guess at the words: the pairing tells, right or
wrong. Whoever has the right words learns nothing that he did not know, so only those who
did not prove them count. No more of them are let in than the code bears, and those who have come
and not proven anything yet count as if they were wrong: many at once get no more than many in a
row. The argument and the figures are in docs/security.md, "One code for several receivers".

Place in the flow: held by :mod:`rtcsend.serving.several`, which opens the nameplate again as this
says.
"""

from typing import Final

WRONG_GUESSES: Final = 4  # on one code; with two words that is 1 chance in 2**20 for all together
FIRST_PAUSE: Final = 2.0  # seconds after the first wrong guess of a sender that serves for ever
LONGEST_PAUSE: Final = 900.0  # seconds; reached with the tenth


class Admission:
    """One code, for a number of receivers or for ever.

    Args:
        receivers: How many get in, or for ever, how many are in at a time.
        forever: Whether another one may come when one has left.
    """

    def __init__(self, *, receivers: int, forever: bool) -> None:
        self._receivers = receivers
        self._forever = forever
        self._bears = WRONG_GUESSES if forever else min(receivers, WRONG_GUESSES)
        self._pending = 0
        self._inside = 0
        self._failed_ever = 0
        self.wrong = 0
        """Guesses at this code that were wrong, as far as anybody can tell."""
        self.proven = 0
        """Receivers that have come with the right words, ever."""
        self.opens_at = 0.0
        """When the nameplate may be open again, in seconds."""

    @property
    def is_burnt(self) -> bool:
        """Whether this code has been guessed at too often: nobody gets in with it any more."""
        return self.wrong >= self._bears

    @property
    def is_over(self) -> bool:
        """Whether nobody else will get in with this code, whatever those at the door turn out."""
        return self.is_burnt or (not self._forever and self.proven >= self._receivers)

    @property
    def has_room(self) -> bool:
        """Whether one more may come, when it is time."""
        if self.is_over or self.wrong + self._pending >= self._bears:
            return False
        taken = self._inside if self._forever else self.proven
        return taken + self._pending < self._receivers

    def came(self) -> None:
        """Somebody has come to the nameplate. Call only while there is room."""
        assert self.has_room, "nobody was to come"
        self._pending += 1

    def proved(self) -> None:
        """He has the right words."""
        self._pending -= 1
        self._inside += 1
        self.proven += 1

    def failed(self, *, now: float) -> None:
        """He has not: wrong words, or he went away, or did not say."""
        self._pending -= 1
        self.wrong += 1
        self._failed_ever += 1
        if self._forever:
            pause = FIRST_PAUSE * 2.0 ** min(self._failed_ever - 1, 16)
            self.opens_at = now + min(pause, LONGEST_PAUSE)

    def left(self) -> None:
        """A receiver is served, or has failed: its place is free."""
        self._inside -= 1

    def renew(self) -> None:
        """There is another code, at which nobody has guessed; the pauses stay long."""
        assert not self._pending, "who is at the door has come with the old one"
        self.wrong = 0
