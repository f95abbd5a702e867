"""A STUN question that is put until it is answered, sooner and more often than aioice puts it.

A shell: one timer over a protocol of aioice's, which hands the response in. aioice waits half a
second before it sends a request again, and so does RFC 8489 where nothing is known of the path. The
paths of ICE are mostly shorter, and a first check is often lost for certain: the NAT at the other
end opens only when that end has sent something too.

Each sending is a transaction of its own, with another transaction ID, and the answer to any of
them counts. So the round trip is always known, also of what was sent several times (Karn's problem
is one of IDs that are the same), and an answer that takes longer than the next sending is no loss.
That is how RFC 8445 §7.3.1.4 has a check that the other side's check has overtaken: see
:meth:`Transaction.nudge`.

Sources: RFC 8489 §6.2.1, RFC 8445 §14.3 (how fast all checks together may be sent).
"""

import asyncio
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from aioice import stun
from aioice.ice import StunProtocol

LEAST_CHECK_WAIT: Final = 0.05  # seconds after a first check
MOST_CHECK_WAIT: Final = 0.15  # seconds, where there are many pairs
LONGEST_CHECK_WAIT: Final = 0.8  # seconds after a later one; each wait is twice the one before
CHECK_TIMEOUT: Final = 5.0  # seconds; then a pair has failed
MAX_NUDGES: Final = 16  # of one question; each is a check that the other side has sent before
QUERY_WAITS: Final = (0.15, 0.3, 0.6, 1.2, 1.5)
"""Of a question to a STUN server: 3.8 s in all."""
CONSENT_WAITS: Final = (0.5, 1.0, 2.0, 4.0)
"""Of a consent check: 7.5 s in all; a full queue or a satellite is no death."""

Address = tuple[str, int]


class Answer(NamedTuple):
    """What came back."""

    message: stun.Message
    address: Address
    """Where it came from."""
    rtt: float
    """Seconds since that was sent which it answers."""


def check_waits(pairs: int, *, pace: float) -> tuple[float, ...]:
    """Return the seconds to wait after each sending of a connectivity check.

    RFC 8445 §14.3: the more pairs are checked at a time, the longer, so that all of them together
    are sent no faster than single ones. It has 500 ms as the least, for media streams by the dozen.

    Args:
        pairs: Which are to be checked, or are being checked.
        pace: Seconds between two checks: Ta.
    """
    wait = min(max(LEAST_CHECK_WAIT, pace * pairs), MOST_CHECK_WAIT)
    waits: list[float] = []
    left = CHECK_TIMEOUT
    while left > wait:
        waits.append(wait)
        left -= wait
        wait = min(2 * wait, LONGEST_CHECK_WAIT)
    return (*waits, left)


class Transaction:
    """One question over one protocol.

    Args:
        protocol: Sends it, and takes the response.
        request: Without credentials.
        address: Where to.
        key: Of the credentials; None: there are none.
        waits: Seconds to wait after each sending.
    """

    def __init__(
        self,
        protocol: StunProtocol,
        request: stun.Message,
        address: Address,
        *,
        key: bytes | None = None,
        waits: Sequence[float],
    ) -> None:
        self._protocol, self._request, self._address = protocol, request, address
        self._key = key
        self._waits = list(waits)
        self._loop = asyncio.get_running_loop()
        self._answer: asyncio.Future[Answer] = self._loop.create_future()
        self._timer: asyncio.TimerHandle | None = None
        self._sent: dict[bytes, float] = {}
        self._nudges = 0

    async def run(self) -> Answer:
        """Send it, and return the answer.

        Raises:
            aioice.stun.TransactionFailed: It is an error.
            aioice.stun.TransactionTimeout: There was none.
        """
        try:
            self._send_again()
            return await self._answer
        finally:
            transactions: dict[bytes, Any] = self._protocol.transactions
            for number in self._sent:
                del transactions[number]
            if self._timer is not None:
                self._timer.cancel()

    def nudge(self) -> None:
        """Send it now: the other side has just shown that the way is open."""
        if not self._answer.done() and self._nudges < MAX_NUDGES:
            self._nudges += 1
            self._send()

    def response_received(self, message: stun.Message, address: Address) -> None:
        """Take a response; aioice's protocol calls this. A forged one changes nothing."""
        if self._answer.done():
            return
        if self._key is not None and not message.check_message_integrity(self._key):
            return
        if message.message_class != stun.Class.RESPONSE:
            self._answer.set_exception(stun.TransactionFailed(message))
            return
        rtt = self._loop.time() - self._sent[message.transaction_id]
        self._answer.set_result(Answer(message, address, rtt))

    def _send_again(self) -> None:
        if self._answer.done():
            return
        if not self._waits:
            self._answer.set_exception(stun.TransactionTimeout())
            return
        self._timer = self._loop.call_later(self._waits.pop(0), self._send_again)
        self._send()

    def _send(self) -> None:
        request = stun.Message(
            self._request.message_method,
            self._request.message_class,
            attributes=dict(self._request.attributes),
        )
        if self._key is not None:
            request.add_message_integrity(self._key)
        transactions: dict[bytes, Any] = self._protocol.transactions
        transactions[request.transaction_id] = self
        self._sent[request.transaction_id] = self._loop.time()
        self._protocol.send_stun(request, self._address)
