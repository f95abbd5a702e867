"""One STUN question over a connection: does the server answer by TCP what it does not by UDP?

Pure. Place in the flow: driven by :mod:`rtcsend.doctor.stun_checks`. Source: RFC 8489 §6.2.2.
"""

from collections.abc import Callable

from rtcsend.doctor import codec
from rtcsend.doctor.codec import Endpoint
from rtcsend.doctor.probing import Outgoing
from rtcsend.doctor.transaction import STREAM, Transaction


class StreamBinding:
    """Asks once.

    Args:
        entropy: Returns so many random bytes.
        now: Seconds.

    Attributes:
        answered: Whether the server has answered, with an address or an error.
    """

    def __init__(self, *, entropy: Callable[[int], bytes], now: float) -> None:
        self.answered = False
        self._number = entropy(codec.TRANSACTION_ID_SIZE)
        request = codec.binding_request(self._number)
        self._transaction = Transaction(request, now=now, schedule=STREAM)

    @property
    def done(self) -> bool:
        """Whether it was answered or given up."""
        return self._transaction.settled

    def receive_untrusted(
        self, data: bytes, *, place: int, source: Endpoint | None, now: float
    ) -> None:
        """Take a message."""
        answer = codec.maybe_answer_untrusted(data)
        if answer is not None and answer.transaction_id == self._number and not self.done:
            self.answered = True
            self._transaction.on_answer(now=now)

    def to_send(self, *, now: float) -> list[Outgoing]:
        """Return what is to be sent now."""
        data = self._transaction.maybe_data(now=now)
        return [] if data is None else [Outgoing(place=0, data=data)]

    def get_timer(self) -> float | None:
        """Return when to call :meth:`to_send` next."""
        return self._transaction.get_timer()
